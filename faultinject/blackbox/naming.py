"""Calls that name files, in the words of a trace: which names of the watched directories, and what comes with them."""

from __future__ import annotations

import os
import socket
import stat
import sys

from faultinject.blackbox.lookup import AT_FDCWD, Lookup, resolved, signed, unpacked
from faultinject.blackbox.state import Node, Roots, read_whole
from faultinject.blackbox.tracer import Stop
from faultinject.ops import Op, Operation

_AT_REMOVEDIR = 0x200
_AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
_RENAME_EXCHANGE = 2
_O_TMPFILE = 0o20000000
_ADDRESS_BYTES_MAX = 110  # struct sockaddr_un (unix(7))


class Naming:
    """Describes them. `outside`: files outside the watched directories that were opened for writing."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self.lookup = Lookup(roots)
        self.outside: set[str] = set()

    def open(self, stop: Stop, directory: int, address: int, flags: int) -> Operation | None:
        """open(2), openat(2), creat(2)."""
        exclusive = flags & (os.O_CREAT | os.O_EXCL) == os.O_CREAT | os.O_EXCL
        path = self._path(stop, (directory, address), follow=not flags & os.O_NOFOLLOW and not exclusive)
        if path is None:
            return None
        name = self._key(path)
        if name is None:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not path.startswith(("/dev/", "/proc/", "/sys/")):
                self.outside.add(path)
            return None
        if flags & _O_TMPFILE:
            return Operation(-1, Op.OPEN_UNNAMED, name, flags=flags, call=stop.call)
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            # Not there, or open already and without a name: what a link in /proc/PID/fd leads to.
            gone = path.endswith(" (deleted)") and not flags & os.O_CREAT
            return Operation(-1, Op.OPEN, None if gone else name, flags=flags, call=stop.call)
        # To open a FIFO waits for somebody at its other end.
        if not any(is_kind(mode) for is_kind in (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)):
            return None
        return Operation(-1, Op.OPEN, name, flags=flags, call=stop.call)

    def open2(self, stop: Stop) -> Operation | None:
        """openat2(2): its flags are in memory."""
        (flags,) = unpacked("Q", stop.task, stop.args[2])
        return self.open(stop, stop.args[0], stop.args[1], flags)

    def mknod(self, stop: Stop, directory: int, address: int, mode: int, device: int) -> Operation | None:
        """mknod(2): a regular file comes to be as by open; others have their mode as flags."""
        name = self._key(self._path(stop, (directory, address)))
        if name is None:
            return None
        if stat.S_IFMT(mode) in (0, stat.S_IFREG):
            return Operation(-1, Op.OPEN, name, flags=os.O_CREAT | os.O_EXCL, call="mknodat")
        numbers = Node.special(mode, _encoded(device)).data
        return Operation(-1, Op.MKNOD, name, data=numbers, flags=mode, call=stop.call)

    def bind(self, stop: Stop) -> Operation | None:
        """bind(2) of a socket to a path (unix(7))."""
        address, size_bytes = stop.args[1], min(stop.args[2] & 0xFFFFFFFF, _ADDRESS_BYTES_MAX)
        raw = stop.task.read(address, size_bytes)
        path = raw[2:].partition(b"\0")[0]  # an abstract name begins with a zero byte
        if int.from_bytes(raw[:2], sys.byteorder) != socket.AF_UNIX or not path:
            return None
        base = self.lookup.directory(stop.task, AT_FDCWD)
        if base is None:
            return None
        name = self._key(resolved(stop.task, base, os.fsdecode(path), follow=False))
        return None if name is None else Operation(-1, Op.MKNOD, name, flags=stat.S_IFSOCK | 0o777, call=stop.call)

    def rename(self, stop: Stop, old: tuple[int, int], new: tuple[int, int], flags: int = 0) -> Operation | None:
        """rename(2) and its kin. A file that comes from outside brings its content along."""
        source, replaced = self._path(stop, old), self._path(stop, new)
        name, target = self._key(source), self._key(replaced)
        if name is None and target is None:
            return None
        comes = replaced if target is None and flags & _RENAME_EXCHANGE else source
        inode = None if comes is None else inode_at(comes, follow=False)
        data = None if comes is None or (name is not None and comes is source) else _outside_content(comes)
        return Operation(-1, Op.RENAME, name, target, inode=inode, data=data, flags=flags, call=stop.call)

    def link(self, stop: Stop, old: tuple[int, int], new: tuple[int, int], flags: int = 0) -> Operation | None:
        """link(2), linkat(2), the ways by a descriptor included. A file from outside brings its content along."""
        name = self._key(self._path(stop, new))
        if name is None:
            return None
        source: str | None
        if flags & AT_EMPTY_PATH and not stop.task.read_string(old[1]):
            source, follow = f"/proc/{stop.task.tid}/fd/{signed(old[0])}", True
            watched = self.lookup.file(stop.task, old[0]) is not None
        else:
            follow = bool(flags & _AT_SYMLINK_FOLLOW)
            source = self._path(stop, old)  # an open file's link in /proc is followed by the kernel when we ask
            watched = self._key(self._path(stop, old, follow=follow)) is not None
        if source is None:
            return None
        data = None if watched else _outside_content(source)
        inode = inode_at(source, follow=follow)
        return Operation(-1, Op.LINK, name, inode=inode, data=data, flags=flags, call=stop.call)

    def symlink(self, stop: Stop, text: int, new: tuple[int, int]) -> Operation | None:
        """symlink(2)."""
        name = self._key(self._path(stop, new))
        if name is None:
            return None
        return Operation(-1, Op.SYMLINK, name, data=stop.task.read_string(text), call=stop.call)

    def named(
        self, stop: Stop, op: Op, directory: int, address: int, size_bytes: int = 0, *, follow: bool = True
    ) -> Operation | None:
        """Calls about one name: unlink, mkdir, rmdir, truncate, and changes of attributes."""
        name = self._key(self._path(stop, (directory, address), follow=follow))
        return None if name is None else Operation(-1, op, name, size_bytes=size_bytes, call=stop.call)

    def unlinkat(self, stop: Stop) -> Operation | None:
        """unlinkat(2)."""
        op = Op.RMDIR if stop.args[2] & _AT_REMOVEDIR else Op.UNLINK
        return self.named(stop, op, stop.args[0], stop.args[1], follow=False)

    def _path(self, stop: Stop, where: tuple[int, int], *, follow: bool = False) -> str | None:
        return self.lookup.path(stop.task, *where, follow=follow)

    def _key(self, path: str | None) -> str | None:
        return None if path is None else self.roots.key(path)


def _encoded(device: int) -> int:
    """A device number as stat(2) gives it; a program hands it to mknod(2) in 32 bits (makedev(3))."""
    return os.makedev(device >> 8 & 0xFFF, (device & 0xFF) | (device >> 12 & 0xFFF00))


def inode_at(path: str, *, follow: bool) -> int | None:
    """The inode number of a path, None where there is nothing; links in /proc stand for open files."""
    try:
        return os.stat(path, follow_symlinks=follow or path.startswith("/proc/")).st_ino
    except OSError:
        return None


def _outside_content(path: str) -> bytes | None:
    """What a file that is not watched brings along; None where it is no file or cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        return read_whole(descriptor, status.st_size) if stat.S_ISREG(status.st_mode) else None
    finally:
        os.close(descriptor)
