"""Runs a program under ptrace and stops it at chosen system calls: in any language, of any number of tasks.

Every method must be called by the thread that entered the tracer, as ptrace(2) demands. Sources: ptrace(2), wait(2),
seccomp(2).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from faultinject.blackbox import launch
from faultinject.blackbox.blocked import block_signals, restore_signals
from faultinject.blackbox.deadline import Deadline
from faultinject.blackbox.launch import Command, LaunchError, Setup
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.loop import Loop
from faultinject.blackbox.nursery import Nursery
from faultinject.blackbox.ptrace import PTRACE_SYSCALL, Registers, send_signal
from faultinject.blackbox.task import (
    ENTRY,
    EXIT,
    FREE,
    GONE,
    RUNNING,
    Ending,
    Finished,
    Stop,
    Task,
    TaskGoneError,
    TracerError,
    interrupted,
)

__all__ = [
    "Ending",
    "Finished",
    "LaunchError",
    "Stop",
    "Task",
    "TaskGoneError",
    "Tracer",
    "TracerError",
    "interrupted",
]

_MASK = (1 << 64) - 1
_NEVER_RETURN = frozenset({"exit", "exit_group"})
_VFORK = 0x4000  # CLONE_VFORK of clone(2)

_tracing: set[int] = set()
"""The threads that have a tracer now: two in one thread would take each other's stops."""


class Tracer(Loop):
    """A program and all that it starts, from its exec to the end of its last task; use it in a `with` statement.

    argv: the program, found as execvp(3) does. calls: names of system calls to stop at, None for every call; those of
    `ignore` pass. env, cwd: as for this process by default. stdin, stdout, stderr: descriptors, /dev/null by default.
    timeout_seconds: after that all tasks are killed. limits: what the program inherits of them.
    nursery: starts the program instead, much faster; calls and descriptors are then those of the nursery.

    `next` hands out a call, which then waits for one of go, answer, finish, finish_as, shorten, follow, deliver.
    Other tasks run meanwhile, but none goes on from a stop outside of `next`: what has been handed back runs from then.
    No process is left when the statement ends, however it ends.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        calls: Iterable[str] | None = None,
        ignore: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        timeout_seconds: float = 60,
        limits: Limits | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        super().__init__()
        self._command = Command(tuple(argv), env, cwd, limits or Limits())
        self._setup = Setup(None if calls is None else frozenset(calls), frozenset(ignore), stdin, stdout, stderr)
        if nursery is not None:
            if self._setup not in (nursery.setup, Setup(None)):
                raise TracerError("calls and descriptors belong to the nursery: leave them out here")
            self._setup = nursery.setup
        self._nursery = nursery
        self._deadline = Deadline(timeout_seconds, self._expire)
        self._thread = 0

    def __enter__(self) -> Self:
        thread = threading.get_native_id()
        if self._thread or thread in _tracing:
            raise TracerError("this thread has a tracer already, or this one has been used: make one for each run")
        self._thread = thread
        _tracing.add(thread)
        mask = block_signals()
        try:
            if self._nursery is None:
                pid = launch.start(self._command, self._setup, self._ptrace)
            else:
                pid = self._nursery.start(self._command)
            self._begin(pid)
            self._deadline.arm()
            restore_signals(mask)
        except BaseException:
            self.close()
            restore_signals(mask)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kills what is left of the program and waits for its end."""
        mask = block_signals()
        try:
            self._end()
        finally:
            _tracing.discard(self._thread)
            restore_signals(mask)

    def go(self, stop: Stop) -> None:
        """The call runs, and nobody looks at its result."""
        task = self._claim(stop)
        task.state = FREE
        self._free.append(task)

    def finish(self, stop: Stop) -> int:
        """Runs the call now and returns its result, a negative errno where it failed; the task stands at its exit.

        Raises TaskGoneError where the task dies in the call, and at once for exit and exit_group, which let go.
        For a call that may wait for another task (a lock, a pipe, a child) use `follow`: this one may wait for ever.
        Where `interrupted(result)`, a signal came first.
        """
        task = self._claim(stop)
        if stop.call in _NEVER_RETURN:
            self._resume(task)
            raise TaskGoneError(f"{stop} does not return")
        if self._waits_for_child(stop):
            raise TracerError(f"{stop} waits until the new task has gone on: use follow")
        return self._complete(task)

    def follow(self, stop: Stop) -> None:
        """The call runs with `next`, and its end comes as Finished from a later `next`; other stops may come first."""
        task = self._claim(stop)
        task.state = FREE
        task.request = PTRACE_SYSCALL
        task.following = True
        self._free.append(task)

    def answer(self, stop: Stop, result: int) -> None:
        """The call is left out: the program sees `result`, a value or a negative errno."""
        task = self._claim(stop)
        try:
            self._ptrace.load(task.tid)
            self._ptrace.registers[self._abi.result] = result & _MASK
            self._ptrace.store_skipping(task.tid)
        except ProcessLookupError:
            raise self._gone(task) from None
        task.state = FREE
        self._free.append(task)

    def replace(self, stop: Stop, result: int) -> None:
        """The program sees `result` in place of what the call returned; the task must stand at the exit of `stop`."""
        task = stop.task
        if task.stop is not stop or task.state != EXIT:
            raise self._misused(stop, "is not at its exit")
        try:
            self._ptrace.load(task.tid)
            self._ptrace.registers[self._abi.result] = result & _MASK
            self._ptrace.store(task.tid)
        except ProcessLookupError:
            raise self._gone(task) from None

    def finish_as(self, stop: Stop, result: int) -> int:
        """Runs the call and returns its result; the program sees `result` instead (a close that fails has closed)."""
        real = self.finish(stop)
        if not interrupted(real):
            self.replace(stop, result)
        return real

    def shorten(self, stop: Stop, position: int, value: int) -> int:
        """Runs the call with `value` as argument `position` (0 to 5), puts the register back, returns the result."""
        task = self._claim(stop)
        place = self._abi.arguments[position]
        registers = self._ptrace.registers
        try:
            self._ptrace.load(task.tid)
            before = registers[place]
            registers[place] = value & _MASK
            self._ptrace.store(task.tid)
            result = self._complete(task)
            if place != self._abi.result:
                self._ptrace.load(task.tid)
                registers[place] = before
                self._ptrace.store(task.tid)
        except ProcessLookupError:
            raise self._gone(task) from None
        return result

    def deliver(self, stop: Stop, signal_number: int) -> None:
        """A signal reaches the program before the call: handlers run, then the same call comes again as a new stop.

        It does not come again where the signal ends the task, or a handler leaves by longjmp. The signal goes to the
        process where it has one thread or where this one blocks the signal, and to this thread otherwise, so that it
        arrives here.
        """
        task = self._claim(stop)
        abi, registers = self._abi, self._ptrace.registers
        try:
            self._ptrace.load(task.tid)
            registers[abi.instruction_pointer] -= len(abi.enter)
            if abi.number_register is not None:
                registers[abi.call_register] = stop.number
            self._ptrace.store_skipping(task.tid)
            blocked = self._ptrace.signal_mask(task.tid) >> (signal_number - 1) & 1
            if blocked or task.memory.users == 1:
                os.kill(task.pid, signal_number)
            else:
                send_signal(abi, task.pid, task.tid, signal_number)
        except ProcessLookupError:
            raise self._gone(task) from None
        task.state = FREE
        self._free.append(task)

    def kill(self) -> None:
        """Kills every task at this very moment (SIGKILL): no call that is held takes effect any more."""
        if self._tasks:
            self.ending.killed = True
            self._slay()

    def registers(self, task: Task) -> Registers:
        """A copy of the general registers of a task that is held; the machine's Abi knows the places."""
        self._ptrace.load(task.tid)
        return type(self._ptrace.registers).from_buffer_copy(self._ptrace.registers)

    def set_registers(self, task: Task, registers: Registers, *, skip: bool = False) -> None:
        """Replaces the general registers of a task that is held; `skip`: the call that it is at is left out."""
        ctypes.memmove(self._ptrace.registers, registers, ctypes.sizeof(self._ptrace.registers))
        if skip:
            self._ptrace.store_skipping(task.tid)
        else:
            self._ptrace.store(task.tid)

    def _end(self) -> None:
        self._deadline.disarm()
        super()._end()

    def _expire(self) -> None:
        if self._tasks:
            self.ending.timed_out = True
            self._slay()

    def _claim(self, stop: Stop) -> Task:
        task = stop.task
        if task.stop is not stop or task.state != ENTRY:
            raise self._misused(stop, "waits for nobody any more")
        if self._dying:
            raise self._gone(task)
        return task

    def _misused(self, stop: Stop, what: str) -> Exception:
        if self._dying or stop.task.state == GONE:
            return self._gone(stop.task)
        return TracerError(f"{stop} {what}")

    def _gone(self, task: Task) -> TaskGoneError:
        return TaskGoneError(f"task {task.name} (tid {task.tid}) has died")

    def _complete(self, task: Task) -> int:
        task.request = PTRACE_SYSCALL
        self._resume(task)
        while task.state == RUNNING:
            self._wait()
        if task.state != EXIT:
            raise self._gone(task)
        self._free.append(task)
        return task.result

    def _waits_for_child(self, stop: Stop) -> bool:
        if stop.call == "clone":
            return bool(stop.args[0] & _VFORK)
        if stop.call == "clone3":
            try:
                flags = stop.task.read(stop.args[0], 8)
            except ProcessLookupError:
                raise self._gone(stop.task) from None
            except OSError:
                return False  # the kernel will not find its arguments either
            return bool(int.from_bytes(flags, "little") & _VFORK)
        return stop.call == "vfork"
