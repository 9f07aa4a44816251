"""An audit from start to end: baselines, units of work for as many workers as there are, and one executor in each."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from faultinject.blackbox.aftermath import aftermath_of
from faultinject.blackbox.baseline import Baseline, prepare
from faultinject.blackbox.executor import AuditExecutor, exhaustive_seconds, why_not_rewound
from faultinject.blackbox.place import Place
from faultinject.blackbox.subject import Audited
from faultinject.faults import FaultClass
from faultinject.sweep import Unit

PARTS_A_JOB = 4
"""Pieces of a class for each worker, so that none has to wait long for the others at the end."""


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
) -> Audit:
    """Runs the program without faults and plans the rest. `base`: an empty directory for all that is made.

    budget_seconds: every point is run where that is expected to take no longer. Raises UnusableError, LaunchError
    and HarnessError where there is nothing to go on with.
    """
    with _on_one_processor():
        baselines, refused = prepare(audited, base)
    notes = list(refused)
    wanted = list(classes)
    for number, prepared in enumerate(baselines):
        trial = Place(audited, _own(base), prepared.seed)
        baselines[number] = baseline = replace(prepared, rewinds=why_not_rewound(prepared, trial))
        if baseline.rewinds:
            notes.append(f"run anew for every fault, not rewound: {baseline.rewinds}")
    if budget_seconds is not None:
        expected_seconds = sum(exhaustive_seconds(baseline, wanted) for baseline in baselines) / jobs
        exhaustive = expected_seconds <= budget_seconds
        how = "every point is run" if exhaustive else "equivalence classes are used"
        notes.append(f"running every point is expected to take {expected_seconds:,.0f} s: {how}")
    units = []
    for number, baseline in enumerate(baselines):
        file = base / f"baseline-{number}"
        file.write_bytes(pickle.dumps(baseline))
        parts = jobs * PARTS_A_JOB if jobs > 1 else 1
        enter = partial(_enter, file, base)
        units += [
            Unit(baseline.key, fault_class, part, parts, exhaustive, enter)
            for fault_class in wanted
            for part in range(parts)
        ]
    return Audit(tuple(baselines), tuple(units), tuple(notes))


_open: dict[Path, AuditExecutor] = {}
"""The executors of this process: the units of a program share one, with all that it has learnt."""


@contextmanager
def _enter(file: Path, base: Path) -> Iterator[AuditExecutor]:
    executor = _open.get(file)
    if executor is None:
        _pin(base)
        baseline: Baseline = pickle.loads(file.read_bytes())
        for other in _open.values():
            other.place.restore()  # directories besides the scratch directory are the same for all
        place = Place(baseline.key.audited, _own(base), baseline.seed, aside=True)
        aside = None if baseline.rewinds else Place(baseline.key.audited, _own(base), baseline.seed)
        executor = _open[file] = opened(baseline, place, aside)
    yield executor


def _own(base: Path) -> Path:
    """A new directory whose path is as long as those of the baseline's runs (`baseline.FIRST`)."""
    return Path(tempfile.mkdtemp(prefix="", dir=base))


def opened(baseline: Baseline, place: Place, aside: Place | None = None) -> AuditExecutor:
    """An executor for a baseline in a place; it rewinds in another one where there is one."""
    return AuditExecutor(baseline, place, aside, aftermath_of(baseline, place))


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
