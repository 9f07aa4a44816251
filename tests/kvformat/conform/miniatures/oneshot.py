"""The right adapter in one-shot form, and wrong ones: `python -m …oneshot [WRONG] OPERATION INPUT [options]`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from tests.kvformat.conform.miniatures.right import right

STATUS = {"accept": 0, "reject": 1, "unsupported": 77}
MISTAKES = ("crash", "hang", "garbage", "memory", "two", "no-start", "deny", "error", "linger")


def main(arguments: list[str]) -> int:
    mistake = arguments.pop(0) if arguments[0] in MISTAKES else None
    if arguments == ["start"]:
        if mistake == "no-start":
            return 77
        print(json.dumps(right({"cmd": "start"})))
        return 0
    message = _message(arguments)
    if mistake == "linger":
        # It keeps the standard output of this program.
        subprocess.Popen(["sleep", "60"], start_new_session=True)
    elif "/case-read-hostile/" in message["input"] and mistake is not None:
        return _wrong(mistake)
    said = right(message)
    assert said is not None
    if said["result"] == "accept":
        print(json.dumps(said["view"]))
    elif said["result"] == "reject":
        print(json.dumps({"category": said["category"], "field": said["field"]}))
    return STATUS.get(said["result"], 3)


def _message(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    for name in ("op", "input"):
        parser.add_argument(name)
    for name in ("name", "output"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--profile", default="auto")
    parser.add_argument("--arguments", type=json.loads, default={})
    return {"cmd": "run", "seq": 1, **vars(parser.parse_args(arguments))}


def _wrong(mistake: str) -> int:
    if mistake == "crash":
        os.kill(os.getpid(), signal.SIGABRT)
    elif mistake == "hang":
        time.sleep(60)
    elif mistake == "garbage":
        print("truncated")
    elif mistake == "two":
        print("{}\n{}")
    elif mistake == "memory":
        held = b"1" * (200 << 20)
        print(json.dumps({"category": "truncated", "field": "text", "message": str(len(held))}))
    elif mistake == "deny":
        return 77
    else:
        return 2
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
