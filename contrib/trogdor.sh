#!/bin/sh
# Takes the place of Kafka's bin/trogdor.sh: the same actions, options and exit codes, but it starts
# the trogdor program instead of a JVM. As in Kafka, the daemons accept everybody who can reach
# their ports (--insecure): whoever installs this script opens that door. Variables for the JVM and
# for log4j (KAFKA_HEAP_OPTS, KAFKA_LOG4J_OPTS, ...) have no effect.
#
# The program is looked for beside this script, then in $TROGDOR_HOME, then on the PATH.

usage() {
    cat <<EOF
The Trogdor fault injector.

Usage:
  $0 [action] [options]

Actions:
  agent: Run the trogdor agent.
  coordinator: Run the trogdor coordinator.
  client: Run the client which communicates with the trogdor coordinator.
  agent-client: Run the client which communicates with the trogdor agent.
  help: This help message.
EOF
}

# A missing variable names no file, so that the search goes on.
find_program() {
    for candidate in "$(dirname "$0")/trogdor" \
        "${TROGDOR_HOME:+$TROGDOR_HOME/trogdor}" "${TROGDOR_HOME:+$TROGDOR_HOME/bin/trogdor}"; do
        if [ -f "$candidate" ] && [ -x "$candidate" ]; then
            program=$candidate
            return 0
        fi
    done
    program=$(command -v trogdor)
}

if [ $# -lt 1 ]; then
    usage
    exit 0
fi
action=$1
shift

case $action in
    agent | coordinator | client | agent-client) ;;
    help)
        usage
        exit 0
        ;;
    *)
        printf "Unknown action '%s'.  Type '%s help' for help.\n" "$action" "$0"
        exit 1
        ;;
esac

if ! find_program; then
    echo "$0: cannot find the program trogdor beside this script, in \$TROGDOR_HOME, or on the PATH" >&2
    exit 1
fi

case $action in
    # Without arguments a daemon prints its help.
    agent | coordinator) exec "$program" "$action" ${1+--insecure "$@"} ;;
    *) exec "$program" "$action" "$@" ;;
esac
