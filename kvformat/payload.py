"""Where a payload comes from: bytes, a file, a path, an iterable of buffers, or a range of a file of the store.

A payload is multi-GiB and is never held: it is handed on in pieces of at most PIECE_BYTES_MAX.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from kvformat.filesystem import Buffer

PIECE_BYTES_MAX = 8 * 1024 * 1024
"""Largest piece that is written at once: bounds the time to a checkpoint, and memory."""

READ_BYTES = 1024 * 1024
"""Size of the one buffer through which a file is read."""

PayloadSource = Buffer | str | os.PathLike[str] | BinaryIO | Iterable[Buffer]


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload as the writer takes it. `size_bytes` is None where it is not known beforehand."""

    size_bytes: int | None
    pieces: Callable[[], Iterator[Buffer]]


@dataclass(frozen=True, slots=True)
class Range:
    """Payload bytes that are already in an open file of the same file system (KVS-STAGED-2)."""

    fd: int
    offset: int
    size_bytes: int


def as_payload(source: PayloadSource, size_bytes: int | None = None) -> Payload:
    """Makes a Payload of whatever a caller has.

    `size_bytes` states the size of an iterable or stream whose size is predicted; it is
    checked against what arrives (KVS-DIRECT-2). Raises TypeError for anything else than
    PayloadSource, OSError where a path cannot be opened or is no regular file.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        view = memoryview(source).cast("B")
        whole: Buffer = source if isinstance(source, bytes) else view
        return Payload(view.nbytes if size_bytes is None else size_bytes, lambda: _split(whole))
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fspath(source), size_bytes)
    if isinstance(source, io.TextIOBase):
        raise TypeError(f"a payload is bytes, and {type(source).__name__} gives text; open the file in binary mode")
    if hasattr(source, "read"):
        stream = cast(BinaryIO, source)
        return Payload(_stream_bytes(stream) if size_bytes is None else size_bytes, lambda: _read(stream))
    if isinstance(source, Iterable):
        buffers = source
        return Payload(size_bytes, lambda: _each(buffers))
    raise TypeError(f"a payload is bytes, a path, a binary file or an iterable of buffers, not {type(source).__name__}")


def _from_path(path: str, size_bytes: int | None) -> Payload:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        # A FIFO or device has no size and would block here; whoever means it opens it and passes the stream.
        raise OSError(f"{path!r} is not a regular file; open it and pass the stream instead")

    def pieces() -> Iterator[Buffer]:
        with open(path, "rb", buffering=0) as stream:
            yield from _read(cast(BinaryIO, stream))

    return Payload(status.st_size if size_bytes is None else size_bytes, pieces)


def _stream_bytes(stream: BinaryIO) -> int | None:
    """Bytes from the position of `stream` to its end, None where it cannot be known.

    Only of what is known to hand on the bytes of its descriptor as they are. A stream that decompresses has a
    `fileno` too, that of the compressed file.
    """
    try:
        raw = stream.raw if isinstance(stream, (io.BufferedReader, io.BufferedRandom)) else stream
        if not isinstance(raw, io.FileIO):
            return None
        status = os.fstat(stream.fileno())
        if stat.S_ISREG(status.st_mode):
            return max(0, status.st_size - stream.tell())
    except (OSError, ValueError):
        pass  # closed, detached or not seekable: the size is not known, which is an answer
    return None


def _read(stream: BinaryIO) -> Iterator[Buffer]:
    """Reads to the end through one buffer. The yielded view is valid until the next step."""
    readinto = getattr(stream, "readinto", None)
    if readinto is None:
        while data := stream.read(READ_BYTES):
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"the payload's stream gave {type(data).__name__}, not bytes")
            yield data
        return
    buffer = memoryview(bytearray(READ_BYTES))
    while (count := readinto(buffer)) != 0:
        if count is None:
            raise BlockingIOError("the payload stream is in non-blocking mode and has no data")
        yield buffer[:count]


def _each(buffers: Iterable[Buffer]) -> Iterator[Buffer]:
    for buffer in buffers:
        if not isinstance(buffer, (bytes, bytearray, memoryview)):
            raise TypeError(f"the payload's iterable gave {type(buffer).__name__}, not a buffer of bytes")
        if isinstance(buffer, bytes) and len(buffer) <= PIECE_BYTES_MAX:
            if buffer:
                yield buffer
        else:
            yield from _split(buffer)


def _split(buffer: Buffer) -> Iterator[Buffer]:
    size_bytes = memoryview(buffer).nbytes
    if size_bytes <= PIECE_BYTES_MAX and isinstance(buffer, bytes):
        if buffer:
            yield buffer
        return
    view = memoryview(buffer).cast("B")
    for start in range(0, size_bytes, PIECE_BYTES_MAX):
        yield view[start : start + PIECE_BYTES_MAX]
