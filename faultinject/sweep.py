"""The exhaustive loop over fault points, of one target or of many, and the counts that say what was covered."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from faultinject.coverage import ClassCount, Run, Violation
from faultinject.execute import Executor
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ground import Ground, MemoryGround, RealGround
from faultinject.inject import HarnessError
from faultinject.oracle import Finding
from faultinject.persistence.profiles import STRICT
from faultinject.plan import Group, Recorded
from faultinject.swept import Result, Swept, UnsoundRunError
from faultinject.target import Subject, Target

CLASSES = (FaultClass.ERROR, FaultClass.INTERRUPT, FaultClass.KILL, FaultClass.POWER)
"""The classes that are swept in process."""

CONFIRMED_MIN = 2
"""So many samples are confirmed though the time may be over: without any nothing is sure."""

BLOCK_GROUPS = 256
"""Neighbouring groups that one worker takes together."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a sweep, for one worker: every `parts`-th block of groups of one class of one target.

    enter: makes the target ready to run, in the worker. ends: when the time of the sweep is over (time.monotonic);
    share: how much of what is left of it when the unit begins is for this unit. What is not begun by then is not
    measured. block_groups: how many neighbouring groups make a block.
    """

    target: Subject
    fault_class: FaultClass
    part: int
    parts: int
    exhaustive: bool
    enter: Callable[[], AbstractContextManager[Swept]]
    ends: float = math.inf
    share: float = 1.0
    block_groups: int = BLOCK_GROUPS


def units(
    targets: Iterable[Target],
    classes: Iterable[FaultClass],
    *,
    parts: int = 1,
    exhaustive: bool = False,
    real: bool = False,
    real_parent: str | None = None,
    profiles: Sequence[str] = (STRICT,),
) -> list[Unit]:
    """The pieces of a sweep in process, over all targets and classes. profiles: those of class power."""
    wanted = list(classes)
    return [
        Unit(
            target,
            fault_class,
            part,
            parts,
            exhaustive,
            partial(_in_process, target, real, real_parent, tuple(profiles)),
        )
        for target in targets
        for fault_class in wanted
        for part in range(parts)
    ]


@contextmanager
def _in_process(target: Target, real: bool, real_parent: str | None, profiles: Sequence[str]) -> Iterator[Executor]:
    prepared = target.prepare()
    ground: Ground = RealGround(prepared, real_parent) if real else MemoryGround(prepared)
    try:
        yield Executor(prepared, ground, profiles)
    finally:
        ground.shut()


def sweep(work: list[Unit], pool: Pool | None = None, on_done: Callable[[Unit, Run], None] | None = None) -> list[Run]:
    """Runs every unit, in `pool` where one is given, and joins them by target, in the order of the targets."""
    runs: dict[Subject, Run] = {unit.target: Run(unit.target) for unit in work}

    def take(unit: Unit, part: Run) -> None:
        runs[unit.target].add(part)
        if on_done is not None:
            on_done(unit, part)

    if pool is None:
        for unit in work:
            take(unit, run_unit(unit))
    else:
        futures = {pool.submit(run_unit, unit): unit for unit in work}
        try:
            for future in as_completed(futures):
                take(futures[future], future.result())
        except BaseException:
            for future in futures:
                future.cancel()  # the pool itself is its owner's to shut
            raise
    for run in runs.values():
        run.violations.sort(key=lambda violation: violation.fault.id)
    return list(runs.values())


def run_unit(unit: Unit) -> Run:
    """One unit, in this process. A harness error is a verdict of the unit, never an exception."""
    run = Run(unit.target)
    try:
        with unit.enter() as swept:
            _Sweep(unit, swept, run).all()
            run.regions = dict(swept.regions())
            run.notes = swept.notes()
            for violation in run.violations:
                violation.script = swept.script(violation.fault, violation.finding)
                violation.repair = swept.repair(violation.fault, violation.finding)
    except OSError as error:
        # What a program under test raises is judged elsewhere: here it is the ground itself that fails.
        count = run.classes.setdefault(unit.fault_class, ClassCount())
        count.points += 1
        count.harness_errors += 1
        run.problems.append(f"harness error: the directory to sweep in: {error}")
    return run


class _Sweep:
    """One unit under way."""

    def __init__(self, unit: Unit, swept: Swept, run: Run) -> None:
        self.unit = unit
        self.swept = swept
        self.run = run
        self.count = run.classes.setdefault(unit.fault_class, ClassCount())
        self.recorded: Recorded | None = None
        self.late: dict[Fault, Group] = {}
        now = time.monotonic()
        self.until = now + max(0.0, unit.ends - now) * unit.share

    def all(self) -> None:
        """Every group of the unit; then the checks on the harness itself, in the first part."""
        try:
            self.recorded = self.swept.record()
        except UnsoundRunError as error:
            if self.unit.part == 0:
                self._unsound(error)
            return
        except HarnessError as error:
            if self.unit.part == 0:
                self._broken(str(error))
            return
        self.count.void = self.swept.void(self.unit.fault_class)
        if self.count.void:
            return
        with self.swept.signals(self.unit.fault_class):
            try:
                groups = self.swept.groups(self.unit.fault_class, self.recorded, exhaustive=self.unit.exhaustive)
                for index, group in enumerate(groups):
                    if index // self.unit.block_groups % self.unit.parts == self.unit.part:
                        self._group(group)
                self._settle()
            except HarnessError as error:
                # A run that was traced went another way than the recorded one: no plan can be made of that.
                self._broken(str(error))
                return
            if self.unit.part == 0:
                self._check_completeness(self.recorded)
                self._confirm(self.recorded)

    def _is_over(self) -> bool:
        return time.monotonic() > self.until

    def _give_up(self, points: int) -> None:
        """The time is over: so many points are not measured."""
        self.count.points += points
        self.count.not_measured += points
        self.count.unafforded += points

    def _group(self, group: Group) -> None:
        results: list[tuple[Fault, Result | None]] = []
        for fault in group.faults:
            if self._is_over():
                self._give_up(group.points)
                return
            results.append((fault, self._execute(fault)))
        if self.unit.fault_class is FaultClass.POWER:
            profile = group.faults[0].what
            self.count.profiles[profile] = self.count.profiles.get(profile, 0) + group.points
        if group.lemma is None:
            self._single(group, *results[0])
            return
        measured = [result for _, result in results if result is not None and result.reason is None]
        if len(measured) < len(results) or not self._lemma_applies(group, measured):
            self._expand(group)
            return
        if self._is_over():  # it may have come in the middle of looking
            self._give_up(group.points)
            return
        count = self.count
        count.points += group.points
        count.by_class += group.points
        count.lemmas.add(group.lemma)
        count.cut(group.ranges)
        if measured[0].findings:
            count.violated += group.points
            self._note(group.faults[0], measured[0], group.points, group.ranges)
        else:
            count.held += group.points

    def _settle(self) -> None:
        """Counts the points whose findings were late."""
        untold: dict[str, int] = {}
        try:
            for fault, result in self.swept.late(self.until):
                group = self.late.pop(fault)
                if result.reason is None:
                    self._single(group, fault, result)
                else:
                    untold[result.reason] = untold.get(result.reason, 0) + 1
        except HarnessError as error:
            self._problem(f"harness error: {error}")
        for reason, points in untold.items():
            self.count.points += points
            self.count.not_measured += points
            self._problem(f"{points:,} points not measured: {reason}")
        for fault, group in self.late.items():
            self._single(group, fault, None)

    def _single(self, group: Group, fault: Fault, result: Result | None) -> None:
        if result is not None and result.late:
            self.late[fault] = group
            return
        count = self.count
        count.points += 1
        if result is None:
            count.harness_errors += 1
        elif result.reason is not None:
            count.not_measured += 1
            self._problem(f"{fault.id}: not measured: {result.reason}")
        else:
            if result.lemma:
                count.by_class += 1
                count.lemmas.add(result.lemma)
            else:
                count.by_execution += 1
            count.cut(group.ranges)
            if result.findings:
                count.violated += 1
                self._note(fault, result, 1, group.ranges)
            else:
                count.held += 1

    def _execute(self, fault: Fault) -> Result | None:
        """None stands for a harness error, which is noted."""
        self.count.executed += 1
        try:
            result = self.swept.run(fault)
        except HarnessError as error:
            self._problem(f"harness error: {error}")
            return None
        if result.executor:
            executors = self.count.executors
            executors[result.executor] = executors.get(result.executor, 0) + 1
        return result

    def _lemma_applies(self, group: Group, results: list[Result]) -> bool:
        """The side condition: every representative was judged alike and went the same way."""
        if len({frozenset(finding.kind for finding in result.findings) for result in results}) > 1:
            return False
        if self.unit.fault_class in (FaultClass.KILL, FaultClass.POWER):
            return True  # neither is noticed: the way up to it is the recorded one for every byte
        ways = set()
        for fault in group.faults:
            if self._is_over():
                break
            ways.add(self.swept.trace(fault).shape(max(0, fault.index)))
        return len(ways) <= 1

    def _expand(self, group: Group) -> None:
        """The lemma does not apply: every point for itself, or none where they are too many (KVS-CLASS-3)."""
        self._problem(f"{group.lemma} does not apply to {group.faults[0].id} and {group.points - 1} more points")
        if group.every is None or group.points > self.swept.affordable_points(group):
            self.count.points += group.points
            self.count.not_measured += group.points
            return
        for done, fault in enumerate(group.every()):
            if self._is_over():
                self._give_up(group.points - done)
                return
            self._single(Group((fault,), 1), fault, self._execute(fault))
        self.count.cut(group.ranges)

    def _check_completeness(self, recorded: Recorded) -> None:
        """One past the end must not fire: the sweep ends where a further point injects nothing (KVS-FAULT-4)."""
        beyond = self.swept.beyond(self.unit.fault_class, recorded)
        if beyond is None:
            return
        try:
            result = self.swept.run(beyond)
        except HarnessError as error:
            self._broken(f"there are operations beyond the recorded ones: {error}")
            return
        if result.reason is None:
            self._broken(f"{beyond.id} fired: there are operations beyond the recorded ones")

    def _confirm(self, recorded: Recorded) -> None:
        for done, fault in enumerate(self.swept.samples(self.unit.fault_class, recorded)):
            if done >= CONFIRMED_MIN and self._is_over():
                self._problem(
                    f"only {done} points were run for real and compared, as the time given was over (--budget)"
                )
                self._give_up(1)
                return
            try:
                self.swept.confirm(fault)
            except HarnessError as error:
                self._broken(str(error))

    def _note(self, fault: Fault, result: Result, points: int, ranges: tuple[tuple[int, int], ...]) -> None:
        recorded = self.recorded
        assert recorded is not None
        operation = self.swept.operation(fault, recorded)
        offset = None if fault.state is not None else recorded.offset_of(fault)  # what is lost is no cut
        region = None if offset is None else self.swept.region_of(offset)
        span = (min(start for start, _ in ranges), max(end for _, end in ranges) - 1) if ranges else None
        causes: dict[Hashable, Finding] = {}
        for finding in result.findings:  # a point that shows one mistake at several stages is one point of it
            causes.setdefault(self.swept.cause(fault, finding), finding)
        for cause, finding in causes.items():
            self.run.note(Violation(fault, finding, operation, offset, region, cause, points, span=span))

    def _unsound(self, error: UnsoundRunError) -> None:
        """The operation is wrong even without a fault: a violation at no point at all."""
        self.count.points += 1
        self.count.violated += 1
        self.count.by_execution += 1
        fault = Fault(self.unit.fault_class, Form.NONE)
        for finding in error.findings:
            cause = self.swept.cause(fault, finding)
            self.run.note(Violation(fault, finding, "without any fault", None, None, cause))

    def _broken(self, problem: str) -> None:
        self.count.points += 1
        self.count.harness_errors += 1
        self._problem(f"harness error: {problem}")

    def _problem(self, problem: str) -> None:
        if problem not in self.run.problems:
            self.run.problems.append(problem)
