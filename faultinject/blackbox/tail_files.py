"""Calls on files after a fault, made on the model. Sources: the man page of each call, section ERRORS."""

from __future__ import annotations

import errno
import os
import struct
from functools import partial

from faultinject.blackbox.descriptors import Descriptor, Kind
from faultinject.blackbox.seccomp import F_DUPFD, F_DUPFD_CLOEXEC, F_LOCKS, FICLONE, FICLONERANGE
from faultinject.blackbox.state import NodeKind
from faultinject.blackbox.tail import DONE, REAL, Arguments, Table, Tail
from faultinject.blackbox.tree import DIRECTORY_ID
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.blackbox.vector import PIECE, PIECES_MAX
from faultinject.ops import Op

_ACCESS = os.O_ACCMODE
_AT_REMOVEDIR = 0x200
_AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_NOREPLACE = 1
_O_DIRECT = 0o40000
_OWN = (1 << 64) - 1
"""An offset of -1: the descriptor's own (pwritev2(2))."""

_SIZE_AT = 48
"""Where struct stat has the size, on all 64-bit machines that we know; struct statx has it elsewhere."""

_TCGETS = 0x5401
_F_SETFD, _F_GETFL = 2, 3


# Transfers


def _write(tail: Tail, arguments: Arguments) -> int:
    return _put(tail, Op.WRITE, arguments[0], None, ((arguments[1], arguments[2]),))


def _pwrite(tail: Tail, arguments: Arguments) -> int:
    return _put(tail, Op.PWRITE, arguments[0], arguments[3], ((arguments[1], arguments[2]),))


def pieces(tail: Tail, arguments: Arguments) -> tuple[tuple[int, int], ...]:
    """The pieces that a vectored call hands over (readv(2))."""
    if arguments[2] > PIECES_MAX:
        raise UnrewindableError("it hands over more pieces than the system takes")
    return tuple(PIECE.iter_unpack(tail.read(arguments[1], arguments[2] * PIECE.size)))


def _writev(tail: Tail, arguments: Arguments) -> int:
    return _put(tail, Op.WRITEV, arguments[0], None, pieces(tail, arguments))


def _pwritev(tail: Tail, arguments: Arguments) -> int:
    offset = None if arguments[3] == _OWN else arguments[3]
    return _put(tail, Op.PWRITEV, arguments[0], offset, pieces(tail, arguments))


def _put(tail: Tail, op: Op, fd: int, offset: int | None, pieces: tuple[tuple[int, int], ...]) -> int:
    found = tail.descriptor(fd)
    if found is None:
        return -errno.EBADF
    kind = found.kind
    if kind is Kind.FILE:
        error = tail.hit(op)
        if error:
            return -error
    elif kind is Kind.OTHER or kind is Kind.DIRECTORY:
        raise UnrewindableError("it writes to a file that is not watched")
    data = b"".join([tail.read(address, size_bytes) for address, size_bytes in pieces])
    if kind is Kind.ERRORS:
        tail.errors += data
    elif kind is Kind.OUTPUT:
        tail.output += data
    elif kind is Kind.FILE:
        if found.flags & _ACCESS == os.O_RDONLY:
            return -errno.EBADF
        put(tail, found, offset, data)
    return len(data)


def put(tail: Tail, found: Descriptor, offset: int | None, data: bytes) -> None:
    """Writes bytes to a watched file, where the descriptor stands or at an offset (pwrite(2), BUGS: O_APPEND)."""
    if found.flags & _O_DIRECT:
        raise UnrewindableError("it writes around the page cache (O_DIRECT)")
    if found.shared and offset is None:
        raise UnrewindableError("two descriptors stand for the file that it writes to")
    if offset is not None and offset >> 63:
        raise UnrewindableError("it writes before the beginning of a file")
    file = tail.overlay.file(found.identity)
    at = found.offset if offset is None else offset
    if found.flags & os.O_APPEND:
        at = file.size_bytes
    file.write(at, data)
    if offset is None:
        found.offset = at + len(data)


def _read(tail: Tail, arguments: Arguments) -> int:
    return _get(tail, Op.READ, arguments, None)


def _pread(tail: Tail, arguments: Arguments) -> int:
    return _get(tail, Op.PREAD, arguments, arguments[3])


def _get(tail: Tail, op: Op, arguments: Arguments, offset: int | None) -> int:
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    if found.own:
        return REAL
    if found.kind is Kind.NULL:
        return 0
    if not found.watched:
        raise UnrewindableError("it reads from a file that is not watched")
    error = tail.hit(op)
    if error:
        return -error
    if found.kind is Kind.DIRECTORY or found.flags & _ACCESS == os.O_WRONLY:
        return -(errno.EISDIR if found.kind is Kind.DIRECTORY else errno.EBADF)
    if found.shared and offset is None:
        raise UnrewindableError("two descriptors stand for the file that it reads")
    at = found.offset if offset is None else offset
    data = tail.overlay.look(found.identity).content().node().data[at : at + arguments[2]]
    tail.write(arguments[1], data)
    if offset is None:
        found.offset = at + len(data)
    return len(data)


def _lseek(tail: Tail, arguments: Arguments) -> int:
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    if found.own:
        return REAL
    if found.kind is not Kind.FILE or found.shared:
        raise UnrewindableError("it moves the offset of a file that is not watched, or of two descriptors")
    by = arguments[1] - (1 << 64) if arguments[1] >> 63 else arguments[1]
    whence = arguments[2]
    if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
        raise UnrewindableError("it looks for holes")
    start = (0, found.offset, tail.overlay.look(found.identity).size_bytes)[whence]
    if start + by < 0:
        return -errno.EINVAL
    found.offset = start + by
    return found.offset


# Whole files


def _close(tail: Tail, arguments: Arguments) -> int:
    found = tail.descriptor(arguments[0])
    if found is None:
        return -errno.EBADF
    if found.own:
        raise UnrewindableError("it closes a file that it has opened after the fault")
    error = tail.hit(Op.CLOSE) if found.watched else 0
    tail.close(arguments[0])
    return -error


def _settle(tail: Tail, arguments: Arguments, op: Op) -> int:
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
    if found.kind is Kind.DIRECTORY or found.flags & _ACCESS == os.O_RDONLY or arguments[1] >> 63:
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
        return _settle(tail, arguments, Op.LOCK)
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


# Looking


def _fstat(tail: Tail, arguments: Arguments) -> int:
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


def _look(tail: Tail, arguments: Arguments, directory: int | None, path: int, flags: int | None, follow: bool) -> int:
    at = 0 if flags is None else arguments[flags]
    if at & _AT_EMPTY_PATH:
        raise UnrewindableError("it looks at a descriptor in a way that is not modelled")
    follow = follow and not at & _AT_SYMLINK_NOFOLLOW
    name = tail.key(None if directory is None else arguments[directory], arguments[path], follow=follow)
    if name is None or tail.point.is_home(name.rstrip("/")):
        return REAL
    identity = tail.overlay.lookup(name)
    if name in tail.overlay.names:
        if identity is None and tail.has_parent(name):
            return -errno.ENOENT
        raise UnrewindableError(f"it looks at {name!r}, which has changed after the fault")
    if identity is not None and identity != DIRECTORY_ID and tail.overlay.touches(identity):
        raise UnrewindableError(f"it looks at {name!r}, which has changed after the fault")
    return REAL


def _fstatat(tail: Tail, arguments: Arguments) -> int:
    if arguments[3] & _AT_EMPTY_PATH:
        if tail.string(arguments[1]):
            raise UnrewindableError("it looks at a descriptor in a way that is not modelled")
        return _fstat(tail, (arguments[0], arguments[2]))
    return _look(tail, arguments, directory=0, path=1, flags=3, follow=True)


# Names


def _open(  # noqa: C901 - one after the other, as the kernel looks at them
    tail: Tail, arguments: Arguments, directory: int | None, flags: int | None
) -> int:
    how = os.O_CREAT | os.O_WRONLY | os.O_TRUNC if flags is None else arguments[flags]
    path = 0 if directory is None else 1
    call = ("creat" if flags is None else "open") if directory is None else "openat"
    operation = tail.names(call, arguments, (directory, path))
    if operation is None:
        return _open_unwatched(tail, how)
    error = tail.hit(operation.op, creates=operation.op is Op.OPEN and bool(how & os.O_CREAT))
    if error:
        return -error
    name = operation.name
    if operation.op is not Op.OPEN or name is None:
        raise UnrewindableError("it opens an unnamed file after the fault")
    if tail.point.base.has_symlinks:
        raise UnrewindableError("it opens a file where there are symbolic links")
    if tail.point.is_home(name.rstrip("/")):
        return _open_directory(tail, how)
    identity = tail.overlay.lookup(name)
    if identity is None:
        if not how & os.O_CREAT or not tail.has_parent(name):
            return -errno.ENOENT
        if how & os.O_DIRECTORY:
            raise UnrewindableError("it creates a directory by open")
        identity = tail.overlay.create(name)
    elif how & os.O_CREAT and how & os.O_EXCL:
        return -errno.EEXIST
    elif identity == DIRECTORY_ID:
        return _open_directory(tail, how)
    else:
        if tail.overlay.kind(identity) is not NodeKind.FILE or how & os.O_DIRECTORY:
            raise UnrewindableError(f"it opens {name!r}, which is no file, after the fault")
        _check_access(tail, name, identity, how)
        if how & os.O_TRUNC:
            tail.overlay.file(identity).resize(0)
    return tail.place(Descriptor(Kind.FILE, identity, how & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC), 0))


def _open_directory(tail: Tail, how: int) -> int:
    if how & _ACCESS != os.O_RDONLY or how & os.O_CREAT:
        return -errno.EISDIR
    return tail.place(Descriptor(Kind.DIRECTORY, DIRECTORY_ID, how, 0))


def _check_access(tail: Tail, name: str, identity: int, how: int) -> None:
    """Nobody may open a file here that the program could not open really."""
    if not os.geteuid():
        return
    links = tail.point.base.links(identity)
    if identity < 0 or not links:
        raise UnrewindableError(f"nobody knows who may open {name!r}")
    wanted = {os.O_RDONLY: os.R_OK, os.O_WRONLY: os.W_OK}.get(how & _ACCESS, os.R_OK | os.W_OK)
    if not os.access(tail.point.roots.path(links[0]), wanted | (os.W_OK if how & os.O_TRUNC else 0)):
        raise UnrewindableError(f"it may not open {name!r}")


def _open_unwatched(tail: Tail, how: int) -> int:
    if how & _ACCESS != os.O_RDONLY or how & (os.O_CREAT | os.O_TRUNC):
        raise UnrewindableError("it opens a file that is not watched for writing after the fault")
    expected = tail.free()
    fd = tail.really()
    if fd < 0:
        return DONE
    tail.undo.append(("close", (fd,)))
    if fd != expected:
        raise UnrewindableError("it opens a file under a number that is free only in the model")
    found = Descriptor(Kind.OTHER, 0, how, 0, real=fd)
    found.own = True
    tail.descriptors[fd] = found
    return DONE


def _unlink(tail: Tail, arguments: Arguments, directory: int | None) -> int:
    if directory is not None and arguments[2] & _AT_REMOVEDIR:
        return _rmdir(tail, arguments, directory)
    name = _name(tail, "unlink" if directory is None else "unlinkat", arguments, directory)
    error = tail.hit(Op.UNLINK)
    if error:
        return -error
    identity = tail.overlay.lookup(name)
    if identity is None or not tail.has_parent(name):
        return -errno.ENOENT
    if identity == DIRECTORY_ID:
        return -errno.EISDIR
    tail.overlay.names[name] = None
    return 0


def _rmdir(tail: Tail, arguments: Arguments, directory: int | None) -> int:
    name = _name(tail, "rmdir" if directory is None else "unlinkat", arguments, directory)
    error = tail.hit(Op.RMDIR)
    if error:
        return -error
    identity = tail.overlay.lookup(name)
    if identity is None or not tail.has_parent(name):
        return -errno.ENOENT
    if identity != DIRECTORY_ID:
        return -errno.ENOTDIR
    if not tail.overlay.is_empty(name):
        return -errno.ENOTEMPTY
    tail.overlay.names[name] = None
    return 0


def _mkdir(tail: Tail, arguments: Arguments, directory: int | None) -> int:
    name = _name(tail, "mkdir" if directory is None else "mkdirat", arguments, directory)
    error = tail.hit(Op.MKDIR)
    if error:
        return -error
    if tail.overlay.lookup(name) is not None:
        return -errno.EEXIST
    if not tail.has_parent(name):
        return -errno.ENOENT
    tail.overlay.names[name] = DIRECTORY_ID
    return 0


def _name(tail: Tail, call: str, arguments: Arguments, directory: int | None) -> str:
    operation = tail.names(call, arguments, (directory, 0 if directory is None else 1))
    if operation is None or operation.name is None:
        raise UnrewindableError("it changes names that are not watched after the fault")
    if tail.point.is_home(operation.name.rstrip("/")):
        raise UnrewindableError("it changes a watched directory itself")
    return operation.name


def _rename(
    tail: Tail, arguments: Arguments, call: str, old: tuple[int | None, int], new: tuple[int | None, int]
) -> int:
    flags = arguments[4] if call == "renameat2" else 0
    operation = tail.names(call, arguments, old, new)
    if operation is None:
        raise UnrewindableError("it changes names that are not watched after the fault")
    error = tail.hit(Op.RENAME)
    if error:
        return -error
    name, target = operation.name, operation.target
    if name is None or target is None or flags not in (0, _NOREPLACE):
        raise UnrewindableError("it moves a file into or out of the watched directories")
    identity, replaced = tail.overlay.lookup(name), tail.overlay.lookup(target)
    if identity is None or not tail.has_parent(name) or not tail.has_parent(target):
        return -errno.ENOENT
    if DIRECTORY_ID in (identity, replaced):
        raise UnrewindableError("it moves a directory")
    if replaced is not None and flags:
        return -errno.EEXIST
    if replaced != identity:  # two links to one file: rename(2) does nothing
        tail.overlay.names[name] = None
        tail.overlay.names[target] = identity
    return 0


def _link(tail: Tail, arguments: Arguments, call: str, old: tuple[int | None, int], new: tuple[int | None, int]) -> int:
    operation = tail.names(call, arguments, old, new)
    if operation is not None:
        error = tail.hit(Op.LINK)
        if error:
            return -error
    raise UnrewindableError("it makes a link after the fault")


def _named_only(tail: Tail, arguments: Arguments, call: str, op: Op, directory: int | None) -> int:
    """Changes of attributes, which the model does not have."""
    if directory is not None and not arguments[1]:
        return _settle(tail, arguments, op)
    name = _name(tail, call, arguments, directory)
    error = tail.hit(op)
    if error:
        return -error
    if tail.point.base.has_symlinks:
        raise UnrewindableError("it follows a path where there are symbolic links")
    return 0 if tail.overlay.lookup(name) is not None else -errno.ENOENT


TABLE: Table = {
    "write": _write,
    "pwrite64": _pwrite,
    "writev": _writev,
    "pwritev": _pwritev,
    "read": _read,
    "pread64": _pread,
    "lseek": _lseek,
    "close": _close,
    "fsync": partial(_settle, op=Op.FSYNC),
    "fdatasync": partial(_settle, op=Op.FDATASYNC),
    "sync_file_range": partial(_settle, op=Op.SYNC_RANGE),
    "syncfs": partial(_settle, op=Op.SYNC),
    "sync": _sync,
    "fchmod": partial(_settle, op=Op.CHMOD),
    "flock": partial(_settle, op=Op.FLOCK),
    "ftruncate": _ftruncate,
    "fallocate": _fallocate,
    "sendfile": partial(_unmodelled, op=Op.SENDFILE, fd=0),
    "copy_file_range": partial(_unmodelled, op=Op.COPY_RANGE, fd=2),
    "splice": partial(_unmodelled, op=Op.SPLICE, fd=2),
    "fcntl": _fcntl,
    "dup": _dup,
    "ioctl": _ioctl,
    "fstat": _fstat,
    "stat": partial(_look, directory=None, path=0, flags=None, follow=True),
    "lstat": partial(_look, directory=None, path=0, flags=None, follow=False),
    "newfstatat": _fstatat,
    "access": partial(_look, directory=None, path=0, flags=None, follow=True),
    "faccessat": partial(_look, directory=0, path=1, flags=None, follow=True),
    "faccessat2": partial(_look, directory=0, path=1, flags=3, follow=True),
    "readlink": partial(_look, directory=None, path=0, flags=None, follow=False),
    "readlinkat": partial(_look, directory=0, path=1, flags=None, follow=False),
    "open": partial(_open, directory=None, flags=1),
    "creat": partial(_open, directory=None, flags=None),
    "openat": partial(_open, directory=0, flags=2),
    "unlink": partial(_unlink, directory=None),
    "unlinkat": partial(_unlink, directory=0),
    "rmdir": partial(_rmdir, directory=None),
    "mkdir": partial(_mkdir, directory=None),
    "mkdirat": partial(_mkdir, directory=0),
    "rename": partial(_rename, call="rename", old=(None, 0), new=(None, 1)),
    "renameat": partial(_rename, call="renameat", old=(0, 1), new=(2, 3)),
    "renameat2": partial(_rename, call="renameat2", old=(0, 1), new=(2, 3)),
    "link": partial(_link, call="link", old=(None, 0), new=(None, 1)),
    "linkat": partial(_link, call="linkat", old=(0, 1), new=(2, 3)),
    "chmod": partial(_named_only, call="chmod", op=Op.CHMOD, directory=None),
    "fchmodat": partial(_named_only, call="fchmodat", op=Op.CHMOD, directory=0),
    "utimensat": partial(_named_only, call="utimensat", op=Op.UTIMENS, directory=0),
}
"""What is done for each call; a call that is in no table is not modelled."""
