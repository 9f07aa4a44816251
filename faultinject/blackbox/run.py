"""Runs the program once under the tracer, with one fault or none, and writes down what it did."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO

from faultinject.blackbox.describe import CALLS, REFUSED, Describer
from faultinject.blackbox.mapped import Mapped
from faultinject.blackbox.ordinals import Counter, Ordinals
from faultinject.blackbox.started import Limits, Program, Running, started
from faultinject.blackbox.state import Roots
from faultinject.blackbox.task import Ending, Finished, Stop, TaskGoneError, interrupted
from faultinject.blackbox.turns import Turns
from faultinject.blackbox.vector import printed, shortened
from faultinject.faults import Fault, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Reported

_BLOCKING = frozenset({Op.FLOCK, Op.LOCK, Op.SPLICE})
"""Operations that may wait for another task, which must not be kept from running meanwhile."""

_PRINTING = frozenset({"write", "writev"})


@dataclass(frozen=True, slots=True)
class Ran:
    """One run. fired: how many faults were injected. said: the last line on standard error.

    handled: whether the program had a handler for the signal that was injected, when it came; returned: whether the
    handler has returned, so that the call was made after all.
    """

    ending: Ending
    reported: Reported
    trace: Trace
    fired: int
    handled: bool
    said: str
    outside: frozenset[str]
    notes: tuple[str, ...]
    ordinals: Ordinals
    returned: bool


def run(
    program: Program,
    roots: Roots,
    fault: Fault | None = None,
    recorded: Trace | None = None,
    *,
    until: int | None = None,
    keep: bool = True,
    limits: Limits | None = None,
) -> Ran:
    """One run. A fault is injected at the operation that the recorded trace has at its index (KVS-AUDIT-2).

    until: up to which index tasks keep to the recorded order (the fault's, unless given).
    keep: with the trace and all its data; without, it is empty. Raises HarnessError where the operation at the
    point is another one than recorded, and LaunchError where the program cannot be started.
    """
    if until is None:
        until = -1 if fault is None else fault.index
    with started(program, CALLS, limits or Limits()) as running:
        one = _Run(running, roots, fault, recorded, until, keep=keep)
        try:
            one.all()
        finally:
            one.close()
        return Ran(
            running.tracer.ending,
            running.reported(),
            Trace(tuple(one.operations)),
            one.fired,
            one.handled,
            running.said(),
            frozenset(one.describer.outside),
            tuple(one.notes),
            one.counter.ordinals(one.operations),
            one.returned,
        )


class _Run:
    """A run under way."""

    def __init__(
        self,
        running: Running,
        roots: Roots,
        fault: Fault | None,
        recorded: Trace | None,
        until: int,
        *,
        keep: bool,
    ) -> None:
        self.tracer = running.tracer
        self.describer = Describer(roots)
        self.counter = Counter()
        self.operations: list[Operation] = []
        self.notes: list[str] = []
        self.fired = 0
        self.handled = False
        self.returned = False
        self._keep = keep
        self._running = running
        self._waits = bool(running.program.acknowledgement)
        self._mapped = Mapped(self.describer)
        self._made: dict[str, int] = {}
        self._root = next(task.pid for task in running.tracer.tasks.values())
        self._waiting: dict[int, Operation] = {}
        self._sticky: Fault | None = None
        self._pending: Fault | None = None
        self._fault = fault
        self._point = _point(fault, recorded)
        self._recorded = _lengths(fault, recorded)
        self._turns = Turns(recorded, until)
        self._signalled: Operation | None = None

    def close(self) -> None:
        """Gives descriptors back."""
        self._mapped.close()

    def all(self) -> None:
        """From the start to the end of the program."""
        tracer = self.tracer
        while (event := tracer.next()) is not None:
            if isinstance(event, Finished):
                self._finished(event)
            else:
                if self._keep:
                    self.counter.count(event)
                self._handle(event)
            if self._turns.held and self._turns.held >= len(tracer.tasks):
                self._turns.give_up()
            while (stop := self._turns.due()) is not None:
                self._handle(stop)
        for store in self._mapped.stores():
            self._note(store)

    def _finished(self, event: Finished) -> None:
        operation = self._waiting.pop(event.stop.task.tid)
        if event.result is None:
            return  # it died while it waited
        if interrupted(event.result):
            self._made[operation.task] -= 1  # the same call comes again
            return
        self._complete(event.stop, operation, event.result)

    def _handle(self, stop: Stop) -> None:
        try:
            self._stopped(stop)
        except TaskGoneError:
            return  # it was ended by another task in the middle of the call

    def _stopped(self, stop: Stop) -> None:
        self._listen(stop)
        if stop.call in REFUSED:
            self._refuse(stop)
            return
        operation = self.describer.describe(stop)
        if operation is None or (operation.op is Op.EXIT and stop.task.pid != self._root):
            self._unwatched(stop)
            return
        task = stop.task.name
        nth = self._made.get(task, 0)
        if self._turns.is_early((task, nth)):
            self._turns.hold((task, nth), stop)
            return
        self._turns.done((task, nth))
        self._made[task] = nth + 1
        operation = replace(operation, task=task, nth=nth)
        if self._signalled is not None and (task, nth) == (self._signalled.task, self._signalled.nth):
            self.returned = operation.op is self._signalled.op
            self._signalled = None
        if self._keep:
            self.counter.place(stop, operation)
        for store in self._mapped.stores():
            self._note(store)
        act = self._injected(operation)
        if act is not None:
            act(stop, operation)
        elif self._keep or self._turns.active or operation.op in _BLOCKING:
            self._perform(stop, operation)
        else:
            self.tracer.go(stop)

    def _unwatched(self, stop: Stop) -> None:
        if (self._waits or self._running.limited) and stop.call in _PRINTING:
            stream = self._running.stream(stop.task, stop.args[0])
            if stream is not None:
                self._print(stop, stream)
                return
        self.tracer.go(stop)

    def _print(self, stop: Stop, stream: IO[bytes]) -> None:
        """What the program says comes at once, and a limit on its files is none on that."""
        if self._running.limited:
            try:
                said = b"".join(stop.task.read(address, length) for address, length in printed(stop))
            except OSError:
                self.tracer.go(stop)  # an address of nothing: the call is about to say so
                return
            stream.write(said)
            stream.flush()
            self.tracer.answer(stop, len(said))
        else:
            self.tracer.finish(stop)
        self._listen(stop)

    def _listen(self, stop: Stop) -> None:
        if self._waits and self._running.acknowledged():
            self._waits = False
            self._note(Operation(-1, Op.ACKNOWLEDGE, call=stop.call, task=stop.task.name))

    def _refuse(self, stop: Stop) -> None:
        note = f"{stop.call} was refused (ENOSYS): what is done behind it could not be seen"
        if note not in self.notes:
            self.notes.append(note)
        self.tracer.answer(stop, -errno.ENOSYS)

    def _perform(self, stop: Stop, operation: Operation) -> None:
        """The call runs and is written down with what came of it."""
        if operation.op is Op.EXIT:
            self._note(operation)
            self.tracer.go(stop)
        elif operation.op in _BLOCKING:
            self._waiting[stop.task.tid] = operation
            self.tracer.follow(stop)
        else:
            result = self.tracer.finish(stop)
            if interrupted(result):
                self._made[operation.task] -= 1  # the same call comes again
                return
            self._complete(stop, operation, result)

    def _complete(self, stop: Stop, operation: Operation, result: int) -> None:
        """A call has come to its end, where its task stands."""
        if not self._keep:
            return
        try:
            self._note(self.describer.completed(operation, stop, result))
            if operation.op is Op.MMAP and result >= 0:
                self._mapped.add(stop.task, operation)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise TaskGoneError(f"task {stop.task.name} has died at the end of a call") from error
        except OSError as error:
            raise HarnessError(f"{operation}: what it has written cannot be read back: {error}") from error
        self._mapped.refresh()

    def _note(self, operation: Operation) -> None:
        if self._keep:
            self.operations.append(replace(operation, index=len(self.operations)))

    # The fault

    def _injected(self, operation: Operation) -> Callable[[Stop, Operation], None] | None:
        """What is done to the operation, None where nothing is."""
        point = self._point
        if point is not None and operation.nth == point.nth and operation.task == point.task:
            return self._due(operation, point)
        if self._recorded is not None and operation.nth >= self._recorded.get(operation.task, 0):
            return self._further()
        creates = operation.op is Op.OPEN and bool(operation.flags & os.O_CREAT)
        if self._sticky is not None and operation.op.fails and self._sticky.lasts_over(operation.op, creates=creates):
            return self._failing(self._sticky.error)
        if self._pending is not None and operation.op.transfers:
            error = self._pending.error
            self._pending = None
            return self._failing(error)
        return None

    def _further(self) -> Callable[[Stop, Operation], None]:
        """An operation beyond the recorded ones, which a fault past the end is for (KVS-FAULT-4)."""
        assert self._fault is not None
        self._recorded = None
        self.fired += 1
        return self._signal if self._fault.form is Form.SIGNAL else self._failing(self._fault.error)

    def _due(self, operation: Operation, point: Operation) -> Callable[[Stop, Operation], None]:
        fault = self._fault
        assert fault is not None
        if operation.op is not point.op:
            raise HarnessError(
                f"{fault.id}: there the program has done {operation.op} and not {point.op}: it does not repeat itself"
            )
        self._point = None
        self.fired += 1
        if fault.sticky:
            self._sticky = fault
        if fault.form is Form.CUT and not fault.sticky and fault.byte:
            self._pending = fault
        if fault.form is Form.ERRNO or (fault.form is Form.CUT and not fault.byte):
            return self._failing(fault.error)
        if fault.form in (Form.CUT, Form.SHORT):
            return self._short
        if fault.form is Form.SIGNAL:
            return self._signal
        if fault.form is Form.KILL:
            return self._kill
        raise HarnessError(f"{fault.id} cannot be injected into a program that is not ours")

    def _failing(self, number: int) -> Callable[[Stop, Operation], None]:
        def fail(stop: Stop, operation: Operation) -> None:
            if operation.op is Op.CLOSE:
                self.tracer.finish_as(stop, -number)  # the descriptor is gone all the same (close(2), NOTES)
            else:
                self.tracer.answer(stop, -number)
            self._note(replace(operation, error=number))

        return fail

    def _short(self, stop: Stop, operation: Operation) -> None:
        result = self._accept(stop)
        self._complete(stop, operation, result)

    def _accept(self, stop: Stop) -> int:
        """As many bytes as the fault says are transferred, and how many that is; of none the call is left out."""
        assert self._fault is not None
        size_bytes = self._fault.byte or 0
        if not size_bytes:
            self.tracer.answer(stop, 0)
            return 0
        result = shortened(self.tracer, stop, size_bytes)
        if result != size_bytes:
            how = f"{result} bytes were accepted" if result >= 0 else f"it failed with {errno.errorcode[-result]}"
            raise HarnessError(f"{self._fault.id}: {how} instead: it does not repeat itself, or the disk is full")
        return result

    def _signal(self, stop: Stop, operation: Operation) -> None:
        assert self._fault is not None
        self._note(Operation(-1, Op.SIGNAL, call=self._fault.what, task=operation.task))
        number = signal.Signals[self._fault.what]
        self.handled = _handles(stop.task.pid, number)
        self._made[operation.task] -= 1  # after the handler the same call comes again
        self._signalled = operation
        self.tracer.deliver(stop, number)

    def _kill(self, stop: Stop, _: Operation) -> None:
        assert self._fault is not None
        if self._fault.byte:
            self._accept(stop)
        self.tracer.kill()


def _point(fault: Fault | None, recorded: Trace | None) -> Operation | None:
    """The recorded operation that a fault is for, None where there is no fault, or none of that index."""
    if fault is None or fault.form is Form.NONE:
        return None
    assert recorded is not None, "a fault is injected into a recorded run"
    return recorded[fault.index] if 0 <= fault.index < len(recorded) else None


def _lengths(fault: Fault | None, recorded: Trace | None) -> dict[str, int] | None:
    """How many operations each task has made in the recorded run, where the fault is for one more."""
    if fault is None or recorded is None or fault.index < len(recorded):
        return None
    lengths: dict[str, int] = {}
    for operation in recorded:
        lengths[operation.task] = max(lengths.get(operation.task, 0), operation.nth + 1)
    return lengths


def _handles(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt:"))
    return bool(caught >> (number - 1) & 1)
