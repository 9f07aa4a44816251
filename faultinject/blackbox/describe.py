"""Says what a stopped system call is about to do to the watched directories, in the words of a trace.

Names are resolved as the kernel does it, in the view of the task that calls; descriptors are looked up in
/proc/PID/fd, so that it does not matter how a task has come by them. A call that touches nothing watched is no
operation.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from faultinject.blackbox.lookup import AT_FDCWD, signed, unpacked
from faultinject.blackbox.naming import AT_EMPTY_PATH, Naming, inode_at
from faultinject.blackbox.seccomp import F_LOCKS, FICLONE, FICLONERANGE
from faultinject.blackbox.tracer import Stop, Task
from faultinject.blackbox.tree import CLONE_WHOLE
from faultinject.blackbox.vector import pieces
from faultinject.ops import Op, Operation

_AT_SYMLINK_NOFOLLOW = 0x100
_RWF_APPEND, _RWF_NOAPPEND = 0x10, 0x20
_OWN_OFFSET = (1 << 64) - 1
_APPENDING = frozenset({Op.WRITE, Op.PWRITE, Op.WRITEV, Op.PWRITEV})
"""Transfers that go to the end of a file opened to append; the others refuse such a file."""

_ABOUT_TO_FAIL = frozenset({errno.EFAULT, errno.EIO, errno.ENAMETOOLONG, errno.ENOENT, errno.ESRCH})
"""What looking at arguments says where they point nowhere, as the call itself will, or where the task has died."""

REFUSED = frozenset(
    {"io_uring_setup", "io_setup", "open_by_handle_at", "chroot", "pivot_root", "mount", "move_mount"}
)  # fmt: skip
"""Calls behind which writes could not be seen, or names would mean something else.

They are answered ENOSYS (KVS-AUDIT-1): programs then use calls that can be seen.
"""


class Describer(Naming):
    """Turns stops into operations."""

    def describe(self, stop: Stop) -> Operation | None:
        """The operation without its place in the trace and its result; None where nothing watched is touched."""
        method = _TABLE.get(stop.call)
        if method is None:
            return None
        try:
            return method(self, stop)
        except OSError as error:
            if error.errno not in _ABOUT_TO_FAIL:
                raise
            return None

    def completed(self, operation: Operation, stop: Stop, result: int) -> Operation:
        """The same with its result and the bytes that have arrived; the task must be stopped at the end of the call.

        Raises OSError where the bytes cannot be read back.
        """
        if result < 0:
            return replace(operation, error=-result)
        if operation.op.transfers:
            return replace(operation, result=result, data=self._arrived(operation, stop, result))
        if operation.op is Op.CLONE:
            file = f"/proc/{stop.task.tid}/fd/{operation.fd}"
            size_bytes = operation.size_bytes or os.stat(file).st_size
            data = self.lookup.content(stop.task, operation.fd, operation.offset or 0, size_bytes)
            return replace(operation, result=len(data), data=data)
        if operation.op in (Op.SYMLINK, Op.MKNOD) or operation.call == "mknodat":
            made = None if operation.name is None else inode_at(self.roots.path(operation.name), follow=False)
            return replace(operation, result=result, inode=made)
        if operation.op in (Op.OPEN, Op.OPEN_UNNAMED):
            return replace(operation, result=result, fd=result, inode=self.file_behind(stop.task, result))
        return replace(operation, result=result)

    def file_behind(self, task: Task, fd: int) -> int | None:
        """The inode behind a descriptor, None where that is no watched file."""
        file = self.lookup.file(task, fd)
        return None if file is None else file.inode

    def _arrived(self, operation: Operation, stop: Stop, size_bytes: int) -> bytes:
        if stop.call in ("write", "pwrite64"):
            return stop.task.read(stop.args[1], size_bytes)
        if operation.op in (Op.WRITEV, Op.PWRITEV):
            return b"".join(stop.task.read(address, length) for address, length in pieces(stop, size_bytes))
        return self.lookup.content(stop.task, operation.fd, operation.offset or 0, size_bytes)

    def attributes_at(self, stop: Stop, op: Op, flags: int = 0) -> Operation | None:
        """fchmodat, fchownat, utimensat: without a path they are about the descriptor."""
        if not stop.args[1] or (flags & AT_EMPTY_PATH and not stop.task.read_string(stop.args[1])):
            return self.on(stop, op, stop.args[0])
        follow = not flags & _AT_SYMLINK_NOFOLLOW
        return self.named(stop, op, stop.args[0], stop.args[1], follow=follow)

    # Calls on descriptors

    def on(self, stop: Stop, op: Op, fd: int, **fields: Any) -> Operation | None:
        """A call on a descriptor, about the whole file."""
        file = self.lookup.file(stop.task, fd)
        if file is None:
            return None
        if op is Op.FSYNC and file.is_directory:
            op = Op.FSYNC_DIRECTORY
        operation = Operation(-1, op, file.name, fd=signed(fd), inode=file.inode, call=stop.call)
        return replace(operation, **fields) if fields else operation

    def transfer(
        self, stop: Stop, op: Op, size_bytes: int, offset: int | None = None, *, fd: int = 0, flags: int = 0
    ) -> Operation | None:
        """A transfer from or to the file that argument `fd` is open on, at `offset` or where the descriptor stands.

        flags: of pwritev2(2). A file opened to append is written at its end, whatever the offset (pwrite(2), BUGS).
        """
        file = self.lookup.file(stop.task, stop.args[fd])
        if file is None:
            return None
        number = signed(stop.args[fd])
        if offset is None or op in _APPENDING:
            opened, position = self.lookup.position(stop.task, number)
            appends = (opened & os.O_APPEND or flags & _RWF_APPEND) and not flags & _RWF_NOAPPEND
            if op in _APPENDING and appends:
                offset = os.stat(f"/proc/{stop.task.tid}/fd/{number}").st_size
            elif offset is None:
                offset = position
        return Operation(-1, op, file.name, None, number, file.inode, offset, size_bytes, call=stop.call)

    def vectored(self, stop: Stop, op: Op, *, positioned: bool, flags: int = 0) -> Operation | None:
        """writev(2), readv(2) and their kin; an offset of -1 stands for the descriptor's own."""
        if self.lookup.file(stop.task, stop.args[0]) is None:
            return None
        size_bytes = sum(length for _, length in pieces(stop))
        offset = stop.args[3] if positioned and stop.args[3] != _OWN_OFFSET else None
        return self.transfer(stop, op, size_bytes, offset, flags=flags)

    def copy(self, stop: Stop, op: Op, fd: int, offset_address: int, size_bytes: int) -> Operation | None:
        """sendfile(2), splice(2), copy_file_range(2): into the file that argument `fd` is open on."""
        if self.lookup.file(stop.task, stop.args[fd]) is None:
            return None
        offset = None
        if offset_address:
            (offset,) = unpacked("q", stop.task, offset_address)
        return self.transfer(stop, op, size_bytes, offset, fd=fd)

    def ioctl(self, stop: Stop) -> Operation | None:
        """ioctl(2), FICLONE and FICLONERANGE."""
        request = stop.args[1] & 0xFFFFFFFF
        if request == FICLONE:
            return self.on(stop, Op.CLONE, stop.args[0], flags=CLONE_WHOLE, offset=0)
        if request == FICLONERANGE:
            _, _, length, offset = unpacked("qQQQ", stop.task, stop.args[2])
            return self.on(stop, Op.CLONE, stop.args[0], offset=offset, size_bytes=length)
        return None

    def fcntl(self, stop: Stop) -> Operation | None:
        """fcntl(2): record locks, and copies of descriptors; no other form of it is trapped."""
        command = stop.args[1] & 0xFFFFFFFF
        if command in F_LOCKS:
            return self.on(stop, Op.LOCK, stop.args[0])
        return self.on(stop, Op.DUP, stop.args[0])

    def mmap(self, stop: Stop) -> Operation | None:
        """mmap(2) of a file for shared writing: from here on stores change it that no call shows."""
        protection, flags = stop.args[2], stop.args[3]
        if not protection & 0x2 or flags & 0xF not in (1, 3) or flags & 0x20:  # PROT_WRITE, MAP_SHARED*, MAP_ANONYMOUS
            return None
        return self.on(stop, Op.MMAP, stop.args[4], offset=stop.args[5], size_bytes=stop.args[1])

    def msync(self, stop: Stop) -> Operation | None:
        """msync(2), where a watched file is mapped at the address."""
        name = self.lookup.mapped_name(stop.task, stop.args[0])
        if name is None:
            return None
        return Operation(-1, Op.MSYNC, name, size_bytes=stop.args[1], flags=stop.args[2], call=stop.call)


_Method = Callable[[Describer, Stop], Operation | None]


def _by_name(op: Op, *, size: int | None = None, follow: bool = True) -> _Method:
    """The first argument is a path. size: which argument is a number of bytes."""

    def method(describer: Describer, stop: Stop) -> Operation | None:
        size_bytes = 0 if size is None else stop.args[size]
        return describer.named(stop, op, AT_FDCWD, stop.args[0], size_bytes, follow=follow)

    return method


def _by_fd(op: Op, fd: int = 0, **fields: int) -> _Method:
    """fields: which argument has which field of the operation."""

    def method(describer: Describer, stop: Stop) -> Operation | None:
        return describer.on(stop, op, stop.args[fd], **{name: stop.args[place] for name, place in fields.items()})

    return method


_TABLE: dict[str, _Method] = {
    "open": lambda d, s: d.open(s, AT_FDCWD, s.args[0], s.args[1]),
    "creat": lambda d, s: d.open(s, AT_FDCWD, s.args[0], os.O_CREAT | os.O_WRONLY | os.O_TRUNC),
    "openat": lambda d, s: d.open(s, s.args[0], s.args[1], s.args[2]),
    "openat2": lambda d, s: d.open2(s),
    "mknod": lambda d, s: d.mknod(s, AT_FDCWD, s.args[0], s.args[1], s.args[2]),
    "mknodat": lambda d, s: d.mknod(s, s.args[0], s.args[1], s.args[2], s.args[3]),
    "bind": lambda d, s: d.bind(s),
    "rename": lambda d, s: d.rename(s, (AT_FDCWD, s.args[0]), (AT_FDCWD, s.args[1])),
    "renameat": lambda d, s: d.rename(s, (s.args[0], s.args[1]), (s.args[2], s.args[3])),
    "renameat2": lambda d, s: d.rename(s, (s.args[0], s.args[1]), (s.args[2], s.args[3]), s.args[4]),
    "link": lambda d, s: d.link(s, (AT_FDCWD, s.args[0]), (AT_FDCWD, s.args[1])),
    "linkat": lambda d, s: d.link(s, (s.args[0], s.args[1]), (s.args[2], s.args[3]), s.args[4]),
    "symlink": lambda d, s: d.symlink(s, s.args[0], (AT_FDCWD, s.args[1])),
    "symlinkat": lambda d, s: d.symlink(s, s.args[0], (s.args[1], s.args[2])),
    "unlink": _by_name(Op.UNLINK, follow=False),
    "unlinkat": lambda d, s: d.unlinkat(s),
    "rmdir": _by_name(Op.RMDIR, follow=False),
    "mkdir": _by_name(Op.MKDIR, follow=False),
    "mkdirat": lambda d, s: d.named(s, Op.MKDIR, s.args[0], s.args[1], follow=False),
    "truncate": _by_name(Op.TRUNCATE, size=1),
    "chmod": _by_name(Op.CHMOD),
    "fchmodat": lambda d, s: d.attributes_at(s, Op.CHMOD),
    "fchmodat2": lambda d, s: d.attributes_at(s, Op.CHMOD, s.args[3]),
    "chown": _by_name(Op.CHOWN),
    "lchown": _by_name(Op.CHOWN, follow=False),
    "fchownat": lambda d, s: d.attributes_at(s, Op.CHOWN, s.args[4]),
    "utime": _by_name(Op.UTIMENS),
    "utimes": _by_name(Op.UTIMENS),
    "futimesat": lambda d, s: d.attributes_at(s, Op.UTIMENS),
    "utimensat": lambda d, s: d.attributes_at(s, Op.UTIMENS, s.args[3]),
    "setxattr": _by_name(Op.SETXATTR),
    "lsetxattr": _by_name(Op.SETXATTR, follow=False),
    "removexattr": _by_name(Op.SETXATTR),
    "lremovexattr": _by_name(Op.SETXATTR, follow=False),
    "fsetxattr": _by_fd(Op.SETXATTR),
    "fremovexattr": _by_fd(Op.SETXATTR),
    "fchmod": _by_fd(Op.CHMOD),
    "fchown": _by_fd(Op.CHOWN),
    "close": _by_fd(Op.CLOSE),
    "dup": _by_fd(Op.DUP),
    "dup2": _by_fd(Op.DUP),
    "dup3": _by_fd(Op.DUP),
    "fcntl": lambda d, s: d.fcntl(s),
    "flock": _by_fd(Op.FLOCK),
    "fsync": _by_fd(Op.FSYNC),
    "fdatasync": _by_fd(Op.FDATASYNC),
    "sync_file_range": _by_fd(Op.SYNC_RANGE, offset=1, size_bytes=2),
    "syncfs": _by_fd(Op.SYNC),
    "sync": lambda _, s: Operation(-1, Op.SYNC, call=s.call),
    "ftruncate": _by_fd(Op.TRUNCATE, size_bytes=1),
    "fallocate": _by_fd(Op.FALLOCATE, flags=1, offset=2, size_bytes=3),
    "read": lambda d, s: d.transfer(s, Op.READ, s.args[2]),
    "pread64": lambda d, s: d.transfer(s, Op.PREAD, s.args[2], s.args[3]),
    "readv": lambda d, s: d.vectored(s, Op.READ, positioned=False),
    "preadv": lambda d, s: d.vectored(s, Op.PREAD, positioned=True),
    "preadv2": lambda d, s: d.vectored(s, Op.PREAD, positioned=True),
    "write": lambda d, s: d.transfer(s, Op.WRITE, s.args[2]),
    "pwrite64": lambda d, s: d.transfer(s, Op.PWRITE, s.args[2], s.args[3]),
    "writev": lambda d, s: d.vectored(s, Op.WRITEV, positioned=False),
    "pwritev": lambda d, s: d.vectored(s, Op.PWRITEV, positioned=True),
    "pwritev2": lambda d, s: d.vectored(s, Op.PWRITEV, positioned=True, flags=s.args[5]),
    "sendfile": lambda d, s: d.copy(s, Op.SENDFILE, 0, 0, s.args[3]),
    "copy_file_range": lambda d, s: d.copy(s, Op.COPY_RANGE, 2, s.args[3], s.args[4]),
    "splice": lambda d, s: d.copy(s, Op.SPLICE, 2, s.args[3], s.args[4]),
    "ioctl": lambda d, s: d.ioctl(s),
    "mmap": lambda d, s: d.mmap(s),
    "msync": lambda d, s: d.msync(s),
    "exit_group": lambda _, s: Operation(-1, Op.EXIT, result=s.args[0] & 0xFF, call=s.call),
}

CALLS = frozenset(_TABLE) | REFUSED
"""What is trapped."""
