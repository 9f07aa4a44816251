"""Brings a stopped task back to the call at which it stands, registers and memory, as often as wanted.

A copy of the process (clone(2), never run) holds the memory as it was. Sources: ptrace(2), clone(2).
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from faultinject.blackbox.abi import Abi
from faultinject.blackbox.pages import Held, Pages
from faultinject.blackbox.ptrace import (
    EVENT_CLONE,
    EXIT_STOP,
    PTRACE_CONT,
    PTRACE_SYSCALL,
    SECCOMP_STOP,
    WALL,
    Ptrace,
    Vector,
)
from faultinject.blackbox.task import Task
from faultinject.blackbox.unrewindable import UnrewindableError

_CLONE_STOP = (EVENT_CLONE << 8 | signal.SIGTRAP) << 8 | 0x7F
_CLONE_FS_FILES_PARENT = 0x200 | 0x400 | 0x8000

_NT_PRFPREG = 2
_NT_X86_XSTATE = 0x202
_EXTENDED_BYTES_MAX = 1 << 14

_SNAPSHOT_PAGES_MAX = 64
"""Where tails change more memory than this, to compare it costs more than to run."""


class Checkpoint:
    """A task at the entry of a trapped call, which becomes a place to come back to. Use `close` when done.

    `saved`: its registers there. `pages`: its memory. Raises UnrewindableError where there is memory that cannot be
    brought back.
    """

    def __init__(self, abi: Abi, ptrace: Ptrace, task: Task) -> None:
        self._abi = abi
        self._ptrace = ptrace
        self._task = task
        self._tid = task.tid
        self._size_bytes = ctypes.sizeof(ptrace.registers)
        self._holder = 0
        ptrace.load(self._tid)
        self.saved = type(ptrace.registers).from_buffer_copy(ptrace.registers)
        self.number = self.saved[abi.number_register if abi.number_register is not None else abi.call_register]
        self._extended = _Extended(abi, ptrace, self._tid)
        self._mask = ptrace.signal_mask(self._tid)
        self.pages = Pages(task)
        try:
            self._hold()
            self.pages.hold(self._holder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the copy and gives descriptors back; the task is left as it is."""
        self.pages.close()
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

    def restore(self, *, mask: bool, at: Snapshot | None = None) -> None:
        """Brings the memory back, and the blocked signals where `mask`; the registers are for what comes next.

        at: the task is in this state, and that was just found.
        """
        if at is None:
            self.pages.look()
        self._extended.restore()
        self.pages.restore(None if at is None else at.held)
        if mask:
            self._ptrace.set_signal_mask(self._tid, self._mask)

    def snapshot(self) -> Snapshot | None:
        """The state of the task but for its general registers; None where tails change too much to compare it."""
        self.pages.look()
        if len(self.pages.changed) > _SNAPSHOT_PAGES_MAX:
            return None
        return Snapshot(self._extended.now(), Held(self.pages.changed, bytes(self.pages.read())))

    def find(self, snapshots: Iterable[Snapshot]) -> int | None:
        """Which of these states the task is in, by number, but for its general registers."""
        self.pages.look()
        if len(self.pages.changed) > _SNAPSHOT_PAGES_MAX:
            return None
        extended, data = self._extended.now(), self.pages.read()
        for number, one in enumerate(snapshots):
            if self.pages.are(one.held, data) and one.extended == extended:
                return number
        return None

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

    def _enter(self, number: int, *arguments: int) -> None:
        """Stops at the entry of a call, made by the very instruction that made the one of the checkpoint."""
        abi, registers = self._abi, self._ptrace.registers
        ctypes.memmove(registers, self.saved, self._size_bytes)
        registers[abi.instruction_pointer] -= len(abi.enter)
        registers[abi.call_register] = number
        for place, value in zip(abi.arguments, arguments, strict=False):
            registers[place] = value
        self.pages.doubt()
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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a task held besides its general registers: vector registers, and the pages that tails had changed."""

    extended: bytes
    held: Held

    @property
    def size_bytes(self) -> int:
        """How much is kept."""
        return len(self.extended) + len(self.held.data)


class _Extended:
    """The floating point and vector registers, which a program may keep in use over a call."""

    __slots__ = ("_buffer", "_kind", "_now", "_now_at", "_ptrace", "_saved", "_saved_at", "_tid")

    def __init__(self, abi: Abi, ptrace: Ptrace, tid: int) -> None:
        self._ptrace = ptrace
        self._tid = tid
        self._kind = _NT_X86_XSTATE if abi.machine == "x86_64" else _NT_PRFPREG
        self._buffer = [ctypes.create_string_buffer(_EXTENDED_BYTES_MAX) for _ in range(2)]
        self._saved, self._now = (Vector(ctypes.addressof(one), _EXTENDED_BYTES_MAX) for one in self._buffer)
        self._saved_at, self._now_at = ctypes.byref(self._saved), ctypes.byref(self._now)
        try:
            ptrace.load_set(tid, self._kind, self._saved_at)
        except ProcessLookupError:
            raise
        except OSError as error:
            raise UnrewindableError("the vector registers cannot be read") from error
        self._now.size_bytes = self._saved.size_bytes

    def restore(self) -> None:
        """Puts them back."""
        self._ptrace.store_set(self._tid, self._kind, self._saved_at)

    def now(self) -> bytes:
        """As they are now."""
        self._ptrace.load_set(self._tid, self._kind, self._now_at)
        return ctypes.string_at(self._buffer[1], self._now.size_bytes)
