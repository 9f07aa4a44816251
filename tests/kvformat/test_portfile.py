"""A file of the port as a stream, held against io.BytesIO."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from kvformat.filesystem import OsFileSystem
from kvformat.portfile import PortFile
from tests.kvformat.saving import Failing, descriptors

DATA = bytes(range(50))


def opened(*, owned: bool = True) -> tuple[MemoryFileSystem, PortFile]:
    fs = MemoryFileSystem()
    fs.put("x", DATA)
    return fs, PortFile(fs, fs.open("x", os.O_RDONLY), owned=owned)


_STEPS = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 60)),
    st.tuples(st.just("readinto"), st.integers(0, 60)),
    st.tuples(st.just("seek"), st.integers(-70, 70), st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END])),
    st.tuples(st.just("readall")),
    st.tuples(st.just("tell")),
)


def _do(stream: io.RawIOBase | io.BytesIO, step: tuple[Any, ...]) -> object:
    match step:
        case ("readinto", size):
            buffer = bytearray(size)
            count = stream.readinto(buffer)
            return count, bytes(buffer)
        case ("readall",):
            return stream.read(-1)
        case (name, *arguments):
            try:
                return getattr(stream, name)(*arguments)
            except (ValueError, OSError):
                return "refused"
    raise AssertionError(step)


@given(steps=st.lists(_STEPS, max_size=12))
def test_it_behaves_as_a_stream_of_bytes_in_memory(steps: list[tuple[Any, ...]]) -> None:
    """The position before the start of the file is refused and changes nothing."""
    _, stream = opened()
    twin = io.BytesIO(DATA)
    for step in steps:
        if step[0] == "seek":
            base = {os.SEEK_SET: 0, os.SEEK_CUR: twin.tell(), os.SEEK_END: len(DATA)}[step[2]]
            if base + step[1] < 0:
                with pytest.raises(ValueError, match="before the start"):
                    stream.seek(*step[1:])
                continue
        assert _do(stream, step) == _do(twin, step), step
        assert stream.tell() == twin.tell()
    stream.close()


@pytest.mark.parametrize("owned", [True, False])
def test_the_descriptor_is_closed_once_and_only_if_it_is_its_own(owned: bool) -> None:
    fs, stream = opened(owned=owned)
    with stream:
        assert stream.readable()
        assert stream.seekable()
        assert not stream.writable()
    stream.close()
    assert fs.open_descriptors() == (0 if owned else 1)


def test_a_forgotten_stream_gives_its_descriptor_back(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    with OsFileSystem(tmp_path) as fs:
        before = descriptors()
        stream = PortFile(fs, fs.open("x", os.O_RDONLY), owned=True)
        assert descriptors() == before + 1
        del stream
        assert descriptors() == before


def test_status_is_that_of_the_file() -> None:
    fs, stream = opened()
    assert stream.status() == fs.stat("x")


def test_errors_of_the_port_come_through_and_the_close_is_done() -> None:
    """An error of close(2) is an error; the descriptor is gone all the same."""
    fs, _ = opened()
    failing = Failing(
        fs, lambda op, _: OSError(errno.EIO, f"{op} failed") if op in (Op.PREAD, Op.CLOSE, Op.FSTAT) else None
    )
    before = fs.open_descriptors()
    stream = PortFile(failing, fs.open("x", os.O_RDONLY), owned=True)
    with pytest.raises(OSError, match="pread failed"):
        stream.read(1)
    with pytest.raises(OSError, match="fstat failed"):
        stream.seek(0, os.SEEK_END)
    with pytest.raises(OSError, match="close failed"):
        stream.close()
    assert stream.closed
    stream.close()
    assert fs.open_descriptors() == before


@pytest.mark.parametrize("call", ["read", "readinto", "seek", "tell", "status"])
def test_a_closed_stream_reads_nothing(call: str, tmp_path: Path) -> None:
    """KVC-LOOKUP-2 "checks and use go through one open file": here the use would be of another entry's bytes."""
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "other").write_bytes(b"other entry")
    with OsFileSystem(tmp_path) as fs:
        stream = PortFile(fs, fs.open("mine", os.O_RDONLY), owned=True)
        stream.close()
        fd = fs.open("other", os.O_RDONLY)
        calls = {
            "read": lambda: stream.read(5),
            "readinto": lambda: stream.readinto(bytearray(5)),
            "seek": lambda: stream.seek(0, os.SEEK_END),
            "tell": stream.tell,
            "status": stream.status,
        }
        try:
            with pytest.raises((ValueError, OSError)):
                calls[call]()
        finally:
            fs.close(fd)


def test_an_unknown_whence_is_refused() -> None:
    _, stream = opened()
    with pytest.raises((ValueError, OSError)):
        stream.seek(0, 7)
