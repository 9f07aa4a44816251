"""Audits the planted programs, and compares what is found with what has to be found."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from faultinject.blackbox.subject import DIRECTORY, Audited
from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.oracle import Kind
from faultinject.selftest.manifest import PLANTED, Planted

_COMPILERS = ("cc", "gcc", "clang")


@dataclass(slots=True)
class Outcome:
    """Of one program. wrong: in words, everything that is not as it has to be; empty where all is.

    fired: points with a verdict, by class.
    """

    planted: Planted
    wrong: list[str] = field(default_factory=list)
    fired: dict[FaultClass, int] = field(default_factory=dict)


class BuildError(Exception):
    """A program could not be compiled; the text has what the compiler said."""


def compiler() -> str | None:
    """The system's C compiler, None where it has none."""
    return next((name for name in _COMPILERS if shutil.which(name)), None)


def chosen(names: tuple[str, ...], compiler_name: str | None) -> list[Planted]:
    """The programs of these names, all where none is given; without a compiler those in Python only."""
    known = [one for one in PLANTED if not names or one.name in names]
    return [one for one in known if compiler_name is not None or one.language == "python"]


def build(planted: Planted, compiler_name: str, directory: Path) -> None:
    """Compiles a program in C. Raises BuildError."""
    if planted.language != "c":
        return
    done = subprocess.run(planted.compilation(directory, compiler_name), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{planted.source} cannot be compiled: {done.stderr.strip()}")


def audited(planted: Planted, directory: Path) -> Audited:
    """How the program is audited."""
    recover = planted.recovery(directory, DIRECTORY)
    return Audited(
        tuple(planted.command(directory, DIRECTORY)),
        None if recover is None else tuple(recover),
        signals=planted.signals,
        timeout_seconds=10,
    )


def compared(planted: Planted, runs: list[Run]) -> Outcome:
    """What an audit has found, against what it had to find."""
    outcome = Outcome(planted)
    found = {(one.fault.fault_class, one.finding.kind) for run in runs for one in run.violations}
    outcome.wrong += [f"not found: {_named(*one)}" for one in sorted(planted.expected - found)]
    outcome.wrong += [f"found and not expected: {_named(*one)}" for one in sorted(found - planted.expected)]
    if len(runs) < 2:
        outcome.wrong.append("it was run from one start only")
    for run in runs:
        for fault_class, count in run.classes.items():
            outcome.fired[fault_class] = outcome.fired.get(fault_class, 0) + count.covered
            outcome.wrong += _unmeasured(planted, run, fault_class)
        if run.level is not None and run.level < planted.level:
            outcome.wrong.append(f"level L{run.level} instead of L{planted.level} from the start {run.target.scenario}")
    return outcome


def _unmeasured(planted: Planted, run: Run, fault_class: FaultClass) -> Iterator[str]:
    count = run.classes[fault_class]
    if count.harness_errors:
        yield f"{count.harness_errors} harness errors in class {fault_class}: {run.problems}"
    if fault_class in planted.unmeasured:
        if not count.not_measured:
            yield f"class {fault_class} has no point that is not measured, and must have"
    elif count.not_measured:
        yield f"{count.not_measured} points of class {fault_class} are not measured: {run.problems}"
    elif not count.points and not count.void:
        yield f"class {fault_class} has no points"


def _named(fault_class: FaultClass, kind: Kind) -> str:
    return f"{kind} under {fault_class}"
