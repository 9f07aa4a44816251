"""What a case is made of, as people look at it: its files with the meaning of every byte, its view, its names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kvformat import display
from kvformat.conform.anatomy import Span, anatomy
from kvformat.conform.case import Case, Kind, Node
from kvformat.conform.dump import Gap, Row, is_marked, rows
from kvformat.conform.escape import escape

FILES_MAX = 12
"""How many files of a directory are dumped; the others are named."""

_VIEW_CHARACTERS_MAX = 4_000
_COMPARED_BYTES_MAX = 1 << 20
_ENTRY = re.compile(r"^tool_map\[")


@dataclass(frozen=True, slots=True)
class Dump:
    """One file. `spans` are its fields, each with whether it is marked; empty for one of many files."""

    size_bytes: int
    missing_bytes: int
    rows: tuple[Row | Gap, ...]
    spans: tuple[tuple[Span, bool], ...]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One thing of a case: a heading, what is particular to it, and its bytes or its text if it has some."""

    title: str
    notes: tuple[str, ...] = ()
    dump: Dump | None = None
    text: str | None = None


def marks_of(expected_field: str | None, details: Collection[str]) -> frozenset[str]:
    """The fields that a case is about: of its rejection, and those in which a view differs.

    `details` are the sentences of a report. One about a view starts with the path of the difference, such as
    `text.sha256: …`.
    """
    paths = {detail.partition(":")[0] for detail in details if re.match(r"[\w.\[\]]+:", detail)}
    fields = {_ENTRY.sub("tool_map.entries[", path).removesuffix(".sha256").removesuffix(".bytes") for path in paths}
    trailing = {"trailing"} if "trailing_bytes" in paths else set()
    return frozenset(fields | trailing | ({expected_field} if expected_field else set()))


def exhibits(case: Case, marks: Collection[str]) -> Iterator[Exhibit]:
    """Everything that the case gives, and what it expects on the disk afterwards. Raises OSError."""
    given = case.input
    if given.node is not None:
        yield _node("the file", given.node, marks, with_spans=True)
    for number, (name, node) in enumerate(given.directory or ()):
        yield _node(escape(name), node, marks if number < FILES_MAX else None, with_spans=False)
    if given.directory == ():
        yield Exhibit("an empty directory")
    if given.view is not None:
        yield Exhibit("what is to be saved", text=_text(given.view))
    if given.payload is not None:
        yield Exhibit("the payload to be saved", (f"{given.payload.stat().st_size:,} bytes",))
    output = case.expected.output
    if output is not None:
        before = next((node for name, node in given.directory or () if name == given.name), None)
        changed = marks if before is None else _changed(_File(before), _File(Node(file=output)))
        yield Exhibit("the file expected afterwards", dump=_dump(Node(file=output), changed, with_spans=True))


def _node(title: str, node: Node, marks: Collection[str] | None, *, with_spans: bool) -> Exhibit:
    notes = []
    if node.kind is not Kind.REGULAR:
        notes.append(f"a {node.kind}" + ("" if node.target is None else f" to {escape(node.target)}"))
    if node.locked:
        notes.append("locked, as by a living writer")
    if node.extend_to_bytes is not None:
        notes.append(f"extended with a hole to {node.extend_to_bytes:,} bytes")
    if node.kind is not Kind.REGULAR:
        return Exhibit(title, tuple(notes))
    if marks is None:
        return Exhibit(title, (*notes, "not shown: too many files"))
    return Exhibit(title, tuple(notes), _dump(node, marks, with_spans=with_spans))


class _File:
    """The bytes of a regular file as the case has it: what is stored, and the hole behind it."""

    def __init__(self, node: Node) -> None:
        self._path = node.file
        self._stored_bytes = 0 if node.file is None else node.file.stat().st_size
        self.size_bytes = self._stored_bytes if node.extend_to_bytes is None else node.extend_to_bytes

    def read(self, offset: int, length: int) -> bytes:
        wanted = max(0, min(length, self.size_bytes - offset))
        if self._path is None or offset >= self._stored_bytes:
            return bytes(wanted)
        with self._path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(wanted).ljust(wanted, b"\0")


def _dump(node: Node, marks: Collection[str], *, with_spans: bool) -> Dump:
    file = _File(node)
    found = anatomy(file.read, file.size_bytes)
    spans = tuple((span, is_marked(span.field, marks)) for span in found.spans if with_spans)
    return Dump(file.size_bytes, found.missing_bytes, tuple(rows(file.read, found, marks)), spans)


def _changed(before: _File, after: _File) -> frozenset[str]:
    """The fields that an update gives other bytes; of a long one the start is compared."""
    old, new = (dict(_held(file)) for file in (before, after))
    return frozenset(field for field, data in new.items() if old.get(field) != data)


def _held(file: _File) -> Iterator[tuple[str, bytes]]:
    for span in anatomy(file.read, file.size_bytes).spans:
        yield span.field, file.read(span.start, min(span.end - span.start, _COMPARED_BYTES_MAX))


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        text = stream.read(_VIEW_CHARACTERS_MAX).decode("utf-8", "replace")
    left = path.stat().st_size - _VIEW_CHARACTERS_MAX
    return display.safe_lines(text) + (f"\n… and {left:,} bytes more" if left > 0 else "")


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """The values in a view with their paths, in order. An empty list or object is a value."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, "null" if value is None else str(value)
