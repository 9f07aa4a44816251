"""Adapters with one thing wrong, each by its name: `python -m tests.kvformat.conform.miniatures.wrong NAME`.

What is wrong is only done where a case is about an input called so, or always where that is the mistake. The smoke
questions have no output and no folder of a case; adapters that fail them are in `BROKEN`.

Most break the protocol of adapters (spec/conformance.md, chapter 4), which has no clauses; the others say which they break.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from tests.kvformat.conform.miniatures.right import Message, right, talk

GOOD_CASE = "case-read-plain"
NAP_SECONDS = 60


def is_case(message: Message, name: str = GOOD_CASE) -> bool:
    return message.get("cmd") == "run" and f"/{name}/" in message["input"]


def is_any_case(message: Message) -> bool:
    return message.get("cmd") == "run" and "/case-" in message["input"]


def put(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def always_accept(message: Message) -> dict[str, Any] | None:
    """Breaks KVC-HEADER-1 and KVC-FILE-3."""
    said = right(message)
    if is_any_case(message) and said is not None and said["result"] == "reject":
        return {"seq": message["seq"], "result": "accept", "view": {}}
    return said


def always_reject(message: Message) -> dict[str, Any] | None:
    if is_any_case(message):
        return {"seq": message["seq"], "result": "reject", "category": "truncated", "field": "header"}
    return right(message)


def crashes(message: Message) -> dict[str, Any] | None:
    if is_case(message):
        print("the stack was smashed", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    return right(message)


def exits(message: Message) -> dict[str, Any] | None:
    if is_case(message, "case-read-magic"):
        sys.exit(1)
    return right(message)


def hangs(message: Message) -> dict[str, Any] | None:
    if is_case(message, "case-read-hostile"):
        time.sleep(NAP_SECONDS)
    return right(message)


def garbage(message: Message) -> dict[str, Any] | None:
    if is_case(message):
        put(b"read: fine!\n")
        time.sleep(NAP_SECONDS)
    return right(message)


def not_utf8(message: Message) -> dict[str, Any] | None:
    if is_case(message):
        put(b'{"seq": %d, "result": "accept", "view": {"name": "\xff"}}\n' % message["seq"])
        time.sleep(NAP_SECONDS)
    return right(message)


def half_a_line(message: Message) -> dict[str, Any] | None:
    if is_case(message):
        put(b'{"seq": %d, "resu' % message["seq"])
        sys.exit(0)
    return right(message)


def half_a_line_and_waits(message: Message) -> dict[str, Any] | None:
    if is_case(message, "case-read-hostile"):
        put(b'{"seq": %d, "resu' % message["seq"])
        time.sleep(NAP_SECONDS)
    return right(message)


def huge_line(message: Message) -> dict[str, Any] | None:
    if is_case(message):
        while True:
            put(b"[" * 1024 * 1024)
    return right(message)


def deep_line(message: Message) -> dict[str, Any] | None:
    if is_case(message):
        put(b"[" * 1024 * 1024 + b"\n")
        time.sleep(NAP_SECONDS)
    return right(message)


def before_the_answer(message: Message) -> dict[str, Any] | None:
    if is_case(message):
        put(b"reading...\n")
    return right(message)


def twice(message: Message) -> dict[str, Any] | None:
    said = right(message)
    if is_case(message) and said is not None:
        put(b'{"seq": %d, "result": "unsupported"}\n{"seq": %d, "result": "unsupported"}\n' % (2 * (message["seq"],)))
    return said


def wrong_seq(message: Message) -> dict[str, Any] | None:
    said = right(message)
    return {**said, "seq": message["seq"] - 1} if is_case(message) and said is not None else said


def no_view(message: Message) -> dict[str, Any] | None:
    said = right(message)
    return {"seq": message["seq"], "result": "accept"} if is_case(message) and said is not None else said


def wrong_view(message: Message) -> dict[str, Any] | None:
    """Breaks KVC-TEXT-1."""
    said = right(message)
    if is_case(message) and said is not None:
        said["view"]["text"]["sha256"] = "0" * 64
    return said


def off_by_one(message: Message) -> dict[str, Any] | None:
    """Breaks KVC-PAYLOAD-1."""
    said = right(message)
    if is_case(message) and said is not None:
        said["view"]["payload"]["bytes"] = "5"
    return said


def forgets_a_key(message: Message) -> dict[str, Any] | None:
    said = right(message)
    if is_case(message) and said is not None:
        del said["view"]["header"]["tokens"]
    return said


def numbers(message: Message) -> dict[str, Any] | None:
    """1 is not "1"."""
    said = right(message)
    if is_case(message) and said is not None:
        said["view"]["header"]["version"] = 1
    return said


def eats_memory(message: Message) -> dict[str, Any] | None:
    """Breaks KVC-LIMIT-1."""
    if is_case(message, "case-read-hostile"):
        held = _waste()
        time.sleep(NAP_SECONDS)
        del held
    return right(message)


def child_eats_memory(message: Message) -> dict[str, Any] | None:
    """Breaks KVC-LIMIT-1."""
    if is_case(message, "case-read-hostile"):
        program = "held = b'1' * (200 << 20); import time; time.sleep(60)"
        subprocess.run([sys.executable, "-c", program], check=True)
    return right(message)


def frees_memory(message: Message) -> dict[str, Any] | None:
    """It is given back before the answer: only the peak shows it. Breaks KVC-LIMIT-1."""
    if is_case(message, "case-read-hostile"):
        _waste()
    return right(message)


def _waste() -> bytes:
    return b"1" * (200 << 20)


def ignores_profile(message: Message) -> dict[str, Any] | None:
    """Breaks KVC-PROFILE-3."""
    return right({**message, "profile": "auto"}) if is_case(message, "case-read-told") else right(message)


def lies_about_support(message: Message) -> dict[str, Any] | None:
    if is_case(message, "case-lookup-prefix"):
        return {"seq": message["seq"], "result": "unsupported", "reason": "no lookups"}
    return right(message)


def lies_about_behaviour(message: Message) -> dict[str, Any] | None:
    said = right(message)
    if is_case(message, "case-read-trailing-mentions") and said is not None:
        del said["view"]["trailing_bytes"]
    return said


def says_error(message: Message) -> dict[str, Any] | None:
    if is_case(message):
        return {"seq": message["seq"], "result": "error", "message": "I give up\x1b[2J"}
    return right(message)


def wrong_category(message: Message) -> dict[str, Any] | None:
    """Breaks KVC-HEADER-1."""
    said = right(message)
    if is_case(message, "case-read-magic") and said is not None:
        said["category"] = "truncated"
    return said


def removes_live(message: Message) -> dict[str, Any] | None:
    """Breaks KVS-INV-4 and KVS-RECOVER-2."""
    said = right(message)
    if is_case(message, "case-recover-orphan"):
        for name in os.listdir(message["input"]):
            if name.endswith("1.tmp"):
                os.unlink(os.path.join(message["input"], name))
    return said


def removes_nothing(message: Message) -> dict[str, Any] | None:
    """It says that it did. Breaks KVS-INV-3 and KVS-RECOVER-2."""
    said = right(message)
    if is_case(message, "case-recover-orphan") and said is not None:
        for name in said["view"]["removed"]:
            with open(os.path.join(message["input"], name), "wb"):
                pass
    return said


def repairs(message: Message) -> dict[str, Any] | None:
    """A reader changes nothing (KVC, 1.2)."""
    said = right(message)
    if is_case(message, "case-read-magic"):
        with open(message["input"], "r+b") as stream:
            stream.write(b"KVC")
    return said


def writes_wrong_bytes(message: Message) -> dict[str, Any] | None:
    """Breaks KVC-WRITER-1."""
    said = right(message)
    if is_case(message, "case-write-plain"):
        with open(message["output"], "r+b") as stream:
            stream.seek(20)
            stream.write(b"\1")
    return said


def writes_nothing(message: Message) -> dict[str, Any] | None:
    """Breaks KVS-INV-5."""
    said = right(message)
    if is_case(message, "case-write-plain"):
        os.unlink(message["output"])
    return said


def leaves_rejected(message: Message) -> dict[str, Any] | None:
    """Breaks KVS-SAVE-1."""
    if is_case(message, "case-write-no-tokens"):
        with open(message["output"], "wb"):
            pass
    return right(message)


def grandchildren(message: Message) -> dict[str, Any] | None:
    """Two that outlive it: one in its group, one that has left it, both with its standard output."""
    if message.get("cmd") == "start":
        for leaves in (False, True):
            subprocess.Popen(["sleep", str(NAP_SECONDS)], start_new_session=leaves)
    return right(message)


def bare_grandchild(message: Message) -> dict[str, Any] | None:
    """One that has nothing of its environment, and is in its group; its argument is that of this program."""
    if message.get("cmd") == "start":
        subprocess.Popen(["sleep", sys.argv[2]], env={})
    return right(message)


def hangs_with_grandchildren(message: Message) -> dict[str, Any] | None:
    grandchildren(message)
    return hangs(message)


def flood(message: Message) -> dict[str, Any] | None:
    """More on standard error than a pipe holds, before each answer."""
    os.write(2, b"x" * 300_000)
    return right(message)


def deaf(message: Message) -> dict[str, Any] | None:
    """It reads no further, so that a long question is never handed over."""
    if is_case(message, "case-read-cut"):
        put(b'{"seq": %d, "result": "reject"}\n' % message["seq"])
        time.sleep(NAP_SECONDS)
    return right(message)


def takes_the_input(message: Message) -> dict[str, Any] | None:
    said = right(message)
    if is_case(message):
        os.unlink(message["input"])
    return said


def shuts_the_folder(message: Message) -> dict[str, Any] | None:
    said = right(message)
    if is_case(message, "case-list-mixed"):
        os.chmod(message["input"], 0)
    return said


def goes_away(message: Message) -> dict[str, Any] | None:
    """The program is there for the smoke questions, and is not there later."""
    if message.get("cmd") == "stop":
        os.unlink(sys.argv[2])
    return right(message)


# What fails the smoke questions.


def accepts_all(message: Message) -> dict[str, Any] | None:
    if message.get("cmd") == "run" and message["op"] == "read":
        return {"seq": message["seq"], "result": "accept", "view": {}}
    return right(message)


def rejects_all(message: Message) -> dict[str, Any] | None:
    if message.get("cmd") == "run" and message["op"] == "read":
        return {"seq": message["seq"], "result": "reject", "category": "truncated"}
    return right(message)


def has_every_operation(message: Message) -> dict[str, Any] | None:
    said = right(message)
    if said is not None and said.get("result") == "unsupported":
        return {"seq": message["seq"], "result": "accept", "view": {}}
    return said


def claims_nothing(message: Message) -> dict[str, Any] | None:
    said = right(message)
    return {**said, "operations": []} if message.get("cmd") == "start" and said is not None else said


def claims_other_profiles(message: Message) -> dict[str, Any] | None:
    said = right(message)
    return {**said, "profiles": ["ds5"]} if message.get("cmd") == "start" and said is not None else said


def no_name(message: Message) -> dict[str, Any] | None:
    return {"operations": ["read"]} if message.get("cmd") == "start" else right(message)


def dead_at_start(message: Message) -> dict[str, Any] | None:
    print("no such library\x1b[2J", file=sys.stderr, flush=True)
    sys.exit(127)


def banner(message: Message) -> dict[str, Any] | None:
    if message.get("cmd") == "start":
        put(b"Welcome to KVC 1.0\n")
    return right(message)


def ends_badly(message: Message) -> dict[str, Any] | None:
    if message.get("cmd") == "stop":
        sys.exit(3)
    return right(message)


def answers_stop(message: Message) -> dict[str, Any] | None:
    if message.get("cmd") == "stop":
        put(b"{}\n")
    return right(message)


def never_stops(message: Message) -> dict[str, Any] | None:
    if message.get("cmd") == "stop":
        time.sleep(NAP_SECONDS)
    return right(message)


if __name__ == "__main__":
    talk(globals()[sys.argv[1]])
