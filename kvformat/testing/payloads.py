"""Strategies for payloads as producers give them: in pieces of any size and kind, and with a failure on the way."""

from __future__ import annotations

import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from hypothesis import strategies as st

from kvformat.filesystem import Buffer
from kvformat.testing.arguments import check_range


class PieceKind(StrEnum):
    """What a piece is handed over as. ITEMS: a memoryview of two-byte items, where the size is even."""

    BYTES = "bytes"
    BYTEARRAY = "bytearray"
    VIEW = "memoryview"
    ITEMS = "memoryview of u16"


class PayloadFailure(Exception):  # noqa: N818 - it is no error of this package: it stands for one of the caller's own
    """What a `PayloadStream` raises that was told to fail."""


@dataclass(frozen=True)
class PayloadStream:
    """An iterable of buffers, new ones each time. fails_after_bytes: then it raises `PayloadFailure`; None: never."""

    pieces: tuple[tuple[bytes, PieceKind], ...]
    fails_after_bytes: int | None = None

    @property
    def content(self) -> bytes:
        """All bytes that it gives before it ends or fails."""
        whole = b"".join(data for data, _ in self.pieces)
        return whole[: self.fails_after_bytes]

    def __iter__(self) -> Iterator[Buffer]:
        left = self.fails_after_bytes
        for data, kind in self.pieces:
            piece = data if left is None else data[:left]
            if piece or not data:
                yield _buffer(piece, kind)
            if left is not None:
                left -= len(piece)
                if len(piece) < len(data):
                    break
        if left is not None:
            raise PayloadFailure("the payload's producer was told to fail")


def _buffer(data: bytes, kind: PieceKind) -> Buffer:
    if kind is PieceKind.BYTES:
        return data
    if kind is PieceKind.BYTEARRAY:
        return bytearray(data)
    if kind is PieceKind.ITEMS and len(data) % 2 == 0:
        return memoryview(array.array("H", data))
    return memoryview(data)


def payload_streams(
    *, min_bytes: int = 0, max_bytes: int = 200, max_pieces: int = 6, fails: bool = False
) -> st.SearchStrategy[PayloadStream]:
    """Payloads of so many bytes, cut anywhere, with empty pieces among them; with `fails` each fails somewhere."""
    check_range("bytes", min_bytes, max_bytes)
    check_range("pieces", 1, max_pieces)
    return _streams(min_bytes, max_bytes, max_pieces, fails)


@st.composite
def _streams(draw: st.DrawFn, min_bytes: int, max_bytes: int, max_pieces: int, fails: bool) -> PayloadStream:
    data = draw(st.binary(min_size=min_bytes, max_size=max_bytes))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=max_pieces - 1)))
    borders = [0, *cuts, len(data)]
    kinds = st.sampled_from(PieceKind)
    pieces = tuple((data[start:end], draw(kinds)) for start, end in pairwise(borders))
    return PayloadStream(pieces, draw(st.integers(0, len(data))) if fails else None)
