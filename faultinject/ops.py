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
    PREAD = "pread"
    PWRITE = "pwrite"
    COPY_RANGE = "copy_file_range"
    CHMOD = "fchmod"
    FSYNC = "fsync"
    FSYNC_DIRECTORY = "fsync(directory)"
    RENAME = "rename"
    UNLINK = "unlink"
    STAT = "stat"
    FSTAT = "fstat"
    READDIR = "readdir"
    FLOCK = "flock"

    @property
    def transfers(self) -> bool:
        """Whether it moves bytes into a file, so that it can be cut at every byte."""
        return self in (Op.PWRITE, Op.COPY_RANGE)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it was performed.

    index: place in the trace, from 0. name, target: names inside the directory; `target` is the second name
    of a rename. inode: of the file that an operation on a descriptor works on. offset, size_bytes: where a
    transfer begins in the file and how many bytes were asked for. source_inode, source_offset: where a copy
    reads. data: the bytes of a write. result: what the call returned. error: the errno where it failed, 0 where
    it did not.
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
