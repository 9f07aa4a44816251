"""The protocol of FUSE, spoken with a socket in place of /dev/fuse: it keeps messages apart as that does."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.powercut.disk import Disk, Request
from faultinject.powercut.fuse import Server

MIB = 1 << 20
LOOKUP, GETATTR, OPEN, READ, WRITE, FSYNC, FLUSH, INIT, DESTROY, FORGET, FALLOCATE, RENAME = (
    1,
    3,
    14,
    15,
    16,
    20,
    25,
    26,
    38,
    2,
    43,
    12,
)


@dataclass
class Kernel:
    """The other end."""

    socket: socket.socket
    server: Server
    disk: Disk
    asked: int = 0

    def ask(self, opcode: int, body: bytes = b"", node: int = 2) -> tuple[int, bytes]:
        """Error and answer."""
        self.send(opcode, body, node)
        answer = self.socket.recv(2 * MIB)
        size_bytes, error, unique = struct.unpack_from("<IiQ", answer)
        assert (size_bytes, unique) == (len(answer), self.asked)
        return -error, answer[16:]

    def send(self, opcode: int, body: bytes, node: int = 2) -> None:
        self.asked += 1
        self.socket.send(struct.pack("<IIQQIIII", 40 + len(body), opcode, self.asked, node, 0, 0, 0, 0) + body)
        assert self.server.serve()

    def write(self, offset: int, data: bytes) -> int:
        error, answer = self.ask(WRITE, struct.pack("<QQIIQII", 0, offset, len(data), 0, 0, 0, 0) + data)
        assert error or struct.unpack("<II", answer) == (len(data), 0)
        return error

    def read(self, offset: int, size_bytes: int) -> bytes:
        error, answer = self.ask(READ, struct.pack("<QQI", 0, offset, size_bytes))
        assert not error
        return answer


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        for end in (one, other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
        disk = Disk(MIB)
        yield Kernel(one, Server(other.fileno(), disk), disk)


def test_what_is_written_is_read_and_logged(kernel: Kernel) -> None:
    kernel.disk.begin()
    assert kernel.write(4096, b"x" * 8192) == 0
    assert kernel.ask(FSYNC, bytes(16)) == (0, b"")
    assert kernel.read(4095, 3) == b"\0xx"
    assert [(one.request, one.offset, one.size_bytes) for one in kernel.disk.log] == [
        (Request.WRITE, 4096, 8192),
        (Request.FLUSH, 0, 0),
    ]


def test_close_is_no_flush_of_the_disk(kernel: Kernel) -> None:
    kernel.disk.begin()
    assert kernel.ask(FLUSH, bytes(24)) == (0, b"")
    assert not kernel.disk.log


@pytest.mark.parametrize(
    ("mode", "error"), [(0x3, 0), (0x10, 0), (0x11, 0), (0, errno.EOPNOTSUPP), (0x8, errno.EOPNOTSUPP)]
)
def test_discards_make_zeros_and_other_modes_are_refused(kernel: Kernel, mode: int, error: int) -> None:
    kernel.write(0, b"x" * 8192)
    assert kernel.ask(FALLOCATE, struct.pack("<QQQII", 0, 100, 5000, mode, 0))[0] == error
    assert kernel.read(0, 8192) == b"x" * 8192 if error else b"x" * 100 + bytes(5000) + b"x" * 3092


def test_there_is_one_file(kernel: Kernel) -> None:
    assert kernel.ask(LOOKUP, b"disk\0", node=1)[0] == 0
    assert kernel.ask(LOOKUP, b"other\0", node=1) == (errno.ENOENT, b"")
    error, attributes = kernel.ask(GETATTR, bytes(16))
    assert (error, struct.unpack_from("<16xQQ", attributes)) == (0, (2, MIB))
    assert struct.unpack("<QII", kernel.ask(OPEN, bytes(8))[1])[1] == 1, "no page cache may lie in between"


def test_what_is_not_known_is_refused_and_nothing_else_happens(kernel: Kernel) -> None:
    assert kernel.ask(RENAME, b"\1\0\0\0\0\0\0\0disk\0x\0") == (errno.ENOSYS, b"")
    assert kernel.ask(9999) == (errno.ENOSYS, b"")
    assert kernel.write(MIB - 1, b"xx") == errno.EINVAL
    assert kernel.ask(FALLOCATE, struct.pack("<QQQII", 0, 0, 1 << 60, 3, 0))[0] == errno.EINVAL
    kernel.send(FORGET, bytes(8))  # has no answer: the next one is that of the next request
    assert kernel.ask(INIT, struct.pack("<IIII", 7, 40, 1 << 17, 0xFFFFFFFF))[0] == 0


def test_large_transfers_are_agreed_upon(kernel: Kernel) -> None:
    _, answer = kernel.ask(INIT, struct.pack("<IIII", 7, 40, 1 << 17, 0xFFFFFFFF))
    major, minor, _, flags, _, _, write_bytes, _, pages = struct.unpack_from("<IIIIHHIIH", answer)
    assert (major, minor, write_bytes, pages * 4096) == (7, 31, MIB, MIB)
    assert flags == 1 << 0 | 1 << 5 | 1 << 22
    assert len(answer) == 64


def test_a_descriptor_that_is_no_file_system_any_more_ends_it() -> None:
    server = Server(os.open("/dev/null", os.O_RDONLY), Disk(MIB))

    def gone(_fd: int, _buffers: list[bytearray]) -> int:
        raise OSError(errno.ENODEV, "unmounted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.readv", gone)
        assert not server.serve()


@given(st.integers(0, 2 * MIB), st.integers(0, 2**32 - 1))
def test_reads_never_go_beyond_the_end(offset: int, size_bytes: int) -> None:
    assert len(Disk(MIB).read(offset, size_bytes)) == max(0, min(size_bytes, MIB - offset))
