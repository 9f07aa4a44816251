"""Calls on descriptors after a fault, transfers left out, made on the model. Sources: the man page of each call."""

from __future__ import annotations

import errno
import os
import struct
from functools import partial

from faultinject.blackbox.descriptors import Descriptor, Kind
from faultinject.blackbox.point import Arguments
from faultinject.blackbox.seccomp import F_DUPFD, F_DUPFD_CLOEXEC, F_LOCKS, FICLONE, FICLONERANGE
from faultinject.blackbox.tail import DONE, Table, Tail
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.ops import Op

_SIZE_AT = 48
"""Where struct stat has the size, on all 64-bit machines that we know; struct statx has it elsewhere."""

_TCGETS = 0x5401
_F_SETFD, _F_GETFL = 2, 3


def _close(tail: Tail, arguments: Arguments) -> int:
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    if found.own:
        raise UnrewindableError("it closes a file that it has opened after the fault")
    error = tail.hit(Op.CLOSE) if found.watched else 0
    tail.close(arguments[0])
    return -error


def settle(tail: Tail, arguments: Arguments, op: Op) -> int:
    """Calls that change nothing that a model of the names and contents has."""
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    if not found.watched:
        raise UnrewindableError(f"it calls {op} for a file that is not watched")
    if op is Op.FSYNC and found.kind is Kind.DIRECTORY:
        op = Op.FSYNC_DIRECTORY
    if op is Op.FLOCK and found.shared:
        raise UnrewindableError("two descriptors stand for the file that it locks")
    return -tail.hit(op)


def _sync(tail: Tail, _: Arguments) -> int:
    return -tail.hit(Op.SYNC)


def _ftruncate(tail: Tail, arguments: Arguments) -> int:
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    if not found.watched:
        raise UnrewindableError("it truncates a file that is not watched")
    error = tail.hit(Op.TRUNCATE)
    if error:
        return -error
    if found.kind is Kind.DIRECTORY or found.flags & os.O_ACCMODE == os.O_RDONLY or arguments[1] >> 63:
        return -errno.EINVAL
    tail.overlay.file(found.identity).resize(arguments[1])
    return 0


def _fallocate(tail: Tail, arguments: Arguments) -> int:
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    if not found.watched:
        raise UnrewindableError("it allocates a file that is not watched")
    error = tail.hit(Op.FALLOCATE)
    if error:
        return -error
    raise UnrewindableError("it allocates a file after the fault")


def _unmodelled(tail: Tail, arguments: Arguments, op: Op, fd: int) -> int:
    """Calls whose effect is not modelled; where the fault lasts over them, they have none."""
    found = tail.descriptor(arguments[fd])
    if found is not None and found.watched:
        error = tail.hit(op)
        if error:
            return -error
    raise UnrewindableError(f"it calls {op} after the fault")


def _fcntl(tail: Tail, arguments: Arguments) -> int:
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    command = arguments[1] & 0xFFFFFFFF
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        return _copy(tail, found, arguments[2])
    if command in F_LOCKS:
        return settle(tail, arguments, Op.LOCK)
    if command == _F_SETFD:
        return 0  # it is about exec, and an exec after the fault is not modelled
    if command == _F_GETFL:
        return found.flags
    raise UnrewindableError(f"it calls fcntl with the command {command} after the fault")


def _dup(tail: Tail, arguments: Arguments) -> int:
    found = tail.descriptor(arguments[0])
    return -errno.EBADF if found is None else _copy(tail, found, 0)


def _copy(tail: Tail, found: Descriptor, lowest: int) -> int:
    error = tail.hit(Op.DUP) if found.watched else 0
    if error:
        return -error
    if found.own:
        raise UnrewindableError("it copies a descriptor that it has opened after the fault")
    if lowest > 1 << 16:
        raise UnrewindableError("it wants a descriptor of a large number")
    return tail.place(found, lowest)


def _ioctl(tail: Tail, arguments: Arguments) -> int:
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    request = arguments[1] & 0xFFFFFFFF
    if request in (FICLONE, FICLONERANGE) and found.watched:
        return _unmodelled(tail, arguments, Op.CLONE, 0)
    if request == _TCGETS and found.kind is not Kind.OTHER:
        return -errno.ENOTTY
    if request == _TCGETS and found.real >= 0:
        tail.really(0, found.real)
        return DONE
    raise UnrewindableError(f"it calls ioctl with the request {request:#x} after the fault")


def fstat(tail: Tail, arguments: Arguments) -> int:
    """What a descriptor stands for; of a file that has changed, the size is put right."""
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    if found.real < 0:
        raise UnrewindableError("it looks at a file that it has opened after the fault")
    if found.kind is not Kind.FILE or not tail.overlay.touches(found.identity):
        tail.really(0, found.real)
        return DONE
    if any(name in tail.overlay.names for name in tail.point.base.links(found.identity)):
        raise UnrewindableError("it looks at a file that has got another name after the fault")
    if not tail.really(0, found.real):
        tail.write(arguments[1] + _SIZE_AT, struct.pack("q", tail.overlay.look(found.identity).size_bytes))
    return DONE


TABLE: Table = {
    "close": _close,
    "fsync": partial(settle, op=Op.FSYNC),
    "fdatasync": partial(settle, op=Op.FDATASYNC),
    "sync_file_range": partial(settle, op=Op.SYNC_RANGE),
    "syncfs": partial(settle, op=Op.SYNC),
    "sync": _sync,
    "fchmod": partial(settle, op=Op.CHMOD),
    "flock": partial(settle, op=Op.FLOCK),
    "ftruncate": _ftruncate,
    "fallocate": _fallocate,
    "sendfile": partial(_unmodelled, op=Op.SENDFILE, fd=0),
    "copy_file_range": partial(_unmodelled, op=Op.COPY_RANGE, fd=2),
    "splice": partial(_unmodelled, op=Op.SPLICE, fd=2),
    "fcntl": _fcntl,
    "dup": _dup,
    "ioctl": _ioctl,
    "fstat": fstat,
}
"""What is done for each of these calls."""
