#!/usr/bin/env python3
"""A program for ExternalCommand, in Python: does some steps and tells how far it is.

Trogdor writes one line to standard input, {"id": "...", "workload": ...}. Every line on standard
output that is a JSON object is a message: "status" becomes the task's status, "log" is logged,
"error" ends the task. Everything else, and standard error, goes to the log of the agent. The return
code is 0 if all went well.
"""

import json
import os
import signal
import sys
import threading


def say(**message):
    # Without the flush nothing is seen before the end.
    print(json.dumps(message), flush=True)


def end_with_the_agent():
    """Standard input stays open as long as the agent lives; its end means that nobody listens."""
    sys.stdin.read()
    os._exit(1)


def main():
    start = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_the_agent, daemon=True).start()

    # When the time is over, or somebody stops the task, Trogdor sends SIGTERM, and SIGKILL after
    # the grace period.
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    workload = start["workload"]
    say(log="task %s has %d steps" % (start["id"], workload["steps"]))
    for step in range(workload["steps"]):
        # Put your work here.
        if stop.wait(workload["delayMs"] / 1000):
            say(status={"done": step, "of": workload["steps"], "stopped": True})
            return
        say(status={"done": step + 1, "of": workload["steps"]})


try:
    main()
except Exception as problem:
    say(error="%s: %s" % (type(problem).__name__, problem))
    sys.exit(1)
