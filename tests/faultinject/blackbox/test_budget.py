"""The time that is given is kept, and what there was no time for is counted as not measured."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.audit import close_all, plan_audit
from faultinject.blackbox.budget import Budget
from faultinject.blackbox.place import remove
from faultinject.blackbox.subject import Audited
from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.oracle import Verdict
from faultinject.report.text import verdict
from faultinject.sweep import sweep
from tests.faultinject.blackbox.audited import of, saver
from tests.faultinject.blackbox.traced import needs_linux

CLASSES = [FaultClass.ERROR, FaultClass.KILL]
SLOW = 'sleep 0.1; echo new >"$0/x.tmp" && mv "$0/x.tmp" "$0/x" || { rm -f "$0/x.tmp"; exit 1; }'


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultinject.blackbox.baseline.APART_SECONDS", 0.0)


def within(audited: Audited, base: Path, seconds: float) -> tuple[float, list[Run], tuple[str, ...]]:
    """How long an audit took that was given so many seconds."""
    began = time.monotonic()
    processors = os.sched_getaffinity(0)
    directory = base / "audit"
    directory.mkdir()
    try:
        plan = plan_audit(audited, directory, CLASSES, jobs=1, budget_seconds=seconds)
        runs = sweep(list(plan.units))
        return time.monotonic() - began, runs, plan.notes
    finally:
        close_all()
        remove(directory)
        os.sched_setaffinity(0, processors)


@needs_linux
def test_a_slow_program_is_measured_as_far_as_there_is_time(tmp_path: Path) -> None:
    given_seconds = 6.0
    seconds, runs, notes = within(of("sh", "-c", SLOW, "{dir}"), tmp_path, given_seconds)
    assert seconds < 1.25 * given_seconds
    assert verdict(runs) is Verdict.NOT_MEASURED
    assert any("some points are not measured" in note for note in notes)
    counts = [run.classes[fault_class] for run in runs for fault_class in CLASSES]
    assert all(count.points == count.covered + count.not_measured + count.harness_errors for count in counts)
    assert all(count.unafforded == count.not_measured for count in counts)
    assert sum(count.unafforded for count in counts) > 100
    assert sum(count.covered for count in counts) > 0, "the time was used"
    assert all(run.level is None for run in runs)


@needs_linux
def test_a_fast_program_has_time_for_every_point(tmp_path: Path) -> None:
    _, runs, notes = within(of(*saver()), tmp_path, 300)
    assert any("every point is run" in note for note in notes)
    assert verdict(runs) is Verdict.HELD
    assert all(not count.by_class and not count.unafforded for run in runs for count in run.classes.values())


@needs_linux
def test_a_fast_program_with_much_data_is_not_run_at_every_byte(tmp_path: Path) -> None:
    code = "import os, sys; open(sys.argv[1] + '/x', 'wb').write(bytes(1 << 20))"
    given_seconds = 10.0
    seconds, runs, notes = within(of(sys.executable, "-S", "-E", "-c", code, "{dir}"), tmp_path, given_seconds)
    assert seconds < 1.25 * given_seconds
    assert any("no time to run every point" in note for note in notes)
    assert all(run.classes[FaultClass.ERROR].points > 6 << 20 for run in runs)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30), st.integers(1, 8))
def test_shares_leave_time_for_what_comes_behind(seconds: list[float], jobs: int) -> None:
    found = Budget(100, time.monotonic(), jobs).shares(seconds)
    assert len(found) == len(seconds)
    assert all(0 <= share <= 1 for share in found)
    if jobs == 1 and min(seconds) > 0.01:
        # Each takes its share of what is left: all together take everything, each as much as it needs of it.
        left, total = 100.0, sum(seconds)
        for share, own in zip(found, seconds, strict=True):
            assert left * share == pytest.approx(100 * own / total, rel=1e-6, abs=1e-6)
            left -= left * share
        assert left == pytest.approx(0, abs=1e-6)


def test_time_that_is_over_leaves_nothing() -> None:
    budget = Budget(1.0, time.monotonic() - 5, 2)
    assert budget.left_seconds == 0
    assert budget.ends < time.monotonic()
    assert Budget(1.0, time.monotonic(), 2).shares([0.0, 0.0]) == [1.0, 1.0]
