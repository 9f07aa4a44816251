"""Findings that come late, and time that is over: every point is counted once, and none is held by that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from faultinject.coverage import ClassCount, Run
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Finding, Kind
from faultinject.plan import INTERIOR, Group, Recorded
from faultinject.sweep import Unit, run_unit, sweep, units
from faultinject.swept import Result, Swept
from tests.faultinject.programs import Tiny, TinyTarget, saver

ERROR = FaultClass.ERROR
POINTS = 10
FOUND = (Finding(Kind.NEVER_HEALS, "x", "it fails"),)


class Late(Swept):
    """Says that all findings are late; `tell` gives them."""

    def __init__(self, tell: Callable[[list[Fault]], Iterator[tuple[Fault, Result]]]) -> None:
        self.tell = tell
        self.ran: list[Fault] = []

    def record(self) -> Recorded:
        return Recorded(Trace((Operation(0, Op.WRITE, result=POINTS + 1, task="0"),)), None, {}, frozenset())

    def groups(self, fault_class: FaultClass, recorded: Recorded, *, exhaustive: bool) -> Iterator[Group]:
        for byte in range(POINTS):
            yield Group((Fault(ERROR, Form.CUT, 0, Op.WRITE, byte + 1, 5),), 1)

    def run(self, fault: Fault) -> Result:
        self.ran.append(fault)
        return Result((), executor="rewind", late=True)

    def late(self, until: float) -> Iterator[tuple[Fault, Result]]:
        return self.tell(self.ran)

    def trace(self, fault: Fault) -> Trace:
        return self.record().trace

    def beyond(self, fault_class: FaultClass, recorded: Recorded) -> Fault | None:
        return None

    def samples(self, fault_class: FaultClass, recorded: Recorded) -> Iterator[Fault]:
        return iter(())

    def confirm(self, fault: Fault) -> None:
        raise AssertionError("nothing is computed here")


def counted(late: Late, until: float | None = None) -> tuple[ClassCount, Run]:
    (unit,) = units([TinyTarget(lambda: Tiny(saver()))], [ERROR])
    unit = replace(unit, enter=lambda: nullcontext(late))
    run = run_unit(unit if until is None else replace(unit, ends=until))
    count = run.classes[ERROR]
    assert count.points == POINTS == count.covered + count.not_measured + count.harness_errors
    return count, run


def test_late_findings_are_those_of_their_points() -> None:
    def tell(ran: list[Fault]) -> Iterator[tuple[Fault, Result]]:
        for place, fault in enumerate(ran):
            yield fault, Result(FOUND if place >= 7 else (), lemma=INTERIOR if place % 2 else "")

    count, run = counted(Late(tell))
    assert (count.held, count.violated, count.by_class, count.by_execution, count.lemmas) == (7, 3, 5, 5, {INTERIOR})
    assert [violation.points for violation in run.violations] == [3]
    assert count.executed == POINTS


def test_what_is_never_told_is_a_harness_error() -> None:
    count, _ = counted(Late(lambda ran: ((fault, Result(())) for fault in ran[:4])))
    assert (count.held, count.harness_errors) == (4, POINTS - 4)


def test_a_harness_error_on_the_way_loses_no_point() -> None:
    def tell(ran: list[Fault]) -> Iterator[tuple[Fault, Result]]:
        yield ran[3], Result(FOUND)
        raise HarnessError("it does not repeat itself")

    count, run = counted(Late(tell))
    assert (count.violated, count.harness_errors) == (1, POINTS - 1)
    assert run.problems == ["harness error: it does not repeat itself"]


def test_what_late_findings_have_no_time_for_is_told_once() -> None:
    def tell(ran: list[Fault]) -> Iterator[tuple[Fault, Result]]:
        yield ran[0], Result(())
        yield from ((fault, Result((), "there was no time")) for fault in ran[1:])

    count, run = counted(Late(tell))
    assert (count.held, count.not_measured) == (1, POINTS - 1)
    assert run.problems == [f"{POINTS - 1} points not measured: there was no time"]


@pytest.mark.parametrize("fault_class", [FaultClass.ERROR, FaultClass.KILL])
def test_time_that_is_over_before_the_first_point(fault_class: FaultClass) -> None:
    (unit,) = units([TinyTarget(lambda: Tiny(saver()))], [fault_class])
    whole, none = (sweep([replace(unit, ends=until)])[0].classes[fault_class] for until in (unit.ends, 0.0))
    assert whole.held == whole.points > 10
    assert none.held == none.violated == 0
    assert none.unafforded == none.not_measured >= whole.points


@pytest.mark.parametrize("block_groups", [1, 3, 256])
def test_blocks_of_any_size_cover_every_group_once(block_groups: int) -> None:
    target = TinyTarget(lambda: Tiny(saver()))
    work = [replace(unit, block_groups=block_groups) for unit in units([target], [ERROR], parts=3)]
    assert all(isinstance(unit, Unit) for unit in work)
    (split,), (whole,) = sweep(work), sweep(units([target], [ERROR]))
    assert split.classes[ERROR].points == whole.classes[ERROR].points
    assert split.classes[ERROR].held == whole.classes[ERROR].held
