"""Runs of bytes as lists of buffers, so that a file of many GiB is cut into blocks without copying it."""

from __future__ import annotations

from collections.abc import Iterator

Buffer = bytes | bytearray | memoryview
Pieces = tuple[Buffer, ...]

_JOINED_BYTES = 4096
"""Up to this size a run is kept as one object: many small buffers cost more than the copy."""


def length(pieces: Pieces) -> int:
    """How many bytes they hold together."""
    return sum([len(piece) for piece in pieces])


def cut(pieces: Pieces, start: int, end: int) -> Pieces:
    """The bytes [start, end) of them, sharing the buffers."""
    if len(pieces) == 1:
        piece = pieces[0]
        if not start and end >= len(piece):
            return pieces
        part = piece[start:end] if len(piece) <= _JOINED_BYTES else memoryview(piece)[start:end]
        return (part,) if len(part) else ()
    return tuple(_cut(pieces, start, end))


def _cut(pieces: Pieces, start: int, end: int) -> Iterator[Buffer]:
    for piece in pieces:
        size_bytes = len(piece)
        if start < size_bytes and end > 0:
            whole = start <= 0 and end >= size_bytes
            part = piece if whole else memoryview(piece)[max(0, start) : end]
            if len(part):
                yield part
        start -= size_bytes
        end -= size_bytes


def overlaid(pieces: Pieces, offset: int, data: Buffer) -> Pieces:
    """They with `data` written at `offset`; what lies between their end and `offset` is zeros."""
    size_bytes = length(pieces)
    end = offset + len(data)
    if not offset and end >= size_bytes:
        return (data,)
    gap: Pieces = (bytes(offset - size_bytes),) if offset > size_bytes else ()
    after = cut(pieces, end, size_bytes) if end < size_bytes else ()
    before = cut(pieces, 0, offset) if offset else ()
    return joined((*before, *gap, data, *after))


def joined(pieces: Pieces) -> Pieces:
    """The same bytes, as one object where they are few."""
    if len(pieces) < 2 or length(pieces) > _JOINED_BYTES:
        return pieces
    return (b"".join(pieces),)


def same(one: Pieces, other: Pieces) -> bool:
    """Whether both hold the same bytes, zeros behind the end of the shorter one."""
    if len(one) == 1 and len(other) == 1:
        a, b = one[0], other[0]
        if a is b:
            return True
        if len(a) == len(b):
            return bytes(a) == bytes(b)
    size_bytes = max(length(one), length(other))
    return b"".join(one).ljust(size_bytes, b"\0") == b"".join(other).ljust(size_bytes, b"\0")
