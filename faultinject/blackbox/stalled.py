"""Whether a program can go on while some of its tasks are held: not where all the others wait for those.

A task that the kernel has put to sleep in a call without a time limit goes on only when somebody else does something.
Source: proc_pid_syscall(5).
"""

from __future__ import annotations

from collections.abc import Iterable

from faultinject.blackbox.abi import Abi, native
from faultinject.blackbox.task import Task

PAUSE_SECONDS = 0.05
"""So long nothing may happen before anybody asks, and again before the answer counts."""

_FUTEX_WAITS = frozenset({0, 6, 9, 11, 13})
"""FUTEX_WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2 (futex(2))."""
_FUTEX_COMMAND = 0x7F
_WITHOUT_LIMIT = frozenset(
    {
        "futex",
        "wait4",
        "waitid",
        "pause",
        "rt_sigsuspend",
        "flock",
        "fcntl",
        "read",
        "readv",
        "write",
        "writev",
        "splice",
    }
)
"""Calls that last until another task has done something; `futex` only where it has no time limit."""


def waiting(tasks: Iterable[Task]) -> dict[str, str] | None:
    """In which call each task waits, by its name; None where any of them may go on by itself."""
    abi = native()
    found = {}
    for task in tasks:
        call = _waits_in(task, abi)
        if call is None:
            return None
        found[task.name] = call
    return found


def _waits_in(task: Task, abi: Abi) -> str | None:
    try:
        with open(f"/proc/{task.pid}/task/{task.tid}/syscall", encoding="ascii") as file:
            words = file.read().split()
    except OSError:
        return None  # it has ended, or the system does not say
    if not words[0].isdigit():
        return None  # "running"
    name = abi.names.get(int(words[0]), "")
    if name not in _WITHOUT_LIMIT:
        return None
    if name == "futex":
        _, command, _, limit = (int(word, 16) for word in words[1:5])
        if limit or command & _FUTEX_COMMAND not in _FUTEX_WAITS:
            return None
    return name
