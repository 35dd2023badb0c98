#!/bin/sh
# A program for ExternalCommand, in shell: does some steps and tells how far it is.
#
# Trogdor writes one line to standard input, {"id":"…","workload":…}. Every line on standard output
# that is a JSON object is a message: "status" becomes the task's status, "log" is logged, "error"
# ends the task. Everything else, and standard error, goes to the log of the agent.

IFS= read -r start

# The workload is any JSON that you like; with jq: steps=$(printf %s "$start" | jq .workload.steps)
steps=$(printf '%s\n' "$start" | sed -n 's/.*"steps":\([0-9]*\).*/\1/p')
if [ -z "$steps" ]; then
    echo '{"error": "the workload has no \"steps\""}'
    exit 1
fi

# When the time is over, or somebody stops the task, Trogdor sends SIGTERM: leave some last words.
# After the grace period it sends SIGKILL. Both go to everything that was started here.
done=0
trap 'echo "{\"status\": {\"done\": $done, \"of\": $steps, \"stopped\": true}}"; exit 0' TERM

echo "a line that is no JSON is logged as it is"
while [ "$done" -lt "$steps" ]; do
    # Put your work here. In the background and with `wait`, so that the shell hears SIGTERM at once.
    true & wait $!
    done=$((done + 1))
    echo "{\"status\": {\"done\": $done, \"of\": $steps}, \"log\": \"step $done\"}"
done
