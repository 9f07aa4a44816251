"""A program of one task, taken from call to call: what a Tracer does, with nothing between the caller and ptrace(2).

Any number of these, and a Tracer besides, can be in one thread. A program that starts another task is let go of.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import ExitStack

from faultinject.blackbox import launch
from faultinject.blackbox.abi import X32_BIT, native
from faultinject.blackbox.checkpoint import UnrewindableError
from faultinject.blackbox.launch import Command, Setup
from faultinject.blackbox.process import bury
from faultinject.blackbox.ptrace import (
    EVENT_CLONE,
    EVENT_EXEC,
    EVENT_FORK,
    EVENT_STOP,
    EVENT_VFORK,
    EXIT_STOP,
    PTRACE_CONT,
    PTRACE_SYSCALL,
    SECCOMP_STOP,
    WALL,
    Ptrace,
)
from faultinject.blackbox.started import Limits, Program, streams
from faultinject.blackbox.task import Memory, Stop, Task

_BIRTHS = (EVENT_FORK, EVENT_VFORK, EVENT_CLONE)


class Single:
    """A program that is stopped at every call but those of `ignore`, from its first one on; `close` ends it.

    Raises LaunchError where it cannot be started. `output` and `errors` are the files that it writes its words to.
    """

    def __init__(self, program: Program, ignore: Iterable[str]) -> None:
        self.abi = native()
        self.ptrace = Ptrace(self.abi)
        self.alive = False
        with ExitStack() as stack:
            stdin, self.output, self.errors = stack.enter_context(streams(program))
            command = Command(program.argv, dict(program.environment), program.directory)
            setup = Setup(None, frozenset(ignore), stdin, self.output.fileno(), self.errors.fileno(), Limits().set)
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                pid = launch.start(command, setup, self.ptrace)
                self.task = Task(pid, pid, "0", Memory(pid))
                self.alive = True
                self._files = stack.pop_all()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def close(self) -> None:
        """Ends what is left of it, and gives descriptors back."""
        if self.alive:
            self.alive = False
            bury(self.task.pid)
        self.task.memory.close()
        self._files.close()

    def next(self) -> Stop | None:
        """Lets it run to its next call; None where it has ended. Raises UnrewindableError where it has more tasks."""
        tid = self.task.tid
        self.ptrace.resume(PTRACE_CONT, tid)
        while True:
            status = self.wait()
            if status == SECCOMP_STOP:
                _, arch, number, *arguments = self.ptrace.entry(tid)
                if arch != self.abi.audit_arch or X32_BIT <= number < 2 * X32_BIT:
                    raise UnrewindableError("it makes calls of another machine")
                return Stop(self.task, self.abi.names.get(number, ""), number, tuple(arguments))
            if status & 0xFF != 0x7F:
                return None
            self._pass(status, PTRACE_CONT)

    def finish(self) -> int:
        """The call that it is at runs; its result. Raises ProcessLookupError where it dies in that."""
        self.ptrace.resume(PTRACE_SYSCALL, self.task.tid)
        while True:
            status = self.wait()
            if status == EXIT_STOP:
                return self.ptrace.result(self.task.tid)
            if status & 0xFF != 0x7F:
                raise ProcessLookupError(f"process {self.task.tid} has died")
            self._pass(status, PTRACE_SYSCALL)

    def answer(self, result: int) -> None:
        """The call that it is at is left out, and it sees `result`."""
        self.ptrace.load(self.task.tid)
        self.ptrace.registers[self.abi.result] = result & (1 << 64) - 1
        self.ptrace.store_skipping(self.task.tid)

    def wait(self) -> int:
        """What becomes of it next, as waitpid says it."""
        _, status = os.waitpid(self.task.tid, WALL)
        if status & 0xFF != 0x7F:
            self.alive = False
        return status

    def _pass(self, status: int, request: int) -> None:
        event, number = status >> 16, status >> 8 & 0xFF
        if event in _BIRTHS:
            bury(self.ptrace.event_message(self.task.tid))
            raise UnrewindableError("it starts other tasks")
        if event == EVENT_EXEC:
            self.task.memory.close()
        elif event == EVENT_STOP:
            raise UnrewindableError("it is stopped by a signal")
        self.ptrace.resume(request, self.task.tid, 0 if event else number)
