"""The protocol of FUSE, as much of it as one file takes, straight on /dev/fuse. Sources: fuse(4), linux/fuse.h.

The file system has one directory and in it the file `disk`. Opened with direct I/O, so that no page cache lies between
the loop device and us: what the kernel writes and flushes arrives at once, in order.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from enum import IntEnum

from faultinject.powercut.disk import Disk
from faultinject.powercut.kernel import MS_NODEV, MS_NOSUID, mount

NAME = "disk"
"""Of the one file."""

TYPE = "fuse.faultinject-powercut"
"""Of the file system, as mount tables name it."""

_WRITE_BYTES_MAX = 1 << 20
_BUFFER_BYTES = _WRITE_BYTES_MAX + (1 << 13)
_PAGES_MAX = _WRITE_BYTES_MAX // 4096

_IN = struct.Struct("<IIQQIIII")  # struct fuse_in_header
_OUT = struct.Struct("<IiQ")  # struct fuse_out_header
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")  # struct fuse_attr
_ROOT, _DISK = 1, 2

_KEEP_SECONDS = 1 << 20
_MAJOR, _MINOR = 7, 31
_FOPEN_DIRECT_IO = 1
_FLAGS = 1 << 0 | 1 << 5 | 1 << 22  # FUSE_ASYNC_READ, FUSE_BIG_WRITES, FUSE_MAX_PAGES

_PUNCH_HOLE, _ZERO_RANGE = 0x02, 0x10  # fallocate(2)


class _Opcode(IntEnum):
    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43


_NO_ANSWER = frozenset({_Opcode.FORGET, _Opcode.BATCH_FORGET, _Opcode.INTERRUPT})
_NOTHING = frozenset({_Opcode.RELEASE, _Opcode.RELEASEDIR, _Opcode.FSYNCDIR, _Opcode.FLUSH, _Opcode.DESTROY})
"""What is answered with success and is no flush of the disk: FLUSH stands for close(2)."""


def opened() -> int:
    """A descriptor on which the requests come once it is mounted. Raises OSError."""
    return os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)


def mount_on(fd: int, target: str, source: str) -> None:
    """Mounts it. Raises OSError."""
    mount(source, target, TYPE, MS_NOSUID | MS_NODEV, f"fd={fd},rootmode=40000,user_id=0,group_id=0")


class Server:
    """Answers the requests that come on `fd` with what `disk` holds."""

    def __init__(self, fd: int, disk: Disk) -> None:
        self._fd = fd
        self._disk = disk
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._answers: dict[_Opcode, Callable[[int, memoryview], bytes]] = {
            _Opcode.LOOKUP: self._lookup,
            _Opcode.GETATTR: self._attributes_of,
            _Opcode.SETATTR: self._attributes_of,
            _Opcode.OPEN: self._open,
            _Opcode.OPENDIR: self._open,
            _Opcode.READ: self._read,
            _Opcode.READDIR: lambda _node, _body: b"",
            _Opcode.WRITE: self._write,
            _Opcode.STATFS: lambda _node, _body: struct.pack("<QQQQQIIII24x", 1, 0, 0, 2, 0, 4096, 255, 4096, 0),
            _Opcode.FSYNC: self._fsync,
            _Opcode.INIT: self._init,
            _Opcode.FALLOCATE: self._fallocate,
        }

    def serve(self) -> bool:
        """Answers one request that has come. False where the file system is unmounted. Raises OSError."""
        try:
            size_bytes = os.readv(self._fd, [self._buffer])
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                return True  # the request was taken back before we had read it
            raise
        _, number, unique, node, *_ = _IN.unpack_from(self._buffer)
        try:
            opcode = _Opcode(number)
        except ValueError:
            self._say(unique, -errno.ENOSYS)
            return True
        if opcode in _NO_ANSWER:
            return True
        body = self._view[_IN.size : size_bytes]
        try:
            answer = b"" if opcode in _NOTHING else self._answers[opcode](node, body)
        except OSError as error:
            self._say(unique, -(error.errno or errno.EIO))
        except ValueError:
            self._say(unique, -errno.EINVAL)  # a range outside of the disk
        else:
            self._say(unique, 0, answer)
        return True

    def _say(self, unique: int, error: int, answer: bytes = b"") -> None:
        try:
            os.writev(self._fd, [_OUT.pack(_OUT.size + len(answer), error, unique), answer])
        except OSError as failed:
            if failed.errno != errno.ENOENT:  # whoever has asked was interrupted and does not wait any more
                raise

    def _attributes(self, node: int) -> bytes:
        mode, size_bytes = (stat.S_IFDIR | 0o700, 0) if node == _ROOT else (stat.S_IFREG | 0o600, self._disk.size_bytes)
        blocks = size_bytes // 512
        return _ATTRIBUTES.pack(node, size_bytes, blocks, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _attributes_of(self, node: int, _: memoryview) -> bytes:
        return struct.pack("<QII", _KEEP_SECONDS, 0, 0) + self._attributes(node)

    def _lookup(self, _: int, body: memoryview) -> bytes:
        if bytes(body).rstrip(b"\0") != NAME.encode():
            raise FileNotFoundError(errno.ENOENT, "there is one file")
        return struct.pack("<QQQQII", _DISK, 0, _KEEP_SECONDS, _KEEP_SECONDS, 0, 0) + self._attributes(_DISK)

    def _open(self, node: int, _: memoryview) -> bytes:
        return struct.pack("<QII", node, _FOPEN_DIRECT_IO if node == _DISK else 0, 0)

    def _read(self, _: int, body: memoryview) -> bytes:
        _, offset, size_bytes = struct.unpack_from("<QQI", body)
        return self._disk.read(offset, size_bytes)

    def _write(self, _: int, body: memoryview) -> bytes:
        _, offset, size_bytes = struct.unpack_from("<QQI", body)
        self._disk.write(offset, bytes(body[40 : 40 + size_bytes]))
        return struct.pack("<II", size_bytes, 0)

    def _fsync(self, _node: int, _body: memoryview) -> bytes:
        self._disk.flush()
        return b""

    def _fallocate(self, _: int, body: memoryview) -> bytes:
        _, offset, size_bytes, mode = struct.unpack_from("<QQQI", body)
        if not mode & (_PUNCH_HOLE | _ZERO_RANGE):
            raise OSError(errno.EOPNOTSUPP, "only what makes zeros")
        self._disk.discard(offset, size_bytes)
        return b""

    def _init(self, _: int, body: memoryview) -> bytes:
        _, _, read_ahead, flags = struct.unpack_from("<IIII", body)
        limits = struct.pack("<HHIIHHI28x", 64, 48, _WRITE_BYTES_MAX, 1, _PAGES_MAX, 0, 0)
        return struct.pack("<IIII", _MAJOR, _MINOR, read_ahead, flags & _FLAGS) + limits
