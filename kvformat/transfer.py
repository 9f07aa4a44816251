"""Bytes into an open file: every count is checked, every short one continued (KVS-SAVE-3)."""

from __future__ import annotations

import errno

from kvformat.filesystem import Buffer, FileSystem

COPY_BYTES_MAX = 64 * 1024 * 1024
"""Largest range copied in one call: bounds the time to a checkpoint."""

FALLBACK_BYTES = 8 * 1024 * 1024
"""Size of a piece where the system cannot copy a range itself."""

_NO_COPY_RANGE = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EINVAL, errno.ENOSYS})
"""Errors by which copy_file_range(2) says that it cannot copy between these two files at all."""


class TransferError(Exception):
    """The save cannot go on, though no call of the system has failed: a write accepted nothing, a range ended early."""


class Transfer:
    """What a temp file is while it is written.

    `offset` counts the bytes written so far, `step` is the POSIX call under way (for the error).
    """

    __slots__ = ("_fd", "_fs", "_kernel_copies", "copied_by_kernel", "offset", "step")

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        self._fd = -1
        self._kernel_copies = True
        self.offset = 0
        self.step = "open"
        self.copied_by_kernel = False

    def write(self, data: Buffer) -> None:
        """Appends all of `data` (KVS-SAVE-3): a short count is continued, a count of 0 is an error."""
        self.step = "pwrite"
        size_bytes = len(data)
        accepted = self._fs.pwrite(self._fd, data, self.offset)
        if accepted == size_bytes:
            self.offset += accepted
            return
        view = memoryview(data)
        while True:
            if accepted <= 0:
                raise TransferError(f"the system accepted none of {len(view)} bytes and named no error")
            self.offset += accepted
            view = view[accepted:]
            if not view:
                return
            accepted = self._fs.pwrite(self._fd, view, self.offset)

    def patch(self, data: bytes, offset: int) -> None:
        """Overwrites bytes that were written before (KVS-BACKPATCH-3); `offset` stays where it was."""
        end, self.offset = self.offset, offset
        self.write(data)
        self.offset = end

    def skip(self, size_bytes: int) -> None:
        """Leaves a hole of `size_bytes`, to align a staged payload with its place in the entry (KVS-STAGED-2)."""
        self.offset += size_bytes

    def copy_some(self, source_fd: int, source_offset: int, size_bytes: int) -> int:
        """Copies a part of a range of an open file to the end of this one; returns the bytes copied.

        By copy_file_range(2) as long as the system can (it shares blocks where the file system has reflinks),
        else by reading and writing.
        """
        if self._kernel_copies:
            self.step = "copy_file_range"
            try:
                copied = self._fs.copy_range(
                    source_fd, self._fd, min(size_bytes, COPY_BYTES_MAX), source_offset, self.offset
                )
            except OSError as error:
                if error.errno not in _NO_COPY_RANGE:
                    raise
                copied = 0
            if copied > 0:
                self.copied_by_kernel = True
                self.offset += copied
                return copied
            # 0 is also what some file systems answer instead of an error: reading decides.
            self._kernel_copies = False
        self.step = "pread"
        data = self._fs.pread(source_fd, min(size_bytes, FALLBACK_BYTES), source_offset)
        if not data:
            raise TransferError(f"the source ended {size_bytes} bytes early")
        self.write(data)
        return len(data)
