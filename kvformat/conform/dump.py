"""A hex dump whose bytes say which field they belong to, with long runs of one field left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from kvformat.conform.anatomy import Anatomy, Read, Span

ROW_BYTES = 16
ROWS_MAX = 64
"""A dump is for looking at. Where a file has more to show, the rest is counted."""

_NEAR_ROWS = 1
"""How many rows of a long run are shown at each of its ends, beside the one that has the end."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one row that belong to one field."""

    hex: str
    text: str
    region: str
    field: str
    is_marked: bool


@dataclass(frozen=True, slots=True)
class Row:
    """Up to sixteen bytes."""

    offset: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows that are left out; `field` is what they belong to, None for several."""

    offset: int
    size_bytes: int
    field: str | None


def rows(read: Read, of: Anatomy, marks: Collection[str] = ()) -> Iterator[Row | Gap]:
    """The rows of a dump, from the start of the file. `marks` are the names of fields to be looked at."""
    shown = sorted(_shown_rows(of))
    cut = shown[ROWS_MAX:]
    behind = 0
    for number in shown[:ROWS_MAX]:
        if number * ROW_BYTES > behind:
            yield _gap(of, behind, number * ROW_BYTES)
        behind = min((number + 1) * ROW_BYTES, of.size_bytes)
        yield Row(number * ROW_BYTES, tuple(_pieces(read, of, number * ROW_BYTES, behind, marks)))
    if cut or behind < of.size_bytes:
        yield _gap(of, behind, of.size_bytes)


def is_marked(field: str, marks: Collection[str]) -> bool:
    """Whether `field` is one of the marked ones, or a part of one."""
    return any(field == mark or field.startswith((f"{mark}.", f"{mark}[")) for mark in marks)


def _shown_rows(of: Anatomy) -> set[int]:
    """Rows in which a field starts or ends, and their neighbours."""
    found: set[int] = set()
    last = max(0, of.size_bytes - 1) // ROW_BYTES
    for span in of.spans:
        for edge in (span.start // ROW_BYTES, (span.end - 1) // ROW_BYTES):
            found.update(range(max(0, edge - _NEAR_ROWS), min(last, edge + _NEAR_ROWS) + 1))
    lonely = {row + 1 for row in found if row + 1 not in found and row + 2 in found}
    return found | lonely


def _gap(of: Anatomy, start: int, end: int) -> Gap:
    fields = {span.field for span in of.spans if span.start < end and span.end > start}
    return Gap(start, end - start, fields.pop() if len(fields) == 1 else None)


def _pieces(read: Read, of: Anatomy, start: int, end: int, marks: Collection[str]) -> Iterator[Piece]:
    data = read(start, end - start)
    for span in of.spans:
        if span.start < end and span.end > start:
            piece = data[max(span.start, start) - start : min(span.end, end) - start]
            yield _piece(piece, span, marks)


def _piece(data: bytes, span: Span, marks: Collection[str]) -> Piece:
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in data)
    return Piece(data.hex(" "), text, span.region, span.field, is_marked(span.field, marks))
