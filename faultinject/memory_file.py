"""The content of a file in memory: extents that share the buffers they were written from."""

from __future__ import annotations

import stat
from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kvformat.filesystem import Buffer

if TYPE_CHECKING:
    from faultinject.target import File

_MATERIALISE_BYTES = 1024 * 1024
"""Files up to this size are compared as one run of bytes."""


class MemoryFile:
    """A file. `owner` is the file system that may write to it in place; another one copies it first."""

    __slots__ = (
        "closed",
        "content",
        "equal_to",
        "extents",
        "linkable",
        "links",
        "mode",
        "modified_ns",
        "number",
        "owner",
        "sequential",
        "size_bytes",
        "synced",
    )

    def __init__(self, number: int, owner: object, mode: int) -> None:
        self.number = number
        self.owner = owner
        self.mode = mode
        self.links = 0
        self.linkable = False  # O_TMPFILE, and not linked yet
        self.extents: list[tuple[int, Buffer]] = []
        self.size_bytes = 0
        self.sequential = True  # no extent begins before the end of the one before
        self.synced = 0  # how many extents have reached the device
        self.closed = 0  # how many a close(2) has had nothing against
        self.content: bytes | None = b""
        self.equal_to: File | None = None  # found equal since the last write
        self.modified_ns = 0

    @classmethod
    def of(cls, pieces: Iterable[Buffer]) -> MemoryFile:
        """A file that belongs to no directory, to compare others with."""
        file = cls(0, object(), stat.S_IFREG | 0o600)
        for piece in pieces:
            if len(piece):
                file.extents.append((file.size_bytes, piece))
                file.size_bytes += len(piece)
        file.content = None
        return file

    def copy(self, owner: object) -> MemoryFile:
        """The same file for another owner; the extents' buffers are shared."""
        other = MemoryFile(self.number, owner, self.mode)
        other.links = self.links
        other.linkable = self.linkable
        other.extents = list(self.extents)
        other.size_bytes = self.size_bytes
        other.sequential = self.sequential
        other.synced = self.synced
        other.closed = self.closed
        other.content = self.content
        other.modified_ns = self.modified_ns
        return other

    def lose_from(self, extent: int) -> None:
        """Writing back has failed: what the extents from this one on held reads as before, zeros where nothing was."""
        del self.extents[extent:]
        self.closed = min(self.closed, extent)
        self.sequential = False
        self.content = self.equal_to = None

    def read_all(self) -> bytes:
        """The whole content, holes as zeros; kept until the next write."""
        if self.content is None:
            position = 0
            for offset, data in self.extents:
                if offset != position:
                    self.content = self._overlay()
                    break
                position += len(data)
            else:
                whole = position == self.size_bytes
                self.content = b"".join([data for _, data in self.extents]) if whole else self._overlay()
        return self.content

    def read(self, size_bytes: int, offset: int) -> bytes:
        """A part of the content; a large file is not joined for it."""
        if self.content is not None or self.size_bytes <= _MATERIALISE_BYTES:
            return self.read_all()[offset : offset + size_bytes]
        parts = self.parts(size_bytes, offset)
        return parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts)

    def parts(self, size_bytes: int, offset: int) -> list[Buffer]:
        """The same as buffers, holes as zeros. One that was written and lies inside whole is shared, not copied."""
        end = min(offset + size_bytes, self.size_bytes)
        if not self.sequential:
            return [memoryview(self.read_all())[offset:end]] if offset < end else []
        place = max(0, bisect_right(self.extents, offset, key=extent_offset) - 1)
        parts: list[Buffer] = []
        while offset < end:
            start, data = self.extents[place] if place < len(self.extents) else (self.size_bytes, b"")
            place += 1
            if start + len(data) <= offset and start < offset:
                continue  # ends before: what follows it is a hole, or the next one
            if start > offset:
                parts.append(bytes(min(start, end) - offset))
                offset = min(start, end)
            if offset < end:
                whole = start == offset and start + len(data) <= end
                parts.append(data if whole else memoryview(data)[offset - start : end - start])
                offset += len(parts[-1])
        return parts

    def same_content(self, other: File) -> bool:
        """Whether both hold the same bytes; large files that share their buffers are not read for it."""
        if self is other or self.equal_to is other:
            return True
        if self.size_bytes != other.size_bytes:
            return False
        if self.size_bytes <= _MATERIALISE_BYTES or not isinstance(other, MemoryFile):
            same = self.read_all() == other.read_all()
        else:
            same = _same_pieces(self.pieces(), other.pieces())
        if same:
            self.equal_to = other
        return same

    def pieces(self) -> list[Buffer]:
        """The content as buffers in order, holes as zeros; buffers that were written are not copied."""
        pieces: list[tuple[int, Buffer]] = []
        for offset, data in self.extents:
            if pieces and offset < pieces[-1][0] + len(pieces[-1][1]):
                pieces = _cut_out(pieces, offset, offset + len(data))
                insort(pieces, (offset, data), key=extent_offset)
            else:
                pieces.append((offset, data))
        filled: list[Buffer] = []
        position = 0
        for offset, data in pieces:
            if offset > position:
                filled.append(bytes(offset - position))
            filled.append(data)
            position = offset + len(data)
        if position < self.size_bytes:
            filled.append(bytes(self.size_bytes - position))
        return filled

    def _overlay(self) -> bytes:
        whole = bytearray(self.size_bytes)
        for offset, data in self.extents:
            whole[offset : offset + len(data)] = data
        return bytes(whole)


def _cut_out(pieces: list[tuple[int, Buffer]], start: int, end: int) -> list[tuple[int, Buffer]]:
    """The pieces without what they hold in [start, end)."""
    kept: list[tuple[int, Buffer]] = []
    for offset, data in pieces:
        if offset + len(data) <= start or offset >= end:
            kept.append((offset, data))
            continue
        if offset < start:
            kept.append((offset, memoryview(data)[: start - offset]))
        if offset + len(data) > end:
            kept.append((end, memoryview(data)[end - offset :]))
    return kept


def _same_pieces(one: list[Buffer], other: list[Buffer]) -> bool:
    """Whether two lists of buffers hold the same bytes. A buffer that both share is not read."""
    left, right = iter(one), iter(other)
    a: Buffer = b""
    b: Buffer = b""
    while True:
        a = a if len(a) else next(left, b"")
        b = b if len(b) else next(right, b"")
        if not len(a) or not len(b):
            return len(a) == len(b)
        if a is b:
            a = b = b""
            continue
        size_bytes = min(len(a), len(b), _MATERIALISE_BYTES)
        a, b = memoryview(a), memoryview(b)
        # Views compare item by item; bytes compare at once, which is worth the copy.
        if bytes(a[:size_bytes]) != bytes(b[:size_bytes]):
            return False
        a, b = a[size_bytes:], b[size_bytes:]


def extent_offset(extent: tuple[int, Buffer]) -> int:
    """Where an extent begins: the key by which they are in order."""
    return extent[0]
