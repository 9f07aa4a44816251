"""A file system in between: every call of the port passes through one hook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from faultinject.ops import Op
from kvformat.filesystem import Buffer, FileStatus, FileSystem

Result = TypeVar("Result")


class Interposed:
    """A file system that hands every call on to `inner` through one hook. Subclasses say what the hook does."""

    __slots__ = ()  # so that a subclass can have another base that has some

    _inner: FileSystem

    def __init__(self, inner: FileSystem) -> None:
        self._inner = inner  # type: ignore[misc] # a subclass has the slot

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        raise NotImplementedError

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """See `FileSystem.open`."""
        return self._call(Op.OPEN, self._inner.open, name, flags, mode)

    def open_unnamed(self, mode: int = 0o600) -> int:
        """See `FileSystem.open_unnamed`."""
        return self._call(Op.OPEN_UNNAMED, self._inner.open_unnamed, mode)

    def link_unnamed(self, fd: int, name: str) -> None:
        """See `FileSystem.link_unnamed`."""
        self._call(Op.LINK, self._inner.link_unnamed, fd, name)

    def dup(self, fd: int) -> int:
        """See `FileSystem.dup`."""
        return self._call(Op.DUP, self._inner.dup, fd)

    def close(self, fd: int) -> None:
        """See `FileSystem.close`."""
        self._call(Op.CLOSE, self._inner.close, fd)

    def pread(self, fd: int, size_bytes: int, offset: int) -> bytes:
        """See `FileSystem.pread`."""
        return self._call(Op.PREAD, self._inner.pread, fd, size_bytes, offset)

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        """See `FileSystem.pwrite`."""
        return self._call(Op.PWRITE, self._inner.pwrite, fd, data, offset)

    def copy_range(
        self, source_fd: int, target_fd: int, size_bytes: int, source_offset: int, target_offset: int
    ) -> int:
        """See `FileSystem.copy_range`."""
        return self._call(
            Op.COPY_RANGE, self._inner.copy_range, source_fd, target_fd, size_bytes, source_offset, target_offset
        )

    def chmod(self, fd: int, mode: int) -> None:
        """See `FileSystem.chmod`."""
        self._call(Op.CHMOD, self._inner.chmod, fd, mode)

    def sync(self, fd: int) -> None:
        """See `FileSystem.sync`."""
        self._call(Op.FSYNC, self._inner.sync, fd)

    def sync_directory(self) -> None:
        """See `FileSystem.sync_directory`."""
        self._call(Op.FSYNC_DIRECTORY, self._inner.sync_directory)

    def rename(self, old: str, new: str) -> None:
        """See `FileSystem.rename`."""
        self._call(Op.RENAME, self._inner.rename, old, new)

    def unlink(self, name: str) -> None:
        """See `FileSystem.unlink`."""
        self._call(Op.UNLINK, self._inner.unlink, name)

    def stat(self, name: str) -> FileStatus:
        """See `FileSystem.stat`."""
        return self._call(Op.STAT, self._inner.stat, name)

    def fstat(self, fd: int) -> FileStatus:
        """See `FileSystem.fstat`."""
        return self._call(Op.FSTAT, self._inner.fstat, fd)

    def names(self) -> list[str]:
        """See `FileSystem.names`."""
        return self._call(Op.READDIR, self._inner.names)

    def try_lock(self, fd: int) -> bool:
        """See `FileSystem.try_lock`."""
        return self._call(Op.FLOCK, self._inner.try_lock, fd)

    def lock(self, fd: int) -> None:
        """See `FileSystem.lock`."""
        self._call(Op.FLOCK, self._inner.lock, fd)

    def unlock(self, fd: int) -> None:
        """See `FileSystem.unlock`."""
        self._call(Op.FLOCK, self._inner.unlock, fd)
