"""What a tail has to do with the task itself while a call of it is answered: memory, and calls that really run.

Sources: proc(5) (mem), process_vm_writev(2), ptrace(2).
"""

from __future__ import annotations

import ctypes
import os
from abc import ABC, abstractmethod

from faultinject.blackbox.abi import Abi
from faultinject.blackbox.pages import Pages
from faultinject.blackbox.ptrace import EXIT_STOP, PTRACE_SYSCALL, WALL, Ptrace, Vector, c_library
from faultinject.blackbox.task import Task
from faultinject.blackbox.unrewindable import UnrewindableError


class Access(ABC):
    """The task at the entry of a call, or what is known of it there."""

    @abstractmethod
    def read(self, address: int, size_bytes: int) -> bytes:
        """Bytes at an address, fewer where the memory ends. Raises OSError where there is none."""

    @abstractmethod
    def read_string(self, address: int) -> bytes:
        """The bytes at an address up to the first NUL. Raises OSError where there is none."""

    @abstractmethod
    def write(self, address: int, data: bytes) -> bool:
        """Writes as the kernel does for its own calls: False where that has no memory to write to."""

    @abstractmethod
    def stand(self) -> None:
        """The task itself is at the call from here on, for somebody who looks at it in another way."""

    @abstractmethod
    def really(self, place: int, value: int | None) -> int:
        """Lets the call run and returns its result; the task stands at its exit. Raises UnrewindableError.

        value: in place of the argument in the register at this place, None for the argument that is there.
        """


class Live(Access):
    """The task itself."""

    __slots__ = ("_abi", "_pages", "_ptrace", "_task")

    def __init__(self, abi: Abi, ptrace: Ptrace, task: Task, pages: Pages) -> None:
        self._abi = abi
        self._ptrace = ptrace
        self._task = task
        self._pages = pages

    def read(self, address: int, size_bytes: int) -> bytes:
        """See `Access.read`."""
        return self._task.read(address, size_bytes)

    def read_string(self, address: int) -> bytes:
        """See `Access.read_string`."""
        return self._task.read_string(address)

    def write(self, address: int, data: bytes) -> bool:
        """See `Access.write`."""
        self._pages.doubt()
        buffer = ctypes.create_string_buffer(data, len(data))
        local, remote = Vector(ctypes.addressof(buffer), len(data)), Vector(address, len(data))
        at = ctypes.byref(local), 1, ctypes.byref(remote), 1, 0
        return bool(c_library().process_vm_writev(self._task.tid, *at) == len(data))

    def stand(self) -> None:
        """See `Access.stand`: it is there."""

    def really(self, place: int, value: int | None) -> int:
        """See `Access.really`."""
        self._pages.doubt()
        ptrace, tid = self._ptrace, self._task.tid
        before = ptrace.registers[place]
        replaced = value is not None and value != before
        if value is not None and replaced:
            ptrace.registers[place] = value
            ptrace.store(tid)
        ptrace.resume(PTRACE_SYSCALL, tid)
        _, status = os.waitpid(tid, WALL)
        if status & 0xFF != 0x7F:
            raise ProcessLookupError(f"process {tid} has died")
        if status != EXIT_STOP:
            raise UnrewindableError("a signal came in the middle of a call")
        if replaced and place != self._abi.result:
            ptrace.load(tid)
            ptrace.registers[place] = before
            ptrace.store(tid)
        return ptrace.result(tid)
