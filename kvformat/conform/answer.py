"""What an adapter says, as values; what is no answer is said to be none (spec/conformance.md, chapter 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

from kvformat.display import safe

ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""The longest line, and the longest output of one shot."""

_QUOTED = 60


class GarbageError(Exception):
    """What an adapter wrote is no answer: why, with its beginning."""


class Fault(StrEnum):
    """How a program fails to answer. None of these ever passes."""

    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    TOO_MUCH_MEMORY = "too-much-memory"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Accept:
    """It took the input. `view` is what it says that it has read, None where it says nothing."""

    view: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Reject:
    """It refused the input."""

    category: str | None
    field: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Unsupported:
    """It does not do this."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The adapter itself could not go on, and says so ("error")."""

    message: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """It did not answer."""

    fault: Fault
    detail: str


Answer = Accept | Reject | Unsupported | Trouble


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer or none, and what it cost. `memory_bytes` is the rise, None where it was not measured.

    `stderr` is the end of what the program wrote to standard error meanwhile.
    """

    answer: Answer | NoAnswer
    seconds: float
    memory_bytes: int | None = None
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an adapter says of its implementation. `profiles` of None claims all."""

    implementation: str
    operations: frozenset[str]
    profiles: frozenset[str] | None = None
    version: str = ""
    language: str = ""
    behaviours: Mapping[str, str] = field(default_factory=dict)

    def covers(self, operation: str, profile: str) -> bool:
        """Whether it claims to do this."""
        return operation in self.operations and (self.profiles is None or profile in self.profiles)


def read_object(data: bytes) -> dict[str, object]:
    """The JSON object that `data` is, strictly RFC 8259. Raises GarbageError."""
    try:
        found = json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique)
    except GarbageError as error:
        raise GarbageError(f"{error}: {_quoted(data)}") from error
    except (ValueError, RecursionError) as error:
        raise GarbageError(f"no JSON ({error}): {_quoted(data)}") from error
    if not isinstance(found, dict):
        raise GarbageError(f"no JSON object: {_quoted(data)}")
    return found


def _quoted(data: bytes) -> str:
    shown = safe(data[:_QUOTED])
    return shown if len(data) <= _QUOTED else f"{shown}… ({len(data):,} bytes)"


def _no_constant(name: str) -> NoReturn:
    raise GarbageError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise GarbageError("a key stands twice in an object")
    return found


def parse_answer(message: Mapping[str, object], seq: int, *, needs_view: bool) -> Answer:
    """The answer to the question with that number. Raises GarbageError for any other message."""
    got = message.get("seq")
    if type(got) is not int or got != seq:
        raise GarbageError(f"seq is {_shown(got)}, the question was {seq}")
    result = message.get("result")
    if result == "accept":
        return accept(message.get("view"), needs_view=needs_view)
    if result == "reject":
        return reject(message)
    if result == "unsupported":
        return Unsupported(_maybe(message, "reason") or "")
    if result == "error":
        return Trouble(_maybe(message, "message") or "")
    raise GarbageError(f"result is {_shown(result)}, expected accept, reject, unsupported or error")


def accept(view: object, *, needs_view: bool) -> Accept:
    """An acceptance with that view. Raises GarbageError where it is none."""
    if view is None and not needs_view:
        return Accept(None)
    if not isinstance(view, dict):
        raise GarbageError(f"view is {_shown(view)}, expected an object")
    return Accept(view)


def reject(message: Mapping[str, object]) -> Reject:
    """A rejection with category, field and message as far as they are given. Raises GarbageError."""
    return Reject(_maybe(message, "category"), _maybe(message, "field"), _maybe(message, "message"))


def parse_claims(message: Mapping[str, object]) -> Claims:
    """The answer to `start`. Raises GarbageError for any other message."""
    behaviours = message.get("behaviours", {})
    if not isinstance(behaviours, dict) or not all(isinstance(value, str) for value in behaviours.values()):
        raise GarbageError(f"behaviours is {_shown(behaviours)}, expected an object of strings")
    implementation = _maybe(message, "implementation")
    if not implementation:
        raise GarbageError("implementation is missing: how the program is called")
    operations = _names(message, "operations")
    if operations is None:
        raise GarbageError("operations is missing: what the program can do")
    return Claims(
        implementation=implementation,
        operations=operations,
        profiles=_names(message, "profiles"),
        version=_maybe(message, "version") or "",
        language=_maybe(message, "language") or "",
        behaviours=behaviours,
    )


def _names(message: Mapping[str, object], key: str) -> frozenset[str] | None:
    value = message.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise GarbageError(f"{key} is {_shown(value)}, expected a list of strings")
    return frozenset(value)


def _maybe(message: Mapping[str, object], key: str) -> str | None:
    value = message.get(key)
    if value is not None and not isinstance(value, str):
        raise GarbageError(f"{key} is {_shown(value)}, expected a string")
    return value


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
