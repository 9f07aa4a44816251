"""Sweeps a function that saves: every call that it makes on its directory is broken in every way."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor as Pool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from faultinject.blackbox.points import kills as kills_of
from faultinject.blackbox.regions import recorded_of
from faultinject.blackbox.state import NodeKind, State
from faultinject.coverage import Run, Violation
from faultinject.difference import common_bytes
from faultinject.faults import Fault, FaultClass, parse_fault
from faultinject.inject import HarnessError
from faultinject.inprocess.baseline import Baseline, prepare
from faultinject.inprocess.executor import FunctionExecutor, OneFault
from faultinject.inprocess.patches import patched
from faultinject.inprocess.saver import Content, Save, Saver, UnusableError, starts_of
from faultinject.inprocess.scratch import Scratch, remove_left
from faultinject.oracle import Verdict
from faultinject.persistence.profiles import STRICT
from faultinject.persistence.profiles import profiles as known_profiles
from faultinject.report.document import document
from faultinject.report.text import level, verdict
from faultinject.sweep import CLASSES, Unit, sweep
from faultinject.workers import workers

POOL_KILLS_MIN = 2_000
"""From so many kills to judge on, of which other classes have some times as many, processes are worth starting."""

PARTS_A_JOB = 4
SHOWN_BYTES_MAX = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A violation, with what the fault has left: name, size in bytes, and content where that can be shown."""

    start: str
    violation: Violation
    left: tuple[str, ...]

    @property
    def id(self) -> str:
        """Names start and fault: with it as `only`, the fault is run again."""
        return f"{self.start}:{self.violation.fault.id}"


@dataclass(frozen=True, slots=True)
class FunctionSweep:
    """What a sweep of a function has found and covered."""

    runs: tuple[Run, ...]
    shown: tuple[Shown, ...]

    @property
    def level(self) -> int | None:
        """The crash-safety level from 0 to 3, None where a class was not measured in full."""
        return level(self.runs)

    @property
    def verdict(self) -> Verdict:
        """The worst that any run has to say."""
        return verdict(list(self.runs))

    @property
    def violations(self) -> list[Violation]:
        """All of them."""
        return [violation for run in self.runs for violation in run.violations]

    @property
    def points(self) -> int:
        """Fault points that exist."""
        return sum(count.points for run in self.runs for count in run.classes.values())

    @property
    def covered(self) -> int:
        """Fault points with a verdict about the function."""
        return sum(count.covered for run in self.runs for count in run.classes.values())

    @property
    def problems(self) -> list[str]:
        """What was not measured, and what the harness contradicted itself in."""
        return list(dict.fromkeys(problem for run in self.runs for problem in run.problems))

    @property
    def notes(self) -> list[str]:
        """What a reader has to know: what is not compared, what was not run."""
        return list(dict.fromkeys(note for run in self.runs for note in run.notes))

    def document(self) -> dict[str, Any]:
        """The report as plain data, by the schema of all reports."""
        return document(list(self.runs))


def sweep_function(
    save: Save,
    *,
    start: Content | Mapping[str, Content] | None = None,
    oracle: Callable[..., object] | None = None,
    recover: Save | None = None,
    classes: Iterable[FaultClass | str] = CLASSES,
    profiles: Sequence[str] = (STRICT,),
    exhaustive: bool = False,
    executor: Pool | None = None,
    jobs: int | None = None,
    only: str | None = None,
) -> FunctionSweep:
    """Runs `save(directory)` under every fault of the classes and judges what is left.

    save: returns to report success, raises to report failure. It must work in the directory alone.
    start: what the directory holds before: a function that fills it, a mapping of names to bytes, or several of these
    by name. Without it there are two: nothing but a file of somebody else, and old files where it makes new ones.
    oracle: called with a copy of the directory; what it raises is a violation. One that takes `acknowledged` judges
    content in place of the byte rules; another one is asked besides them. recover: what the next start of the program
    runs first. executor: where parts of the sweep run. jobs: how many processes where there is none; 1 for this one.
    only: START:FAULT, one fault alone, as a violation names it.

    Raises UnusableError for a function that cannot be swept, HarnessError where its calls do not explain what it
    leaves.

    >>> def save(directory):
    ...     (directory / "state").write_text("all of it")
    >>> sorted({str(one.finding.kind) for one in sweep_function(save, classes=["kill"]).violations})
    ['partial-visible']
    """
    if not sys.platform.startswith("linux"):
        raise UnusableError(f"functions are swept on Linux; this is {sys.platform}")
    saver = Saver(save, oracle, recover)
    unknown = sorted(set(profiles) - set(known_profiles()))
    if unknown or not profiles:
        raise UnusableError(f"no such persistence profile: {', '.join(unknown) or 'none is given'}")
    wanted = [FaultClass(one) for one in dict.fromkeys(classes)]
    fault, only_start = (None, None) if only is None else _only(only)
    with patched(), closing(Scratch()) as scratch:
        baselines, refused = prepare(saver, starts_of(start), scratch)
    if fault is not None:
        wanted = [fault.fault_class]
        baselines = [baseline for baseline in baselines if baseline.key.start == only_start]
        if not baselines:
            raise UnusableError(f"{only}: there is no start {only_start!r}; {'; '.join(refused)}")
    runs = _swept(saver, baselines, wanted, tuple(profiles), exhaustive, executor, jobs, fault)
    for one in runs:
        one.notes += [note for note in refused if note not in one.notes]
    return FunctionSweep(tuple(runs), tuple(_shown(saver, baselines, runs, tuple(profiles))))


def _only(text: str) -> tuple[Fault, str]:
    start, colon, point = text.rpartition(":")
    if not colon:
        raise UnusableError(f"{text!r} names no fault: it is START:FAULT, as in a report")
    try:
        fault = parse_fault(point)
    except ValueError as error:
        raise UnusableError(f"{text!r} names no fault: {error}") from error
    if fault.fault_class not in CLASSES:
        raise UnusableError(f"{text!r}: class {fault.fault_class} is not swept in process")
    return fault, start


def _swept(
    saver: Saver,
    baselines: list[Baseline],
    classes: list[FaultClass],
    profiles: tuple[str, ...],
    exhaustive: bool,
    pool: Pool | None,
    jobs: int | None,
    fault: Fault | None,
) -> list[Run]:
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    if pool is None and fault is None and jobs > 1 and _is_large(baselines, exhaustive) and _pickled(saver):
        with workers(jobs, remove_left) as own:
            if _arrives(own, saver):
                return _swept(saver, baselines, classes, profiles, exhaustive, own, jobs, fault)
    parts = 1 if pool is None else max(1, jobs) * PARTS_A_JOB

    def units(some: list[FaultClass], parts: int) -> list[Unit]:
        found = []
        for baseline in baselines:
            packed = pickle.dumps(baseline) if pool is not None else None
            enter = partial(_enter, saver, packed or baseline, profiles, fault)
            found += [
                Unit(baseline.key, fault_class, part, parts, exhaustive, enter, block_groups=32)
                for fault_class in some
                for part in range(parts)
            ]
        return found

    # A signal is handled in the main thread alone, which is not where every pool has its work done.
    here = [one for one in classes if pool is None or one is FaultClass.INTERRUPT]
    runs = sweep(units(here, 1))
    if pool is not None:
        there = sweep(units([one for one in classes if one not in here], parts), pool)
        runs = _joined(runs, there)
    return runs


def _joined(runs: list[Run], others: list[Run]) -> list[Run]:
    if not runs or not others:
        return runs or others
    for run, other in zip(runs, others, strict=True):
        run.add(other)
        run.violations.sort(key=lambda violation: violation.fault.id)
    return runs


def _is_large(baselines: list[Baseline], exhaustive: bool) -> bool:
    kills = (kills_of(recorded_of(baseline), exhaustive=exhaustive, limits=False) for baseline in baselines)
    return sum(len(group.faults) for groups in kills for group in groups) >= POOL_KILLS_MIN


def _pickled(saver: Saver) -> bool:
    try:
        pickle.dumps(saver)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return getattr(saver.save, "__module__", None) != "__main__"


def _arrives(pool: Pool, saver: Saver) -> bool:
    """Whether another process finds the functions: a module may have been imported from where only this one looks."""
    try:
        return pool.submit(_name_of, saver).result() == saver.name
    except (ImportError, AttributeError):
        return False


def _name_of(saver: Saver) -> str:
    return saver.name


@contextmanager
def _enter(
    saver: Saver, baseline: Baseline | bytes, profiles: tuple[str, ...], fault: Fault | None
) -> Iterator[FunctionExecutor]:
    known: Baseline = pickle.loads(baseline) if isinstance(baseline, bytes) else baseline
    with patched(), closing(Scratch()) as scratch:
        if fault is None:
            yield FunctionExecutor(saver, known, scratch, profiles)
        else:
            one = OneFault(saver, known, scratch, profiles)
            one.fault = fault
            yield one


def _shown(saver: Saver, baselines: list[Baseline], runs: list[Run], profiles: tuple[str, ...]) -> Iterator[Shown]:
    """Each violation with what is left: its fault is run once more."""
    by_start = {baseline.key.start: baseline for baseline in baselines}
    for run in runs:
        if not run.violations:
            continue
        baseline = by_start[run.target.scenario]
        with _enter(saver, baseline, profiles, None) as executor:
            for violation in run.violations:
                try:
                    left = tuple(_described(executor.left(violation.fault), baseline))
                except HarnessError as error:
                    left = (f"it could not be shown again: {error}",)
                yield Shown(baseline.key.start, violation, left)


def _described(state: State, baseline: Baseline) -> Iterator[str]:
    for name, node in state.items():
        if node.kind is not NodeKind.FILE:
            yield f"{name!r}: a {node.kind}"
            continue
        line = f"{name!r}: {len(node.data)} bytes"
        new, old = baseline.new.get(name), baseline.old.get(name)
        if node == old:
            yield f"{line}, the old content" if node != new else f"{line}, as before"
        elif node == new:
            yield f"{line}, the new content"
        else:
            if new is not None:
                line += f", not the new content from byte {common_bytes(node.data, new.data)} on"
            yield line + _text(node.data)


def _text(data: bytes) -> str:
    if not data:
        return ""
    try:
        text = data[:SHOWN_BYTES_MAX].decode()
    except UnicodeDecodeError:
        return ""
    return f": {text!r}{' …' if len(data) > SHOWN_BYTES_MAX else ''}"
