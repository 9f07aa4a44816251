"""One tail on its way: recorded for others to meet, and walked on the model where it meets one itself.

A walk answers the calls of the recorded tail, in its order, from the model of this one, with what the recorded tail
handed over at each. The task stays where the two met. Where an answer differs from the recorded ones, or where a call
has to look at the task, the task catches up: it gets all the answers of the walk, and must come by the same states.
"""

from __future__ import annotations

import os
from collections.abc import Hashable

from faultinject.blackbox.access import Access
from faultinject.blackbox.meetings import Step, Written
from faultinject.blackbox.point import Arguments, Point
from faultinject.blackbox.ptrace import PTRACE_CONT, SECCOMP_STOP, WALL
from faultinject.blackbox.rewound import Rewound
from faultinject.blackbox.tail import REAL, Tail
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.faults import Fault

_MASK = (1 << 64) - 1


class Recording(Access):
    """The task itself, and the `step` that learns what it hands over. `written`: what the answer puts into memory."""

    __slots__ = ("_live", "step", "written")

    def __init__(self, live: Access, step: Step) -> None:
        self._live = live
        self.step = step
        self.written: Written = ()

    def read(self, address: int, size_bytes: int) -> bytes:
        """See `Access.read`."""
        data = self.step.handed[address, size_bytes] = self._live.read(address, size_bytes)
        return data

    def read_string(self, address: int) -> bytes:
        """See `Access.read_string`."""
        string = self.step.strings[address] = self._live.read_string(address)
        return string

    def write(self, address: int, data: bytes) -> bool:
        """See `Access.write`."""
        self.written += ((address, data),)
        return self._live.write(address, data)

    def stand(self) -> None:
        """See `Access.stand`."""

    def really(self, place: int, value: int | None) -> int:
        """See `Access.really`."""
        self.step.real = True
        return self._live.really(place, value)


class Walk(Access):
    """What was recorded, step by step, until the task has to `stand` at the call itself; then the task.

    `step`: where the walk is. `written`: what the answer there puts into memory. `there`: the task has caught up.
    """

    __slots__ = ("_answers", "_point", "_steps", "step", "there", "written")

    def __init__(self, point: Point, step: Step) -> None:
        self._point = point
        self._steps: list[Step] = []
        self._answers: list[tuple[int, Written]] = []
        self.step = step
        self.written: Written = ()
        self.there = False

    def go(self, result: int, onward: Step) -> None:
        """The call is answered, and the next one is this."""
        self._answers.append((result, self.written))
        self._steps.append(onward)
        self.step = onward
        self.written = ()

    def read(self, address: int, size_bytes: int) -> bytes:
        """See `Access.read`."""
        data = None if self.there else self.step.handed.get((address, size_bytes))
        return self._task().read(address, size_bytes) if data is None else data

    def read_string(self, address: int) -> bytes:
        """See `Access.read_string`."""
        string = None if self.there else self.step.strings.get(address)
        return self._task().read_string(address) if string is None else string

    def write(self, address: int, data: bytes) -> bool:
        """See `Access.write`: what has not been written there before may have no memory."""
        if not self.there:
            written = (*self.written, (address, data))
            if any(done[: len(written)] == written for _, done in self.step.onward):
                self.written = written
                return True
        return self._task().write(address, data)

    def really(self, place: int, value: int | None) -> int:
        """See `Access.really`."""
        return self._task().really(place, value)

    def stand(self) -> None:
        """The task catches up. Raises UnrewindableError where it goes another way than from an equal state before."""
        if self.there:
            return
        self.there = True
        ptrace, tid, pages = self._point.ptrace, self._point.task.tid, self._point.checkpoint.pages
        for (result, written), step in zip(self._answers, self._steps, strict=True):
            self._put(written)
            ptrace.registers[self._point.abi.result] = result & _MASK
            ptrace.store_skipping(tid)
            ptrace.resume(PTRACE_CONT, tid)
            _, status, pages.usage = os.wait4(tid, WALL)
            if status & 0xFF != 0x7F:
                raise ProcessLookupError(f"process {tid} has died")
            if status == SECCOMP_STOP:
                ptrace.load(tid)
            if status != SECCOMP_STOP or bytes(ptrace.registers) != step.registers:
                raise UnrewindableError("from one and the same state it goes different ways")
        self._put(self.written)

    def _put(self, written: Written) -> None:
        for address, data in written:
            if not self._point.live.write(address, data):
                raise UnrewindableError("it asks for bytes where it has no memory")

    def _task(self) -> Access:
        self.stand()
        return self._point.live


class Course:
    """Where a tail comes by. meets: it is to meet others, and to be met by others.

    `met`: where it has met another, to end as that did; the task stands there still.
    """

    __slots__ = (
        "_answer",
        "_fault",
        "_learners",
        "_meetings",
        "_nth",
        "_recorded",
        "_recording",
        "_wanted",
        "met",
        "point",
        "tail",
    )

    def __init__(self, point: Point, tail: Tail, fault: Fault, *, meets: bool) -> None:
        self.point = point
        self.tail = tail
        self._fault = fault
        self._meetings = point.meetings if meets else None
        self._wanted = meets and point.meetings.wants(fault)
        self._nth = 0
        self._recorded = False
        self._recording: Recording | None = None
        self._answer: tuple[Step, tuple[int, Written]] | None = None
        self._learners: list[tuple[Step, Hashable]] = []
        self.met: Step | None = None

    def arrive(self, number: int, arguments: Arguments) -> Step | None:
        """The task is stopped at a call: the step that the tail meets there."""
        meetings, tail = self._meetings, self.tail
        if meetings is None:
            return None
        if not tail.untouched:
            self._wanted = False
            self._forget()
            return None
        nth = self._nth
        self._nth += 1
        if not (self._wanted or meetings.expects(nth)):
            self._forget()
            return None
        registers = bytes(self.point.ptrace.registers)
        step = meetings.find(nth, registers)
        if step is not None:
            self._follow(step)
            self._recording = None
        elif self._wanted and meetings.has_room:
            step = meetings.record(nth, registers, number, arguments)
            self._follow(step)
            self._recorded = True
            tail.access = self._recording = Recording(self.point.live, step)
            if step.snapshot is not None:
                self._learners.append((step, tail.model()))
            return None
        else:
            self._forget()
        return step

    def answered(self, result: int) -> None:
        """What a call has been answered."""
        recording = self._recording
        if recording is None:
            return
        if result >= REAL:
            recording.step.real = True
        if self._meetings is not None:
            self._meetings.keep(recording.step)
        self.left(recording.step, result, recording.written)

    def left(self, step: Step, result: int, written: Written) -> None:
        """The task goes on by itself from a step, with this answer."""
        self._answer = None if step.real else (step, (result, written))

    def known(self, step: Step) -> Rewound | None:
        """What came of an earlier tail that was at this step with an equal model; so it does of this one."""
        if not step.learns:
            return None
        model = self.tail.model()
        rewound = step.outcome(model)
        if rewound is None:
            self._learners.append((step, model))
        return rewound

    def exited(self, status: int) -> None:
        """The task has come to its exit."""
        self._follow(status)

    def ended(self, rewound: Rewound) -> None:
        """What came of the tail."""
        if self._meetings is None:
            return
        if self.met is None or self._recorded:
            self._meetings.count(self._fault)
        for step, model in self._learners:
            step.learn(model, rewound)

    def _forget(self) -> None:
        """Nobody records this call, so that what comes next does not come after the last one that was recorded."""
        self._recording = self._answer = None
        self.tail.access = self.point.live

    def _follow(self, onward: Step | int) -> None:
        """What came after the last answer."""
        if self._answer is not None:
            step, answer = self._answer
            step.onward[answer] = onward
            self._answer = None
