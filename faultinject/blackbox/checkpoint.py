"""Brings a stopped task back to the call at which it stands, registers and memory, as often as wanted.

A copy of the process (clone(2), never run) shares all its pages until one of them is written to. The kernel then gives
the writer a page of its own, and pagemap shows that, so that no page that a run has changed is ever missed.
Sources: proc(5) (pagemap), ptrace(2), process_vm_writev(2), kernel documentation, "pagemap".
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from contextlib import suppress
from ctypes import c_uint64, c_void_p
from typing import Any

from faultinject.blackbox.abi import Abi
from faultinject.blackbox.ptrace import (
    EVENT_CLONE,
    EXIT_STOP,
    PTRACE_CONT,
    PTRACE_SYSCALL,
    SECCOMP_STOP,
    WALL,
    Ptrace,
    c_library,
)
from faultinject.blackbox.task import Task
from faultinject.inject import HarnessError

MEMORY_BYTES_MAX = 1 << 28
"""A program with more memory than this to write to is not rewound: to look at it all takes too long."""

_CLONE_STOP = (EVENT_CLONE << 8 | signal.SIGTRAP) << 8 | 0x7F
_CLONE_FS_FILES_PARENT = 0x200 | 0x400 | 0x8000

_PTRACE_GETREGSET = 0x4204
_PTRACE_SETREGSET = 0x4205
_NT_PRFPREG = 2
_NT_X86_XSTATE = 0x202
_EXTENDED_BYTES_MAX = 1 << 14

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ENTRY_BYTES = 8
_PIECES_MAX = 1024
_CHUNK_BYTES = 1 << 20
_GAP_BYTES = 64 * _PAGE_BYTES
"""To look at so many pages more costs less than one more call."""


class UnrewindableError(Exception):
    """The program cannot be rewound from where it stands; the text says why."""


class _Piece(ctypes.Structure):
    _fields_ = (("base", c_uint64), ("size_bytes", c_uint64))


def write_memory(tid: int, address: int, data: bytes) -> bool:
    """Writes to the memory of a task as the kernel does for its own calls: False where that has none to write to."""
    local = _Piece(ctypes.cast(ctypes.c_char_p(data), c_void_p).value or 0, len(data))
    remote = _Piece(address, len(data))
    done = c_library().process_vm_writev(tid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0)
    return bool(done == len(data))


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
        self.at = start // _PAGE_BYTES * _ENTRY_BYTES
        self.size_bytes = (end - start) // _PAGE_BYTES * _ENTRY_BYTES
        self.seen = b""


class Checkpoint:
    """A task at the entry of a trapped call, which becomes a place to come back to. Use `close` when done.

    `saved`: its registers there. Raises UnrewindableError where there is memory that cannot be brought back.
    """

    def __init__(self, abi: Abi, ptrace: Ptrace, task: Task) -> None:
        self._abi = abi
        self._ptrace = ptrace
        self._task = task
        self._tid = task.tid
        self._size_bytes = ctypes.sizeof(ptrace.registers)
        self._holder = 0
        self._holder_memory = self._pagemap = -1
        ptrace.load(self._tid)
        self.saved = type(ptrace.registers).from_buffer_copy(ptrace.registers)
        self.number = self.saved[abi.number_register if abi.number_register is not None else abi.call_register]
        self._extended = _Extended(abi, self._tid)
        self._mask = ptrace.signal_mask(self._tid)
        self._regions = _regions(self._tid)
        self._spans = _spans(self._regions)
        self._pages: dict[int, bytes] = {}
        self._batches: list[tuple[Any, Any, int, int]] = []
        self._buffer: Any = None
        try:
            self._hold()
            self._holder_memory = os.open(f"/proc/{self._holder}/mem", os.O_RDONLY | os.O_CLOEXEC)
            self._pagemap = os.open(f"/proc/{self._tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            self._rebase()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the copy and gives descriptors back; the task is left as it is."""
        for fd in (self._holder_memory, self._pagemap):
            if fd >= 0:
                os.close(fd)
        self._holder_memory = self._pagemap = -1
        if self._holder:
            with suppress(ProcessLookupError):
                os.kill(self._holder, signal.SIGKILL)
            while not os.WIFSIGNALED(os.waitpid(self._holder, WALL)[1]):
                pass  # it was still on its way to its first stop
            self._holder = 0

    def proceed(self, result: int) -> None:
        """From wherever the task is stopped: the next thing that it sees is that the call has returned `result`."""
        registers = self._ptrace.registers
        ctypes.memmove(registers, self.saved, self._size_bytes)
        registers[self._abi.result] = result & (1 << 64) - 1
        self._ptrace.store_skipping(self._tid)

    def restore(self, *, mask: bool) -> None:
        """Brings the memory back, and the blocked signals where `mask`; the registers are for what comes next."""
        pagemap = self._pagemap
        for span in self._spans:
            now = os.pread(pagemap, span.size_bytes, span.at)
            if now != span.seen:
                self._learn(span, now)
        self._extended.restore()
        for local, remote, count, size_bytes in self._batches:
            if c_library().process_vm_writev(self._tid, local, count, remote, count, 0) != size_bytes:
                raise HarnessError(f"the memory of process {self._tid} could not be restored")
        if mask:
            self._ptrace.set_signal_mask(self._tid, self._mask)

    def back(self) -> None:
        """The task stands at the entry of the call again, as it was found. Raises ProcessLookupError where it died."""
        self._enter(self.number)
        ctypes.memmove(self._ptrace.registers, self.saved, self._size_bytes)
        self._ptrace.store(self._tid)

    def inject(self, number: int, *arguments: int) -> int:
        """The task makes a call that is not its own; what it returned. The call must be one that is trapped."""
        self._enter(number, *arguments)
        self._ptrace.resume(PTRACE_SYSCALL, self._tid)
        self._await(EXIT_STOP)
        return self._ptrace.result(self._tid)

    def verify(self) -> None:
        """Compares all memory with the copy, just after `restore`. Raises HarnessError where anything differs."""
        for region in self._regions:
            for start in range(region.start, region.end, _CHUNK_BYTES):
                size_bytes = min(_CHUNK_BYTES, region.end - start)
                if self._task.read(start, size_bytes) != os.pread(self._holder_memory, size_bytes, start):
                    raise HarnessError(
                        f"memory of process {self._tid} between {start:#x} and {start + size_bytes:#x} was not "
                        "restored: this system does not tell which pages a program changes; run without rewinding"
                    )
        self._rebase()

    @property
    def memory_bytes(self) -> int:
        """How much `verify` has to compare."""
        return sum(region.end - region.start for region in self._regions)

    def _enter(self, number: int, *arguments: int) -> None:
        """Stops at the entry of a call, made by the very instruction that made the one of the checkpoint."""
        abi, registers = self._abi, self._ptrace.registers
        ctypes.memmove(registers, self.saved, self._size_bytes)
        registers[abi.instruction_pointer] -= len(abi.enter)
        registers[abi.call_register] = number
        for place, value in zip(abi.arguments, arguments, strict=False):
            registers[place] = value
        self._ptrace.store_skipping(self._tid)
        self._ptrace.resume(PTRACE_CONT, self._tid)
        self._await(SECCOMP_STOP)

    def _await(self, wanted: int) -> None:
        _, status = os.waitpid(self._tid, WALL)
        if status == wanted:
            return
        if status & 0xFF != 0x7F:
            raise ProcessLookupError(f"process {self._tid} has died")
        raise UnrewindableError(f"another stop came in between ({status:#x})")

    def _hold(self) -> None:
        """Makes the copy, a child of this process, which stops before its first instruction and stays there."""
        self._enter(self._abi.numbers["clone"], _CLONE_FS_FILES_PARENT, 0, 0, 0, 0)
        self._ptrace.resume(PTRACE_SYSCALL, self._tid)
        _, status = os.waitpid(self._tid, WALL)
        if status == EXIT_STOP:
            self.back()
            raise UnrewindableError("the process could not be copied (clone): look at the limit of processes")
        if status != _CLONE_STOP:
            raise UnrewindableError(f"another stop came in between ({status:#x})")
        self._holder = self._ptrace.event_message(self._tid)
        os.waitpid(self._holder, WALL)
        self._ptrace.resume(PTRACE_SYSCALL, self._tid)
        self._await(EXIT_STOP)

    def _rebase(self) -> None:
        for span in self._spans:
            span.seen = os.pread(self._pagemap, span.size_bytes, span.at)
            if len(span.seen) != span.size_bytes:
                raise UnrewindableError("this system does not tell which pages a program has (/proc/PID/pagemap)")

    def _learn(self, span: _Span, now: bytes) -> None:
        """More pages have changed than before: from now on they are restored as well."""
        seen, span.seen = span.seen, now
        pairs = zip(struct.iter_unpack("Q", seen), struct.iter_unpack("Q", now), strict=True)
        for place, (before, after) in enumerate(pairs):
            address = span.start + place * _PAGE_BYTES
            if before != after and address not in self._pages and self._is_writable(address):
                self._pages[address] = os.pread(self._holder_memory, _PAGE_BYTES, address)
        self._arrange()

    def _is_writable(self, address: int) -> bool:
        return any(region.start <= address < region.end for region in self._regions)

    def _arrange(self) -> None:
        """Puts the pages into as few pieces as there are, for one call."""
        addresses = sorted(self._pages)
        self._buffer = ctypes.create_string_buffer(b"".join(self._pages[address] for address in addresses))
        at = ctypes.addressof(self._buffer)
        pieces: list[list[int]] = []
        for address in addresses:
            if pieces and pieces[-1][0] + pieces[-1][1] == address:
                pieces[-1][1] += _PAGE_BYTES
            else:
                pieces.append([address, _PAGE_BYTES])
        self._batches = []
        for first in range(0, len(pieces), _PIECES_MAX):
            batch = pieces[first : first + _PIECES_MAX]
            local, remote = (_Piece * len(batch))(), (_Piece * len(batch))()
            for place, (address, size_bytes) in enumerate(batch):
                local[place] = _Piece(at, size_bytes)
                remote[place] = _Piece(address, size_bytes)
                at += size_bytes
            self._batches.append((local, remote, len(batch), sum(size_bytes for _, size_bytes in batch)))


class _Extended:
    """The floating point and vector registers, which a program may keep in use over a call."""

    __slots__ = ("_kind", "_tid", "_vector", "_vector_at", "_words")

    def __init__(self, abi: Abi, tid: int) -> None:
        self._tid = tid
        self._kind = _NT_X86_XSTATE if abi.machine == "x86_64" else _NT_PRFPREG
        self._words = ctypes.create_string_buffer(_EXTENDED_BYTES_MAX)
        self._vector = _Piece(ctypes.addressof(self._words), _EXTENDED_BYTES_MAX)
        self._vector_at = ctypes.addressof(self._vector)
        if c_library().ptrace(_PTRACE_GETREGSET, tid, self._kind, self._vector_at) < 0:
            raise UnrewindableError("the vector registers cannot be read")

    def restore(self) -> None:
        """Puts them back."""
        if c_library().ptrace(_PTRACE_SETREGSET, self._tid, self._kind, self._vector_at) < 0:
            raise HarnessError(f"the vector registers of process {self._tid} could not be restored")


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
