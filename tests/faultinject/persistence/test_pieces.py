"""Lists of buffers behave as the bytes that they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from faultinject.persistence.pieces import Buffer, Pieces, cut, joined, length, overlaid, same

SMALL = st.binary(max_size=12)
BUFFERS: st.SearchStrategy[Buffer] = (
    SMALL | SMALL.map(lambda data: memoryview(data)) | st.binary(min_size=4000, max_size=5000)
)
PIECES = st.lists(BUFFERS, max_size=4).map(tuple)


def whole(pieces: Pieces) -> bytes:
    return b"".join(pieces)


@given(PIECES, st.integers(0, 40), st.integers(0, 9000))
def test_a_cut_is_a_slice(pieces: Pieces, start: int, size_bytes: int) -> None:
    found = cut(pieces, start, start + size_bytes)
    assert whole(found) == whole(pieces)[start : start + size_bytes]
    assert length(found) == len(whole(found))


@given(PIECES.filter(lambda pieces: length(pieces) > 0), st.integers(0, 40))
def test_an_empty_cut_has_no_pieces(pieces: Pieces, start: int) -> None:
    assert cut(pieces, start, start) == ()


@given(PIECES, st.integers(0, 60), st.binary(min_size=1, max_size=30))
def test_data_overlays_as_in_a_file(pieces: Pieces, offset: int, data: bytes) -> None:
    model = bytearray(whole(pieces).ljust(offset, b"\0"))
    model[offset : offset + len(data)] = data
    assert whole(overlaid(pieces, offset, data)) == model


@given(PIECES)
def test_joining_changes_no_byte(pieces: Pieces) -> None:
    assert whole(joined(pieces)) == whole(pieces)


@given(PIECES, PIECES)
def test_behind_the_end_there_are_zeros(one: Pieces, other: Pieces) -> None:
    size_bytes = max(length(one), length(other))
    assert same(one, other) == (whole(one).ljust(size_bytes, b"\0") == whole(other).ljust(size_bytes, b"\0"))
    assert same(one, (*one, b"\0\0"))
    assert not same(one, (*one, b"\0\1"))


def test_large_buffers_are_shared() -> None:
    large = bytes(100_000)
    for found in (cut((large,), 1, 90_000), cut((b"x", large), 5, 90_000), overlaid((large,), 50, b"y")):
        assert all(not isinstance(piece, bytes) or len(piece) < 10 or piece is large for piece in found)
