# The parent of one JVM. It obeys orders on standard input, and when that pipe ends, because the test process has
# ended, it kills the JVM and removes its directory. Being the parent, it knows that the pid is still that JVM's.
# Usage: sh -c SCRIPT NAME DIRECTORY STDOUT STDERR COMMAND ARGUMENT...
# Reports on standard output: "pid N" after "start"; "exit CODE" and the two lines of `times` after "reap".

dir=$1 out=$2 err=$3
shift 3
child=

# A shell may reap behind our back (bash does), so ask whether the process is still our child.
ours() {
    read -r line <"/proc/$1/stat" || return 1
    set -- ${line##*) }
    [ "$2" = "$$" ]
} 2>/dev/null

finish() {
    trap '' TERM
    if [ -n "$child" ]; then
        ours "$child" && kill -9 "$child"
        wait "$child"
    fi
    rm -rf -- "$dir"
    # Last, what the JVM itself has started: all of it is in our process group, and so are we.
    kill -9 "-$$"
}

trap '' HUP INT QUIT PIPE
trap 'exit 143' TERM
trap finish EXIT

while read -r order; do
    case $order in
    start)
        "$@" </dev/null >>"$out" 2>>"$err" &
        child=$!
        echo "pid $child"
        ;;
    reap)
        wait "$child"
        code=$?
        child=
        echo "exit $code"
        times
        ;;
    esac
done
