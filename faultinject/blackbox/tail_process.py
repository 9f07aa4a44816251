"""Calls on memory, signals and time after a fault: they run where that can be undone, or change nothing.

Sources: brk(2), mmap(2), sigprocmask(2), sigaction(2), futex(2).
"""

from __future__ import annotations

import os
import signal
from functools import partial

from faultinject.blackbox.point import Arguments
from faultinject.blackbox.tail import DONE, REAL, Table, Tail
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.ops import Op

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROT_WRITE = 2
_MAP_TYPE, _MAP_PRIVATE = 0x0F, 0x02
_MAP_FIXED, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE, _MAP_GROWSDOWN = 0x10, 0x20, 0x100000, 0x100
_FUTEX_COMMANDS = 0x7F
_FUTEX_WAKES = (1, 10)
_ACTION_BYTES, _SIGNAL_SET_BYTES = 32, 8
_FIXED_SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
_MEMORY_BYTES_MAX = 1 << 28

HARMLESS = frozenset(
    {
        "capget", "clock_getres", "clock_gettime", "getcpu", "getcwd", "getegid", "geteuid", "getgid", "getgroups",
        "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresuid", "getrlimit",
        "getrusage", "getsid", "gettid", "gettimeofday", "getuid", "sched_get_priority_max", "sched_get_priority_min",
        "sched_getaffinity", "sched_getparam", "sched_getscheduler", "sched_yield", "sysinfo", "time", "times", "uname",
    }
)  # fmt: skip
"""Calls that only look at what no tail changes: they are not even trapped."""


def _brk(tail: Tail, arguments: Arguments) -> int:
    wanted, before = arguments[0], tail.point.break_address
    if not wanted:
        if tail.break_address == before:
            return REAL
        return tail.break_address
    if wanted < before:
        if tail.break_address != before:
            raise UnrewindableError("it moves the end of its memory to and fro")
        tail.break_address = wanted  # it stays, so that what is in it can be restored
        return wanted
    if tail.break_address < before:
        raise UnrewindableError("it moves the end of its memory to and fro")
    if wanted - before > _MEMORY_BYTES_MAX:
        raise UnrewindableError("it asks for much memory after the fault")
    result = tail.really()
    if tail.break_address == before and result != before:
        tail.undo.append(("brk", (before,)))
    tail.break_address = result
    return DONE


def _mmap(tail: Tail, arguments: Arguments) -> int:
    _, size_bytes, protection, flags, fd, _ = arguments
    anonymous = bool(flags & _MAP_ANONYMOUS)
    if not anonymous:
        found = tail.descriptor(fd)
        shared = flags & _MAP_TYPE != _MAP_PRIVATE and bool(protection & _PROT_WRITE)
        if found is not None and found.watched and shared:
            error = tail.hit(Op.MMAP)
            if error:
                return -error
        if found is None or not found.own:
            raise UnrewindableError("it maps a file into its memory after the fault")
    if flags & _MAP_TYPE != _MAP_PRIVATE or flags & (_MAP_FIXED | _MAP_FIXED_NOREPLACE | _MAP_GROWSDOWN):
        raise UnrewindableError("it maps memory that cannot be taken back")
    if size_bytes > _MEMORY_BYTES_MAX:
        raise UnrewindableError("it asks for much memory after the fault")
    address = tail.really()
    if address >= 0:
        size_bytes = -(-size_bytes // _PAGE_BYTES) * _PAGE_BYTES
        tail.mappings[address] = size_bytes
        tail.undo.append(("munmap", (address, size_bytes)))
    return DONE


def _munmap(tail: Tail, arguments: Arguments) -> int:
    address, size_bytes = arguments[0], -(-arguments[1] // _PAGE_BYTES) * _PAGE_BYTES
    if tail.mappings.get(address) == size_bytes:
        # Out of the list at once: to unmap what something else has taken since would destroy that.
        tail.mappings.pop(address)
        tail.undo.remove(("munmap", (address, size_bytes)))
        return REAL
    if _overlaps(tail, address, size_bytes):
        raise UnrewindableError("it unmaps a part of its memory")
    return 0  # it stays, so that what is in it can be restored


def _overlaps(tail: Tail, address: int, size_bytes: int) -> bool:
    return any(start < address + size_bytes and address < start + length for start, length in tail.mappings.items())


def _on_own_memory(tail: Tail, arguments: Arguments) -> int:
    """mprotect, madvise: on memory that is taken back afterwards."""
    end = arguments[0] + arguments[1]
    if any(start <= arguments[0] and end <= start + length for start, length in tail.mappings.items()):
        return REAL
    raise UnrewindableError("it changes what its memory may be used for")


def _mask(tail: Tail, arguments: Arguments) -> int:
    if arguments[1]:
        tail.masked = True
    return REAL


def _action(tail: Tail, arguments: Arguments) -> int:
    """What signals do is kept beside; where one comes that this is about, the tail is given up."""
    number, new, old, set_bytes = arguments[0], arguments[1], arguments[2], arguments[3]
    if set_bytes != _SIGNAL_SET_BYTES or number in _FIXED_SIGNALS or not 0 < number <= 8 * _SIGNAL_SET_BYTES:
        raise UnrewindableError("it asks for what no signal can do")
    before = tail.actions.get(number)
    if new:
        tail.actions[number] = tail.read(new, _ACTION_BYTES)
    if before is not None or not old:
        if before is not None and old:
            tail.write(old, before)
        return 0
    tail.really(1, 0)
    return DONE


def _if_asking(_: Tail, arguments: Arguments, new: int, what: str) -> int:
    if not arguments[new]:
        return REAL
    raise UnrewindableError(f"it changes {what} after the fault")


def _raise(tail: Tail, arguments: Arguments, to: int, signal_at: int) -> int:
    if arguments[to] != tail.point.task.tid:
        raise UnrewindableError("it sends a signal to another process")
    tail.raised = bool(arguments[signal_at])
    return REAL


def _futex(_: Tail, arguments: Arguments) -> int:
    if arguments[1] & _FUTEX_COMMANDS in _FUTEX_WAKES:
        return 0  # a single task: there is nobody to wake
    raise UnrewindableError("it waits for another task")


def _sleep(_: Tail, __: Arguments) -> int:
    return 0


TABLE: Table = {
    "brk": _brk,
    "mmap": _mmap,
    "munmap": _munmap,
    "mprotect": _on_own_memory,
    "madvise": _on_own_memory,
    "rt_sigprocmask": _mask,
    "rt_sigaction": _action,
    "sigaltstack": partial(_if_asking, new=0, what="its signal stack"),
    "prlimit64": partial(_if_asking, new=2, what="its limits"),
    "tgkill": partial(_raise, to=1, signal_at=2),
    "tkill": partial(_raise, to=0, signal_at=1),
    "kill": partial(_raise, to=0, signal_at=1),
    "futex": _futex,
    "nanosleep": _sleep,
    "clock_nanosleep": _sleep,
}
"""What is done for each of these calls."""
