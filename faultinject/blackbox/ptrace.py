"""ptrace(2) and its neighbours through ctypes, with buffers that are made once and used for every stop."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from ctypes import c_int, c_long, c_uint64, c_ulong, c_void_p
from functools import cache
from struct import Struct
from typing import Any

from faultinject.blackbox.abi import Abi

PTRACE_CONT = 7
PTRACE_SYSCALL = 24
_PTRACE_GETEVENTMSG = 0x4201
_PTRACE_GETREGSET = 0x4204
_PTRACE_SETREGSET = 0x4205
_PTRACE_SEIZE = 0x4206
_PTRACE_LISTEN = 0x4208
_PTRACE_GETSIGMASK = 0x420A
_PTRACE_SETSIGMASK = 0x420B
_PTRACE_GET_SYSCALL_INFO = 0x420E

EVENT_FORK = 1
EVENT_VFORK = 2
EVENT_CLONE = 3
EVENT_EXEC = 4
EVENT_SECCOMP = 7
EVENT_STOP = 128

OPTIONS = (
    0x1  # PTRACE_O_TRACESYSGOOD
    | 1 << EVENT_FORK
    | 1 << EVENT_VFORK
    | 1 << EVENT_CLONE
    | 1 << EVENT_EXEC
    | 1 << EVENT_SECCOMP
    | 0x100000  # PTRACE_O_EXITKILL: no program outlives its tracer
)

# waitpid(2); Python's os module has no names for them.
WALL = 0x40000000
WNOTHREAD = 0x20000000

SECCOMP_STOP = (EVENT_SECCOMP << 8 | signal.SIGTRAP) << 8 | 0x7F
EXIT_STOP = (signal.SIGTRAP | 0x80) << 8 | 0x7F
"""What waitpid says of a task at a trapped call, and at the exit of a call."""

_NT_PRSTATUS = 1
_NT_ARM_SYSTEM_CALL = 0x404

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ADDR_NO_RANDOMIZE = 0x0040000
_QUERY_PERSONALITY = 0xFFFFFFFF
_CLOSE_RANGE = 436
_CLOSE_RANGE_CLOEXEC = 4

# struct ptrace_syscall_info: op, arch, two pointers; then number and arguments, or the result.
_INFO_SIZE_BYTES = 88
_ENTRY = Struct("=BxxxI16xQ6Q")
_EXIT = Struct("=BxxxI16xqB")
_INFO_EXIT = 2
_INFO_SECCOMP = 3

Registers = ctypes.Array[c_uint64]


class Vector(ctypes.Structure):
    """A range of memory (struct iovec)."""

    _fields_ = (("base", c_uint64), ("size_bytes", c_uint64))


@cache
def c_library() -> ctypes.PyDLL:
    """The C library, with what is called of it described.

    ptrace and process_vm_* have no argtypes: each declared type costs 0.1 us a call, and there are a dozen a point. So
    numbers go as C ints, which all of them fit into, and addresses by ctypes.byref, from objects that are made once.
    """
    # PyDLL keeps the interpreter lock: none of these calls waits, and to give it up costs more than they do.
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.ptrace.restype = c_long
    libc.prctl.argtypes = (c_int, c_ulong, c_ulong, c_ulong, c_ulong)
    libc.prctl.restype = c_int
    libc.personality.argtypes = (c_ulong,)
    libc.personality.restype = c_int
    libc.syscall.restype = c_long
    libc.process_vm_readv.restype = libc.process_vm_writev.restype = c_long
    libc.pthread_sigmask.argtypes = (c_int, c_void_p, c_void_p)
    libc.pthread_sigmask.restype = c_int
    return libc


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def fix_addresses() -> None:
    """Lets the programs that this process becomes have the same addresses in every run (personality(2))."""
    libc = c_library()
    now = libc.personality(_QUERY_PERSONALITY)
    if now < 0 or libc.personality(now | _ADDR_NO_RANDOMIZE) < 0:
        raise _error("personality")


def close_on_exec(first: int) -> None:
    """Marks every descriptor from `first` on to be closed on exec: a program finds only those meant for it."""
    arguments = c_ulong(first), c_ulong(0xFFFFFFFF), c_ulong(_CLOSE_RANGE_CLOEXEC)
    if c_library().syscall(c_long(_CLOSE_RANGE), *arguments) < 0:
        raise _error("close_range")


def install_filter(program: ctypes.Array[ctypes.c_char]) -> None:
    """Puts a seccomp filter (struct sock_fprog) on this process and all that it starts; asks for no privilege."""
    libc = c_library()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0:
        raise _error("prctl(PR_SET_NO_NEW_PRIVS)")
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0) < 0:
        raise _error("prctl(PR_SET_SECCOMP)")


def send_signal(abi: Abi, pid: int, tid: int, number: int) -> None:
    """Sends a signal to one thread (tgkill(2))."""
    if c_library().syscall(c_long(abi.numbers["tgkill"]), c_int(pid), c_int(tid), c_int(number)) < 0:
        raise _error("tgkill")


class Ptrace:
    """The requests of one tracing thread. All raise ProcessLookupError where the task has died meanwhile."""

    __slots__ = (
        "_info",
        "_info_at",
        "_number",
        "_number_at",
        "_number_place",
        "_ptrace",
        "_registers_bytes",
        "_vector",
        "_vector_at",
        "_word",
        "_word_at",
        "registers",
    )

    def __init__(self, abi: Abi) -> None:
        self._ptrace: Any = c_library().ptrace
        self._info = ctypes.create_string_buffer(_INFO_SIZE_BYTES)
        self._info_at = ctypes.byref(self._info)
        self._word = c_uint64()
        self._word_at = ctypes.byref(self._word)
        self.registers: Registers = (c_uint64 * abi.register_count)()
        self._registers_bytes = ctypes.sizeof(self.registers)
        self._vector = Vector(ctypes.addressof(self.registers), self._registers_bytes)
        self._vector_at = ctypes.byref(self._vector)
        self._number_place = abi.number_register
        self._number = c_int(-1)
        self._number_at = ctypes.byref(Vector(ctypes.addressof(self._number), ctypes.sizeof(self._number)))

    def seize(self, tid: int) -> None:
        """Attaches, without a stop."""
        if self._ptrace(_PTRACE_SEIZE, tid, 0, OPTIONS) < 0:
            raise _error("ptrace(PTRACE_SEIZE)")

    def resume(self, request: int, tid: int, signal_number: int = 0) -> None:
        """Lets a stopped task run on, to its next trapped call or (PTRACE_SYSCALL) to the exit of the present one."""
        if self._ptrace(request, tid, 0, signal_number) < 0:
            raise _error("ptrace(resume)")

    def listen(self, tid: int) -> None:
        """Leaves a task in its group stop, and hears of what becomes of it."""
        if self._ptrace(_PTRACE_LISTEN, tid, 0, 0) < 0:
            raise _error("ptrace(PTRACE_LISTEN)")

    def event_message(self, tid: int) -> int:
        """The new task's id at a fork, vfork or clone; the former id at an exec."""
        if self._ptrace(_PTRACE_GETEVENTMSG, tid, 0, self._word_at) < 0:
            raise _error("ptrace(PTRACE_GETEVENTMSG)")
        return self._word.value

    def entry(self, tid: int) -> tuple[int, ...]:
        """Of a task at a trapped call: what kind of stop it is, the architecture, the number, the six arguments."""
        if self._ptrace(_PTRACE_GET_SYSCALL_INFO, tid, _INFO_SIZE_BYTES, self._info_at) < 0:
            raise _error("ptrace(PTRACE_GET_SYSCALL_INFO)")
        return _ENTRY.unpack_from(self._info)

    def result(self, tid: int) -> int:
        """What the call that a task has just made returned; a negative errno where it failed."""
        if self._ptrace(_PTRACE_GET_SYSCALL_INFO, tid, _INFO_SIZE_BYTES, self._info_at) < 0:
            raise _error("ptrace(PTRACE_GET_SYSCALL_INFO)")
        kind, _, value, _ = _EXIT.unpack_from(self._info)
        if kind != _INFO_EXIT:
            raise OSError(errno.EPROTO, f"task {tid} is not at the exit of a call (kind of stop {kind})")
        return int(value)

    def load(self, tid: int) -> None:
        """Reads the general registers of a stopped task into `registers`."""
        if self._ptrace(_PTRACE_GETREGSET, tid, _NT_PRSTATUS, self._vector_at) < 0:
            raise _error("ptrace(PTRACE_GETREGSET)")
        if self._vector.size_bytes != self._registers_bytes:
            self._vector.size_bytes = self._registers_bytes
            raise OSError(errno.ENOTSUP, f"task {tid} runs a program for another machine: its registers are not known")

    def store(self, tid: int) -> None:
        """Writes `registers` to a stopped task."""
        if self._ptrace(_PTRACE_SETREGSET, tid, _NT_PRSTATUS, self._vector_at) < 0:
            raise _error("ptrace(PTRACE_SETREGSET)")

    def store_skipping(self, tid: int) -> None:
        """Writes `registers` and makes the kernel leave out the call that the task is about to make."""
        if self._number_place is not None:
            self.registers[self._number_place] = (1 << 64) - 1
        elif self._ptrace(_PTRACE_SETREGSET, tid, _NT_ARM_SYSTEM_CALL, self._number_at) < 0:
            raise _error("ptrace(PTRACE_SETREGSET, NT_ARM_SYSTEM_CALL)")
        if self._ptrace(_PTRACE_SETREGSET, tid, _NT_PRSTATUS, self._vector_at) < 0:
            raise _error("ptrace(PTRACE_SETREGSET)")

    def load_set(self, tid: int, kind: int, vector: Any) -> None:
        """Reads another set of registers (NT_*) into what a Vector says (ctypes.byref)."""
        if self._ptrace(_PTRACE_GETREGSET, tid, kind, vector) < 0:
            raise _error("ptrace(PTRACE_GETREGSET)")

    def store_set(self, tid: int, kind: int, vector: Any) -> None:
        """Writes another set of registers to a stopped task; see `load_set`."""
        if self._ptrace(_PTRACE_SETREGSET, tid, kind, vector) < 0:
            raise _error("ptrace(PTRACE_SETREGSET)")

    def signal_mask(self, tid: int) -> int:
        """The blocked signals of a stopped task; bit n-1 is signal n."""
        if self._ptrace(_PTRACE_GETSIGMASK, tid, 8, self._word_at) < 0:
            raise _error("ptrace(PTRACE_GETSIGMASK)")
        return self._word.value

    def set_signal_mask(self, tid: int, mask: int) -> None:
        """Replaces the blocked signals of a stopped task."""
        self._word.value = mask
        if self._ptrace(_PTRACE_SETSIGMASK, tid, 8, self._word_at) < 0:
            raise _error("ptrace(PTRACE_SETSIGMASK)")
