"""Runs faults by rewinding: the program runs once, and at an operation it is brought back for every fault there.

Only its tail, from the faulty call to its end, runs each time, and no call of it reaches the kernel but those without
any effect that lasts: files are changed in the model, and what is printed is kept. What cannot be done so is given up,
to be run anew from the start.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from faultinject.blackbox.acknowledged import Acknowledgement
from faultinject.blackbox.checkpoint import Checkpoint
from faultinject.blackbox.course import Course
from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.deadline import Deadline
from faultinject.blackbox.descriptors import Descriptors
from faultinject.blackbox.drive import Blow, Driver, End
from faultinject.blackbox.journey import Journey, References
from faultinject.blackbox.overlay import Base
from faultinject.blackbox.point import Point
from faultinject.blackbox.rewound import Rewound
from faultinject.blackbox.started import LINE_BYTES_MAX, Program, end_of, last_words
from faultinject.blackbox.state import Roots
from faultinject.blackbox.tail import Tail
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Operation, Trace
from faultinject.oracle import Reported

_FORMS = frozenset({Form.ERRNO, Form.CUT, Form.SHORT})
_OUTPUT_PIECE_BYTES = 1 << 16
_WORDS_MAX = 1000
_VERIFIED_BYTES_MAX = 1 << 22
_VERIFY_EACH = 16
"""A program with more memory is verified at every so many points only."""

_CHECK_EACH = 512
"""Of so many tails that have met another one, one is run to its end and compared."""


class _Here:
    """A point with a checkpoint, and what the program had printed when it came there."""

    def __init__(self, journey: Journey, roots: Roots, acknowledgement: Acknowledgement) -> None:
        assert journey.held is not None
        stop, self.operation = journey.held
        process = journey.process
        self.checkpoint = Checkpoint(process.abi, process.ptrace, process.task)
        try:
            base = Base(journey.tree.copy(), journey.start, journey.reference)
            descriptors = Descriptors(process.task, journey.describer, journey.streams, base.inodes)
            self.point = Point(
                process.abi, process.ptrace, stop, journey.describer, roots, self.checkpoint, descriptors, base
            )
        except BaseException:
            self.checkpoint.close()
            raise
        self.blow = Blow(self.point, self.operation)
        self.acknowledged, self.output = _heard(process.output.fileno(), acknowledgement)
        self.errors = end_of(process.errors)


class Rewinder:
    """Runs faults of class error at one program; use it in a `with` statement, or `close` it.

    trace, crashes: of the recorded run. start: makes the directories as they were at the start; it is called before
    each launch, and until the next one nobody else may change them. Cheap for faults in the order of the trace.

    `why`: for what reason the last fault could not be run here. `served`: how many could. `met`: how many of these met
    an earlier tail and did not run to their end. `launches`: how often the program was started for that.
    """

    def __init__(
        self, program: Program, roots: Roots, trace: Trace, crashes: Crashes, start: Callable[[], object]
    ) -> None:
        self.why = ""
        self.served = 0
        self.launches = 0
        self.met = 0
        self._meets = True
        self._program = program
        self._roots = roots
        self._trace = trace
        self._single = all(operation.task in ("0", "") for operation in trace)
        self._references = References(trace, crashes)
        self._start = start
        self._driver: Driver | None = None
        self._journey: Journey | None = None
        self._here: _Here | None = None
        self._deadline: Deadline | None = None
        self._until = 0.0
        self._unverified = 0
        self._words: dict[tuple[bytes, int | None], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the program; the next fault starts it anew."""
        if self._deadline is not None:
            self._deadline.disarm()
            self._deadline = None
        here, self._here = self._here, None
        journey, self._journey = self._journey, None
        try:
            if here is not None:
                here.checkpoint.close()
        finally:
            if journey is not None:
                journey.close()

    def run(self, fault: Fault) -> Rewound | None:
        """The outcome of a fault, None where it cannot be had here; HarnessError where memory is not restored."""
        self.why = self._unfit(fault)
        if self.why:
            return None
        operation = self._trace[fault.index]
        try:
            here = self._at(operation)
            return self._rewound(here, fault)
        except UnrewindableError as error:
            self.why = str(error)
            if self._here is None:
                self.close()
        except (ProcessLookupError, ChildProcessError):
            self.close()
            self.why = f"it did not end within {self._program.timeout_seconds:g} s, or was killed"
        except BaseException:
            self.close()
            raise
        return None

    def _unfit(self, fault: Fault) -> str:
        if fault.fault_class is not FaultClass.ERROR or fault.form not in _FORMS or fault.second is not None:
            return f"faults of the form {fault.form} are not rewound"
        if not 0 <= fault.index < len(self._trace):
            return "the recorded run has no such operation"
        operation = self._trace[fault.index]
        if operation.task != "0" or operation.nth < 0:
            return "it is not the first task that does it"
        if not self._single:
            return "it has several tasks"
        return "" if operation.op.fails else f"{operation.op} cannot fail"

    # The way there

    def _at(self, operation: Operation) -> _Here:
        """Stands at the operation. Raises UnrewindableError."""
        journey = self._journey
        if journey is None or journey.nth > operation.nth or time.monotonic() > self._until:
            journey = self._launch()
        if self._here is not None:
            if self._here.operation.nth == operation.nth:
                return self._here
            self._leave(self._here)
        journey.reach(operation.nth)
        self._here = here = _Here(journey, self._roots, self._program.acknowledgement)
        return here

    def _launch(self) -> Journey:
        self.close()
        self._start()
        # A tail that does not end is killed at the deadline, so the program is started anew when half of it is over.
        self._until = time.monotonic() + self._program.timeout_seconds / 2
        self._journey = journey = Journey(self._program, self._roots, self._references)
        self._deadline = Deadline(self._program.timeout_seconds, lambda: _kill(journey))
        self._deadline.arm()
        self.launches += 1
        self._unverified = 0
        if self._driver is None:
            self._driver = Driver(journey.process.abi)
        self._driver.forget()
        return journey

    def _leave(self, here: _Here) -> None:
        """The program goes on from the point as if nothing had been."""
        self._here = None
        try:
            self._verify(here)
            here.checkpoint.back()
        finally:
            here.checkpoint.close()

    def _verify(self, here: _Here) -> None:
        pages = here.checkpoint.pages
        if pages.size_bytes <= _VERIFIED_BYTES_MAX or not self._unverified % _VERIFY_EACH:
            pages.verify()
        self._unverified += 1

    # The tail

    def _rewound(self, here: _Here, fault: Fault) -> Rewound:
        rewound, met = self._once(here, fault, meets=self._meets)
        self.served += 1
        if met:
            self.met += 1
            if not self.met & (self.met - 1) or not self.met % _CHECK_EACH:
                return self._checked(here, fault, rewound)
        return rewound

    def _checked(self, here: _Here, fault: Fault, rewound: Rewound) -> Rewound:
        """Runs a tail to its end that has met another one. Raises HarnessError where that comes to something else."""
        whole, _ = self._once(here, fault, meets=False)
        if _alike(whole, rewound):
            return rewound
        again, _ = self._once(here, fault, meets=False)
        if _alike(whole, again):
            raise HarnessError(f"{fault.id}: run to its end it leaves something else than the tail that it had met")
        self._meets = False  # it differs from run to run: each stands for itself
        return whole

    def _once(self, here: _Here, fault: Fault, *, meets: bool) -> tuple[Rewound, bool]:
        """The outcome, and whether it is taken from a tail that this one has met."""
        assert self._driver is not None
        tail = Tail(here.point, fault)
        result = here.blow.strike(tail, fault)
        course = Course(here.point, tail, fault, meets=meets)
        try:
            here.checkpoint.proceed(result)
            end = self._driver.run(course)
        except UnrewindableError:
            self._restore(here, course)
            raise
        self._restore(here, course)
        if isinstance(end, Rewound):
            rewound = end
        else:
            reported = self._reported(here, tail, end)
            rewound = Rewound(reported, (reported, tail.overlay.key()), self._said(here, tail, end), tail.overlay)
        course.ended(rewound)
        return rewound, course.met is not None

    def _restore(self, here: _Here, course: Course) -> None:
        """Undoes all that the tail has done; where that cannot be, the program is started anew for the next fault."""
        checkpoint, tail = here.checkpoint, course.tail
        checkpoint.restore(mask=tail.masked, at=None if course.met is None else course.met.snapshot)
        for call, arguments in reversed(tail.undo):
            checkpoint.inject(here.point.abi.numbers[call], *arguments)
        if tail.raised:
            self.close()
        elif not self._unverified:
            self._verify(here)

    def _reported(self, here: _Here, tail: Tail, end: End) -> Reported:
        acknowledgement = self._program.acknowledgement
        if acknowledgement and (here.acknowledged or acknowledgement.is_in(here.output + tail.output)):
            return Reported.SUCCESS
        if end.status is None:
            return Reported.NOTHING
        return Reported.FAILURE if end.status or acknowledgement else Reported.SUCCESS

    def _said(self, here: _Here, tail: Tail, end: End) -> str:
        """As Running.said says it."""
        heard = (here.errors + tail.errors)[-LINE_BYTES_MAX:], end.signal
        words = self._words.get(heard)
        if words is None:
            words = last_words(*heard)
            if len(self._words) < _WORDS_MAX:
                self._words[heard] = words
        return words


def _alike(one: Rewound, other: Rewound) -> bool:
    return one.reported is other.reported and (one.key == other.key or one.state == other.state)


def _heard(fd: int, wanted: Acknowledgement) -> tuple[bool, bytes]:
    """Whether success is reported in a file, and the last bytes, which may be the beginning of that."""
    kept, offset = b"", 0
    while wanted and (piece := os.pread(fd, _OUTPUT_PIECE_BYTES, offset)):
        if wanted.is_in(kept + piece):
            return True, b""
        offset += len(piece)
        kept = wanted.unfinished(kept + piece)
    return False, kept


def _kill(journey: Journey) -> None:
    if journey.process.alive:
        os.kill(journey.process.task.pid, signal.SIGKILL)
