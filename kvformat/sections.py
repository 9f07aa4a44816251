"""What stands behind the payload, read one piece at a time (KVC-LIMIT-4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kvformat import layout, schema
from kvformat.errors import Category, Problem
from kvformat.fields import SchemaError
from kvformat.model import ToolEntry
from kvformat.sources import Source


class ToolMapWalk:
    """One pass over the tool map at `offset`, by `entries` or by `skim`; the rest is known afterwards.

    `problem` is the damage that ended the pass, None where there was none (KVC-TOOLMAP-6);
    `count` the number of entries before it; `end` the offset of the first byte behind these.
    """

    def __init__(self, source: Source, offset: int) -> None:
        self.problem: Problem | None = None
        self.count = 0
        self.end = offset
        self._source = source

    def entries(self) -> Iterator[ToolEntry]:
        """The entries, read one by one, each only if all its bytes are there (KVC-TOOLMAP-6)."""
        for offset, id_bytes, block_bytes in self._spans():
            tool_id = self._source.read_at(offset, id_bytes)
            if len(tool_id) < id_bytes:
                self._cut("id", offset + len(tool_id), id_bytes)
                return
            block = self._source.read_at(offset + id_bytes, block_bytes)
            if len(block) < block_bytes:
                self._cut("block", offset + id_bytes + len(block), block_bytes)
                return
            yield ToolEntry(tool_id, block)

    def skim(self) -> None:
        """Passes over the entries without reading them."""
        for offset, id_bytes, block_bytes in self._spans():
            if not self._source.reaches(offset + id_bytes + block_bytes):
                end = self._source.size_bytes or offset
                self._cut("id" if end < offset + id_bytes else "block", end, id_bytes + block_bytes)
                return

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """Offset of the id, id and block byte counts of each entry; all is there where the size is known."""
        try:
            count = schema.parse_tool_count(self._source.read_at(self.end, layout.TOOL_MAP_HEAD_BYTES))
            self.end += layout.TOOL_MAP_HEAD_BYTES
            for index in range(count):
                head = self._source.read_at(self.end, layout.TOOL_ENTRY_HEAD_BYTES)
                left = bytes_left(self._source, self.end + layout.TOOL_ENTRY_HEAD_BYTES)
                id_bytes, block_bytes = schema.parse_tool_lengths(head, index=index, left_bytes=left)
                yield self.end + layout.TOOL_ENTRY_HEAD_BYTES, id_bytes, block_bytes
                self.end += layout.tool_entry_bytes(id_bytes, block_bytes)
                self.count += 1
        except SchemaError as error:
            self.problem = behind(error.problem, self.end)

    def _cut(self, part: str, end: int, size_bytes: int) -> None:
        message = f"the file ends inside its {size_bytes:,} bytes"
        field = f"tool_map.entries[{self.count}].{part}"
        self.problem = Problem(Category.BAD_SECTION, field, end, "KVC-TOOLMAP-6", message)


def read_title(source: Source, offset: int) -> bytes:
    """The title whose section starts at `offset`. Raises SchemaError (KVC-TITLE-1, KVC-TITLE-3)."""
    start = offset + layout.TITLE_LENGTH_BYTES
    head = source.read_at(offset, layout.TITLE_LENGTH_BYTES)
    claimed = int.from_bytes(head, "little")
    if source.size_bytes is None and claimed > layout.TITLE_BYTES_MAX:
        # Rejected either way; whether the bytes are there decides for what. Read on to learn it.
        source.reaches(start + claimed)
    try:
        title_bytes = schema.parse_title_bytes(head, left_bytes=bytes_left(source, start))
    except SchemaError as error:
        raise SchemaError(behind(error.problem, offset)) from None
    title = source.read_at(start, title_bytes)
    if len(title) < title_bytes:
        message = f"the file has {len(title):,} of its {title_bytes:,} bytes"
        raise SchemaError(Problem(Category.BAD_SECTION, "title", start + len(title), "KVC-TITLE-1", message))
    return title


def no_title(damage: Problem) -> Problem:
    """Where the tool map is damaged the title cannot be found (KVC-TITLE-2)."""
    message = f"the title stands behind the tool map, which is damaged: {damage.message} [{damage.clause}]"
    return replace(damage, category=Category.BAD_SECTION, clause="KVC-TITLE-2", message=message)


def bytes_left(source: Source, offset: int) -> int | None:
    """How many bytes the file has from `offset` on, None where that is not known."""
    return None if source.size_bytes is None else layout.bytes_left(source.size_bytes, offset)


def behind(problem: Problem, offset: int) -> Problem:
    """The problem of a structure that starts at `offset`, in offsets of the file."""
    return replace(problem, offset=None if problem.offset is None else problem.offset + offset)
