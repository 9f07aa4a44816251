"""A file of a `FileSystem` as a binary stream, so that the reader works on every file system."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from kvformat.filesystem import FileStatus, FileSystem

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class PortFile(io.RawIOBase):
    """Read-only, seekable. `owned`: closing the stream closes `fd` too. Raises OSError as the port does."""

    def __init__(self, fs: FileSystem, fd: int, *, owned: bool) -> None:
        self._fs = fs
        self._fd = fd
        self._owned = owned
        self._position = 0

    def status(self) -> FileStatus:
        """What fstat(2) says of the file."""
        return self._fs.fstat(self._fd)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Reads at the position; 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = self._fs.pread(self._fd, len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As io.IOBase.seek."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        if base is None:
            base = self._fs.fstat(self._fd).size_bytes
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the start of the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def close(self) -> None:
        """Closes the descriptor, once, if it is the stream's own."""
        owned, self._owned = self._owned, False
        super().close()
        if owned:
            self._fs.close(self._fd)
