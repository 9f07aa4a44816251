"""The private memory of a stopped process: which pages of it have changed, what they hold, and how they are restored.

A copy of the process shares all its pages until one of them is written to. The kernel then gives the writer a page of
its own, and pagemap shows that, so that no page that a run has changed is ever missed.
Sources: proc(5) (maps, mem, pagemap), process_vm_readv(2), kernel documentation, "pagemap".
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from typing import Any

from faultinject.blackbox.ptrace import Vector, c_library
from faultinject.blackbox.task import Task
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.inject import HarnessError

MEMORY_BYTES_MAX = 1 << 28
"""A program with more memory than this to write to is not rewound: to look at it all takes too long."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ENTRY_BYTES = 8
_PIECES_MAX = 1024
_CHUNK_BYTES = 1 << 20
_GAP_BYTES = 16 * PAGE_BYTES
"""To look at so many pages more costs less than one more call."""


class _Region:
    """A range of private memory that can be written to."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end


class _Span:
    """Regions next to each other, and what pagemap said of their pages when last looked at."""

    __slots__ = ("at", "end", "seen", "size_bytes", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.at = start // PAGE_BYTES * _ENTRY_BYTES
        self.size_bytes = (end - start) // PAGE_BYTES * _ENTRY_BYTES
        self.seen = b""


class Pages:
    """What a process may change, against a copy of the process that never runs. Use `close` when done.

    `changed`: addresses of the pages that have differed so far, in order; a new tuple whenever there are more.
    usage: what wait4(2) has said of the task where it stands; None where it was not asked.
    Raises UnrewindableError where there is memory that cannot be brought back.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._tid = task.tid
        self._regions = _regions(task.tid)
        self._spans = _spans(self._regions)
        self._copy = self._pagemap = -1
        self._saved: dict[int, bytes] = {}
        self.changed: tuple[int, ...] = ()
        self._batches: tuple[_Batch, ...] = ()
        self._now = bytearray()
        self._faults = -1
        self.usage: resource.struct_rusage | None = None

    def hold(self, copy: int) -> None:
        """From now on changes are told against this process, which has just been copied from ours."""
        self._copy = os.open(f"/proc/{copy}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self._pagemap = os.open(f"/proc/{self._tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self._rebase()

    def close(self) -> None:
        """Gives descriptors back."""
        for fd in (self._copy, self._pagemap):
            if fd >= 0:
                os.close(fd)
        self._copy = self._pagemap = -1

    @property
    def size_bytes(self) -> int:
        """How much memory there is."""
        return sum(region.end - region.start for region in self._regions)

    def look(self) -> None:
        """Finds pages that have changed and had not before.

        To write to a page that is shared costs the task a page fault. So where it has had none since the last look,
        as `usage` says, there are no more such pages, and pagemap, which takes longer than all else, is not read.
        """
        usage, faults = self.usage, -1
        if usage is not None:
            faults = usage.ru_minflt + usage.ru_majflt
            if faults == self._faults:
                return
        self._faults = faults
        for span in self._spans:
            now = os.pread(self._pagemap, span.size_bytes, span.at)
            if now == span.seen:
                continue
            if len(now) != span.size_bytes:  # who has died has no memory
                raise ProcessLookupError(errno.ESRCH, f"process {self._tid} has died")
            self._learn(span, now)

    def doubt(self) -> None:
        """Something else than the task itself may have written to its memory: the next look is a thorough one."""
        self._faults = -1

    def restore(self, held: Held | None = None) -> None:
        """Brings back the pages of `changed`; held: what they hold now. Raises HarnessError where that fails."""
        for batch in self._batches if held is None else self._different(held):
            if not batch.write(self._tid):
                raise _failure(self._tid, "restored")

    def read(self) -> bytearray:
        """What the pages of `changed` hold now, one after the other, until it is read again.

        Raises HarnessError where that fails.
        """
        for batch in self._batches:
            if not batch.read(self._tid):
                raise _failure(self._tid, "read")
        return self._now

    def are(self, held: Held, data: bytearray) -> bool:
        """Whether `data`, just read, is what was held then."""
        if held.pages is not self.changed:
            # Pages that have changed since had not then: they held what they held at first.
            known = {address: held.data[n * PAGE_BYTES :][:PAGE_BYTES] for n, address in enumerate(held.pages)}
            held.data = b"".join([known.get(address) or self._saved[address] for address in self.changed])
            held.pages = self.changed
            held.different = None
        return held.data == data

    def _different(self, held: Held) -> tuple[_Batch, ...]:
        if held.different is None:
            pieces = (held.data[start : start + PAGE_BYTES] for start in range(0, len(held.data), PAGE_BYTES))
            addresses = [one for one, page in zip(held.pages, pieces, strict=True) if page != self._saved[one]]
            held.different = _batches(tuple(addresses), self._saved, bytearray(len(addresses) * PAGE_BYTES))
        return held.different

    def verify(self) -> None:
        """Compares all memory with the copy, just after `restore`. Raises HarnessError where anything differs."""
        for region in self._regions:
            for start in range(region.start, region.end, _CHUNK_BYTES):
                size_bytes = min(_CHUNK_BYTES, region.end - start)
                if self._task.read(start, size_bytes) != os.pread(self._copy, size_bytes, start):
                    raise HarnessError(
                        f"memory of process {self._tid} between {start:#x} and {start + size_bytes:#x} was not "
                        "restored: this system does not tell which pages a program changes; run without rewinding"
                    )
        self._rebase()

    def _rebase(self) -> None:
        for span in self._spans:
            span.seen = os.pread(self._pagemap, span.size_bytes, span.at)
            if len(span.seen) != span.size_bytes:
                raise UnrewindableError("this system does not tell which pages a program has (/proc/PID/pagemap)")

    def _learn(self, span: _Span, now: bytes) -> None:
        seen, span.seen = span.seen, now
        known = len(self._saved)
        pairs = zip(struct.iter_unpack("Q", seen), struct.iter_unpack("Q", now), strict=True)
        for place, (before, after) in enumerate(pairs):
            address = span.start + place * PAGE_BYTES
            if before != after and address not in self._saved and self._is_writable(address):
                self._saved[address] = os.pread(self._copy, PAGE_BYTES, address)
        if len(self._saved) > known:
            self.changed = tuple(sorted(self._saved))
            self._now = bytearray(len(self.changed) * PAGE_BYTES)
            self._batches = _batches(self.changed, self._saved, self._now)

    def _is_writable(self, address: int) -> bool:
        return any(region.start <= address < region.end for region in self._regions)


def _failure(tid: int, what: str) -> Exception:
    """Why process_vm_readv or process_vm_writev has not moved everything."""
    if ctypes.get_errno() == errno.ESRCH:
        return ProcessLookupError(errno.ESRCH, f"process {tid} has died")
    return HarnessError(f"the memory of process {tid} could not be {what}")


class Held:
    """What the pages that have changed held at some moment."""

    __slots__ = ("data", "different", "pages")

    def __init__(self, pages: tuple[int, ...], data: bytes) -> None:
        self.pages = pages
        self.data = data
        self.different: tuple[_Batch, ...] | None = None


class _Batch:
    """As many pages as one call moves, in as few pieces as there are."""

    __slots__ = ("_keeps", "_read", "_size_bytes", "_there", "_write")

    def __init__(self, addresses: tuple[int, ...], saved: dict[int, bytes], now: Any) -> None:
        data = b"".join([saved[address] for address in addresses])
        self._size_bytes = len(data)
        before = ctypes.create_string_buffer(data, len(data))
        self._keeps = before, now
        self._write, self._read = (ctypes.byref(Vector(ctypes.addressof(one), len(data))) for one in (before, now))
        pieces: list[list[int]] = []
        for address in addresses:
            if pieces and pieces[-1][0] + pieces[-1][1] == address:
                pieces[-1][1] += PAGE_BYTES
            else:
                pieces.append([address, PAGE_BYTES])
        self._there = ctypes.byref((Vector * len(pieces))(*(Vector(*piece) for piece in pieces))), len(pieces), 0

    def write(self, tid: int) -> bool:
        """Writes the pages as they were; False where not all of them could be."""
        return bool(c_library().process_vm_writev(tid, self._write, 1, *self._there) == self._size_bytes)

    def read(self, tid: int) -> bool:
        """Reads what the pages hold now; False where not all of them could be."""
        return bool(c_library().process_vm_readv(tid, self._read, 1, *self._there) == self._size_bytes)


def _batches(addresses: tuple[int, ...], saved: dict[int, bytes], now: bytearray) -> tuple[_Batch, ...]:
    """Of these pages, which are read into `now`."""
    batches = []
    for first in range(0, len(addresses), _PIECES_MAX):
        some = addresses[first : first + _PIECES_MAX]
        room = (ctypes.c_char * (len(some) * PAGE_BYTES)).from_buffer(now, first * PAGE_BYTES)
        batches.append(_Batch(some, saved, room))
    return tuple(batches)


def _regions(tid: int) -> list[_Region]:
    """The private memory of a process that can be written to."""
    found = []
    with open(f"/proc/{tid}/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            bounds, rights, *_ = line.split(maxsplit=2)
            if rights[1] != "w":
                continue
            if rights[3] != "p":
                raise UnrewindableError("it shares memory that it can write to (mmap with MAP_SHARED)")
            start, _, end = bounds.partition("-")
            found.append(_Region(int(start, 16), int(end, 16)))
    if sum(region.end - region.start for region in found) > MEMORY_BYTES_MAX:
        raise UnrewindableError(f"it has more than {MEMORY_BYTES_MAX >> 20} MiB of memory")
    return found


def _spans(regions: list[_Region]) -> list[_Span]:
    spans: list[_Span] = []
    start = end = -1
    for region in sorted(regions, key=lambda one: one.start):
        if start >= 0 and region.start - end > _GAP_BYTES:
            spans.append(_Span(start, end))
            start = -1
        start = region.start if start < 0 else start
        end = region.end
    if start >= 0:
        spans.append(_Span(start, end))
    return spans
