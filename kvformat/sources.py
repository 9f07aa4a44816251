"""Where a reader's bytes come from: a descriptor, a stream that can seek, or one that cannot.

A `Source` is read at offsets from the start of the file. It never allocates more than it
has bytes for: what a file claims is not what it has (KVC-LIMIT-1).
"""

from __future__ import annotations

import errno
import io
import os
import stat
from abc import ABC, abstractmethod
from typing import BinaryIO, Protocol

from kvformat import identity, rules
from kvformat.errors import error_for

PIECE_BYTES = 256 * 1024
"""How much of a stream of unknown size is asked for at once."""

OpenSource = str | os.PathLike[str] | int | BinaryIO | io.RawIOBase
"""What `open_source` takes."""


class Source(Protocol):
    """Bytes at offsets. `size_bytes` is None as long as the end has not been seen."""

    name: str
    size_bytes: int | None
    seekable: bool

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """So many bytes from `offset` on; fewer only where the file ends before."""

    def readinto_at(self, view: memoryview, offset: int) -> int:
        """Fills `view` from `offset` on; returns how much, less only where the file ends before."""

    def reaches(self, offset: int) -> bool:
        """Whether the file has `offset` bytes. What cannot seek reads, and throws away, up to there."""

    def first_hole(self, start: int, end: int, /) -> tuple[int, int] | None:
        """The first run of [start, end) that has no data on the device; None also where that is not known."""

    def close(self) -> None:
        """Closes what the source opened or was given to close. More than once does no harm."""


def open_source(source: OpenSource, *, follow_symlinks: bool, close_source: bool) -> Source:
    """Opens a path, or wraps a descriptor or a binary stream, which stay open unless `close_source`.

    Raises IdentityMismatchError for a path or descriptor that is not of a regular file
    (KVC-NAME-7), OSError where the system does not open it, TypeError for other objects.
    """
    if isinstance(source, int):
        return DescriptorSource(source, f"<descriptor {source}>", owned=close_source)
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), follow_symlinks=follow_symlinks)
    if not callable(getattr(source, "read", None)):
        raise TypeError(f"neither a path, a descriptor nor a binary stream: {source!r}")
    seekable = getattr(source, "seekable", None)
    if seekable is not None and seekable():
        return StreamSource(source, owned=close_source)
    return PipeSource(source, owned=close_source)


def path_name(source: OpenSource) -> str | None:
    """The last part of a path, if that is a digest name; a file of another name has no identity to check."""
    if not isinstance(source, str | os.PathLike):
        return None
    name = os.path.basename(os.fspath(source))
    return name if identity.is_entry_name(name) else None


def _open_path(path: str, *, follow_symlinks: bool) -> Source:
    # Asked first, because merely opening some devices has effects; asked again of what was opened.
    if not stat.S_ISREG(os.stat(path, follow_symlinks=follow_symlinks).st_mode):
        raise error_for(rules.not_regular(os.path.basename(path)), path)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(path, flags if follow_symlinks else flags | os.O_NOFOLLOW)
    try:
        return DescriptorSource(fd, path, owned=True)
    except BaseException:
        os.close(fd)
        raise


class DescriptorSource:
    """A regular file, read with pread(2): the descriptor's own position is neither used nor moved."""

    seekable = True

    def __init__(self, fd: int, name: str, *, owned: bool) -> None:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise error_for(rules.not_regular(name), name)
        self.name = name
        self.size_bytes: int | None = status.st_size
        self._fd = fd
        self._owned = owned

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """See `Source`. The file may have been cut since it was opened; that is seen here."""
        fd = self._open_fd()
        left = _within(self.size_bytes, offset, size_bytes)
        data = os.pread(fd, left, offset)
        if len(data) == left:
            return data
        pieces = []
        while data:
            pieces.append(data)
            left -= len(data)
            offset += len(data)
            data = os.pread(fd, left, offset)
        return b"".join(pieces)

    def readinto_at(self, view: memoryview, offset: int) -> int:
        """See `Source`."""
        fd = self._open_fd()
        done = 0
        while done < len(view):
            got = os.preadv(fd, [view[done:]], offset + done)
            if got == 0:
                break
            done += got
        return done

    def reaches(self, offset: int) -> bool:
        """See `Source`."""
        return self.size_bytes is not None and offset <= self.size_bytes

    def first_hole(self, start: int, end: int, /) -> tuple[int, int] | None:
        """See `Source`. Only of a file that was opened here: lseek(2) moves the position of a shared one."""
        fd = self._open_fd()
        if not self._owned or not hasattr(os, "SEEK_HOLE") or start >= end:
            return None
        try:
            hole = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENXIO, errno.ENOTSUP):
                return None
            raise
        if hole >= end:
            return None
        try:
            data = os.lseek(fd, hole, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: no data behind the hole
                raise
            data = end
        return hole, min(data, end)

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise ValueError(f"{self.name} is closed")
        return self._fd

    def close(self) -> None:
        """See `Source`."""
        # The number may belong to another file from now on: it is forgotten, whoever closes it.
        fd, self._fd = self._fd, -1
        if self._owned and fd >= 0:
            os.close(fd)


class _Stream(ABC):
    """What the sources over a binary stream have in common."""

    def __init__(self, stream: BinaryIO | io.RawIOBase, *, owned: bool) -> None:
        self.name = _stream_name(stream)
        self.size_bytes: int | None = None
        self._stream = stream
        self._owned = owned

    @abstractmethod
    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """See `Source`."""

    def readinto_at(self, view: memoryview, offset: int) -> int:
        """See `Source`."""
        data = self.read_at(offset, len(view))
        view[: len(data)] = data
        return len(data)

    def first_hole(self, _start: int, _end: int, /) -> tuple[int, int] | None:
        """See `Source`. A stream has no word on holes."""
        return None

    def close(self) -> None:
        """See `Source`."""
        if self._owned:
            self._owned = False
            self._stream.close()


class StreamSource(_Stream):
    """A stream that can seek. The file starts at its position; the position moves."""

    seekable = True

    def __init__(self, stream: BinaryIO | io.RawIOBase, *, owned: bool) -> None:
        super().__init__(stream, owned=owned)
        self._start = stream.tell()
        self.size_bytes = max(0, stream.seek(0, os.SEEK_END) - self._start)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """See `Source`."""
        self._stream.seek(self._start + offset)
        return _read(self._stream, _within(self.size_bytes, offset, size_bytes))

    def reaches(self, offset: int) -> bool:
        """See `Source`."""
        return self.size_bytes is not None and offset <= self.size_bytes


class PipeSource(_Stream):
    """A stream that only goes forward. Asking for what has passed raises io.UnsupportedOperation."""

    seekable = False

    def __init__(self, stream: BinaryIO | io.RawIOBase, *, owned: bool) -> None:
        super().__init__(stream, owned=owned)
        self._position = 0

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """See `Source`."""
        if not self.reaches(offset):
            return b""
        data = _read(self._stream, size_bytes)
        self._advance(len(data), size_bytes)
        return data

    def reaches(self, offset: int) -> bool:
        """See `Source`."""
        if offset < self._position:
            raise io.UnsupportedOperation(
                f"{self.name} cannot go back to offset {offset}: parts are read in file order"
            )
        while self._position < offset and self.size_bytes is None:
            wanted = min(PIECE_BYTES, offset - self._position)
            self._advance(len(_read(self._stream, wanted)), wanted)
        return self._position == offset

    def _advance(self, got: int, wanted: int) -> None:
        self._position += got
        if got < wanted:
            self.size_bytes = self._position


def _within(total_bytes: int | None, offset: int, size_bytes: int) -> int:
    """How much of a request the file can have at most."""
    return size_bytes if total_bytes is None else max(0, min(size_bytes, total_bytes - offset))


def _read(stream: BinaryIO | io.RawIOBase, size_bytes: int) -> bytes:
    """So many bytes, fewer only at the end; asks for no more than a piece at once."""
    pieces: list[bytes] = []
    left = size_bytes
    while left > 0:
        piece = stream.read(min(left, PIECE_BYTES))
        if piece is None:
            raise BlockingIOError(errno.EAGAIN, f"{_stream_name(stream)} is non-blocking and has nothing to read")
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise TypeError(f"{_stream_name(stream)} gives {type(piece).__name__}, a binary stream gives bytes")
        if not piece:
            break
        pieces.append(bytes(piece))
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _stream_name(stream: BinaryIO | io.RawIOBase) -> str:
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) else "<stream>"
