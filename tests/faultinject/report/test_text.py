"""The report for people: fits a terminal, says the worst first, hides nothing."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from faultinject.coverage import ClassCount, Run, Violation
from faultinject.faults import Fault, FaultClass, Form
from faultinject.kvc import KvcTarget, Operation, targets
from faultinject.ops import Op
from faultinject.oracle import Finding, Kind, Verdict
from faultinject.report.text import level, print_report, verdict
from kvformat.temp_names import TempKind

TARGET = KvcTarget(Operation.SAVE, "backpatch", "old-same-size", TempKind.UNNAMED)


def printed(runs: list[Run], width: int = 80) -> str:
    stream = io.StringIO()
    print_report(Console(file=stream, width=width), runs)
    return stream.getvalue()


def count(points: int, **more: int) -> ClassCount:
    return ClassCount(**({"points": points, "held": points, "by_execution": points} | more))  # type: ignore[arg-type]


def run(*counts: ClassCount, target: KvcTarget = TARGET) -> Run:
    return Run(target, dict(zip(FaultClass, counts, strict=False)))


HUGE = 9 * 4 * 2**31
"""Points of nine scenarios of a save of 2 GiB."""


def test_it_fits_eighty_columns() -> None:
    text = printed([run(*[count(HUGE, by_class=HUGE)] * 3, target=target) for target in targets()])
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "points",
    [
        467,
        1_234_567,
        9_999_999,
        HUGE,
    ],
)
def test_no_number_and_no_heading_is_cut_off(points: int) -> None:
    assert "…" not in printed([run(*[count(points, by_execution=7000, by_class=points - 7000)] * 3)])


def test_small_numbers_are_exact() -> None:
    assert "123,456" in printed([run(count(123_456), count(12), count(0))], 120)


def test_the_verdict_is_the_worst_of_all() -> None:
    good, bad = run(count(5), count(5), count(5)), run(count(5, held=4, violated=1), count(5), count(5))
    unmeasured = run(count(5, held=4, not_measured=1), count(5), count(5))
    broken = run(count(5, held=4, harness_errors=1), count(5), count(5))
    assert verdict([good]) is Verdict.HELD
    assert verdict([good, unmeasured]) is Verdict.NOT_MEASURED
    assert verdict([good, unmeasured, bad]) is Verdict.VIOLATED
    assert verdict([good, bad, broken]) is Verdict.HARNESS_ERROR
    assert verdict([]) is verdict([run(count(0))]) is Verdict.NOT_MEASURED


def test_the_level_is_the_lowest_of_all_or_undecided() -> None:
    two, none = run(count(5), count(5), count(5)), run(count(5))
    zero = run(count(5, held=4, violated=1), count(5), count(5))
    assert level([two, two]) == 2
    assert level([two, zero]) == 0
    assert level([two, none]) is None
    assert level([]) is None


def violated(amount: int) -> Run:
    result = run(count(amount, held=0, violated=amount), count(5), count(5))
    for index in range(amount):
        fault = Fault(FaultClass.ERROR, Form.SHORT, index, Op.PWRITE, 3)
        finding = Finding(Kind.TEMP_LEAKED, "a[b]\x1b[31m.tmp", "a file of 3 bytes is left [bold]")
        result.note(Violation(fault, finding, f"#{index} pwrite", 3, "header", index, 7))
    return result


def test_a_violation_says_all_that_a_replay_and_a_reader_need() -> None:
    text = printed([violated(1)], 200)
    for part in ("V1 temp-leaked", "KVS-INV-2", "error/0/pwrite/short@3", "byte 3 (header)", "7 points", "[bold]"):
        assert part in text
    assert "\x1b" not in text


def test_what_is_not_shown_is_counted() -> None:
    text = printed([violated(25)])
    assert "V20 " in text
    assert "V21 " not in text
    assert "5 more violations" in text


def test_problems_are_shown_once() -> None:
    one, other = run(count(5)), run(count(5))
    one.problems = ["[weird] problem", "second"]
    other.problems = ["[weird] problem"]
    text = printed([one, other])
    assert text.count("[weird] problem") == 1
    assert "second" in text


def test_bytes_that_were_not_cut_are_not_said_to_be() -> None:
    part = run(count(5))
    part.classes[FaultClass.ERROR].cut([(0, 10)])
    part.regions = {"header": (0, 10), "payload": (10, 1010)}
    text = printed([part])
    assert "Cut at 10 of 1,010 bytes" in text
    assert "header 100%" in text
    assert "payload 0%" in text


def test_almost_all_bytes_are_not_all() -> None:
    part = run(count(5))
    part.classes[FaultClass.ERROR].cut([(0, 9_999)])
    part.regions = {"payload": (0, 10_000)}
    assert "payload 100%" not in printed([part])
