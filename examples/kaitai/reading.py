"""Reads a KVC file with the parser that Kaitai Struct makes of spec/kvc.ksy.

Where everything is, and whether a field holds a good value, says that parser. What stands here is what spec/kvc.md,
1.4, puts on top: the order of the steps, the kind of the file, the profile that a reader was told, and the name.
Needs `kvc.py`, which README.md says how to make.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

import kvc
from kaitaistruct import EndOfStreamError, KaitaiStream, KaitaiStructError

PROFILES = {"ds4-abi0": 0, "ds4-abi2": 2, "ds4-abi3": 3}
"""Byte 20 of each (spec/kvc.md, chapter 6)."""

_HEADER_RULES = {
    "magic": ("bad-magic", "KVC-HEADER-1"),
    "version": ("unsupported-version", "KVC-HEADER-2"),
    "quantisation_bits": ("invalid-field", "KVC-HEADER-3"),
    "tokens": ("invalid-field", "KVC-HEADER-10"),
}
"""What it means that the parser stopped at a field of the header: steps 2 to 5."""

_DIGEST_NAME = re.compile(r"([0-9a-fA-F]{40})\.kv")
_FIXED_NAME = "sysprompt.kv"
_HASHED_BYTES_MAX = 16_777_216  # spec/conformance.md, chapter 3: of longer bytes no case expects the hash
_PIECE_BYTES = 1 << 18


class RejectedError(Exception):
    """The first of the steps of spec/kvc.md, 1.4, that the file does not pass."""

    def __init__(self, category: str, clause: str, field: str, message: str) -> None:
        super().__init__(message)
        self.category, self.clause, self.field = category, clause, field


def read(path: str, *, profile: str = "auto", name: str | None = None, text_bytes_max: int | None = None) -> Any:
    """The view of a file (spec/conformance.md, chapter 3).

    `name` is what the reader is told that it is called, None where the identity is not to be tested. Raises
    RejectedError, OSError, and KeyError for a profile that is not known.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if os.path.islink(path):
            raise RejectedError("identity-mismatch", "KVC-NAME-7", "name", "a symbolic link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RejectedError("identity-mismatch", "KVC-NAME-7", "name", "not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        parsed = _parse(file)
        profile = _profile(parsed.fixed.header, profile)
        _check_lengths(parsed, text_bytes_max)
        tool_map_ends = _check_tool_map(parsed)
        _check_title(parsed)
        if name is not None:
            _check_name(parsed, file, name)
        return _view(parsed, file, profile, name, tool_map_ends)


def _parse(file: BinaryIO) -> Any:
    """Steps 1 to 5."""
    parsed = kvc.Kvc(KaitaiStream(file))
    try:
        parsed._read()
    except EndOfStreamError as error:
        raise RejectedError("truncated", "KVC-FILE-3", "header", str(error)) from error
    except KaitaiStructError as error:
        field = _stopped_at(parsed.fixed.header)
        raise RejectedError(*_HEADER_RULES[field], f"header.{field}", str(error)) from error
    return parsed


def _stopped_at(parsed: Any) -> str:
    """The last field that the parser turned to; it notes where each starts before it reads it."""
    return str(list(parsed._debug)[-1])


def _profile(header: Any, told: str) -> str:
    """Step 6: the profile in force (KVC-PROFILE-2, KVC-PROFILE-3)."""
    wrong = f"byte 20 is {header.byte20}"
    if told == "auto":
        if not header.profile_is_known:
            raise RejectedError("unsupported-profile", "KVC-PROFILE-2", "header.byte20", wrong)
        return str(header.profile.name).replace("_", "-")
    if told != "ds4-abi0" and header.byte20 != PROFILES[told]:
        raise RejectedError("unsupported-profile", "KVC-PROFILE-3", "header.byte20", wrong)
    return told


def _check_lengths(parsed: Any, text_bytes_max: int | None) -> None:
    """Steps 7 to 9."""
    text_bytes = parsed.fixed.text_bytes
    if not parsed.sum_is_file_size:
        raise RejectedError("limit", "KVC-FILE-4", "header.payload_bytes", f"{parsed.sections_start} bytes are no file")
    if not parsed.has_payload:
        field = "payload" if parsed.has_text else "text"
        message = f"{parsed.file_bytes} of {parsed.sections_start} bytes are there"
        raise RejectedError("truncated", "KVC-FILE-3", field, message)
    good = parsed.text_is_within_limit if text_bytes_max is None else text_bytes <= text_bytes_max
    if not good:
        raise RejectedError("limit", "KVC-LIMIT-3", "text_bytes", f"a text of {text_bytes} bytes")


def _check_tool_map(parsed: Any) -> bool:
    """Step 10. False for a damaged map that rejects nothing (KVC-TOOLMAP-6)."""
    try:
        _ = parsed.tool_map
    except KaitaiStructError as error:
        if parsed.fixed.header.has_title:
            raise RejectedError(
                "bad-section", "KVC-TITLE-2", _damaged_field(parsed.tool_map, error), str(error)
            ) from error
        return False
    return True


def _damaged_field(tool_map: Any, error: KaitaiStructError) -> str:
    """The field at which a tool map was found damaged; the parser keeps what it had read by then."""
    field = _stopped_at(tool_map)
    if field != "entries":
        return f"tool_map.{field}"
    entry = tool_map.entries[-1]
    field = _stopped_at(entry)
    if field == "lengths" and isinstance(error, EndOfStreamError):
        field = "id_bytes" if error.bytes_available < 4 else "block_bytes"
    elif field == "lengths":
        field = _stopped_at(entry.lengths)
    return f"tool_map.entries[{len(tool_map.entries) - 1}].{field}"


def _check_title(parsed: Any) -> None:
    """Steps 11 and 12."""
    if not parsed.fixed.header.has_title:
        return
    try:
        title = parsed.title
    except EndOfStreamError as error:
        raise RejectedError("bad-section", "KVC-TITLE-1", "title_bytes", str(error)) from error
    if not title.has_bytes:
        raise RejectedError("bad-section", "KVC-TITLE-1", "title", f"not all {title.title_bytes} bytes are there")
    if not title.is_within_limit:
        raise RejectedError("limit", "KVC-TITLE-3", "title_bytes", f"a title of {title.title_bytes} bytes")


def _check_name(parsed: Any, file: BinaryIO, name: str) -> None:
    """Step 13 (KVC-NAME-1 to KVC-NAME-4)."""
    if name == _FIXED_NAME:
        return
    header = parsed.fixed.header
    # A name, no seal (kvc.md, chapter 8).
    digest = hashlib.sha1(usedforsecurity=False)
    if header.has_title:
        digest.update(parsed.title.bytes + header.created.to_bytes(8, "little"))
    else:
        for piece in _pieces(file, parsed.text_start, parsed.fixed.text_bytes):
            digest.update(piece)
    match = _DIGEST_NAME.fullmatch(name)
    if match is None or match[1].lower() != digest.hexdigest():
        clause = "KVC-NAME-3" if header.has_title else "KVC-NAME-1"
        raise RejectedError("identity-mismatch", clause, "name", f"the content calls for {digest.hexdigest()}.kv")


def _pieces(file: BinaryIO, offset: int, size_bytes: int) -> Iterator[bytes]:
    while size_bytes > 0:
        piece = os.pread(file.fileno(), min(size_bytes, _PIECE_BYTES), offset)
        if not piece:
            raise RejectedError("truncated", "KVC-FILE-3", "payload", "the file became shorter while it was read")
        yield piece
        offset += len(piece)
        size_bytes -= len(piece)


def _view(parsed: Any, file: BinaryIO, profile: str, name: str | None, tool_map_ends: bool) -> Any:
    header = parsed.fixed.header
    numbers = {field: str(getattr(header, field)) for field in header.SEQ_FIELDS}
    del numbers["magic"], numbers["reason_stored"]
    entries = parsed.tool_map.entries if tool_map_ends and header.has_tool_map else None
    return {
        "name": name,
        "profile": profile,
        "file_bytes": str(parsed.file_bytes),
        "header": numbers | {"reason": str(header.reason_stored), "reserved": header.reserved.hex()},
        "text": _run(file, parsed.text_start, parsed.fixed.text_bytes),
        "payload": _run(file, parsed.payload_start, header.payload_bytes),
        "tool_map": None if entries is None else [{"id": _held(e.id), "block": _held(e.block)} for e in entries],
        "title": _held(parsed.title.bytes) if header.has_title else None,
        "trailing_bytes": str(parsed.trailing_bytes) if tool_map_ends else None,
    }


def _held(data: bytes) -> dict[str, str]:
    return {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}


def _run(file: BinaryIO, offset: int, size_bytes: int) -> dict[str, str]:
    """Of bytes that may be too many to hold."""
    if size_bytes > _HASHED_BYTES_MAX:
        return {"bytes": str(size_bytes)}
    digest = hashlib.sha256()
    for piece in _pieces(file, offset, size_bytes):
        digest.update(piece)
    return {"bytes": str(size_bytes), "sha256": digest.hexdigest()}
