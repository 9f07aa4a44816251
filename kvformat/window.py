"""The payload of a file as a stream of its own."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from kvformat import layout, rules
from kvformat.errors import error_for
from kvformat.sources import Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class PayloadStream(io.RawIOBase):
    """Exactly the payload's bytes, never one of a section (KVC-PAYLOAD-1). Closing it closes nothing else.

    It can seek where the source can; a source that cannot is read in file order. Where the
    file ends inside the payload TruncatedError is raised, and nothing short is returned.
    """

    def __init__(self, source: Source, *, text_bytes: int, offset: int, size_bytes: int) -> None:
        super().__init__()
        self.size_bytes = size_bytes
        self._source = source
        self._text_bytes = text_bytes
        self._offset = offset
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Whether the source can seek."""
        return self._source.seekable

    def tell(self) -> int:
        """The position, in bytes from the start of the payload."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to a byte of the payload, from 0 on. Raises ValueError, on a pipe io.UnsupportedOperation."""
        self._check_open()
        if not self.seekable():
            raise io.UnsupportedOperation("the source of this payload cannot seek")
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}.get(whence)
        if base is None:
            raise ValueError(f"whence is {whence}, expected 0, 1 or 2")
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the start of the payload")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fills the buffer, up to the end of the payload. Raises TruncatedError (KVC-FILE-3)."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        view = view[: self._left(len(view))]
        if view:
            self._check_whole(self._source.readinto_at(view, self._offset + self._position), len(view))
        return len(view)

    def read(self, size: int | None = -1, /) -> bytes:
        """`size` bytes, all that is left for -1 or None. Raises TruncatedError (KVC-FILE-3)."""
        self._check_open()
        wanted = self._left(self.size_bytes if size is None or size < 0 else size)
        if not wanted:
            return b""
        data = self._source.read_at(self._offset + self._position, wanted)
        self._check_whole(len(data), wanted)
        return data

    def readall(self) -> bytes:
        """All that is left of the payload. Raises TruncatedError (KVC-FILE-3)."""
        return self.read()

    def _left(self, wanted: int) -> int:
        return layout.readable_bytes(wanted, self.size_bytes, self._position)

    def _check_whole(self, got: int, wanted: int) -> None:
        if got < wanted:
            end = self._offset + self._position + got
            raise error_for(rules.truncated(self._text_bytes, self.size_bytes, end), self._source.name)
        self._position += got

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the payload stream is closed")
