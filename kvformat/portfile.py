"""A file of a `FileSystem` as a binary stream, so that the reader works on every file system."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from kvformat.filesystem import FileStatus, FileSystem

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class PortFile(io.RawIOBase):
    """Read-only, seekable. `owned`: closing the stream closes `fd` too. Raises OSError as the port does.

    `name` is what errors call the file. Once closed it raises ValueError, whoever owns the descriptor: the number
    may be that of another file by then. `step` is the last POSIX call, for whoever tells of its failure.
    """

    def __init__(self, fs: FileSystem, fd: int, *, owned: bool, name: str = "<stream>") -> None:
        self.name = name
        self.step = "fstat"
        self._fs = fs
        self._fd = fd
        self._owned = owned
        self._position = 0

    def status(self) -> FileStatus:
        """What fstat(2) says of the file."""
        self._check_open()
        self.step = "fstat"
        return self._fs.fstat(self._fd)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Reads at the position; 0 at the end."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        self.step = "pread"
        data = self._fs.pread(self._fd, len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As io.IOBase.seek."""
        self._check_open()
        if whence == os.SEEK_SET:
            base = 0
        elif whence == os.SEEK_CUR:
            base = self._position
        elif whence == os.SEEK_END:
            base = self.status().size_bytes
        else:
            raise ValueError(f"seek with whence {whence}, which is none of SEEK_SET, SEEK_CUR, SEEK_END")
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the start of the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        self._check_open()
        return self._position

    def close(self) -> None:
        """Closes the descriptor, once, if it is the stream's own."""
        owned, self._owned = self._owned, False
        super().close()
        if owned:
            self._fs.close(self._fd)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.name} is closed")
