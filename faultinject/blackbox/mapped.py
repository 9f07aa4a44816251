"""Files that are mapped for shared writing: stores change them, and no call says so.

What a store changed is seen when the file is looked at, at the next operation of any kind. When it happened in
between, and in which order, is not; so no fault is ever claimed for the inside of a STORE.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from faultinject.blackbox.describe import Describer
from faultinject.blackbox.tracer import Task
from faultinject.difference import common_bytes
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation


@dataclass(slots=True)
class _Mapping:
    """A mapped file, open here, and what it held when it was last looked at."""

    descriptor: int
    name: str | None
    known: bytes


class Mapped:
    """The files that a run has mapped for shared writing."""

    def __init__(self, describer: Describer) -> None:
        self._describer = describer
        self._files: dict[int, _Mapping] = {}

    def add(self, task: Task, operation: Operation) -> None:
        """A file was mapped. Raises OSError where it cannot be opened to be looked at."""
        inode = operation.inode
        if inode is None or inode in self._files:
            return
        descriptor = os.open(f"/proc/{task.tid}/fd/{operation.fd}", os.O_RDONLY | os.O_CLOEXEC)
        self._files[inode] = mapping = _Mapping(descriptor, operation.name, b"")
        mapping.known = self._content(descriptor, operation.name)

    def stores(self) -> Iterator[Operation]:
        """What has changed since the last look, as STORE operations."""
        for inode, file in self._files.items():
            now = self._content(file.descriptor, file.name)
            if now != file.known:
                start, end = _difference(file.known, now)
                data = now[start:end]
                store = Operation(-1, Op.STORE, file.name, inode=inode, offset=start, size_bytes=len(data))
                yield replace(store, data=data, result=len(data))
                file.known = now

    def refresh(self) -> None:
        """After an operation: what it did itself is no store."""
        for file in self._files.values():
            file.known = self._content(file.descriptor, file.name)

    def _content(self, descriptor: int, name: str | None) -> bytes:
        size_bytes = os.fstat(descriptor).st_size
        limit_bytes = self._describer.roots.limit_bytes
        if size_bytes > limit_bytes:  # holes count: they are read as zeros
            raise HarnessError(f"{name!r} is mapped and has {size_bytes} bytes; only {limit_bytes} can be looked at")
        return os.pread(descriptor, size_bytes, 0)

    def close(self) -> None:
        """Gives the descriptors back."""
        for file in self._files.values():
            os.close(file.descriptor)
        self._files.clear()


def _difference(one: bytes, other: bytes) -> tuple[int, int]:
    """The range of `other` outside of which both are the same; stores do not change the length."""
    if len(one) != len(other):
        return min(common_bytes(one, other), len(other)), len(other)
    return common_bytes(one, other), len(other) - common_bytes(one[::-1], other[::-1])
