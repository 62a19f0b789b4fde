#!/usr/bin/env python3
"""Speaks to ``warmgap.engines.vllm.server`` as its worker does, without vLLM, and breaks in the way that SPEAKER says.

SPEAKER is a JSON file: ``how`` it breaks (or ``well``), ``ids`` that it answers, ``base`` and ``adapted``, the
log-probabilities that it gives, and ``log``, a file to which it writes what it is asked for.
"""

import json
import os
import signal
import sys
import time
from typing import Any


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def answer(plan: dict[str, Any], work: dict[str, Any]) -> None:
    how = plan["how"]
    first, *rest = range(len(work["requests"]))
    say(replies=[[first, plan["ids"], False]])
    print("now the weights are loading", "and there is no room left", sep="\n", file=sys.stderr, flush=True)
    if how == "exit":
        sys.exit(3)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "garbage":
        print("WARNING: this is no JSON", flush=True)
    if how == "another word":
        say(token=1)
    if how == "error":
        say(error="ValueError: the prompt is too long")
    if how == "hangs":
        time.sleep(600)
    for place in rest:
        say(replies=[[place, plan["ids"], False]])
    say(done=True)


for line in sys.stdin:
    asked = json.loads(line)
    with open(os.environ["SPEAKER"], encoding="utf-8") as file:
        plan = json.load(file)
    with open(plan["log"], "a", encoding="utf-8") as log:
        log.write(json.dumps({**asked, "pid": os.getpid()}) + "\n")
    if asked["do"] == "start":
        say(ready={"version": "0", "window": 2048})
    elif asked["do"] == "logs":
        say(logs=plan["adapted" if asked["adapter"] else "base"])
    else:
        answer(plan, asked)
