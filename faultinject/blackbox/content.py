"""The content of a file as a history of edits, so that the content at every moment of a run is there at no cost."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum, auto

from faultinject.blackbox.state import Node, NodeKind

Buffer = bytes | memoryview

KEEP_SIZE = 0x01  # linux/falloc.h, as fallocate(2) takes them
PUNCH_HOLE = 0x02
COLLAPSE_RANGE = 0x08
ZERO_RANGE = 0x10
INSERT_RANGE = 0x20
UNSHARE_RANGE = 0x40


class Change(Enum):
    """What one edit does."""

    WRITE = auto()
    RESIZE = auto()
    ZERO = auto()
    REMOVE = auto()
    INSERT = auto()


@dataclass(frozen=True, slots=True)
class _Edit:
    change: Change
    offset: int
    data: Buffer = b""
    size_bytes: int = 0


class _History:
    """Edits of one file in order. Contents that follow from each other share it, each with its own count of edits."""

    __slots__ = ("edits", "known", "known_count", "start")

    def __init__(self, start: Node) -> None:
        self.edits: list[_Edit] = []
        self.start = start
        self.known = start  # the node after `known_count` edits: the moments of a run are asked for in order
        self.known_count = 0

    def fork(self, count: int) -> _History:
        other = _History(self.start)
        other.edits = self.edits[:count]
        if self.known_count <= count:
            other.known, other.known_count = self.known, self.known_count
        return other

    def node(self, count: int) -> Node:
        if count != self.known_count:
            known, first = (self.known, self.known_count) if count > self.known_count else (self.start, 0)
            self.known = Node(known.kind, _replayed(known.data, self.edits[first:count]))
            self.known_count = count
        return self.known


class Content:
    """The content of one file at one moment; a value that never changes. Edits give another one and share the past."""

    __slots__ = ("_count", "_history", "kind", "size_bytes")

    def __init__(self, node: Node) -> None:
        self.kind: NodeKind = node.kind
        self.size_bytes = len(node.data)
        self._history = _History(node)
        self._count = 0

    def node(self) -> Node:
        """The bytes, holes as zeros. The caller has looked at `size_bytes` before: a hole can be larger than memory."""
        return self._history.node(self._count)

    def write(self, offset: int, data: Buffer) -> Content:
        """As pwrite(2): what lies between the end and `offset` reads as zeros; nothing written changes nothing."""
        if not len(data):
            return self
        size_bytes = max(self.size_bytes, offset + len(data))
        return self._after(_Edit(Change.WRITE, offset, data), size_bytes)

    def resize(self, size_bytes: int) -> Content:
        """As ftruncate(2)."""
        if size_bytes == self.size_bytes:
            return self
        return self._after(_Edit(Change.RESIZE, size_bytes), size_bytes)

    def allocate(self, mode: int, offset: int, size_bytes: int) -> Content | None:
        """As fallocate(2); None for a mode that is not known."""
        if mode in (0, UNSHARE_RANGE):
            return self.resize(max(self.size_bytes, offset + size_bytes))
        if mode in (KEEP_SIZE, UNSHARE_RANGE | KEEP_SIZE):
            return self
        if mode == ZERO_RANGE:
            return self._zero(offset, size_bytes).resize(max(self.size_bytes, offset + size_bytes))
        if mode in (PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE | KEEP_SIZE):
            return self._zero(offset, size_bytes)
        if mode == COLLAPSE_RANGE:
            return self._after(_Edit(Change.REMOVE, offset, size_bytes=size_bytes), self.size_bytes - size_bytes)
        if mode == INSERT_RANGE:
            return self._after(_Edit(Change.INSERT, offset, size_bytes=size_bytes), self.size_bytes + size_bytes)
        return None

    def _zero(self, offset: int, size_bytes: int) -> Content:
        size_bytes = min(size_bytes, self.size_bytes - offset)
        if size_bytes <= 0:
            return self
        return self._after(_Edit(Change.ZERO, offset, size_bytes=size_bytes), self.size_bytes)

    def _after(self, edit: _Edit, size_bytes: int) -> Content:
        history = self._history
        if len(history.edits) != self._count:
            history = history.fork(self._count)  # another content has gone on from here already
        history.edits.append(edit)
        other = Content.__new__(Content)
        other.kind, other.size_bytes, other._history, other._count = self.kind, size_bytes, history, self._count + 1
        return other


def _replayed(data: bytes, edits: list[_Edit]) -> bytes:
    end = len(data)
    for edit in edits:
        if edit.change is not Change.WRITE or edit.offset != end:
            break
        end += len(edit.data)
    else:
        return b"".join([data, *(edit.data for edit in edits)])
    ends = _kept_ends(edits)
    buffer = bytearray(data)
    for edit, end in zip(edits, ends, strict=True):
        _perform(buffer, edit, end)
    return bytes(buffer)


def _kept_ends(edits: list[_Edit]) -> list[int]:
    """For every edit, where what a later one cuts off begins: a file may be huge for a moment, as holes are free."""
    ends, end = [], sys.maxsize
    for edit in reversed(edits):
        if edit.change is Change.RESIZE:
            end = min(end, edit.offset)
        ends.append(end)
        if edit.change in (Change.REMOVE, Change.INSERT):
            end = sys.maxsize  # what comes before it has other offsets
    return ends[::-1]


def _perform(buffer: bytearray, edit: _Edit, end: int) -> None:
    offset, size_bytes = edit.offset, edit.size_bytes
    if edit.change is Change.WRITE:
        _lengthen(buffer, min(offset, end))
        if offset < end:
            buffer[offset : offset + len(edit.data)] = edit.data
    elif edit.change is Change.RESIZE:
        del buffer[end:]
        _lengthen(buffer, end)
    elif edit.change is Change.ZERO:
        size_bytes = max(0, min(size_bytes, len(buffer) - offset))
        buffer[offset : offset + size_bytes] = bytes(size_bytes)
    elif edit.change is Change.REMOVE:
        del buffer[offset : offset + size_bytes]
    else:
        buffer[offset:offset] = bytes(size_bytes)


def _lengthen(buffer: bytearray, size_bytes: int) -> None:
    if size_bytes > len(buffer):
        buffer.extend(bytes(size_bytes - len(buffer)))
