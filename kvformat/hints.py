"""Observations about a good file that break no reader's clause, for people who inspect it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvformat import layout, utf8
from kvformat.model import Header
from kvformat.reader import KvcReader

DS4_FIELDS = (
    "magic",
    "payload version",
    "context size",
    "prefill chunk",
    "raw ring capacity",
    "raw window",
    "compressed capacity",
    "token count",
    "layer count",
    "head dimension",
    "indexer head dimension",
    "vocabulary size",
    "live raw rows",
)
"""The thirteen u32 at the start of a ds4 payload, in order (KVC-PAYLOAD-3)."""

DS4_MAGIC = b"DSV4"
DS4_HEAD_BYTES = 4 * len(DS4_FIELDS)
EDGE_BYTES = 64 * 1024
"""How much of each end of the payload is looked at."""

HOLE_BYTES_MIN = 4096
"""Fewer zeros are no hint: file systems leave holes of whole blocks."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Something worth a look, and the clause that it touches."""

    message: str
    clause: str | None


def ds4_fields(payload_start: bytes) -> dict[str, int] | None:
    """The fields at the start of a ds4 payload without the magic, None for another one (KVC-PAYLOAD-3)."""
    if len(payload_start) < DS4_HEAD_BYTES or not payload_start.startswith(DS4_MAGIC):
        return None
    return {
        name: int.from_bytes(payload_start[4 * index : 4 * index + 4], "little")
        for index, name in enumerate(DS4_FIELDS)
        if index
    }


def cut_character_bytes(text: bytes) -> int:
    """How many bytes of an unfinished UTF-8 character `text` ends with, 0 for none (KVC-TEXT-2)."""
    return utf8.cut_bytes(*text[-3:].rjust(3, b"\0"))


def hints(reader: KvcReader) -> list[Hint]:
    """What `inspect` mentions besides the fields. Reads the text and both ends of the payload.

    The position of the payload is kept. Of a stream that cannot seek nothing behind the text is
    looked at. Raises what reading raises: KvcError, OSError.
    """
    found = list(_header_hints(reader.header))
    cut = cut_character_bytes(reader.text)
    if cut:
        found.append(Hint(f"the text ends {cut} bytes into a UTF-8 character; this is allowed", "KVC-TEXT-2"))
    if reader.source.seekable:
        found += _payload_hints(reader)
        found += _tail_hints(reader)
    return found


def _header_hints(header: Header) -> Iterator[Hint]:
    if header.reason > layout.REASON_MAX:
        yield Hint(f"reason {header.reason} is not defined and is used as unknown", "KVC-HEADER-4")
    if header.flags & ~layout.KNOWN_FLAGS:
        yield Hint(f"flag bits {header.flags & ~layout.KNOWN_FLAGS:#04x} are not defined", "KVC-HEADER-5")
    if any(header.reserved):
        yield Hint(f"bytes 21 to 23 are reserved and hold {header.reserved.hex(' ')}", "KVC-HEADER-14")
    if header.hits == layout.U32_MAX:
        yield Hint("the hit count is saturated", "KVC-HEADER-11")
    if header.last_used < header.created:
        yield Hint(f"last use is {header.created - header.last_used:,} s before creation", "KVC-HEADER-16")
    if header.payload_bytes == 0:
        yield Hint("the payload was stripped: lookups do not offer this entry", "KVC-PAYLOAD-2")


def _payload_hints(reader: KvcReader) -> Iterator[Hint]:
    payload_bytes = reader.header.payload_bytes
    start = _peek(reader, 0, EDGE_BYTES)
    fields = ds4_fields(start)
    if fields is not None:
        yield from _ds4_hints(reader, fields)
    hole = reader.source.first_hole(*_payload_span(reader))
    if hole is not None:
        yield Hint(
            f"the file system stores nothing for {hole[1] - hole[0]:,} bytes of the payload "
            f"from offset {hole[0]:,} of the file on: a hole, which reads as zeros",
            "KVC-PAYLOAD-1",
        )
    if payload_bytes < HOLE_BYTES_MIN:
        return
    if not any(start):
        yield Hint(f"the first {len(start):,} bytes of the payload are zeros: possibly a hole", "KVC-PAYLOAD-1")
    if payload_bytes > EDGE_BYTES:
        end = _peek(reader, payload_bytes - EDGE_BYTES, EDGE_BYTES)
        if not any(end):
            yield Hint(f"the last {len(end):,} bytes of the payload are zeros: possibly a hole", "KVC-PAYLOAD-1")


def _ds4_hints(reader: KvcReader, fields: dict[str, int]) -> Iterator[Hint]:
    named = ", ".join(f"{name} {value:,}" for name, value in fields.items())
    yield Hint(f"ds4 payload: {named}", "KVC-PAYLOAD-3")
    if fields["token count"] != reader.header.tokens:
        yield Hint(
            f"the payload counts {fields['token count']:,} tokens, the header {reader.header.tokens:,}: "
            "a loader refuses this",
            "KVC-PAYLOAD-3",
        )
    known = reader.profile.payload_version
    if known is not None and fields["payload version"] != known:
        version = fields["payload version"]
        yield Hint(f"payload version {version}, {reader.profile.name} has {known}", "KVC-PAYLOAD-3")


def _tail_hints(reader: KvcReader) -> Iterator[Hint]:
    problem = reader.tool_map_problem
    if problem is not None:
        yield Hint(f"the tool map is damaged, the entries before are usable: {problem}", "KVC-TOOLMAP-6")
    if reader.trailing_bytes:
        yield Hint(f"{reader.trailing_bytes:,} bytes stand behind the last section", "KVC-FILE-5")


def _peek(reader: KvcReader, position: int, size_bytes: int) -> bytes:
    """Bytes of the payload, which is left where it was."""
    payload = reader.payload
    before = payload.tell()
    try:
        payload.seek(position)
        return payload.read(size_bytes)
    finally:
        payload.seek(before)


def _payload_span(reader: KvcReader) -> tuple[int, int]:
    start = layout.payload_offset(reader.text_bytes)
    return start, start + reader.header.payload_bytes
