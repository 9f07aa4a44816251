"""Small questions about processes, and their end. Sources: proc_pid_status(5), wait(2)."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from faultinject.blackbox.ptrace import WALL


def bury(tid: int) -> None:
    """Kills a process that this thread traces, and waits for its end."""
    with suppress(ProcessLookupError):
        os.kill(tid, signal.SIGKILL)
    with suppress(ChildProcessError):
        while os.waitpid(tid, WALL)[1] & 0xFF == 0x7F:
            pass


def _field(tid: int, name: bytes) -> int:
    """A number from /proc/TID/status; 0 where there is none any more."""
    with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{tid}/status", "rb") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1])
    return 0


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt:"))
    return bool(caught >> (number - 1) & 1)


def tracer_of(tid: int) -> int:
    """The thread that traces this task; 0 where none does."""
    return _field(tid, b"TracerPid:")


def group_of(tid: int) -> int:
    """The process that this task is a thread of."""
    return _field(tid, b"Tgid:") or tid
