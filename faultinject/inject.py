"""Makes one chosen operation of a program go wrong, and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from faultinject.faults import INJECTED_ERROR, KEYBOARD_INTERRUPT, Fault, Form, InjectedError
from faultinject.interpose import Interposed, Result
from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from faultinject.signals import InjectedInterrupt, send_signal
from kvformat.filesystem import FileSystem

_NEVER = sys.maxsize


class HarnessError(Exception):
    """The harness, not the program under test, is at fault; no verdict may rest on this run."""


class Killed(BaseException):
    """Stands for SIGKILL in process: from here on the program can change nothing any more."""


class Injector:
    """Performs every operation but one, which goes wrong as `fault` says. `fired` tells whether it did.

    Nothing is injected without a fault; `count` is the number of operations so far. `kill` ends a real process
    where the fault says so; without it the exception `Killed` stands for that. Raises HarnessError
    where the operation at the point is another one than the fault was made for. Subclasses know the arguments of the
    calls.
    """

    __slots__ = ("_dead", "_due", "_fault", "_kill", "_pending", "_sticky", "count", "fired")

    def __init__(self, fault: Fault | None, *, kill: Callable[[], None] | None = None) -> None:
        self._kill = kill
        self.count = 0
        self.fired = 0
        self._fault = fault
        self._due = _NEVER if fault is None or fault.index < 0 else fault.index
        self._pending: Fault | None = None
        self._sticky: Fault | None = None
        self._dead = False

    def _creates(self, op: Op, arguments: tuple[Any, ...]) -> bool:
        """Whether it is an open that may create."""
        raise NotImplementedError

    def _shortened(self, op: Op, arguments: tuple[Any, ...], size_bytes: int) -> tuple[Any, ...]:
        """The arguments with which only so many bytes are transferred."""
        raise NotImplementedError

    def _lose(self, op: Op, arguments: tuple[Any, ...]) -> None:
        """What the failure of an operation means comes true, where this can be told."""

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        index = self.count
        self.count = index + 1
        if index < self._due:
            return method(*arguments)
        watched: Result = self._watched(index, op, method, arguments)
        return watched

    def _watched(self, index: int, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self._dead:
            raise Killed
        if self._sticky is not None and self._sticky.lasts_over(op, creates=self._creates(op, arguments)):
            return self._fail(self._sticky.error, op, method, arguments)
        if self._pending is not None and op.transfers:
            error = self._pending.error
            self._pending = None
            self._watch_on()
            raise _os_error(error)
        fault = self._fault
        if fault is None or fault.index != index:
            return method(*arguments)
        if fault.op is not op:
            raise HarnessError(f"operation {index} is {op} and not {fault.op}: the run differs from the recorded one")
        self._fault = fault.second
        self.fired += 1
        if fault.sticky:
            self._sticky = fault
        if fault.form is Form.CUT and not fault.sticky and fault.byte:
            self._pending = fault
        self._watch_on()
        return self._act(fault, op, method, arguments)

    def _watch_on(self) -> None:
        """From where on operations are looked at again: not at all once everything has fired."""
        if self._sticky is None and self._pending is None:
            self._due = _NEVER if self._fault is None else self._fault.index

    def _fail(self, number: int, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> NoReturn:
        """The operation fails, and what its failure means comes true."""
        self._lose(op, arguments)
        if op is Op.CLOSE:
            method(*arguments)  # the descriptor is gone all the same (close(2), NOTES)
        raise _os_error(number)

    def _act(self, fault: Fault, op: Op, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        form = fault.form
        if form is Form.ERRNO or (form is Form.CUT and not fault.byte):
            return self._fail(fault.error, op, method, arguments)
        if form in (Form.SHORT, Form.CUT):
            return method(*self._shortened(op, arguments, fault.byte or 0)) if fault.byte else 0
        if form is Form.SIGNAL:
            send_signal(fault.what)
            return method(*arguments)
        if form is Form.RAISE_BEFORE:
            if op is Op.CLOSE:
                method(*arguments)  # whatever comes out of close, nobody may call it again for the number
            raise exception_named(fault.what)
        if form is Form.RAISE_AFTER:
            method(*arguments)
            raise exception_named(fault.what)
        if form is Form.KILL:
            if fault.byte:
                method(*self._shortened(op, arguments, fault.byte))
            self._dead = True
            self._due = 0
            if self._kill is not None:
                self._kill()
            raise Killed
        raise HarnessError(f"{fault.id} cannot be injected into an operation")


class InjectingFileSystem(Injector, Interposed):
    """An injector of calls of the port."""

    __slots__ = ("_inner",)

    def __init__(self, inner: FileSystem, fault: Fault | None, *, kill: Callable[[], None] | None = None) -> None:
        super().__init__(fault, kill=kill)
        self._inner = inner

    def _creates(self, op: Op, arguments: tuple[Any, ...]) -> bool:
        return op is Op.OPEN and bool(arguments[1] & os.O_CREAT)

    def _shortened(self, op: Op, arguments: tuple[Any, ...], size_bytes: int) -> tuple[Any, ...]:
        if op is Op.PWRITE:
            fd, data, offset = arguments
            return fd, memoryview(data)[:size_bytes], offset
        if op is Op.COPY_RANGE:
            source_fd, target_fd, _, source_offset, target_offset = arguments
            return source_fd, target_fd, size_bytes, source_offset, target_offset
        raise HarnessError(f"{op} moves no bytes and cannot be cut")

    def _lose(self, op: Op, arguments: tuple[Any, ...]) -> None:
        """fsync(2) and close(2) report that earlier writes were lost; a real file system loses none here."""
        if op in (Op.FSYNC, Op.CLOSE) and isinstance(self._inner, MemoryFileSystem):
            self._inner.lose_unsynced(arguments[0], at_close=op is Op.CLOSE)


def exception_named(what: str) -> BaseException:
    """The exception that a fault of that name raises. Raises HarnessError for another name."""
    if what == KEYBOARD_INTERRUPT:
        return InjectedInterrupt()
    if what == INJECTED_ERROR:
        return InjectedError("injected")
    raise HarnessError(f"no such exception to inject: {what!r}")


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
