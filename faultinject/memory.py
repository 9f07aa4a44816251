"""An in-memory file system behind kvformat's port: POSIX semantics, cheap snapshots, no copies of what is written.

It is the ground that sweeps run on: a file is a list of extents that share the writer's buffers, a snapshot
shares files until one side writes to them. tests/faultinject/test_memory.py holds it against the real one.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

from faultinject.memory_file import MemoryFile
from kvformat.filesystem import Buffer, FileStatus

NAME_BYTES_MAX = 255
"""NAME_MAX of the usual file systems."""

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


class _Open:
    """An open file description; duplicated descriptors share it, and its lock."""

    __slots__ = ("inode", "references", "writable")

    def __init__(self, inode: MemoryFile, writable: bool) -> None:
        self.inode = inode
        self.references = 1
        self.writable = writable


_OTHER_PROCESS = object()
"""Holder of a lock that belongs to no descriptor here."""


class MemoryFileSystem:
    """One directory in memory, as one process sees it. Implements `kvformat.filesystem.FileSystem`."""

    __slots__ = ("_fds", "_locks", "_names", "_next_fd", "_next_inode", "_owner", "now_ns")

    def __init__(self) -> None:
        self._names: dict[str, MemoryFile] = {}
        self._fds: dict[int, _Open] = {}
        self._locks: dict[int, object] = {}
        self._owner: object = object()
        self._next_fd = 3
        self._next_inode = 1
        self.now_ns = 0

    # What a test or a sweep needs, beside the port.

    def snapshot(self) -> MemoryFileSystem:
        """The directory as another process finds it when this one is killed now.

        Names and files stay, this process's descriptors and locks are gone, other processes' locks stay.
        """
        other = MemoryFileSystem.__new__(MemoryFileSystem)
        other._names = self._names.copy()
        other._fds = {}
        locks = self._locks
        other._locks = {n: holder for n, holder in locks.items() if holder is _OTHER_PROCESS} if locks else {}
        # Neither side may write in place any more to what both see now.
        self._owner = object()
        other._owner = object()
        other._next_fd = 3
        other._next_inode = self._next_inode
        other.now_ns = self.now_ns
        return other

    def put(self, name: str, content: Buffer, *, locked: bool = False) -> None:
        """Makes a file, as another process did before; `locked`: that process lives and holds its lock."""
        inode = self._new_inode(stat.S_IFREG | 0o600)
        inode.links = 1
        inode.extents = [(0, content)] if len(content) else []
        inode.size_bytes = len(content)
        inode.content = None
        inode.synced = len(inode.extents)
        self._names[name] = inode
        if locked:
            self._locks[inode.number] = _OTHER_PROCESS

    def adopt(self, name: str, file: MemoryFile) -> None:
        """Makes a file with the content of `file`, whose buffers are shared."""
        own = file.copy(self._owner)
        own.number = self._next_inode
        self._next_inode += 1
        own.links = 1
        own.synced = len(own.extents)
        self._names[name] = own

    @classmethod
    def holding(cls, files: Mapping[str, MemoryFile]) -> MemoryFileSystem:
        """A directory with these files, as a process finds it that starts now; a file is copied when it is changed."""
        fs = cls()
        fs._names = dict(files)
        fs._next_inode = max((file.number for file in files.values()), default=0) + 1
        return fs

    def lose_unsynced(self, fd: int, *, at_close: bool = False) -> None:
        """What a failed fsync(2) or close(2) means: data that was not synced before is lost (KVS-FAULT-3).

        at_close: what an earlier close has reported as good is not lost by a later one: on NFS, which reports so late,
        it is with the server (KVS-SAVE-5).
        """
        opened = self._fds.get(fd)
        if opened is None:
            return
        inode = opened.inode
        kept = max(inode.synced, inode.closed) if at_close else inode.synced
        if kept < len(inode.extents):
            self._own(inode).lose_from(kept)

    def put_special(self, name: str, mode: int) -> None:
        """Makes a name that is no regular file: S_IFLNK, S_IFDIR, S_IFIFO in `mode`."""
        inode = self._new_inode(mode)
        inode.links = 1
        self._names[name] = inode

    def write_inode(self, number: int | None, data: Buffer, offset: int) -> None:
        """Writes to the named file with that inode number; nothing where no name leads to it any more."""
        for inode in self._names.values():
            if inode.number == number:
                own = self._own(inode)
                own.extents.append((offset, data))
                own.sequential = own.sequential and offset >= own.size_bytes
                own.size_bytes = max(own.size_bytes, offset + len(data))
                own.content = own.equal_to = None
                return

    def contents(self) -> dict[str, bytes]:
        """Every name with its content."""
        return {name: inode.read_all() for name, inode in self._names.items()}

    def content(self, name: str) -> bytes | None:
        """The content under `name`, None where there is no such name."""
        inode = self._names.get(name)
        return None if inode is None else inode.read_all()

    def files(self) -> dict[str, MemoryFile]:
        """Every name with its file, as it is now; a file that was not written to is the same object later."""
        return dict(self._names)

    def open_descriptors(self) -> int:
        """How many descriptors this process has open: what it leaks if it thinks that it has none."""
        return len(self._fds)

    # The port.

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """See `FileSystem.open`."""
        inode = self._names.get(name)
        if inode is None:
            if not flags & os.O_CREAT:
                raise _error(errno.ENOENT, name)
            _check_name(name)
            inode = self._new_inode(stat.S_IFREG | mode)
            inode.links = 1
            self._names[name] = inode
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise _error(errno.EEXIST, name)
        elif not stat.S_ISREG(inode.mode):
            if stat.S_ISLNK(inode.mode):
                raise _error(errno.ELOOP, name)
            if stat.S_ISDIR(inode.mode) and (flags & _ACCESS or flags & os.O_CREAT):
                raise _error(errno.EISDIR, name)
        elif flags & os.O_TRUNC and flags & _ACCESS:
            inode = self._own(inode)
            inode.extents = []
            inode.synced = inode.closed = 0
            inode.size_bytes = 0
            inode.sequential = True
            inode.content = b""
            inode.equal_to = None
        return self._descriptor(_Open(inode, bool(flags & _ACCESS)))

    def open_unnamed(self, mode: int = 0o600) -> int:
        """See `FileSystem.open_unnamed`."""
        inode = self._new_inode(stat.S_IFREG | mode)
        inode.linkable = True
        return self._descriptor(_Open(inode, True))

    def link_unnamed(self, fd: int, name: str) -> None:
        """See `FileSystem.link_unnamed`."""
        inode = self._opened(fd).inode
        if name in self._names:
            raise _error(errno.EEXIST, name)
        _check_name(name)
        if not inode.links and not inode.linkable:
            raise _error(errno.ENOENT, name)  # its last name was removed: nothing brings it back
        inode = self._own(inode)
        inode.links += 1
        inode.linkable = False
        self._names[name] = inode

    def dup(self, fd: int) -> int:
        """See `FileSystem.dup`."""
        opened = self._opened(fd)
        opened.references += 1
        return self._descriptor(opened)

    def close(self, fd: int) -> None:
        """See `FileSystem.close`."""
        opened = self._opened(fd)
        opened.inode.closed = len(opened.inode.extents)
        del self._fds[fd]
        opened.references -= 1
        if not opened.references and self._locks.get(opened.inode.number) is opened:
            del self._locks[opened.inode.number]

    def pread(self, fd: int, size_bytes: int, offset: int) -> bytes:
        """See `FileSystem.pread`."""
        inode = self._opened(fd).inode
        if stat.S_ISDIR(inode.mode):
            raise _error(errno.EISDIR)
        return inode.read(size_bytes, offset)

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        """See `FileSystem.pwrite`."""
        opened = self._fds.get(fd)
        if opened is None or not opened.writable:
            raise _error(errno.EBADF)
        inode = opened.inode
        if inode.owner is not self._owner:
            inode = self._own(inode)
        size_bytes = len(data)
        if type(data) is not bytes and not (isinstance(data, memoryview) and type(data.obj) is bytes):
            data = bytes(data)  # the writer may reuse its buffer
        if size_bytes:
            inode.extents.append((offset, data))
            if offset < inode.size_bytes:
                inode.sequential = False
            inode.content = inode.equal_to = None
            inode.modified_ns = self.now_ns
            if offset + size_bytes > inode.size_bytes:
                inode.size_bytes = offset + size_bytes
        return size_bytes

    def copy_range(
        self, source_fd: int, target_fd: int, size_bytes: int, source_offset: int, target_offset: int
    ) -> int:
        """See `FileSystem.copy_range`. What is copied shares the source's buffers."""
        source = self._opened(source_fd).inode
        if not self._opened(target_fd).writable:
            raise _error(errno.EBADF)
        copied = 0
        for part in source.parts(size_bytes, source_offset):
            accepted = self.pwrite(target_fd, part, target_offset + copied)
            copied += accepted
            if accepted < len(part):
                break
        return copied

    def chmod(self, fd: int, mode: int) -> None:
        """See `FileSystem.chmod`."""
        inode = self._own(self._opened(fd).inode)
        inode.mode = stat.S_IFMT(inode.mode) | stat.S_IMODE(mode)

    def sync(self, fd: int) -> None:
        """See `FileSystem.sync`."""
        inode = self._opened(fd).inode
        inode.synced = len(inode.extents)

    def sync_directory(self) -> None:
        """See `FileSystem.sync_directory`."""

    def rename(self, old: str, new: str) -> None:
        """See `FileSystem.rename`."""
        inode = self._names.get(old)
        if inode is None:
            raise _error(errno.ENOENT, old)
        _check_name(new)
        replaced = self._names.get(new)
        if replaced is inode:
            return
        if replaced is not None:
            if stat.S_ISDIR(replaced.mode) and not stat.S_ISDIR(inode.mode):
                raise _error(errno.EISDIR, new)
            if stat.S_ISDIR(inode.mode) and not stat.S_ISDIR(replaced.mode):
                raise _error(errno.ENOTDIR, new)
            self._own(replaced).links -= 1
        del self._names[old]
        self._names[new] = inode

    def unlink(self, name: str) -> None:
        """See `FileSystem.unlink`."""
        inode = self._names.get(name)
        if inode is None:
            raise _error(errno.ENOENT, name)
        if stat.S_ISDIR(inode.mode):
            raise _error(errno.EISDIR, name)
        self._own(inode).links -= 1
        del self._names[name]

    def stat(self, name: str) -> FileStatus:
        """See `FileSystem.stat`."""
        inode = self._names.get(name)
        if inode is None:
            raise _error(errno.ENOENT, name)
        return FileStatus(inode.number, inode.size_bytes, inode.links, inode.mode, inode.modified_ns)

    def fstat(self, fd: int) -> FileStatus:
        """See `FileSystem.fstat`."""
        inode = self._opened(fd).inode
        return FileStatus(inode.number, inode.size_bytes, inode.links, inode.mode, inode.modified_ns)

    def names(self) -> list[str]:
        """See `FileSystem.names`."""
        return list(self._names)

    def try_lock(self, fd: int) -> bool:
        """See `FileSystem.try_lock`."""
        opened = self._opened(fd)
        holder = self._locks.setdefault(opened.inode.number, opened)
        return holder is opened

    def lock(self, fd: int) -> None:
        """See `FileSystem.lock`. Nobody else runs here: waiting for another's lock would never end."""
        if not self.try_lock(fd):
            raise _error(errno.EDEADLK)

    def unlock(self, fd: int) -> None:
        """See `FileSystem.unlock`."""
        opened = self._opened(fd)
        if self._locks.get(opened.inode.number) is opened:
            del self._locks[opened.inode.number]

    def _opened(self, fd: int) -> _Open:
        opened = self._fds.get(fd)
        if opened is None:
            raise _error(errno.EBADF)
        return opened

    def _descriptor(self, opened: _Open) -> int:
        fd = self._next_fd
        self._next_fd = fd + 1
        self._fds[fd] = opened
        return fd

    def _new_inode(self, mode: int) -> MemoryFile:
        number = self._next_inode
        self._next_inode = number + 1
        return MemoryFile(number, self._owner, mode)

    def _own(self, inode: MemoryFile) -> MemoryFile:
        """The file, writable in place: a copy takes its place here where a snapshot shares it."""
        if inode.owner is self._owner:
            return inode
        own = inode.copy(self._owner)
        for name, candidate in self._names.items():
            if candidate is inode:
                self._names[name] = own
        for opened in self._fds.values():
            if opened.inode is inode:
                opened.inode = own
        return own


def _check_name(name: str) -> None:
    if not name or "/" in name or name in (".", ".."):
        raise _error(errno.ENOENT, name)
    if len(os.fsencode(name)) > NAME_BYTES_MAX:
        raise _error(errno.ENAMETOOLONG, name)


def _error(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)
