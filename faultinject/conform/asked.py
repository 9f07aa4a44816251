"""What an adapter is asked while it is broken: its own operations, on small inputs that lie in this package."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from faultinject.blackbox.subject import DIRECTORY, Audited, Format
from kvformat.conform.case import Operation
from kvformat.conform.oneshot import arguments
from kvformat.conform.question import Question
from kvformat.conform.session import PROTOCOL
from kvformat.profiles import PROFILES

INPUTS = Path(__file__).parent / "inputs"
"""Not made for the occasion: a report is replayed with the same paths."""

NAME = "2fc7f1452374b6e341d67717f032abbe0da0f4a6.kv"
"""The name of every entry of `INPUTS` (KVC-NAME-1)."""

CHANGING = (Operation.WRITE, Operation.TOUCH, Operation.REPLACE_TOOL_MAP)
"""Operations that a crash can interrupt; recovery is run after each."""

ACCEPT = "accept"


def changing(operations: Iterable[str]) -> tuple[Operation, ...]:
    """The claimed operations that change entries."""
    claimed = set(operations)
    return tuple(one for one in CHANGING if one in claimed)


def profile_of(wanted: str | None, claimed: Sequence[str] | None) -> str:
    """A profile that a writer can be told: the one asked for, else the first that is claimed."""
    if wanted in PROFILES:
        return str(wanted)
    return next((one for one in PROFILES if claimed is None or one in claimed), next(iter(PROFILES)))


def audited(
    adapter: tuple[str, ...],
    operation: Operation,
    profile: str,
    suite_version: str,
    *,
    one_shot: bool,
    recovers: bool,
    timeout_seconds: float,
) -> Audited:
    """The adapter as a program to audit: one operation, and its own recovery where it has one."""
    question = _question(operation, profile)
    recovery = Question(Operation.RECOVER, DIRECTORY, profile)
    given = None if operation is Operation.WRITE else str(INPUTS / profile)
    common: dict[str, Any] = {
        "format": Format.KVC,
        "given": given,
        "directory": os.path.realpath("."),
        "timeout_seconds": timeout_seconds,
    }
    if one_shot:
        recover = (*adapter, *arguments(recovery)) if recovers else None
        return Audited((*adapter, *arguments(question)), recover, **common)
    return Audited(
        adapter,
        adapter if recovers else None,
        acknowledgement=ACCEPT,
        answers=True,
        stdin_text=_conversation(question, suite_version),
        recover_stdin_text=_conversation(recovery, suite_version) if recovers else None,
        **common,
    )


def _question(operation: Operation, profile: str) -> Question:
    if operation is Operation.WRITE:
        return Question(operation, str(INPUTS / "write"), profile, output=f"{DIRECTORY}/{NAME}")
    if operation is Operation.TOUCH:
        told: dict[str, object] = {"hits_added": "1", "last_used": "1700000001"}
    else:
        told = {"tool_map": [{"id": "call_2", "block": "another block"}]}
    return Question(operation, DIRECTORY, profile, NAME, arguments=told)


def _conversation(question: Question, suite_version: str) -> str:
    """What a session is told, question and end (spec/conformance.md, chapter 4)."""
    start = {"cmd": "start", "protocol": PROTOCOL, "suite": suite_version}
    messages: list[dict[str, object]] = [start, {"cmd": "run", "seq": 1, **question.message()}, {"cmd": "stop"}]
    return "".join(json.dumps(message) + "\n" for message in messages)
