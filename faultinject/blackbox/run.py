"""Runs the program once under the tracer, with one fault or none, and writes down what it did."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass, replace

from faultinject.blackbox.describe import CALLS, REFUSED, Describer
from faultinject.blackbox.hearing import Hearing
from faultinject.blackbox.injection import Act, Injection
from faultinject.blackbox.launcher import Launcher
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.mapped import Mapped
from faultinject.blackbox.ordinals import Counter, Ordinals
from faultinject.blackbox.process import handles
from faultinject.blackbox.stalled import PAUSE_SECONDS
from faultinject.blackbox.started import Program, Running
from faultinject.blackbox.state import Roots
from faultinject.blackbox.task import Ending, Finished, Stop, TaskGoneError, interrupted
from faultinject.blackbox.turns import Turns
from faultinject.blackbox.vector import shortened
from faultinject.faults import Fault, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Reported

_BLOCKING = frozenset({Op.FLOCK, Op.LOCK, Op.SPLICE})
"""Operations that may wait for another task, which must not be kept from running meanwhile."""

PATIENCE_SECONDS = 5.0
"""How long a task is held for its turn where nothing else is known of the program."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run. fired: how many faults were injected. said: the last line on standard error.

    handled: whether the program had a handler for the signal that was injected, when it came; returned: whether the
    handler has returned, so that the call was made after all. stalled: why the recorded order could not be kept, empty
    where it could; the program was ended there, and nothing is measured.
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
    stalled: str


def run(
    launcher: Launcher,
    program: Program,
    roots: Roots,
    fault: Fault | None = None,
    recorded: Trace | None = None,
    *,
    until: int | None = None,
    keep: bool = True,
    limits: Limits | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Ran:
    """One run. A fault is injected at the operation that the recorded trace has at its index (KVS-AUDIT-2).

    until: up to which index tasks keep to the recorded order (the fault's, unless given); patience_seconds: see Turns.
    keep: with the trace and all its data; without, it is empty. Raises HarnessError where the operation at the
    point is another one than recorded, and LaunchError where the program cannot be started.
    """
    if until is None:
        until = -1 if fault is None else fault.index
    with launcher.started(program, CALLS, limits or Limits()) as running:
        turns = Turns(recorded, until, patience_seconds)
        one = _Run(running, roots, Injection(fault, recorded), turns, keep=keep)
        try:
            one.all()
        finally:
            one.close()
        return Ran(
            running.tracer.ending,
            running.reported(),
            Trace(tuple(one.operations)),
            one.injection.fired,
            one.handled,
            running.said(),
            frozenset(one.describer.outside),
            tuple(one.notes),
            one.counter.ordinals(one.operations),
            one.returned,
            one.stalled,
        )


class _Run:
    """A run under way."""

    def __init__(self, running: Running, roots: Roots, injection: Injection, turns: Turns, *, keep: bool) -> None:
        self.tracer = running.tracer
        self.injection = injection
        self.describer = Describer(roots)
        self.counter = Counter()
        self.operations: list[Operation] = []
        self.notes: list[str] = []
        self.handled = False
        self.returned = False
        self.stalled = ""
        self._keep = keep
        self._hearing = Hearing(running)
        self._mapped = Mapped(self.describer)
        self._made: dict[str, int] = {}
        self._root = next(task.pid for task in running.tracer.tasks.values())
        self._waiting: dict[int, Operation] = {}
        self._turns = turns
        self._signalled: Operation | None = None

    def close(self) -> None:
        """Gives descriptors back."""
        self._mapped.close()

    def all(self) -> None:
        """From the start to the end of the program."""
        tracer = self.tracer
        while True:
            if self._turns.held:
                self._look_for_stall()
            event = tracer.next()
            if event is None:
                break
            if isinstance(event, Finished):
                self._finished(event)
            else:
                if self._keep:
                    self.counter.count(event)
                self._handle(event)
            while (stop := self._turns.due()) is not None:
                self._handle(stop)
        for store in self._mapped.stores():
            self._note(store)

    def _look_for_stall(self) -> None:
        """Ends the program where all wait for a turn that cannot come."""
        while not self.stalled and self.tracer.quiet(PAUSE_SECONDS):
            self.stalled = self._turns.stall(self.tracer.tasks.values())
        if self.stalled:
            self.tracer.kill()

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
            if self._hearing.take(stop):
                self._listen(stop)
            else:
                self.tracer.go(stop)
            return
        task = stop.task.name
        nth = self._made.get(task, 0)
        operation = replace(operation, task=task, nth=nth)
        if self._turns.is_early((task, nth)):
            self._turns.hold((task, nth), stop, operation)
            return
        self._turns.done((task, nth))
        self._made[task] = nth + 1
        if self._signalled is not None and (task, nth) == (self._signalled.task, self._signalled.nth):
            self.returned = operation.op is self._signalled.op
            self._signalled = None
        if self._keep:
            self.counter.place(stop, operation)
        for store in self._mapped.stores():
            self._note(store)
        act = self.injection.act_on(operation)
        if act is not None:
            self._strike(act, stop, operation)
        elif self._keep or self._turns.active or operation.op in _BLOCKING:
            self._perform(stop, operation)
        else:
            self.tracer.go(stop)

    def _listen(self, stop: Stop) -> None:
        if self._hearing.acknowledged():
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

    def _strike(self, act: Act, stop: Stop, operation: Operation) -> None:
        if act.form is Form.ERRNO:
            if operation.op is Op.CLOSE:
                self.tracer.finish_as(stop, -act.error)  # the descriptor is gone all the same (close(2), NOTES)
            else:
                self.tracer.answer(stop, -act.error)
            self._note(replace(operation, error=act.error))
        elif act.form is Form.SHORT:
            self._complete(stop, operation, self._accept(stop, act.size_bytes))
        elif act.form is Form.SIGNAL:
            self._signal(stop, operation)
        else:
            if act.size_bytes:
                self._accept(stop, act.size_bytes)
            self.tracer.kill()

    def _accept(self, stop: Stop, size_bytes: int) -> int:
        """So many bytes are transferred; of none the call is left out."""
        if not size_bytes:
            self.tracer.answer(stop, 0)
            return 0
        result = shortened(self.tracer, stop, size_bytes)
        if result != size_bytes:
            how = f"{result} bytes were accepted" if result >= 0 else f"it failed with {errno.errorcode[-result]}"
            raise HarnessError(f"{self._fault.id}: {how} instead: it does not repeat itself, or the disk is full")
        return result

    def _signal(self, stop: Stop, operation: Operation) -> None:
        what = self._fault.what
        self._note(Operation(-1, Op.SIGNAL, call=what, task=operation.task))
        self.handled = handles(stop.task.pid, signal.Signals[what])
        self._made[operation.task] -= 1  # after the handler the same call comes again
        self._signalled = operation
        self.tracer.deliver(stop, signal.Signals[what])

    @property
    def _fault(self) -> Fault:
        assert self.injection.fault is not None, "nothing is done to a call without a fault"
        return self.injection.fault
