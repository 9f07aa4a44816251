"""Reads and writes after a fault, made on the model. Sources: write(2), pwrite(2), readv(2), read(2), lseek(2)."""

from __future__ import annotations

import errno
import os

from faultinject.blackbox.descriptors import Descriptor, Kind
from faultinject.blackbox.point import Arguments
from faultinject.blackbox.tail import REAL, Table, Tail
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.blackbox.vector import PIECE, PIECES_MAX
from faultinject.ops import Op

_O_DIRECT = 0o40000
_OWN = (1 << 64) - 1
"""An offset of -1: the descriptor's own (pwritev2(2))."""


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
        if found.flags & os.O_ACCMODE == os.O_RDONLY:
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
    if found.kind is Kind.DIRECTORY or found.flags & os.O_ACCMODE == os.O_WRONLY:
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


TABLE: Table = {
    "write": _write,
    "pwrite64": _pwrite,
    "writev": _writev,
    "pwritev": _pwritev,
    "read": _read,
    "pread64": _pread,
    "lseek": _lseek,
}
"""What is done for each of these calls."""
