"""One temporary file: unique, locked for as long as its writer lives, published or removed.

The protocol is spec/saving.md, "Temporary files" (KVS-TEMP) and "Publication" (KVS-SAVE).
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from enum import StrEnum

from kvformat.errors import CleanupFailure
from kvformat.filesystem import CREATE_EXCLUSIVE, Buffer, FileSystem

COPY_BYTES_MAX = 64 * 1024 * 1024
"""Largest range copied in one call: bounds the time to a checkpoint."""

FALLBACK_BYTES = 1024 * 1024
"""Size of a piece where the system cannot copy a range itself."""

_ATTEMPTS_MAX = 16
_TEMP_NAME = re.compile(r"\.kvc-(?:save|stage)-[0-9a-f]{32}\.tmp", re.ASCII)

NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EISDIR, errno.EINVAL, errno.ENOSYS, errno.ENOENT})
"""Errors by which open(2) says that it has no O_TMPFILE here (open(2), ERRORS; EISDIR: old kernels)."""

_NO_COPY_RANGE = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EINVAL, errno.ENOSYS})
"""Errors by which copy_file_range(2) says that it cannot copy between these two files at all."""


class TempKind(StrEnum):
    """Whether a temp file has a name while it is written (KVS-TEMP-5)."""

    AUTO = "auto"
    NAMED = "named"
    UNNAMED = "unnamed"


class Purpose(StrEnum):
    """What a temp file is for; it stands in its name (KVS-TEMP-1)."""

    SAVE = "save"
    STAGE = "stage"


class TransferError(Exception):
    """A write accepted nothing, or a range to copy ended early: the save cannot go on."""


def is_temp_name(name: str) -> bool:
    """Whether `name` is one that this protocol gives to temp files, and recovery may look at (KVS-TEMP-1)."""
    return _TEMP_NAME.fullmatch(name) is not None


def new_temp_name(purpose: Purpose) -> str:
    """A name that nobody else has: 128 random bits, so also across PID namespaces on one volume (KVS-TEMP-1)."""
    return f".kvc-{purpose}-{os.urandom(16).hex()}.tmp"


class TempFile:
    """A file on its way to publication. Not a context manager: its writer decides how it ends.

    `offset` counts the bytes written so far, `step` is the POSIX call under way (for the
    error), `visible` whether the content is now under its final name.
    """

    __slots__ = (
        "_fd",
        "_fs",
        "_kernel_copies",
        "_name",
        "_publishing",
        "copied_by_kernel",
        "offset",
        "purpose",
        "step",
        "visible",
    )

    def __init__(self, fs: FileSystem, purpose: Purpose) -> None:
        self._fs = fs
        self._fd = -1
        self._name: str | None = None
        self._publishing: str | None = None
        self._kernel_copies = True
        self.purpose = purpose
        self.offset = 0
        self.step = "open"
        self.visible = False
        self.copied_by_kernel = False

    @property
    def fd(self) -> int:
        """The open descriptor; it holds the lock."""
        return self._fd

    @property
    def unnamed(self) -> bool:
        """Whether the file has no name now."""
        return self._fd >= 0 and self._name is None and not self.visible

    def create(self, kind: TempKind, mode: int) -> None:
        """Creates and locks the file (KVS-TEMP-2, KVS-TEMP-3). Raises OSError."""
        if kind is not TempKind.NAMED:
            try:
                self._fd = self._fs.open_unnamed(mode)
            except OSError as error:
                if kind is TempKind.UNNAMED or error.errno not in NO_UNNAMED:
                    raise
            else:
                # Nobody can have it open: the lock is for the time after it gets a name.
                self.step = "flock"
                if not self._fs.try_lock(self._fd):
                    raise OSError(errno.EWOULDBLOCK, "a new unnamed file is already locked")
                return
        for _ in range(_ATTEMPTS_MAX):
            if self._create_named(mode):
                return
        raise OSError(errno.EEXIST, f"no free temp name in {_ATTEMPTS_MAX} attempts")

    def _create_named(self, mode: int) -> bool:
        name = new_temp_name(self.purpose)
        # Noted before the call: whatever interrupts it after the file exists, cleaning up knows the name.
        self._name = name
        self.step = "open"
        try:
            self._fd = self._fs.open(name, CREATE_EXCLUSIVE, mode)
        except FileExistsError:
            self._name = None  # somebody else's: never ours to remove
            return False
        # A recovery may have seen the new name before it is locked here. Then it holds the lock now, or
        # has removed the name already; either way this name is given up (KVS-TEMP-3).
        self.step = "flock"
        locked = self._fs.try_lock(self._fd)
        if locked and self._fs.fstat(self._fd).links:
            return True
        self.step = "close"
        fd, self._fd = self._fd, -1
        self._fs.close(fd)
        self._unlink()
        return False

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

    def finish(self, *, durable: bool) -> None:
        """Everything is written: syncs if told to, and closes a duplicate to learn of late write errors.

        close(2) is where NFS and quotas report them; the first descriptor stays, it holds the lock (KVS-SAVE-5).
        """
        if durable:
            self.step = "fsync"
            self._fs.sync(self._fd)
        self.step = "dup"
        duplicate = self._fs.dup(self._fd)
        self.step = "close"
        self._fs.close(duplicate)

    def publish(self, final: str, *, durable: bool) -> None:
        """Gives the file its final name, atomically, replacing what has it (KVS-SAVE-6)."""
        if self._name is None:
            name = new_temp_name(self.purpose)
            self._name = name
            self.step = "link"
            try:
                self._fs.link_unnamed(self._fd, name)
            except FileExistsError:
                self._name = None  # somebody else's: never ours to remove
                raise
        self.step = "rename"
        self._publishing = final
        self._fs.rename(self._name, final)
        self.visible = True
        self._name = None
        if durable:
            self.step = "fsync directory"
            self._fs.sync_directory()

    def release(self) -> None:
        """Closes the descriptor, and with it gives the lock up (KVS-SAVE-8)."""
        self.step = "close"
        fd, self._fd = self._fd, -1
        self._fs.close(fd)

    def remove(self) -> None:
        """Removes the file after use (a staged one, KVS-STAGED-3). Raises OSError; `abandon` may follow."""
        if self._name is not None:
            self.step = "unlink"
            self._unlink()
        self.release()

    def _unlink(self) -> None:
        name = self._name
        if name is not None:
            # No such name: an open that failed, or a recovery that was quicker. The aim is reached.
            with suppress(FileNotFoundError):
                self._fs.unlink(name)
            self._name = None

    def abandon(self) -> tuple[list[CleanupFailure], str | None, bool | None]:
        """After a failure: every step of cleaning up is tried, whatever the others do (KVS-FAIL-2).

        Returns what failed, the name that is left (None: none), and whether the content is visible
        (None: cannot be told).
        """
        failures: list[CleanupFailure] = []
        visible: bool | None = self.visible
        if self._publishing is not None and not self.visible:
            visible = self._look(self._publishing, failures)
            if visible:
                self._name = None
        if self._name is not None:
            name = self._name
            try:
                self._unlink()
            except BaseException as error:  # noqa: BLE001 - nothing may stop the remaining steps; it is reported
                failures.append(CleanupFailure("unlink", name, error))
                self._give_up_lock(failures)
        left = self._name
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                self._fs.close(fd)
            except BaseException as error:  # noqa: BLE001 - as above
                failures.append(CleanupFailure("close", left or "(unnamed)", error))
        return failures, left, visible

    def _give_up_lock(self, failures: list[CleanupFailure]) -> None:
        """What is left is a dead writer's: its lock goes even if a duplicate was left open (KVS-FAIL-3)."""
        try:
            if self._fd >= 0:
                self._fs.unlock(self._fd)
        except BaseException as error:  # noqa: BLE001 - as above
            failures.append(CleanupFailure("flock", self._name or "", error))

    def _look(self, final: str, failures: list[CleanupFailure]) -> bool | None:
        """rename(2) failed or was interrupted: which file has the final name now?"""
        try:
            return self._fs.stat(final).inode == self._fs.fstat(self._fd).inode
        except FileNotFoundError:
            return False
        except BaseException as error:  # noqa: BLE001 - as above
            failures.append(CleanupFailure("stat", final, error))
            return None
