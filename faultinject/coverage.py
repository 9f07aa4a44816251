"""What a sweep has covered and found, counted: the numbers that a report states."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace

from faultinject.faults import Fault, FaultClass
from faultinject.oracle import Finding
from faultinject.persistence.profiles import STRICT
from faultinject.spans import clip, intersect
from faultinject.target import Subject


@dataclass(slots=True)
class Violation:
    """Fault points of one cause: the first one, and how many more behave the same.

    operations: each operation at which it shows, with its points. span: first and last byte of the file cut at.
    script: shell commands that reproduce it, and repair: what has to be added to the program; empty where nobody knows.
    """

    fault: Fault
    finding: Finding
    operation: str
    offset: int | None
    region: str | None
    cause: Hashable
    points: int = 1
    operations: dict[str, int] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    script: str = ""
    repair: str = ""

    def __post_init__(self) -> None:
        if not self.operations:
            self.operations = {self.operation: self.points}
        if self.span is None and self.offset is not None:
            self.span = (self.offset, self.offset)

    def joined(self, other: Violation) -> Violation:
        """Both as one; the plainer and then the earlier point is shown, whichever part of a sweep has ended first."""
        first = min(self, other, key=lambda one: (one.fault.second is not None, one.fault.index, one.fault.byte or 0))
        operations = dict(self.operations)
        for operation, points in other.operations.items():
            operations[operation] = operations.get(operation, 0) + points
        spans = [span for span in (self.span, other.span) if span is not None]
        span = (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None
        return replace(first, points=self.points + other.points, operations=operations, span=span)


@dataclass(slots=True)
class ClassCount:
    """Coverage of one class. `points` exist; each is held, violated, not measured or a harness error.

    unafforded: of those not measured, for how many there was no time. executors: how many runs each executor made,
    where there are several. profiles: points under each persistence profile, in class power. images: how many crash
    images `exist` by the log of a disk, were `listed`, `tried` and `distinct`, where there are any. void: why the class
    has no points.
    """

    points: int = 0
    held: int = 0
    violated: int = 0
    not_measured: int = 0
    harness_errors: int = 0
    by_execution: int = 0
    by_class: int = 0
    by_sampling: int = 0
    executed: int = 0
    lemmas: set[str] = field(default_factory=set)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    executors: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    void: str = ""
    unafforded: int = 0

    @property
    def covered(self) -> int:
        """Points with a verdict about the program."""
        return self.held + self.violated

    def add(self, other: ClassCount) -> None:
        """Takes another part's counts in."""
        for name in (
            "points",
            "held",
            "violated",
            "not_measured",
            "unafforded",
            "harness_errors",
            "by_execution",
            "by_class",
            "by_sampling",
            "executed",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for executor, runs in other.executors.items():
            self.executors[executor] = self.executors.get(executor, 0) + runs
        for profile, points in other.profiles.items():
            self.profiles[profile] = self.profiles.get(profile, 0) + points
        for which, count in other.images.items():
            self.images[which] = self.images.get(which, 0) + count
        self.void = self.void or other.void
        self.lemmas |= other.lemmas
        self.cut(other.ranges)

    def cut(self, spans: Iterable[tuple[int, int]]) -> None:
        """Notes at which bytes of the file its points cut; neighbours are joined, so that the list stays short."""
        ranges = self.ranges
        for start, end in spans:
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((start, end))


@dataclass(slots=True)
class Run:
    """A target swept under some classes."""

    target: Subject
    classes: dict[FaultClass, ClassCount] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    regions: dict[str, tuple[int, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def level(self) -> int | None:
        """The crash-safety level from 0 to 3 (KVS-LEVEL-1 to KVS-LEVEL-3); None where it takes a class not measured."""
        if not self._sound(FaultClass.ERROR, FaultClass.INTERRUPT):
            return None
        if any(self.classes[c].violated for c in (FaultClass.ERROR, FaultClass.INTERRUPT)):
            return 0
        if not self._sound(FaultClass.KILL) or self.classes[FaultClass.KILL].violated:
            return 1
        power = self.classes.get(FaultClass.POWER)
        if power is None or not self._sound(FaultClass.POWER) or power.violated or STRICT not in power.profiles:
            return 2
        return 3

    def _sound(self, *classes: FaultClass) -> bool:
        return all(
            c in self.classes
            and (self.classes[c].points or self.classes[c].void)
            and not self.classes[c].not_measured
            and not self.classes[c].harness_errors
            for c in classes
        )

    def covered_bytes(self, region: str) -> int:
        """Bytes of a region at which the file was cut by every class that cuts (error and kill)."""
        start, end = self.regions[region]
        cutting = [c for c in (FaultClass.ERROR, FaultClass.KILL) if c in self.classes]
        if not cutting:
            return 0
        covered = None
        for fault_class in cutting:
            spans = clip(self.classes[fault_class].ranges, start, end)
            covered = spans if covered is None else intersect(covered, spans)
        return sum(b - a for a, b in covered or [])

    def add(self, part: Run) -> None:
        """Takes the result of another part of the same target in."""
        for fault_class, count in part.classes.items():
            self.classes.setdefault(fault_class, ClassCount()).add(count)
        self.regions = self.regions or part.regions
        self.problems += part.problems
        self.notes += (note for note in part.notes if note not in self.notes)
        for violation in part.violations:
            self.note(violation)

    def note(self, violation: Violation) -> None:
        """Adds a violation, or counts it with the one of the same cause."""
        for place, known in enumerate(self.violations):
            if known.cause == violation.cause:
                self.violations[place] = known.joined(violation)
                return
        self.violations.append(violation)
