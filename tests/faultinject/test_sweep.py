"""The loop over all points: nothing is held that was not measured, and no lemma without its condition."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from faultinject.coverage import ClassCount, Run
from faultinject.faults import FaultClass
from faultinject.kvc import KvcTarget, Operation, Scenario, targets
from faultinject.kvc_content import Source
from faultinject.oracle import Kind
from faultinject.report.text import verdict
from faultinject.sweep import CLASSES, run_unit, sweep, units
from kvformat.filesystem import FileSystem
from kvformat.options import Strategy
from kvformat.temp_names import TempKind
from tests.faultinject.programs import NEW, Tiny, TinyTarget, saver, swept, write_all

ERROR, INTERRUPT, KILL, POWER = CLASSES
LONG = bytes(i % 251 for i in range(2000))
"""Longer than what is cut at every byte without --exhaustive."""


def counts(count: ClassCount) -> tuple[int, ...]:
    return (count.points, count.held, count.violated, count.not_measured, count.harness_errors)


def test_a_right_writer_reaches_the_level_and_every_point_is_held() -> None:
    run = swept(lambda: Tiny(saver(), live=True, stale=True), *CLASSES)
    assert (run.level, run.problems, run.violations) == (3, [], [])
    for count in run.classes.values():
        assert count.points == count.held == count.covered == count.by_execution + count.by_class


def second_run(change: Callable[[int, FileSystem], None], first: int = 1) -> Callable[[], Tiny]:
    """A program that is right in its first runs and then does what `change` does."""

    def make() -> Tiny:
        runs = 0

        def act(fs: FileSystem) -> None:
            nonlocal runs
            runs += 1
            if runs <= first:
                saver()(fs)
            else:
                change(runs, fs)

        return Tiny(act)

    return make


@pytest.mark.parametrize("fault_class", [ERROR, INTERRUPT])
def test_faults_that_do_not_fire_are_not_measured_and_never_held(fault_class: FaultClass) -> None:
    """Every run but the first ends after its first operation."""
    run = swept(second_run(lambda runs, fs: fs.close(fs.open("target.entry", os.O_RDONLY))), fault_class)
    count = run.classes[fault_class]
    assert count.not_measured + count.harness_errors > 0
    assert count.points == count.held + count.violated + count.not_measured + count.harness_errors
    assert verdict([run]) != "held"
    assert run.level is None
    assert any("not measured" in problem or "harness error" in problem for problem in run.problems)


@pytest.mark.parametrize("fault_class", [ERROR, INTERRUPT])
def test_runs_that_end_early_hold_nothing(fault_class: FaultClass) -> None:
    count = swept(second_run(lambda runs, fs: None), fault_class).classes[fault_class]
    assert (count.held, count.by_execution) == (0, 0)
    assert count.not_measured >= 6


@pytest.mark.parametrize("fault_class", [ERROR, INTERRUPT])
def test_operations_beyond_the_recorded_ones_are_noticed(fault_class: FaultClass) -> None:
    def longer(runs: int, fs: FileSystem) -> None:
        saver()(fs)
        fs.sync_directory()
        fs.sync_directory()

    run = swept(second_run(longer), fault_class)
    assert run.classes[fault_class].harness_errors == 1
    assert any("beyond the recorded" in problem for problem in run.problems)
    assert run.level is None


def every_third_differs(runs: int, fs: FileSystem) -> None:
    if runs % 3 == 0:
        fs.names()
    saver()(fs)


@pytest.mark.parametrize(
    "fault_class",
    [
        ERROR,
        INTERRUPT,
        KILL,
    ],
)
def test_a_program_that_differs_from_run_to_run_is_a_harness_error(fault_class: FaultClass) -> None:
    run = swept(second_run(every_third_differs), fault_class)
    assert run.classes[fault_class].harness_errors > 0
    assert verdict([run]) == "harness-error"


def looks_at(byte: int, wrong_at: int, data: bytes) -> Callable[[FileSystem, int, bytes], None]:
    """Looks at the file where `byte` bytes were accepted, and takes `wrong_at` accepted bytes for all of them."""

    def write(fs: FileSystem, fd: int, content: bytes) -> None:
        done = 0
        while done < len(content):
            done += fs.pwrite(fd, memoryview(content)[done:], done) or 0
            if done == byte:
                fs.fstat(fd)
            if done == wrong_at:
                return

    return write


@pytest.mark.parametrize("byte", [1, 2, 1000, 1999])
def test_a_class_is_refused_where_the_way_depends_on_the_byte_and_then_every_point_is_executed(byte: int) -> None:
    """KVS-CLASS-3. The mistake is at a byte that stands for nothing; only refusing the class finds it."""
    make = lambda: Tiny(saver(LONG, looks_at(byte, 777, LONG)), new=LONG)  # noqa: E731
    run = swept(make, ERROR)
    count = run.classes[ERROR]
    assert any("KVS-CLASS-1 does not apply" in problem for problem in run.problems)
    exhaustive = swept(make, ERROR, exhaustive=True)
    assert counts(count) == counts(exhaustive.classes[ERROR])
    for swept_run in (run, exhaustive):
        found = {(v.finding.kind, v.fault.byte) for v in swept_run.violations if v.fault.form == "short"}
        assert found == {(Kind.PARTIAL_VISIBLE, 777), (Kind.FALSE_SUCCESS, 777)}
        assert run.level is None  # only one class was swept


def test_exhaustive_is_the_check_on_the_lemma() -> None:
    """A writer that counts as no writer does breaks the lemma unseen; small files are swept in full for that."""
    make = lambda: Tiny(saver(LONG, looks_at(-1, 777, LONG)), new=LONG)  # noqa: E731
    assert swept(make, ERROR).classes[ERROR].by_class > 0
    assert swept(make, ERROR, exhaustive=True).classes[ERROR].violated > 0


def test_a_class_is_refused_where_the_verdict_depends_on_the_byte() -> None:
    make = lambda: Tiny(saver(LONG, looks_at(-1, 1000, LONG)), new=LONG)  # noqa: E731
    run = swept(make, ERROR)
    assert any("KVS-CLASS-1 does not apply" in problem for problem in run.problems)
    assert counts(run.classes[ERROR]) == counts(swept(make, ERROR, exhaustive=True).classes[ERROR])


def test_a_wrong_writer_is_violated_at_every_byte_by_class_too() -> None:
    def once(fs: FileSystem, fd: int, data: bytes) -> None:
        fs.pwrite(fd, data, 0)

    make = lambda: Tiny(saver(LONG, once), new=LONG)  # noqa: E731
    by_class, by_execution = swept(make, ERROR), swept(make, ERROR, exhaustive=True)
    assert by_class.classes[ERROR].lemmas
    assert counts(by_class.classes[ERROR]) == counts(by_execution.classes[ERROR])
    assert {v.finding.kind for v in by_class.violations} == {v.finding.kind for v in by_execution.violations}
    assert {v.cause: v.points for v in by_class.violations} == {v.cause: v.points for v in by_execution.violations}


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("fault_class", CLASSES)
def test_verdicts_by_class_and_by_execution_are_the_same_on_small_files(
    strategy: Strategy, fault_class: FaultClass
) -> None:
    """KVS-CLASS-4, with both lemmas at work."""
    found = targets(
        source=Source(None, 1300, 600),
        strategies=(strategy,),
        operations=(Operation.SAVE,),
        scenarios=(Scenario.OTHER_SIZE,),
    )
    for target in found:
        by_class, by_execution = (
            sweep(units([target], [fault_class], exhaustive=exhaustive))[0] for exhaustive in (False, True)
        )
        assert counts(by_class.classes[fault_class]) == counts(by_execution.classes[fault_class])
        assert by_class.classes[fault_class].lemmas
        assert by_class.violations == by_execution.violations == []


@pytest.mark.parametrize(
    "strategy",
    [
        "direct",
        "backpatch",
        pytest.param(
            "staged",
        ),
    ],
)
def test_a_right_writer_with_many_pieces_is_measured_in_full(strategy: str) -> None:
    target = KvcTarget(Operation.SAVE, strategy, "empty", TempKind.UNNAMED, Source(None, 20 * 600, 600))
    (run,) = sweep(units([target], CLASSES))
    assert [count.not_measured for count in run.classes.values()] == [0] * len(CLASSES)
    assert run.level == 3


@pytest.mark.parametrize("fault_class", CLASSES)
def test_parts_count_what_one_part_counts(fault_class: FaultClass) -> None:
    target = KvcTarget(Operation.SAVE, "staged", "orphans", TempKind.NAMED, Source(None, 150, 60))
    (whole,) = sweep(units([target], [fault_class], exhaustive=True))
    (parts,) = sweep(units([target], [fault_class], exhaustive=True, parts=3))
    assert counts(whole.classes[fault_class]) == counts(parts.classes[fault_class])
    for name in whole.regions:
        assert whole.covered_bytes(name) == parts.covered_bytes(name)


def test_a_pool_counts_what_one_process_counts() -> None:
    target = KvcTarget(Operation.SAVE, "direct", "live-temp", TempKind.NAMED, Source(None, 60, 30))
    work = units([target], CLASSES, parts=2)
    done: list[FaultClass] = []
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as pool:
        (pooled,) = sweep(work, pool, lambda unit, run: done.append(unit.fault_class))
    (alone,) = sweep(work)
    assert {c: counts(n) for c, n in pooled.classes.items()} == {c: counts(n) for c, n in alone.classes.items()}
    assert sorted(done) == sorted(unit.fault_class for unit in work)


def test_what_is_wrong_without_a_fault_counts_once() -> None:
    run = swept(lambda: Tiny(lambda fs: None), KILL, parts=3)
    assert counts(run.classes[KILL]) == (1, 0, 1, 0, 0)


def test_what_is_wrong_without_a_fault_is_violated() -> None:
    run = swept(lambda: Tiny(lambda fs: None), *CLASSES)
    assert {v.finding.kind for v in run.violations} == {Kind.FALSE_SUCCESS}
    assert {v.operation for v in run.violations} == {"without any fault"}
    assert run.level == 0


def test_a_run_that_fails_without_a_fault_is_a_harness_error() -> None:
    def act(fs: FileSystem) -> None:
        raise ValueError("always")

    run = swept(lambda: Tiny(act), *CLASSES)
    assert [count.harness_errors for count in run.classes.values()] == [1] * len(CLASSES)
    assert run.level is None


def test_an_operation_that_does_nothing_has_no_points_and_holds_nothing() -> None:
    run = swept(lambda: Tiny(lambda fs: None, old=NEW), *CLASSES)
    assert {name: count.points for name, count in run.classes.items()} == {ERROR: 0, INTERRUPT: 0, KILL: 0, POWER: 1}
    assert run.level is None
    assert verdict([run]) == "not-measured"  # after the end the power can fail, and that alone decides nothing


def level(*classes: FaultClass) -> int | None:
    return swept(lambda: Tiny(saver()), *classes).level


def test_the_level_is_not_decided_where_a_class_is_missing() -> None:
    assert level(ERROR) is level(INTERRUPT) is level(KILL) is level(ERROR, KILL) is level(INTERRUPT, KILL) is None
    assert level(ERROR, INTERRUPT) == level(ERROR, INTERRUPT, POWER) == 1
    assert level(ERROR, INTERRUPT, KILL) == 2
    assert level(*CLASSES) == 3


def test_only_the_strict_profile_gives_level_3() -> None:
    """KVS-LEVEL-3."""
    run = swept(lambda: Tiny(saver()), *CLASSES, profiles=("ext4-ordered", "xfs"))
    assert run.level == 2
    assert set(run.classes[POWER].profiles) == {"ext4-ordered", "xfs"}


def test_a_computed_kill_that_no_execution_confirms_is_a_harness_error() -> None:
    def act_of(runs: int, fs: FileSystem) -> None:
        saver(write=lambda fs, fd, data: write_all(fs, fd, data if runs < 3 else data[::-1]))(fs)

    run = swept(second_run(act_of), KILL)
    assert run.classes[KILL].harness_errors > 0
    assert run.level is None


def test_targets_keep_their_order_and_are_joined() -> None:
    one, other = TinyTarget(lambda: Tiny(saver()), "one"), TinyTarget(lambda: Tiny(saver()), "other")
    runs = sweep(units([other, one], [KILL], parts=2))
    assert [run.target for run in runs] == [other, one]


def test_a_directory_that_cannot_be_made_is_a_harness_error() -> None:
    (unit,) = units([TinyTarget(lambda: Tiny(saver()))], [ERROR], real=True, real_parent="/proc")
    try:
        run = run_unit(unit)
    except OSError:
        pytest.fail("it escapes")
    assert run.classes[ERROR].harness_errors


@pytest.mark.parametrize("fault_class", CLASSES)
def test_ctrl_c_ends_a_sweep_in_this_process(fault_class: FaultClass) -> None:
    """Soon, also in the classes kill and power: most points are computed there, and one gate is held over all."""
    # Of one piece all states are gone through in less time than the timer takes.
    piece_bytes = 100 if fault_class is POWER else 20_000
    target = KvcTarget(Operation.SAVE, "direct", "empty", TempKind.NAMED, Source(None, 20_000, piece_bytes))
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    start = time.process_time()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            sweep(units([target] * 2, [fault_class], exhaustive=True))
        assert type(caught.value) is KeyboardInterrupt
        assert time.process_time() - start < 3
    finally:
        timer.join()


def merged(*bytes_of_parts: int) -> Run:
    from faultinject.coverage import Violation
    from faultinject.faults import Fault, Form
    from faultinject.ops import Op
    from faultinject.oracle import Finding

    target = TinyTarget(lambda: Tiny(saver()))
    total = Run(target)
    for byte in bytes_of_parts:
        part = Run(target)
        fault = Fault(ERROR, Form.SHORT, 1, Op.PWRITE, byte)
        part.note(Violation(fault, Finding(Kind.PARTIAL_VISIBLE, "f", str(byte)), "#1", byte, None, "one cause"))
        total.add(part)
    return total


@pytest.mark.parametrize(
    "order",
    [
        (3, 900),
        pytest.param(
            (900, 3),
        ),
    ],
)
def test_the_first_point_of_a_cause_is_the_one_that_is_shown(order: tuple[int, ...]) -> None:
    (violation,) = merged(*order).violations
    assert (violation.fault.byte, violation.points) == (3, 2)
