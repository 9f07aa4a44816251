"""The pytest plugin: fixtures that sweep a function, or audit a program, and fail like a good assertion.

It imports nothing of the sweeps until a test asks for one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from faultinject.coverage import Run, Violation
    from faultinject.inprocess.sweep import FunctionSweep, Shown

_POINTS, _COVERED, _VIOLATIONS = "fault_points", "fault_points_covered", "fault_violations"
_SHOWN_MAX = 8
_CLASSES = {1: ("error", "interrupt"), 2: ("error", "interrupt", "kill"), 3: ("error", "interrupt", "kill", "power")}
"""The classes that a level takes (KVS-LEVEL-1 to KVS-LEVEL-3)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """See `pytest.hookspec.pytest_addoption`."""
    group = parser.getgroup("faultinject", "crash safety of saves (faultinject)")
    group.addoption(
        "--fault-replay",
        metavar="START:FAULT",
        help="Run this one fault alone in every fault_sweep, as a failure names it: "
        "pytest -k my_test --fault-replay old-entry:error/3/rename/errno/EACCES",
    )
    group.addoption(
        "--fault-report",
        metavar="DIR",
        help="Write the JSON report of every sweep and audit to this directory: pytest --fault-report reports",
    )


def pytest_configure(config: pytest.Config) -> None:
    """See `pytest.hookspec.pytest_configure`."""
    config.addinivalue_line(
        "markers", "fault_sweep(**defaults): arguments of fault_sweep for these tests, such as level=2, exhaustive=True"
    )
    config.addinivalue_line("markers", "fault_audit(**defaults): arguments of fault_audit for these tests")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line with the points of all sweeps; with xdist, those of all workers."""
    totals = dict.fromkeys((_POINTS, _COVERED, _VIOLATIONS), 0)
    tests = 0
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                found = [(name, value) for name, value in report.user_properties if name in totals]
                tests += bool(found)
                for name, value in found:
                    totals[name] += int(value)
    if tests:
        terminalreporter.write_line(
            f"faultinject: {totals[_COVERED]:,} of {totals[_POINTS]:,} fault points covered in {tests} "
            f"test{'' if tests == 1 else 's'}, {_violations(totals[_VIOLATIONS])}"
        )


class _Reporting:
    """What both fixtures do with runs that are done."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._item = request.node
        self._config = request.config
        self._done = 0

    def _defaults(self, marker: str, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments, with those of the markers where none was given; the closest marker decides."""
        merged: dict[str, Any] = {}
        for mark in reversed(list(self._item.iter_markers(marker))):
            unknown = sorted(set(mark.kwargs) - set(given))
            if unknown or mark.args:
                pytest.fail(f"pytest.mark.{marker} takes {', '.join(given)} by name, and not {unknown or mark.args}")
            merged |= mark.kwargs
        return merged | {name: value for name, value in given.items() if value is not None}

    def _note(self, runs: Sequence[Run], document: dict[str, Any], violations: int) -> None:
        counts = [count for run in runs for count in run.classes.values()]
        self._item.user_properties += [
            (_POINTS, sum(count.points for count in counts)),
            (_COVERED, sum(count.covered for count in counts)),
            (_VIOLATIONS, violations),
        ]
        folder = self._config.getoption("--fault-report")
        self._done += 1
        if folder is not None:
            nodeid = self._item.nodeid
            name = re.sub(r"[^A-Za-z0-9_.-]+", "_", nodeid)[-80:]
            digest = hashlib.sha256(nodeid.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            path = Path(folder) / f"{name}-{digest}-{self._done}.json"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
            except OSError as error:
                pytest.fail(f"--fault-report {folder}: {error}", pytrace=False)

    def _judge(
        self, runs: Sequence[Run], blocks: list[str], reached: int | None, level: int | None, allow_not_measured: bool
    ) -> None:
        """Fails the test where it has to."""
        __tracebackhide__ = True
        counts = [count for run in runs for count in run.classes.values()]
        broken = sum(count.harness_errors for count in counts)
        missed = sum(count.not_measured for count in counts)
        covered, points = sum(count.covered for count in counts), sum(count.points for count in counts)
        said = [f"{covered:,} of {points:,} fault points covered, {_violations(len(blocks))}, {_level(reached)}"]
        problems = list(dict.fromkeys(problem for run in runs for problem in run.problems))
        notes = list(dict.fromkeys(note for run in runs for note in run.notes))
        failed = bool(blocks) or bool(broken)
        if broken:
            said.append(f"harness-error at {broken:,} points: nothing is known of them")
        if missed and not allow_not_measured:
            failed = True
            said.append(f"not-measured: {missed:,} points (allow_not_measured=True accepts that)")
        if not points and not any(count.void for count in counts):
            failed = True
            said.append("not-measured: there was no fault point at all")
        if level is not None and not failed and (reached is None or reached < level):
            failed = True
            said.append(f"level L{level} was asked for, and is not reached by the classes that were swept")
        if failed:
            shown = blocks[:_SHOWN_MAX]
            if len(blocks) > len(shown):
                shown.append(f"… and {len(blocks) - len(shown)} more violations; --fault-report DIR has them all")
            tail = [f"problem: {one}" for one in problems[:_SHOWN_MAX]] + [f"note: {one}" for one in notes]
            pytest.fail("\n".join([*said, *shown, *tail]))


def _violations(count: int) -> str:
    return f"{count:,} violation{'' if count == 1 else 's'}"


def _level(reached: int | None) -> str:
    names = {None: "level not decided", 0: "not even level L1 (error-safe)"}
    return names.get(reached) or f"level L{reached}"


def _block(starts: Sequence[str], same: Sequence[Violation]) -> list[str]:
    """A violation in lines: what, where, what was seen, what to do. same: of the starts from which it shows."""
    violation = same[0]
    finding, points = violation.finding, sum(one.points for one in same)
    where = f", byte {violation.offset} ({violation.region})" if violation.offset is not None else ""
    lines = [
        f"{finding.kind} ({finding.kind.clause}), start {' and '.join(starts)}, {points:,} points",
        f"  at     {violation.operation}{where}",
        f"  fault  {violation.fault.id}",
        f"  found  {finding.name!r}: {finding.detail}",
    ]
    return lines + ([f"  repair {violation.repair}"] if violation.repair else [])


class FaultSweep(_Reporting):
    """Breaks a function that saves, and fails the test where a save is not crash-safe. See `fault_sweep`."""

    def __call__(
        self,
        save: Callable[[Path], object],
        *,
        start: Any = None,
        oracle: Callable[..., object] | None = None,
        recover: Callable[[Path], object] | None = None,
        classes: Iterable[str] | None = None,
        profiles: Sequence[str] | None = None,
        exhaustive: bool | None = None,
        executor: Executor | None = None,
        level: int | None = None,
        only: str | None = None,
        allow_not_measured: bool | None = None,
    ) -> FunctionSweep:
        """Sweeps `save` and returns what was found and covered; fails the test where anything is wrong.

        The arguments are those of `faultinject.inprocess.sweep.sweep_function`. level: 1, 2 or 3, what is to be
        reached; without `classes`, only those that it takes are swept. allow_not_measured: points without a verdict do
        not fail the test.
        """
        __tracebackhide__ = True
        from faultinject.inject import HarnessError
        from faultinject.inprocess.patches import NestedError
        from faultinject.inprocess.saver import UnusableError
        from faultinject.inprocess.sweep import sweep_function

        given = {
            "start": start,
            "oracle": oracle,
            "recover": recover,
            "classes": classes,
            "profiles": profiles,
            "exhaustive": exhaustive,
            "executor": executor,
            "level": level,
            "only": self._config.getoption("--fault-replay") or only,
            "allow_not_measured": allow_not_measured,
        }
        wanted = self._defaults("fault_sweep", given)
        level, allowed = wanted.pop("level", None), bool(wanted.pop("allow_not_measured", False))
        _check_level(level)
        wanted.setdefault("classes", _CLASSES[level or 3])
        is_worker = "PYTEST_XDIST_WORKER" in os.environ  # the processors have work already
        problem = ""
        try:
            swept = sweep_function(save, **wanted, jobs=1 if is_worker else None)
        except (UnusableError, NestedError) as error:
            problem = f"it cannot be swept: {error}"
        except HarnessError as error:
            problem = f"harness-error: {error}"
        if problem:
            pytest.fail(problem)  # outside of the handler: the frames of the harness say nothing to people
        alike: dict[Hashable, list[Shown]] = {}
        for one in swept.shown:
            alike.setdefault(one.violation.cause, []).append(one)
        blocks = []
        for same in alike.values():
            shown = same[0]
            lines = _block([one.start for one in same], [one.violation for one in same])
            lines += [f"  {'      ' if place else 'left  '} {left}" for place, left in enumerate(shown.left)]
            replay = f"fault_sweep(..., only={shown.id!r}), or pytest --fault-replay {shown.id!r}"
            blocks.append("\n".join([*lines, f"  replay {replay}"]))
        self._note(swept.runs, swept.document(), len(blocks))
        only_one = wanted.get("only") is not None
        self._judge(swept.runs, blocks, swept.level, None if only_one else level, allowed)
        return swept


class FaultAudit(_Reporting):
    """Breaks a program that saves, and fails the test where it is not crash-safe. See `fault_audit`."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        start: str | os.PathLike[str] | None = None,
        check: Sequence[str] | None = None,
        recover: Sequence[str] | None = None,
        signals: Sequence[str] | None = None,
        classes: Iterable[str] | None = None,
        profiles: Sequence[str] | None = None,
        exhaustive: bool | None = None,
        level: int | None = None,
        timeout_seconds: float | None = None,
        allow_not_measured: bool | None = None,
    ) -> list[Run]:
        """Audits a command, in which {dir} stands for the directory that it saves in; returns the runs.

        start: a directory whose content it begins with. The others are the options of `faultinject audit`.
        """
        __tracebackhide__ = True
        _skip_elsewhere()
        from faultinject.blackbox.baseline import UnusableError
        from faultinject.blackbox.here import audit_here
        from faultinject.blackbox.launch import LaunchError
        from faultinject.blackbox.subject import Audited
        from faultinject.faults import FaultClass
        from faultinject.inject import HarnessError
        from faultinject.persistence.profiles import STRICT
        from faultinject.report.document import document
        from faultinject.report.text import level as level_of

        given: dict[str, Any] = {
            "start": start,
            "check": check,
            "recover": recover,
            "signals": signals,
            "classes": classes,
            "profiles": profiles,
            "exhaustive": exhaustive,
            "level": level,
            "timeout_seconds": timeout_seconds,
            "allow_not_measured": allow_not_measured,
        }
        wanted = self._defaults("fault_audit", given)
        level = wanted.get("level")
        _check_level(level)
        audited = Audited(
            tuple(command),
            recover=tuple(wanted["recover"]) if "recover" in wanted else None,
            check=tuple(wanted["check"]) if "check" in wanted else None,
            signals=tuple(wanted.get("signals", ())),
            given=os.path.realpath(wanted["start"]) if "start" in wanted else None,
            directory=os.getcwd(),
            timeout_seconds=wanted.get("timeout_seconds", 60),
        )
        chosen = [FaultClass(one) for one in wanted.get("classes") or _CLASSES[level or 3]]
        problem = ""
        try:
            runs = audit_here(
                audited,
                chosen,
                exhaustive=bool(wanted.get("exhaustive")),
                profiles=tuple(wanted.get("profiles", (STRICT,))),
            )
        except (UnusableError, LaunchError) as error:
            problem = f"it cannot be audited: {error}"
        except HarnessError as error:
            problem = f"harness-error: {error}"
        if problem:
            pytest.fail(problem)
        alike: dict[Hashable, list[tuple[str, Violation]]] = {}
        for run in runs:
            for violation in run.violations:
                alike.setdefault(violation.cause, []).append((run.target.scenario, violation))
        blocks = ["\n".join(_block(*zip(*same, strict=True))) for same in alike.values()]
        self._note(runs, document(runs), len(blocks))
        self._judge(runs, blocks, level_of(runs), level, bool(wanted.get("allow_not_measured")))
        return runs


def _check_level(level: object) -> None:
    if level is not None and level not in _CLASSES:
        pytest.fail(f"level is 1, 2 or 3, and not {level!r}")


def _skip_elsewhere() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip(f"auditing a program needs ptrace and seccomp of Linux; this is {sys.platform}")
    if platform.machine() != "x86_64":
        pytest.skip(f"auditing a program is known to work on x86-64; this is {platform.machine()}")


@pytest.fixture
def fault_sweep(request: pytest.FixtureRequest) -> FaultSweep:
    """Sweep a function that saves into a directory: every call fails, is cut short, killed, loses power.

    def test_settings(fault_sweep):
        fault_sweep(lambda directory: save_settings(directory / "settings.json", {"theme": "dark"}))

    Options: start=, oracle=, recover=, classes=, profiles=, exhaustive=, executor=, level=1..3, only=.
    """
    return FaultSweep(request)


@pytest.fixture
def fault_audit(request: pytest.FixtureRequest) -> FaultAudit:
    """Audit a program that saves files, traced (Linux on x86-64): {dir} stands for its directory.

    def test_program(fault_audit):
        fault_audit(["./settings", "{dir}/app.conf"], level=2)
    """
    return FaultAudit(request)
