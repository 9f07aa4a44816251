"""Payloads of every kind become the same bytes, in bounded pieces and bounded memory (KVC-PAYLOAD-1)."""

from __future__ import annotations

import array
import gzip
import io
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat.payload import PIECE_BYTES_MAX, READ_BYTES, Payload, as_payload
from tests.kvformat.samples import Pipe
from tests.kvformat.saving import descriptors


def content(payload: Payload) -> bytes:
    """All pieces together; none may be empty, too large, or counted in anything but bytes."""
    whole = b""
    for piece in payload.pieces():
        assert 0 < len(piece) <= PIECE_BYTES_MAX
        assert len(piece) == memoryview(piece).nbytes
        whole += bytes(piece)
    return whole


def _of_u32(data: bytes) -> memoryview:
    whole = data + bytes(-len(data) % 4)
    return memoryview(array.array("I", whole))


_BUFFERS = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(bytearray),
    st.binary(max_size=60).map(lambda data: memoryview(data)),
    st.binary(max_size=60).map(_of_u32),
    st.binary(min_size=8, max_size=8).map(lambda data: memoryview(data).cast("B", (2, 2, 2))),
)


def _bytes_of(buffer: Any) -> bytes:
    return memoryview(buffer).tobytes()


@given(buffer=_BUFFERS)
def test_one_buffer_of_any_format(buffer: Any) -> None:
    payload = as_payload(buffer)
    assert payload.size_bytes == len(_bytes_of(buffer))
    assert content(payload) == _bytes_of(buffer)
    assert content(payload) == _bytes_of(buffer)  # it can be read again


@given(
    buffers=st.lists(_BUFFERS, max_size=6), kind=st.sampled_from([list, tuple, iter, lambda items: (i for i in items)])
)
def test_an_iterable_of_buffers_of_any_format(buffers: list[Any], kind: Callable[[list[Any]], Any]) -> None:
    """Empty ones among them, and of mixed kinds; the size is not known beforehand."""
    payload = as_payload(kind(buffers))
    assert payload.size_bytes is None
    assert content(payload) == b"".join(map(_bytes_of, buffers))


@given(data=st.binary(max_size=200), start=st.integers(0, 250), most=st.integers(1, 50))
def test_streams_give_what_follows_their_position(
    data: bytes, start: int, most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "stream"
    path.write_bytes(data)
    for buffering in (0, -1):
        with open(path, "rb", buffering=buffering) as stream:
            stream.seek(start)
            payload = as_payload(stream)
            assert payload.size_bytes == max(0, len(data) - start)
            assert content(payload) == data[start:]
    for other in (io.BytesIO(data), Pipe(data, most), io.BufferedReader(Pipe(data, most))):
        payload = as_payload(other)
        assert payload.size_bytes is None
        assert content(payload) == data
    assert content(as_payload(str(path))) == content(as_payload(path)) == data
    assert as_payload(path).size_bytes == len(data)


def test_a_stream_with_nothing_but_read_is_enough() -> None:
    class OnlyRead:
        def __init__(self) -> None:
            self.left = [b"ab", b"c"]

        def read(self, size: int) -> bytes:
            assert 0 < size <= READ_BYTES
            return self.left.pop(0) if self.left else b""

    assert content(as_payload(OnlyRead())) == b"abc"  # type: ignore[arg-type]  # duck typing is the point


def test_a_stated_size_wins_over_what_is_seen(tmp_path: Path) -> None:
    """KVS-DIRECT-2: the prediction is what the bytes are counted against."""
    (tmp_path / "x").write_bytes(b"abc")
    for source in (b"abc", [b"abc"], str(tmp_path / "x"), io.BytesIO(b"abc")):
        assert as_payload(source, 9).size_bytes == 9
        assert as_payload(source, 0).size_bytes == 0


@pytest.mark.parametrize("size_bytes", [PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 2 * PIECE_BYTES_MAX])
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda data: [data], lambda data: [bytearray(data)]])
def test_large_buffers_are_split_without_copies(size_bytes: int, wrap: Callable[[bytes], Any]) -> None:
    source = wrap(bytes(size_bytes))
    tracemalloc.start()
    try:
        total = 0
        for piece in as_payload(source).pieces():
            assert 0 < len(piece) <= PIECE_BYTES_MAX
            total += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == size_bytes
    assert peak < 100_000


def test_a_file_is_read_through_one_buffer(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 64 * READ_BYTES)
    tracemalloc.start()
    try:
        total = sum(len(piece) for piece in as_payload(path).pieces())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 64 * READ_BYTES
    assert peak < 2 * READ_BYTES


@pytest.mark.parametrize("wrong", [5, None, 1.5, object()])
def test_what_is_no_payload_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match=type(wrong).__name__):
        as_payload(wrong)


@pytest.mark.parametrize("wrong", ["text", 7, None, [1, 2]])
def test_an_item_that_is_no_buffer_is_refused_with_its_type(wrong: Any) -> None:
    pieces = as_payload([b"good", wrong]).pieces()
    assert next(pieces) == b"good"
    with pytest.raises(TypeError, match=type(wrong).__name__):
        next(pieces)


def test_a_view_with_gaps_is_refused() -> None:
    with pytest.raises(TypeError):
        as_payload(memoryview(b"abcdef")[::2])


def test_only_regular_files_are_paths_of_payloads(tmp_path: Path) -> None:
    """A FIFO by its path would block for ever."""
    os.mkfifo(tmp_path / "fifo")
    before = descriptors()
    started = time.monotonic()
    for name, error in (("missing", FileNotFoundError), ("fifo", OSError), (".", OSError)):
        with pytest.raises(error):
            as_payload(tmp_path / name)
    assert time.monotonic() - started < 5
    assert descriptors() == before


def test_a_path_is_opened_when_it_is_read_and_closed_behind(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(3 * READ_BYTES))
    before = descriptors()
    payload = as_payload(path)
    assert descriptors() == before
    pieces = payload.pieces()
    next(pieces)
    assert descriptors() == before + 1
    del pieces  # given up in the middle
    assert descriptors() == before
    assert sum(map(len, payload.pieces())) == 3 * READ_BYTES
    assert descriptors() == before


def test_a_pipe_has_no_size_and_an_empty_one_in_non_blocking_mode_is_an_error() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering=0) as stream, open(writing, "wb", buffering=0) as other:
        payload = as_payload(stream)
        assert payload.size_bytes is None
        other.write(b"abc")
        pieces = payload.pieces()
        assert bytes(next(pieces)) == b"abc"
        with pytest.raises(BlockingIOError):
            next(pieces)


def test_the_producer_is_not_asked_before_its_time() -> None:
    asked: list[int] = []

    def produce() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"x"

    pieces = as_payload(produce()).pieces()
    assert asked == []
    next(pieces)
    assert asked == [0]


def test_a_stream_that_is_not_the_bytes_of_its_descriptor_has_no_known_size(tmp_path: Path) -> None:
    """gzip, bz2 and lzma files have a `fileno`; saving one fails with "was predicted as 43 bytes and goes on"."""
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb") as target:
        target.write(bytes(5000))
    with gzip.open(path, "rb") as stream:
        payload = as_payload(stream)
        assert payload.size_bytes in (None, 5000)
        assert content(payload) == bytes(5000)


def test_a_text_stream_is_refused() -> None:
    """`as_payload` promises a TypeError for anything else than a payload."""
    with pytest.raises(TypeError):
        as_payload(io.StringIO("text"))  # type: ignore[arg-type]  # that is the point
