"""kvformat's own adapter, asked the cases in this process: a mistake that a test plants in the package shows.

Suite, inputs and verdicts are those of `kvformat.conform`; only the process of the adapter is left out.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from kvformat.conform import adapter, disk
from kvformat.conform.answer import Accept, Reply, parse_answer, parse_claims, read_object
from kvformat.conform.case import Case
from kvformat.conform.inputs import prepared
from kvformat.conform.question import question_of
from kvformat.conform.suite import load_suite
from kvformat.conform.verdict import Outcome, judge

ROOT = Path(__file__).resolve().parents[2]
SUITE = load_suite(ROOT / "spec" / "cases")
CASES = list(SUITE.cases.values())

SEQ = 1
"""Every message is the first."""


def say(message: dict[str, Any]) -> dict[str, Any]:
    """What the adapter answers to a message, as one that has read the line."""
    return read_object(json.dumps(adapter.answer(message)).encode("ascii"))


CLAIMS = parse_claims(say({"cmd": "start"}))


def ask(case: Case, folder: Path) -> tuple[Outcome, dict[str, Any]]:
    """The outcome of one case, and the answer as it was said. `folder` is made, and removed again."""
    with prepared(case, folder) as ready:
        question = question_of(case, ready)
        before = disk.snapshot(ready.input)
        started = time.monotonic()
        said = say({"cmd": "run", "seq": SEQ, **question.message()})
        reply = Reply(parse_answer(said, SEQ, needs_view=question.needs_view), time.monotonic() - started)
        accepted = isinstance(reply.answer, Accept) and case.expected.accept
        found = disk.differences(case, accepted, before, ready.input, ready.output)
        return judge(case, reply, CLAIMS, found), said
