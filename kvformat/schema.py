"""The file, declared once with construct: what reads and what writes goes through this.

Header fields are raw integers, so that nothing is lost by reading (KVC-HEADER-5,
KVC-HEADER-14); what their values may be is judged by `kvformat.rules`. Constants, and the
lengths that sections state, are validated here in both directions, each against the bytes
that are left before they are read (KVC-LIMIT-1). The payload is a window: its offset and
size are recorded, its bytes are neither read nor written.

The compiled parsers of construct accept truncated input and are not used.
"""

from __future__ import annotations

import io
from typing import Any

from construct import (
    Array,
    Bytes,
    Check,
    Computed,
    ConstructError,
    If,
    Int8ul,
    Int32ul,
    Int64ul,
    Rebuild,
    Seek,
    StreamError,
    Struct,
    Tell,
    len_,
    this,
)

from kvformat import layout
from kvformat.errors import Category, Problem
from kvformat.fields import SchemaError, constant, length, present
from kvformat.model import Extension, Header, ToolEntry


def _sum_fits(context: Any) -> bool:
    if layout.file_bytes(context.text_bytes, context.header.payload_bytes, 0) is None:
        message = f"{context.header.payload_bytes:,} make a file of over {layout.FILE_BYTES_MAX:,} bytes"
        offset = layout.PAYLOAD_BYTES_OFFSET if context._parsing else None
        raise SchemaError(Problem(Category.LIMIT, "header.payload_bytes", offset, "KVC-FILE-4", message))
    return True


def _title_fits(context: Any) -> bool:
    if context.title_bytes > layout.TITLE_BYTES_MAX:
        offset = context._io.tell() - layout.TITLE_LENGTH_BYTES if context._parsing else None
        message = f"found {context.title_bytes:,}, expected at most {layout.TITLE_BYTES_MAX:,}"
        raise SchemaError(Problem(Category.LIMIT, "title_bytes", offset, "KVC-TITLE-3", message))
    return True


HEADER = Struct(
    constant(Bytes(3), "header.magic", layout.MAGIC, Category.BAD_MAGIC, "KVC-HEADER-1"),
    constant(Int8ul, "header.version", layout.VERSION, Category.UNSUPPORTED_VERSION, "KVC-HEADER-2"),
    "quantisation_bits" / Int8ul,  # KVC-HEADER-3
    "reason" / Int8ul,  # KVC-HEADER-4
    "flags" / Int8ul,  # KVC-HEADER-5
    "byte7" / Int8ul,  # KVC-HEADER-9
    "tokens" / Int32ul,  # KVC-HEADER-10
    "hits" / Int32ul,  # KVC-HEADER-11
    "context_tokens" / Int32ul,  # KVC-HEADER-12
    "byte20" / Int8ul,  # KVC-HEADER-13
    "reserved" / Bytes(layout.RESERVED_BYTES),  # KVC-HEADER-14
    "created" / Int64ul,  # KVC-HEADER-15
    "last_used" / Int64ul,  # KVC-HEADER-16
    "payload_bytes" / Int64ul,  # KVC-HEADER-17
)
"""The 48 bytes at the start."""

FIXED = Struct("header" / HEADER, "text_bytes" / Rebuild(Int32ul, len_(this.text)))  # KVC-TEXT-1
"""The 52 bytes at the start: header and text byte count."""

HEAD = FIXED + Struct(
    present(lambda context: [("text", context.text_bytes)], Category.TRUNCATED, "KVC-FILE-3"),
    "text" / Bytes(this.text_bytes),
)
"""Everything before the payload."""

TOOL_MAP_HEAD = Struct(
    constant(Bytes(3), "tool_map.magic", layout.TOOL_MAP_MAGIC, Category.BAD_SECTION, "KVC-TOOLMAP-1"),
    constant(Int8ul, "tool_map.version", layout.TOOL_MAP_VERSION, Category.BAD_SECTION, "KVC-TOOLMAP-2"),
    length("tool_map.count", "entries", 0, layout.TOOL_MAP_COUNT_MAX, "KVC-TOOLMAP-3"),
)
"""The eight bytes before the entries of a tool map."""

TOOL_ENTRY_HEAD = Struct(
    length("tool_map.entries[].id_bytes", "id", 1, layout.TOOL_ID_BYTES_MAX, "KVC-TOOLMAP-4"),
    length("tool_map.entries[].block_bytes", "block", 1, layout.TOOL_BLOCK_BYTES_MAX, "KVC-TOOLMAP-5"),
    present(
        lambda context: [
            ("tool_map.entries[].id", context.id_bytes),
            ("tool_map.entries[].block", context.block_bytes),
        ],
        Category.BAD_SECTION,
        "KVC-TOOLMAP-6",
    ),
)
"""The eight bytes before the id and the block of an entry."""

TOOL_ENTRY = TOOL_ENTRY_HEAD + Struct("id" / Bytes(this.id_bytes), "block" / Bytes(this.block_bytes))

TOOL_MAP = TOOL_MAP_HEAD + Struct("entries" / Array(this.count, TOOL_ENTRY))
"""Bit 0. Parsing stops at the first damage; `kvformat.sections` keeps what is before it (KVC-TOOLMAP-6)."""

TITLE_HEAD = Struct(
    "title_bytes" / Rebuild(Int32ul, len_(this.title)),
    present(lambda context: [("title", context.title_bytes)], Category.BAD_SECTION, "KVC-TITLE-1"),
    Check(_title_fits),
)
"""The four bytes before the title."""

TITLE = TITLE_HEAD + Struct("title" / Bytes(this.title_bytes))
"""Bit 3."""


def _flags(context: Any) -> int:
    """The flags of the header that stands before, or those given to `parse` and `build` as `flags`."""
    return int(context._.header.flags if "header" in context._ else context._params.flags)


def _announced(context: Any) -> bool:
    """When building: exactly the sections that the flags announce are given (KVC-HEADER-6, KVC-HEADER-8)."""
    for bit, name, clause in (
        (Extension.TOOL_MAP, "tool_map", "KVC-HEADER-6"),
        (Extension.SESSION_TITLE, "title", "KVC-HEADER-8"),
    ):
        announced = bool(_flags(context) & bit)
        if context._building and announced != (context.get(name) is not None):
            message = "the section of a set bit is missing" if announced else "its bit is clear"
            raise SchemaError(Problem(Category.INVALID_FIELD, name, None, clause, message))
    return True


SECTIONS = Struct(
    Check(_announced),
    "tool_map" / If(lambda context: _flags(context) & Extension.TOOL_MAP, TOOL_MAP),
    "title" / If(lambda context: _flags(context) & Extension.SESSION_TITLE, TITLE),
)
"""What stands behind the payload, in rising bit order (KVC-FILE-2)."""

FILE = FIXED + Struct(
    Check(_sum_fits),
    present(
        lambda context: [("text", context.text_bytes), ("payload", context.header.payload_bytes)],
        Category.TRUNCATED,
        "KVC-FILE-3",
    ),
    "text" / Bytes(this.text_bytes),
    "payload"
    / Struct(
        "offset" / Tell,
        "size_bytes" / Computed(this._.header.payload_bytes),
        Seek(this.size_bytes, io.SEEK_CUR),  # building leaves the window to whoever fills it
    ),
    "sections" / SECTIONS,
)
"""The whole file, on a stream that can seek."""


def _parse(declared: Any, data: bytes, prefix: str, category: Category, clause: str, **context: Any) -> Any:
    """Parses a piece; where it is too short, the field that is cut is at fault. Raises SchemaError."""
    try:
        return declared.parse(data, **context)
    except StreamError as error:
        field = str(error.path).rpartition(" -> ")[2]
        raise _cut(f"{prefix}{field}", data, category, clause) from error


def _cut(field: str, data: bytes, category: Category, clause: str) -> SchemaError:
    message = f"the file ends {len(data)} bytes behind the start of the structure it belongs to"
    return SchemaError(Problem(category, field, len(data), clause, message))


def parse_fixed(data: bytes) -> tuple[Header, int]:
    """The header and the text byte count of the first 52 bytes; raw values.

    Raises SchemaError where bytes are missing (KVC-FILE-3) or magic or version differ
    (KVC-HEADER-1, KVC-HEADER-2).
    """
    parsed = _parse(FIXED, data, "header.", Category.TRUNCATED, "KVC-FILE-3")
    return _header(parsed.header), int(parsed.text_bytes)


def parse_header(data: bytes) -> Header:
    """The header of the first 48 bytes; raw values. Raises as `parse_fixed`."""
    return _header(_parse(HEADER, data, "header.", Category.TRUNCATED, "KVC-FILE-3"))


def parse_tool_count(data: bytes) -> int:
    """The entry count of a tool map's first eight bytes, each field judged once its bytes are there.

    Raises SchemaError (KVC-TOOLMAP-1, KVC-TOOLMAP-2, KVC-TOOLMAP-3, KVC-TOOLMAP-6).
    """
    return int(_parse(TOOL_MAP_HEAD, data, "tool_map.", Category.BAD_SECTION, "KVC-TOOLMAP-6").count)


def parse_tool_lengths(data: bytes, *, index: int, left_bytes: int | None) -> tuple[int, int]:
    """The id and block byte counts of entry `index`, from its first eight bytes.

    `left_bytes` is what the file has behind these, None where that is not known. Raises
    SchemaError (KVC-TOOLMAP-4, KVC-TOOLMAP-5, KVC-TOOLMAP-6).
    """
    context = {"_index": index, "left_bytes": left_bytes}
    prefix = f"tool_map.entries[{index}]."
    if len(data) < layout.TOOL_ENTRY_HEAD_BYTES:
        # Both lengths are there before the first one is judged.
        field = "id_bytes" if len(data) < TOOL_ENTRY_HEAD.id_bytes.sizeof() else "block_bytes"
        raise _cut(f"{prefix}{field}", data, Category.BAD_SECTION, "KVC-TOOLMAP-6")
    parsed = _parse(TOOL_ENTRY_HEAD, data, prefix, Category.BAD_SECTION, "KVC-TOOLMAP-6", **context)
    return int(parsed.id_bytes), int(parsed.block_bytes)


def parse_title_bytes(data: bytes, *, left_bytes: int | None) -> int:
    """The byte count of the title, from the four bytes before it; `left_bytes` as `parse_tool_lengths`.

    Raises SchemaError (KVC-TITLE-1, KVC-TITLE-3).
    """
    parsed = _parse(TITLE_HEAD, data, "", Category.BAD_SECTION, "KVC-TITLE-1", left_bytes=left_bytes)
    return int(parsed.title_bytes)


def build_head(header: Header, text: bytes) -> bytes:
    """Header, text byte count, text. Raises ValueError where a value does not fit a field (KVC-WRITER-5)."""
    return _build(HEAD, {"header": _fields(header), "text": text})


def build_sections(tool_map: tuple[ToolEntry, ...] | None, title: bytes | None) -> bytes:
    """The sections, each only where it is not None; a tool map or title without content is a section too.

    Raises SchemaError, a ValueError, for what is over a limit (KVC-WRITER-3).
    """
    flags = 0
    values: dict[str, Any] = {"tool_map": None, "title": None}
    if tool_map is not None:
        flags |= Extension.TOOL_MAP
        values["tool_map"] = {"entries": [{"id": entry.id, "block": entry.block} for entry in tool_map]}
    if title is not None:
        flags |= Extension.SESSION_TITLE
        values["title"] = {"title": title}
    return _build(SECTIONS, values, flags=int(flags))


def _build(declared: Any, values: dict[str, Any], **context: Any) -> bytes:
    try:
        return bytes(declared.build(values, **context))
    except ConstructError as error:
        raise ValueError(f"a value does not fit its field: {error}") from error


def _fields(header: Header) -> dict[str, Any]:
    return {name: getattr(header, name) for name in Header.__slots__}


def _header(parsed: Any) -> Header:
    return Header(**{name: parsed[name] for name in Header.__slots__})
