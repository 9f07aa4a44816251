"""Everything that can be known of one file, damaged or not, in memory that does not grow with the payload."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from kvformat import identity, layout, schema
from kvformat.display import whole_characters, whole_characters_at_end
from kvformat.errors import KvcError, Problem
from kvformat.hints import Hint, hints
from kvformat.reader import VerifyReport, open_kvc, verify
from kvformat.sources import Source, open_source

HEAD_BYTES = 64
"""What is shown of a file whose fields mean nothing."""

TEXT_START_BYTES = 640
TEXT_END_BYTES = 320

_NO_FILE = Hint("links are not followed, pipes not opened: name the file itself, or give - and standard input", None)


class Identity(StrEnum):
    """Whether the name is the one that the content calls for (KVC-NAME)."""

    MATCHES = "matches"
    MISMATCH = "mismatch"
    FIXED = "fixed"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True)
class Tool:
    """One good entry of the tool map, without its block."""

    id: bytes
    block_bytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `inspect` shows. `text_end` is None where `text_start` is all of the text, or all that there is."""

    report: VerifyReport
    identity: Identity
    expected_name: str | None = None
    head: bytes = b""
    text_start: bytes = b""
    text_end: bytes | None = None
    tools: tuple[Tool, ...] = ()
    hints: tuple[Hint, ...] = ()


def examine(opened: int | BinaryIO | Problem, *, name: str | None, profile: str) -> Inspection:
    """Looks at a file that `open_kvc_file` opened. `name` is what it is called, where it is called anything."""
    if isinstance(opened, Problem):
        return Inspection(VerifyReport((opened,)), Identity.NOT_CHECKED, hints=(_NO_FILE,))
    start = 0 if isinstance(opened, int) else opened.tell()

    def again() -> int | BinaryIO:
        """The file from its start: readers of a stream move it."""
        if not isinstance(opened, int):
            opened.seek(start)
        return opened

    known = name if name is not None and (identity.is_entry_name(name) or name in identity.FIXED_NAMES) else None
    report = verify(again(), profile=profile, name=known)
    source = open_source(again(), follow_symlinks=False, close_source=False)
    text_start, text_end = _text_edges(source, report)
    expected, found = _seen_by_a_reader(again(), profile)
    return Inspection(
        report,
        _identity(report, known),
        expected,
        source.read_at(0, HEAD_BYTES),
        text_start,
        text_end,
        _tools(source, report),
        found,
    )


def _identity(report: VerifyReport, known: str | None) -> Identity:
    if known in identity.FIXED_NAMES:
        return Identity.FIXED
    if any(problem.clause in ("KVC-NAME-1", "KVC-NAME-3") for problem in report.problems):
        return Identity.MISMATCH
    return Identity.NOT_CHECKED if report.name is None else Identity.MATCHES


def _text_edges(source: Source, report: VerifyReport) -> tuple[bytes, bytes | None]:
    """The start and the end of what the file has of its text; the end is None where the start is all of it."""
    size_bytes = next((region.size_bytes for region in report.regions if region.name == "text"), 0)
    if size_bytes <= TEXT_START_BYTES + TEXT_END_BYTES:
        return source.read_at(layout.TEXT_OFFSET, size_bytes), None
    first = source.read_at(layout.TEXT_OFFSET, TEXT_START_BYTES)
    last = source.read_at(layout.TEXT_OFFSET + size_bytes - TEXT_END_BYTES, TEXT_END_BYTES)
    return whole_characters(first), whole_characters_at_end(last)


def _tools(source: Source, report: VerifyReport) -> tuple[Tool, ...]:
    """The entries that `verify` counted as good; their blocks are passed over (KVC-TOOLMAP-6)."""
    if report.header is None or report.text_bytes is None:
        return ()
    offset = layout.payload_offset(report.text_bytes) + report.header.payload_bytes + layout.TOOL_MAP_HEAD_BYTES
    tools = []
    for index in range(report.tool_entries):
        head = source.read_at(offset, layout.TOOL_ENTRY_HEAD_BYTES)
        id_bytes, block_bytes = schema.parse_tool_lengths(head, index=index, left_bytes=None)
        tools.append(Tool(source.read_at(offset + layout.TOOL_ENTRY_HEAD_BYTES, id_bytes), block_bytes))
        offset += layout.tool_entry_bytes(id_bytes, block_bytes)
    return tuple(tools)


def _seen_by_a_reader(opened: int | BinaryIO, profile: str) -> tuple[str | None, tuple[Hint, ...]]:
    """The name that the content calls for, and hints; neither where a reader rejects the content."""
    # A descriptor is duplicated and given away: holes are looked for only in a reader's own file.
    own = os.dup(opened) if isinstance(opened, int) else opened
    try:
        with open_kvc(own, profile=profile, close_source=isinstance(opened, int)) as reader:
            return identity.expected_name(reader.header, reader.text, reader.title()), tuple(hints(reader))
    except KvcError:
        return None, ()  # what is wrong is in the report of `verify`
