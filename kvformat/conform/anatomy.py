"""What every byte of a file is meant to be, of files that are damaged too: for people who look at a case.

No rule is applied beyond finding where things are (spec/kvc.md, chapter 2): a field is named by its place, whatever
it holds, and what cannot be found any more is named after the region that it is lost in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kvformat import layout

Read = Callable[[int, int], bytes]
"""Gives bytes from an offset, as many as are asked for; fewer only at the end of the file."""

TOOLS_MAX = 32
"""How many entries of a tool map are named one by one."""

_HEADER = (
    ("magic", 0, 3),
    ("version", 3, 1),
    ("quantisation_bits", 4, 1),
    ("reason", 5, 1),
    ("flags", 6, 1),
    ("byte7", 7, 1),
    ("tokens", 8, 4),
    ("hits", 12, 4),
    ("context_tokens", 16, 4),
    ("byte20", 20, 1),
    ("reserved", 21, 3),
    ("created", 24, 8),
    ("last_used", 32, 8),
    ("payload_bytes", 40, 8),
)
"""KVC-HEADER-1 to -17: name, offset, bytes."""

_NO_NUMBER = frozenset({"magic", "reserved"})
_FLAG_TOOL_MAP, _FLAG_TITLE = 1, 8


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that are one field. `region` is one of `layout.REGION_NAMES`; `number` is what they hold if a number."""

    start: int
    end: int
    field: str
    region: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The spans of a file, in order, without gaps. `missing_bytes`: what its lengths call for behind its end."""

    spans: tuple[Span, ...]
    size_bytes: int
    missing_bytes: int = 0


def anatomy(read: Read, size_bytes: int) -> Anatomy:
    """Names every byte of a file of `size_bytes`."""
    spans = [span for span in _fixed(read, size_bytes) if span.start < size_bytes]
    if size_bytes < layout.TEXT_OFFSET:
        return Anatomy(tuple(spans), size_bytes, layout.TEXT_OFFSET - size_bytes)
    head = read(0, layout.TEXT_OFFSET)
    payload = layout.payload_offset(layout.decode_text_bytes(head))
    header = layout.decode_header(head)
    sections = payload + header.payload_bytes
    spans += [
        Span(start, min(end, size_bytes), field, field)
        for field, start, end in (("text", layout.TEXT_OFFSET, payload), ("payload", payload, sections))
        if start < min(end, size_bytes)
    ]
    if sections > size_bytes:
        return Anatomy(tuple(spans), size_bytes, sections - size_bytes)
    spans += _sections(read, size_bytes, sections, header.flags)
    return Anatomy(tuple(spans), size_bytes)


def _fixed(read: Read, size_bytes: int) -> Iterator[Span]:
    head = read(0, layout.TEXT_OFFSET)
    fields = [(f"header.{name}", start, length, "header") for name, start, length in _HEADER]
    for field, start, length, region in (*fields, ("text_bytes", layout.HEADER_BYTES, 4, "text_length")):
        data = head[start : start + length]
        is_number = len(data) == length and field.removeprefix("header.") not in _NO_NUMBER
        number = int.from_bytes(data, "little") if is_number else None
        yield Span(start, min(start + length, size_bytes), field, region, number)


def _sections(read: Read, size_bytes: int, at: int, flags: int) -> Iterator[Span]:
    found: int | None = at
    if flags & _FLAG_TOOL_MAP:
        walk = _Walk(read, size_bytes, at, "tool_map")
        found = _tool_map(walk)
        yield from walk.spans
        at = walk.at
        if found is None and at < size_bytes:
            yield Span(at, size_bytes, "tool_map", "tool_map")
            return
    if flags & _FLAG_TITLE and found is not None:
        walk = _Walk(read, size_bytes, at, "title")
        title_bytes = walk.number("title_bytes")
        if title_bytes is not None:
            walk.run("title", title_bytes)
        yield from walk.spans
        at = walk.at
    if at < size_bytes:
        yield Span(at, size_bytes, "trailing", "trailing")


class _Walk:
    """Takes fields one by one; None says that the file ended in it."""

    def __init__(self, read: Read, size_bytes: int, at: int, region: str) -> None:
        self.at = at
        self.spans: list[Span] = []
        self._read = read
        self._size_bytes = size_bytes
        self._region = region

    def run(self, field: str, length: int, number: int | None = None) -> bool:
        """A field of `length` bytes; False where they are not all there."""
        end = min(self.at + length, self._size_bytes)
        whole = end == self.at + length
        if end > self.at:
            self.spans.append(Span(self.at, end, field, self._region, number if whole else None))
        self.at = end
        return whole

    def number(self, field: str, length: int = 4) -> int | None:
        """A field that is a number."""
        value = int.from_bytes(self._read(self.at, length), "little")
        return value if self.run(field, length, value) else None


def _tool_map(walk: _Walk) -> int | None:
    """Where the map ends, None where nobody knows (KVC-TOOLMAP-6)."""
    if not walk.run("tool_map.magic", 3):
        return None
    version, count = walk.number("tool_map.version", 1), walk.number("tool_map.count")
    if version != layout.TOOL_MAP_VERSION or count is None or count > layout.TOOL_MAP_COUNT_MAX:
        return None
    for index in range(count):
        if index == TOOLS_MAX:
            return None
        field = f"tool_map.entries[{index}]"
        id_bytes, block_bytes = walk.number(f"{field}.id_bytes"), walk.number(f"{field}.block_bytes")
        if id_bytes is None or block_bytes is None:
            return None
        good = 1 <= id_bytes <= layout.TOOL_ID_BYTES_MAX and 1 <= block_bytes <= layout.TOOL_BLOCK_BYTES_MAX
        if not good or not walk.run(f"{field}.id", id_bytes) or not walk.run(f"{field}.block", block_bytes):
            return None
    return walk.at
