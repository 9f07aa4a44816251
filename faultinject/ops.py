"""What a program did to a directory: operations with every byte, and traces of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby


class Op(StrEnum):
    """The operations on files that the fault model knows, by their POSIX names (KVS-FAULT-2)."""

    OPEN = "open"
    OPEN_UNNAMED = "open(O_TMPFILE)"
    LINK = "link"
    DUP = "dup"
    CLOSE = "close"
    READ = "read"
    PREAD = "pread"
    WRITE = "write"
    PWRITE = "pwrite"
    WRITEV = "writev"
    PWRITEV = "pwritev"
    SENDFILE = "sendfile"
    SPLICE = "splice"
    COPY_RANGE = "copy_file_range"
    CLONE = "ioctl(FICLONE)"
    TRUNCATE = "truncate"
    FALLOCATE = "fallocate"
    CHMOD = "fchmod"
    CHOWN = "fchown"
    UTIMENS = "utimensat"
    SETXATTR = "setxattr"
    FSYNC = "fsync"
    FSYNC_DIRECTORY = "fsync(directory)"
    FDATASYNC = "fdatasync"
    SYNC_RANGE = "sync_file_range"
    SYNC = "sync"
    MMAP = "mmap(MAP_SHARED)"
    MSYNC = "msync"
    STORE = "store(mapped)"
    RENAME = "rename"
    UNLINK = "unlink"
    MKNOD = "mknod"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    SYMLINK = "symlink"
    STAT = "stat"
    FSTAT = "fstat"
    READDIR = "readdir"
    FLOCK = "flock"
    LOCK = "fcntl(lock)"
    SIGNAL = "signal"
    ACKNOWLEDGE = "acknowledge"
    EXIT = "exit"

    @property
    def transfers(self) -> bool:
        """Whether it moves bytes into a file, so that it can be cut at every byte."""
        return self in _TRANSFERS

    @property
    def fails(self) -> bool:
        """Whether it is a call that the system can refuse."""
        return self not in (Op.STORE, Op.SIGNAL, Op.ACKNOWLEDGE, Op.EXIT)


_TRANSFERS = (Op.PWRITE, Op.WRITE, Op.COPY_RANGE, Op.WRITEV, Op.PWRITEV, Op.SENDFILE, Op.SPLICE)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it was performed.

    index: place in the trace, from 0. name, target: names inside the directory; `target` is the second name
    of a rename. inode: of the file that an operation on a descriptor works on. offset, size_bytes: where a
    transfer begins in the file and how many bytes were asked for. source_inode, source_offset: where a copy
    reads. data: the bytes of a write, the text of a symbolic link. result: what the call returned. error: the errno
    where it failed, 0 where it did not.

    The last four are of programs that are not ours. flags: as the call takes them (open, renameat2, fallocate).
    call: the system call by its name in the kernel. task: who made it: "0" is the first thread of the program, "0.1"
    the second thread or process that this one has started; nth: how many operations it had made before.
    """

    index: int
    op: Op
    name: str | None = None
    target: str | None = None
    fd: int | None = None
    inode: int | None = None
    offset: int | None = None
    size_bytes: int = 0
    source_inode: int | None = None
    source_offset: int | None = None
    data: bytes | memoryview | None = None
    result: int = 0
    error: int = 0
    flags: int = 0
    call: str = ""
    task: str = ""
    nth: int = -1

    def __str__(self) -> str:
        what = [str(self.op)]
        what += [repr(name) for name in (self.name, self.target) if name is not None]
        if self.offset is not None:
            what.append(f"{self.size_bytes} bytes at {self.offset}")
        return f"#{self.index} {' '.join(what)}"


@dataclass(frozen=True, slots=True)
class Trace:
    """The operations of one run, in order."""

    operations: tuple[Operation, ...]

    def __len__(self) -> int:
        return len(self.operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __getitem__(self, index: int) -> Operation:
        return self.operations[index]

    def shape(self, start: int = 0) -> tuple[tuple[Op, int], ...]:
        """What was called from `start` on and how it ended, without names, sizes or data; repeats count once.

        Two runs of the same shape went the same way: the side condition of KVS-CLASS-1 and KVS-CLASS-2.
        """
        steps = [(operation.op, operation.error) for operation in self.operations[start:]]
        return tuple(step for step, _ in groupby(steps))
