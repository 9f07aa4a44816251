"""An audit from start to end: baselines, units of work for as many workers as there are, and one executor in each."""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from faultinject.blackbox.aftermath import aftermath_of
from faultinject.blackbox.baseline import Baseline, prepare
from faultinject.blackbox.budget import Budget, Expected, Plan
from faultinject.blackbox.cost import is_dense
from faultinject.blackbox.executor import AuditExecutor
from faultinject.blackbox.place import Place
from faultinject.blackbox.regions import recorded_of
from faultinject.blackbox.subject import Audited
from faultinject.blackbox.trial import try_rewinding
from faultinject.faults import FaultClass
from faultinject.persistence.profiles import STRICT
from faultinject.sweep import Unit

PARTS_A_JOB = 4
"""Pieces of a class for each worker, so that none has to wait long for the others at the end."""

BLOCK_GROUPS = 4
"""So many neighbours one worker takes together: there may be few in all, and each may take a second."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What is to be done, and what a reader of the report has to know besides."""

    baselines: tuple[Baseline, ...]
    units: tuple[Unit, ...]
    notes: tuple[str, ...]


def plan_audit(
    audited: Audited,
    base: Path,
    classes: Iterable[FaultClass],
    *,
    jobs: int,
    exhaustive: bool = False,
    budget_seconds: float | None = None,
    profiles: Sequence[str] = (STRICT,),
) -> Audit:
    """Runs the program without faults and plans the rest. `base`: an empty directory for all that is made.

    budget_seconds: every point is run where that is expected to take no longer; else as many as there is time for.
    Raises UnusableError, LaunchError and HarnessError where there is nothing to go on with.
    """
    budget = None if budget_seconds is None else Budget(budget_seconds, time.monotonic(), jobs)
    with _on_one_processor():
        prepared, refused = prepare(audited, base)
        baselines = [_tried(baseline, base) for baseline in prepared]
    notes = list(refused)
    wanted = list(classes)
    notes += [f"run anew for every fault, not rewound: {one.rewinds}" for one in baselines if one.rewinds]
    expected: Expected = {}
    if budget is not None:
        plan = _within(budget, baselines, wanted, base)
        baselines = [replace(baseline, dense=baseline.dense and plan.dense) for baseline in baselines]
        exhaustive, expected = plan.exhaustive, plan.expected
        notes.append(plan.told)
    units: list[Unit] = []
    for number, baseline in enumerate(baselines):
        file = base / f"baseline-{number}"
        file.write_bytes(pickle.dumps(baseline))
        parts = jobs * PARTS_A_JOB if jobs > 1 else 1
        enter = partial(_enter, file, base, tuple(profiles))
        units += [
            Unit(baseline.key, fault_class, part, parts, exhaustive, enter, block_groups=BLOCK_GROUPS)
            for fault_class in wanted
            for part in range(parts)
        ]
    if budget is not None:
        seconds = [expected[unit.target, unit.fault_class] / unit.parts for unit in units]
        shares = budget.shares(seconds)
        units = [replace(unit, ends=budget.ends, share=share) for unit, share in zip(units, shares, strict=True)]
    return Audit(tuple(baselines), tuple(units), tuple(notes))


_open: dict[Path, AuditExecutor] = {}
"""The executors of this process: the units of a program share one, with all that it has learnt."""


@contextmanager
def _enter(file: Path, base: Path, profiles: Sequence[str]) -> Iterator[AuditExecutor]:
    executor = _open.get(file)
    if executor is None:
        _pin(base)
        baseline: Baseline = pickle.loads(file.read_bytes())
        for other in _open.values():
            other.place.restore()  # directories besides the scratch directory are the same for all
        place = Place(baseline.key.audited, _own(base), baseline.seed, aside=True)
        aside = None if baseline.rewinds else Place(baseline.key.audited, _own(base), baseline.seed)
        executor = _open[file] = opened(baseline, place, aside, profiles)
    yield executor


def _own(base: Path) -> Path:
    """A new directory whose path is as long as those of the baseline's runs (`baseline.FIRST`)."""
    return Path(tempfile.mkdtemp(prefix="", dir=base))


def _within(budget: Budget, baselines: list[Baseline], classes: list[FaultClass], base: Path) -> Plan:
    """What there is time for."""
    with ExitStack() as stack:
        executors = []
        for baseline in baselines:
            place = Place(baseline.key.audited, _own(base), baseline.seed, aside=True)
            aside = None if baseline.rewinds else Place(baseline.key.audited, _own(base), baseline.seed)
            executors.append(opened(baseline, place, aside))
            stack.callback(executors[-1].close)
        return budget.plan(executors, classes)


def _tried(baseline: Baseline, base: Path) -> Baseline:
    """With what is known of rewinding it."""
    audited = baseline.key.audited
    with closing(Place(audited, _own(base), baseline.seed, aside=True)) as place:
        look = aftermath_of(baseline, place).now
        trial = try_rewinding(baseline, Place(audited, _own(base), baseline.seed), look)
    tried = replace(baseline, rewinds=trial.why, point_seconds=trial.point_seconds)
    return replace(tried, dense=is_dense(tried, recorded_of(tried)))


def opened(
    baseline: Baseline, place: Place, aside: Place | None = None, profiles: Sequence[str] = (STRICT,)
) -> AuditExecutor:
    """An executor for a baseline in a place; it rewinds in another one where there is one."""
    return AuditExecutor(baseline, place, aside, aftermath_of(baseline, place), profiles)


def close_all() -> None:
    """Closes the executors of this process."""
    while _open:
        _open.popitem()[1].close()


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Programs see how many processors they may use and start as many threads: here no more than in a worker."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)


def _pin(base: Path) -> None:
    """Keeps this worker and all that it starts on one processor: handing over between two costs more than it gains."""
    if _open:
        return
    for processor in sorted(os.sched_getaffinity(0)):
        with suppress(FileExistsError):
            os.close(os.open(base / f"processor-{processor}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            os.sched_setaffinity(0, {processor})
            return
