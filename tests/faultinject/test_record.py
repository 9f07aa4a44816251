"""The trace has every operation with its bytes, the failed ones too."""

from __future__ import annotations

import errno
import os

import pytest

from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import InjectingFileSystem
from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op, Operation
from faultinject.record import RecordingFileSystem
from kvformat.filesystem import CREATE_EXCLUSIVE


def test_a_save_is_recorded_with_names_inodes_and_bytes() -> None:
    memory = MemoryFileSystem()
    fs = RecordingFileSystem(memory)
    fd = fs.open("t", CREATE_EXCLUSIVE)
    fs.pwrite(fd, b"abc", 5)
    copy = fs.open_unnamed()
    fs.copy_range(fd, copy, 3, 5, 0)
    fs.link_unnamed(copy, "c")
    fs.close(copy)
    fs.rename("t", "f")
    fs.unlink("f")
    inode, other = fs.trace[0].inode, fs.trace[2].inode
    assert inode != other
    assert list(fs.trace) == [
        Operation(0, Op.OPEN, "t", fd=fd, inode=inode, result=fd, flags=CREATE_EXCLUSIVE),
        Operation(1, Op.PWRITE, fd=fd, inode=inode, offset=5, size_bytes=3, data=b"abc", result=3),
        Operation(2, Op.OPEN_UNNAMED, fd=copy, inode=other, result=copy),
        Operation(
            3,
            Op.COPY_RANGE,
            fd=copy,
            inode=other,
            offset=0,
            size_bytes=3,
            source_inode=inode,
            source_offset=5,
            result=3,
        ),
        Operation(4, Op.LINK, "c", fd=copy, inode=other),
        Operation(5, Op.CLOSE, fd=copy, inode=other),
        Operation(6, Op.RENAME, "t", "f", inode=inode),
        Operation(7, Op.UNLINK, "f", inode=inode),
    ]


def test_failures_are_recorded_with_their_errno() -> None:
    fs = RecordingFileSystem(MemoryFileSystem())
    for call in (lambda: fs.unlink("no"), lambda: fs.open("no", os.O_RDONLY), lambda: fs.close(99)):
        with pytest.raises(OSError):
            call()
    assert [(o.op, o.error) for o in fs.trace] == [
        (Op.UNLINK, errno.ENOENT),
        (Op.OPEN, errno.ENOENT),
        (Op.CLOSE, errno.EBADF),
    ]


def test_another_exception_is_recorded_as_an_interruption() -> None:
    memory = MemoryFileSystem()
    fault = Fault(FaultClass.INTERRUPT, Form.RAISE_BEFORE, 0, Op.READDIR, what="KeyboardInterrupt")
    fs = RecordingFileSystem(InjectingFileSystem(memory, fault), probe=memory)
    with pytest.raises(KeyboardInterrupt):
        fs.names()
    assert [(o.op, o.error) for o in fs.trace] == [(Op.READDIR, errno.EINTR)]


def test_what_the_recorder_asks_is_no_operation_of_the_program() -> None:
    memory = MemoryFileSystem()
    injector = InjectingFileSystem(memory, None)
    fs = RecordingFileSystem(injector, probe=memory)
    fd = fs.open("t", CREATE_EXCLUSIVE)
    fs.pwrite(fd, b"abc", 0)
    fs.unlink("t")
    assert injector.count == len(fs.trace) == 3


def test_a_buffer_that_its_owner_reuses_is_kept_as_it_was() -> None:
    fs = RecordingFileSystem(MemoryFileSystem())
    buffer = bytearray(b"one")
    fs.pwrite(fs.open("f", CREATE_EXCLUSIVE), memoryview(buffer), 0)
    buffer[:] = b"two"
    assert fs.trace[1].data == b"one"


def test_before_is_told_before_it_happens() -> None:
    memory = MemoryFileSystem()
    seen: list[tuple[Op, list[str]]] = []
    fs = RecordingFileSystem(memory, lambda operation: seen.append((operation.op, memory.names())))
    fs.open("f", CREATE_EXCLUSIVE)
    fs.unlink("f")
    assert seen == [(Op.OPEN, []), (Op.UNLINK, ["f"])]
