"""Readers that share nothing but the specification, each as a function from a question to an answer.

An answer is what an adapter says (spec/conformance.md, chapter 4), without its message.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any, Self

from kvformat import layout
from tests.spec.asked import SEQ, say
from tests.spec.generated import Question

Answer = dict[str, Any]

_BYTE20 = {"ds4-abi0": 0, "ds4-abi2": 2, "ds4-abi3": 3}


def _held(data: bytes) -> dict[str, str]:
    return {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}


def request(op: str, path: Path | str, question: Question) -> dict[str, Any]:
    """What an adapter is asked, `seq` aside."""
    return {
        "cmd": "run",
        "op": op,
        "profile": question.profile,
        "input": str(path),
        "output": None,
        "name": question.name,
        "arguments": {"text_bytes_max": question.text_bytes_max},
    }


def _without_words(answer: Answer, seq: int) -> Answer:
    assert answer.pop("seq") == seq
    answer.pop("message", None)
    return answer


def reader_answer(path: Path, question: Question) -> Answer:
    """Of `kvformat.reader`, whose bytes are declared with construct in `kvformat.schema`, behind its own adapter."""
    return _without_words(say({**request("read", path, question), "seq": SEQ}), SEQ)


_NAMES = ("quantisation_bits", "reason", "flags", "byte7", "tokens", "hits", "context_tokens", "byte20", "reserved")


def _header_view(fields: tuple[int | bytes, ...]) -> dict[str, str]:
    values = (value.hex() if isinstance(value, bytes) else str(value) for value in fields)
    return {"version": "1", **dict(zip((*_NAMES, "created", "last_used", "payload_bytes"), values, strict=True))}


class _StopError(Exception):
    """A rejection; `answer` says it."""

    def __init__(self, category: str, clause: str, field: str) -> None:
        super().__init__(field)
        self.answer: Answer = {"result": "reject", "category": category, "clause": clause, "field": field}


def integers_answer(data: bytes, question: Question) -> Answer:
    """Of the codec on integers in `kvformat.layout`, with the steps of spec/kvc.md, 1.4, written out beside it.

    It is independent of the reader: neither schema, rules, sections nor identity of kvformat are called, and the file is
    held whole where the reader streams it.
    """
    try:
        return {"result": "accept", "view": _integers_view(data, question)}
    except _StopError as stop:
        return stop.answer


def _integers_view(data: bytes, question: Question) -> dict[str, Any]:
    if len(data) < layout.TEXT_OFFSET:
        raise _StopError("truncated", "KVC-FILE-3", "header")
    fields = layout.decode_fields(data)
    text_bytes, payload_bytes, flags = layout.decode_text_bytes(data), fields[-1], fields[2]
    profile = _profile_in_force(data, fields, question.profile)
    sections = layout.file_bytes(text_bytes, payload_bytes, 0)
    payload = layout.payload_offset(text_bytes)
    if sections is None:
        raise _StopError("limit", "KVC-FILE-4", "header.payload_bytes")
    if sections > len(data):
        raise _StopError("truncated", "KVC-FILE-3", "text" if payload > len(data) else "payload")
    if text_bytes > question.text_bytes_max:
        raise _StopError("limit", "KVC-LIMIT-3", "text_bytes")
    tools, end = _tools(data, sections, flags)
    title = None
    if flags & 8:
        title = _title(data, sections if end is None else end)
        end = (sections if end is None else end) + layout.title_section_bytes(len(title))
    _check_name(question.name, data[52:payload] if title is None else title + data[24:32], title is not None)
    return {
        "name": question.name,
        "profile": profile,
        "file_bytes": str(len(data)),
        "header": _header_view(fields),
        "text": _held(data[52:payload]),
        "payload": _held(data[payload:sections]),
        "tool_map": tools,
        "title": None if title is None else _held(title),
        "trailing_bytes": None if end is None else str(len(data) - end),
    }


def _profile_in_force(data: bytes, fields: layout.Fields, told: str) -> str:
    """Steps 2 to 6."""
    if data[:3] != layout.MAGIC:
        raise _StopError("bad-magic", "KVC-HEADER-1", "header.magic")
    if data[3] != layout.VERSION:
        raise _StopError("unsupported-version", "KVC-HEADER-2", "header.version")
    if fields[0] not in layout.QUANTISATION_BITS:
        raise _StopError("invalid-field", "KVC-HEADER-3", "header.quantisation_bits")
    if fields[4] == 0:
        raise _StopError("invalid-field", "KVC-HEADER-10", "header.tokens")
    found = {byte20: name for name, byte20 in _BYTE20.items()}.get(fields[7])
    if told == "auto" and found is None:
        raise _StopError("unsupported-profile", "KVC-PROFILE-2", "header.byte20")
    if told not in ("auto", "ds4-abi0", found):
        raise _StopError("unsupported-profile", "KVC-PROFILE-3", "header.byte20")
    return found if told == "auto" and found is not None else told


class _DamageError(Exception):
    """A damaged tool map; `args[0]` is the field."""


def _u32_at(data: bytes, offset: int, field: str) -> int:
    if len(data) < offset + 4:
        raise _DamageError(field)
    return int.from_bytes(data[offset : offset + 4], "little")


def _tools(data: bytes, start: int, flags: int) -> tuple[list[dict[str, Any]] | None, int | None]:
    """The tool map and where it ends: None and the start without one, None and None of a damaged one (step 10)."""
    if not flags & 1:
        return None, start
    try:
        return _walk(data, start)
    except _DamageError as damage:
        if flags & 8:
            raise _StopError("bad-section", "KVC-TITLE-2", damage.args[0]) from damage
        return None, None


def _walk(data: bytes, start: int) -> tuple[list[dict[str, Any]], int]:
    if data[start : start + 3] != layout.TOOL_MAP_MAGIC:
        raise _DamageError("tool_map.magic")
    if data[start + 3 : start + 4] != bytes((layout.TOOL_MAP_VERSION,)):
        raise _DamageError("tool_map.version")
    count = _u32_at(data, start + 4, "tool_map.count")
    if count > layout.TOOL_MAP_COUNT_MAX:
        raise _DamageError("tool_map.count")
    entries, at = [], start + layout.TOOL_MAP_HEAD_BYTES
    for index in range(count):
        name = f"tool_map.entries[{index}]"
        id_bytes = _u32_at(data, at, f"{name}.id_bytes")
        block_bytes = _u32_at(data, at + 4, f"{name}.block_bytes")
        if not 1 <= id_bytes <= layout.TOOL_ID_BYTES_MAX:
            raise _DamageError(f"{name}.id_bytes")
        if not 1 <= block_bytes <= layout.TOOL_BLOCK_BYTES_MAX:
            raise _DamageError(f"{name}.block_bytes")
        end = at + layout.tool_entry_bytes(id_bytes, block_bytes)
        if end > len(data):
            raise _DamageError(f"{name}.id" if end - block_bytes > len(data) else f"{name}.block")
        entries.append({"id": _held(data[at + 8 : end - block_bytes]), "block": _held(data[end - block_bytes : end])})
        at = end
    return entries, at


def _title(data: bytes, start: int) -> bytes:
    """Steps 11 and 12."""
    if len(data) < start + 4:
        raise _StopError("bad-section", "KVC-TITLE-1", "title_bytes")
    title_bytes = int.from_bytes(data[start : start + 4], "little")
    if len(data) < start + 4 + title_bytes:
        raise _StopError("bad-section", "KVC-TITLE-1", "title")
    if title_bytes > layout.TITLE_BYTES_MAX:
        raise _StopError("limit", "KVC-TITLE-3", "title_bytes")
    return data[start + 4 : start + 4 + title_bytes]


def _check_name(name: str | None, named_after: bytes, session: bool) -> None:
    """Step 13."""
    digest = hashlib.sha1(named_after, usedforsecurity=False).hexdigest()
    if name is None or name == "sysprompt.kv" or re.fullmatch(f"(?i:{digest})\\.kv", name):
        return
    raise _StopError("identity-mismatch", "KVC-NAME-3" if session else "KVC-NAME-1", "name")


class SessionOracle:
    """An adapter that speaks the session (spec/conformance.md, chapter 4). A context manager."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        self.description = self._ask({"cmd": "start", "protocol": 1, "suite": "1.0"})
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._say({"cmd": "stop"})
            status = self._process.wait(10)
        assert status == 0, "a session ends at `stop`, with its input still open, and with exit status 0"

    def _say(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _ask(self, request: dict[str, Any]) -> Answer:
        self._say(request)
        assert self._process.stdout is not None
        answer: Answer = json.loads(self._process.stdout.readline())
        return answer

    def run(self, op: str, path: Path | str, question: Question) -> Answer:
        """What the adapter says of a case, its message left out."""
        self._asked += 1
        return _without_words(self._ask({**request(op, path, question), "seq": self._asked}), self._asked)
