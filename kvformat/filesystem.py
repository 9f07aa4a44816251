"""The port through which everything here changes a directory, and the real one over `os`.

A `FileSystem` is rooted at one directory. Names are relative to it, flat, and never followed
through a symbolic link. The methods are POSIX calls with POSIX meanings and raise OSError as those
do; `pwrite` and `copy_range` may accept fewer bytes than offered. Writer and store do all their
input and output through this port, so that whoever implements it (an in-memory file system, an
injector of faults) sees every step.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from dataclasses import dataclass
from typing import Protocol, Self

Buffer = bytes | bytearray | memoryview

CREATE_EXCLUSIVE = os.O_RDWR | os.O_CREAT | os.O_EXCL
"""Open flags of a new temp file; the name must not exist (KVS-TEMP-1)."""

_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# O_NONBLOCK: a FIFO that has the name of an entry must not hang whoever opens it (KVC-NAME-7).


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What stat(2) says, as far as it is used here. `mode` has type and permission bits."""

    inode: int
    size_bytes: int
    links: int
    mode: int
    modified_ns: int


class FileSystem(Protocol):
    """One directory and the POSIX calls that change it. See the module's text for the rules."""

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """openat(2) without following a symbolic link. Returns a descriptor."""

    def open_unnamed(self, mode: int = 0o600) -> int:
        """open(2) with O_TMPFILE: a file without a name. EOPNOTSUPP where the system has none."""

    def link_unnamed(self, fd: int, name: str) -> None:
        """linkat(2): gives the file behind `fd` its name. EEXIST where the name exists."""

    def dup(self, fd: int) -> int:
        """dup(2): a second descriptor of the same open file description (its lock included)."""

    def close(self, fd: int) -> None:
        """close(2). The descriptor is gone even where an error is raised."""

    def pread(self, fd: int, size_bytes: int, offset: int) -> bytes:
        """pread(2): up to `size_bytes`, empty at the end of the file."""

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        """pwrite(2): returns how many bytes were accepted."""

    def copy_range(
        self, source_fd: int, target_fd: int, size_bytes: int, source_offset: int, target_offset: int
    ) -> int:
        """copy_file_range(2): returns how many bytes were copied, 0 at the end of the source."""

    def chmod(self, fd: int, mode: int) -> None:
        """fchmod(2): the permission bits exactly, whatever the umask."""

    def sync(self, fd: int) -> None:
        """fsync(2), and on macOS F_FULLFSYNC: content and size reach the device (KVS-DURABLE-1)."""

    def sync_directory(self) -> None:
        """fsync(2) of the directory: its names reach the device (KVS-DURABLE-2)."""

    def rename(self, old: str, new: str) -> None:
        """rename(2) inside the directory; replaces `new` atomically."""

    def unlink(self, name: str) -> None:
        """unlink(2)."""

    def stat(self, name: str) -> FileStatus:
        """fstatat(2) of the name itself, not of what a symbolic link points to."""

    def fstat(self, fd: int) -> FileStatus:
        """fstat(2)."""

    def names(self) -> list[str]:
        """readdir(3): every name but "." and "..", in no particular order."""

    def try_lock(self, fd: int) -> bool:
        """flock(2) LOCK_EX | LOCK_NB: False where another open file description holds the lock."""

    def lock(self, fd: int) -> None:
        """flock(2) LOCK_EX: waits for the lock."""

    def unlock(self, fd: int) -> None:
        """flock(2) LOCK_UN: gives the lock up, also where a duplicate of the descriptor is still open."""


class OsFileSystem:
    """The real directory at `path`. It holds a descriptor of it: a renamed directory is still the same one.

    Raises OSError from the constructor where `path` is no directory or may not be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._dir_fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    def __repr__(self) -> str:
        return f"OsFileSystem({self.path!r})"

    def shut(self) -> None:
        """Gives the directory's descriptor back: what needs the directory fails with EBADF from here on.

        Descriptors of files are their openers' to close.
        """
        fd, self._dir_fd = self._dir_fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # A port that was never shut must not keep the descriptor for the life of the process.
        fd = getattr(self, "_dir_fd", -1)
        if fd >= 0:
            self._dir_fd = -1
            os.close(fd)

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """See `FileSystem.open`."""
        return os.open(name, flags | _ALWAYS, mode, dir_fd=self._dir_fd)

    def open_unnamed(self, mode: int = 0o600) -> int:
        """See `FileSystem.open_unnamed`. Also EOPNOTSUPP without /proc, which naming the file needs."""
        if not sys.platform.startswith("linux"):
            raise OSError(errno.EOPNOTSUPP, "this system has no O_TMPFILE")
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=self._dir_fd)
        if not os.path.lexists(f"/proc/self/fd/{fd}"):
            os.close(fd)
            raise OSError(errno.EOPNOTSUPP, "an unnamed file cannot be linked without /proc")
        return fd

    def link_unnamed(self, fd: int, name: str) -> None:
        """See `FileSystem.link_unnamed`; open(2), "O_TMPFILE", gives the /proc form used here."""
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=self._dir_fd)

    def dup(self, fd: int) -> int:
        """See `FileSystem.dup`."""
        return os.dup(fd)

    def close(self, fd: int) -> None:
        """See `FileSystem.close`."""
        os.close(fd)

    def pread(self, fd: int, size_bytes: int, offset: int) -> bytes:
        """See `FileSystem.pread`."""
        return os.pread(fd, size_bytes, offset)

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        """See `FileSystem.pwrite`."""
        return os.pwrite(fd, data, offset)

    def copy_range(
        self, source_fd: int, target_fd: int, size_bytes: int, source_offset: int, target_offset: int
    ) -> int:
        """See `FileSystem.copy_range`. EOPNOTSUPP where the system has no such call."""
        if not hasattr(os, "copy_file_range"):
            raise OSError(errno.EOPNOTSUPP, "this system has no copy_file_range")
        return os.copy_file_range(source_fd, target_fd, size_bytes, source_offset, target_offset)

    def chmod(self, fd: int, mode: int) -> None:
        """See `FileSystem.chmod`."""
        os.fchmod(fd, mode)

    def sync(self, fd: int) -> None:
        """See `FileSystem.sync`."""
        if sys.platform == "darwin":
            # fsync(2) on macOS leaves the data in the drive's cache; F_FULLFSYNC does not.
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)

    def sync_directory(self) -> None:
        """See `FileSystem.sync_directory`."""
        os.fsync(self._dir_fd)

    def rename(self, old: str, new: str) -> None:
        """See `FileSystem.rename`."""
        os.rename(old, new, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)

    def unlink(self, name: str) -> None:
        """See `FileSystem.unlink`."""
        os.unlink(name, dir_fd=self._dir_fd)

    def stat(self, name: str) -> FileStatus:
        """See `FileSystem.stat`."""
        return _status(os.stat(name, dir_fd=self._dir_fd, follow_symlinks=False))

    def fstat(self, fd: int) -> FileStatus:
        """See `FileSystem.fstat`."""
        return _status(os.fstat(fd))

    def names(self) -> list[str]:
        """See `FileSystem.names`."""
        # A descriptor of its own: listdir reads through a duplicate, whose position in the directory all duplicates
        # share, so that two threads would each see a part. It also makes a shut port fail: to listdir, -1 is no
        # descriptor but the working directory.
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._dir_fd)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def try_lock(self, fd: int) -> bool:
        """See `FileSystem.try_lock`."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def lock(self, fd: int) -> None:
        """See `FileSystem.lock`."""
        fcntl.flock(fd, fcntl.LOCK_EX)

    def unlock(self, fd: int) -> None:
        """See `FileSystem.unlock`."""
        fcntl.flock(fd, fcntl.LOCK_UN)


def _status(result: os.stat_result) -> FileStatus:
    return FileStatus(result.st_ino, result.st_size, result.st_nlink, result.st_mode, result.st_mtime_ns)
