"""What an implementation did to the files of a case, against what it may do (spec/conformance.md, chapter 3)."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kvformat.conform.case import Case, Operation
from kvformat.conform.escape import escape, unescape

_DIGEST_BYTES = 1024 * 1024
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _State:
    """One file. The start is compared byte by byte, what is behind it (sparse, in cases) by size and time.

    `content` is None where it must not be read.
    """

    kind: int
    size_bytes: int
    content: bytes | None
    modified_ns: int | None


Snapshot = dict[bytes, _State]
"""State by name; the empty name is the input itself where that is a single file."""


def snapshot(path: Path) -> Snapshot:
    """What stands at `path` and, if it is a directory, in it. Raises OSError."""
    root = os.fsencode(path)
    if not stat.S_ISDIR(os.lstat(root).st_mode):
        return {b"": _state(root)}
    return {name: _state(os.path.join(root, name)) for name in os.listdir(root)}


def _state(path: bytes) -> _State:
    status = os.lstat(path)
    content: bytes | None = b""
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        try:
            with open(path, "rb") as stream:
                content = hashlib.sha256(stream.read(_DIGEST_BYTES)).digest()
        except PermissionError:
            content = None
    is_long = stat.S_ISREG(status.st_mode) and status.st_size > _DIGEST_BYTES
    size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return _State(stat.S_IFMT(status.st_mode), size_bytes, content, status.st_mtime_ns if is_long else None)


def differences(case: Case, accepted: bool, before: Snapshot, input_path: Path, output: Path) -> list[str]:
    """How the disk is not as it must be after an answer, as sentences."""
    try:
        after = snapshot(input_path)
    except FileNotFoundError:
        return ["the input, or a file of it, went while it was looked at"]
    except PermissionError:
        return ["the input may not be read any more"]
    found: list[str] = []
    may_change: set[bytes] = set()
    if accepted and case.operation is Operation.RECOVER:
        removed = _names_removed(case)
        found += [f"{escape(name)} is still there" for name in sorted(removed & after.keys())]
        may_change = removed
    elif accepted and case.operation in (Operation.TOUCH, Operation.REPLACE_TOOL_MAP) and case.input.name is not None:
        may_change = {case.input.name}
        if case.expected.output is not None:
            found += _content_differs(input_path / os.fsdecode(case.input.name), case.expected.output)
    for name in sorted((before.keys() | after.keys()) - may_change):
        if before.get(name) != after.get(name):
            found.append(f"{escape(name) or 'the input'} {_change(before.get(name), after.get(name))}")
    if case.operation is Operation.WRITE:
        if accepted and case.expected.output is not None:
            found += _content_differs(output, case.expected.output)
        elif not accepted and os.path.lexists(output):
            found.append("there is an output, of what must be refused")
    return found


def _names_removed(case: Case) -> set[bytes]:
    listed = (case.expected.view or {}).get("removed")
    return {unescape(name) for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()


def _change(before: _State | None, after: _State | None) -> str:
    if before is None:
        return "is new"
    return "is gone" if after is None else "was changed"


def _content_differs(path: Path, wanted: Path) -> list[str]:
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return ["the output is no regular file"]
        with open(path, "rb") as got_stream, open(wanted, "rb") as wanted_stream:
            offset = 0
            while True:
                got, expected = got_stream.read(_PIECE_BYTES), wanted_stream.read(_PIECE_BYTES)
                if got != expected:
                    return [_first_difference(offset, got, expected)]
                if not got:
                    return []
                offset += len(got)
    except FileNotFoundError:
        return ["there is no output"]
    except PermissionError:
        return ["the output may not be read"]


def _first_difference(offset: int, got: bytes, expected: bytes) -> str:
    same = min(len(got), len(expected))
    at = next((index for index in range(same) if got[index] != expected[index]), same)
    if at == same:
        which = "ends" if len(got) < len(expected) else "goes on"
        return f"the file {which} at offset {offset + at}, where the expected one {_opposite(which)}"
    return f"byte {offset + at} of the file is {got[at]:02x}, expected {expected[at]:02x}"


def _opposite(which: str) -> str:
    return "goes on" if which == "ends" else "ends"
