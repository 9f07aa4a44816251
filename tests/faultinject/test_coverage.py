"""Counts, ranges and levels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from faultinject.coverage import ClassCount, Run, Violation
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ops import Op
from faultinject.oracle import Finding, Kind
from tests.faultinject.programs import Tiny, TinyTarget, saver

TARGET = TinyTarget(lambda: Tiny(saver()))
ERROR, INTERRUPT, KILL = FaultClass.ERROR, FaultClass.INTERRUPT, FaultClass.KILL
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1])), max_size=12)


def cut_at(spans: list[tuple[int, int]]) -> ClassCount:
    count = ClassCount()
    count.cut(spans)
    return count


@given(SPANS, SPANS, st.integers(0, 40), st.integers(0, 20))
def test_covered_bytes_are_those_that_every_cutting_class_cut(
    one: list[tuple[int, int]], other: list[tuple[int, int]], start: int, size_bytes: int
) -> None:
    run = Run(TARGET, {ERROR: cut_at(one), KILL: cut_at(other), INTERRUPT: ClassCount()})
    run.regions = {"r": (start, start + size_bytes)}
    wanted = set(range(start, start + size_bytes))
    for spans in (one, other):
        wanted &= {byte for a, b in spans for byte in range(a, b)}
    assert run.covered_bytes("r") == len(wanted)


@given(SPANS, SPANS)
def test_parts_cover_together_what_each_covers(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    total = cut_at(one)
    total.add(cut_at(other))
    run = Run(TARGET, {KILL: total}, regions={"r": (0, 60)})
    assert run.covered_bytes("r") == len({byte for a, b in one + other for byte in range(a, b)})


def test_no_cutting_class_covers_nothing() -> None:
    assert Run(TARGET, {INTERRUPT: ClassCount()}, regions={"r": (0, 9)}).covered_bytes("r") == 0


def count(**what: int) -> ClassCount:
    return ClassCount(**({"points": 1, "held": 1} | what))  # type: ignore[arg-type]


def level(**classes: ClassCount) -> int | None:
    return Run(TARGET, {FaultClass(name): value for name, value in classes.items()}).level


def test_levels() -> None:
    good, bad = count(), count(violated=1, held=0)
    assert level(error=good, interrupt=good, kill=good) == 2
    assert level(error=good, interrupt=good, kill=bad) == 1
    assert level(error=bad, interrupt=good, kill=good) == 0
    assert level(error=good, interrupt=bad, kill=good) == 0
    assert level(interrupt=good, kill=good) is None
    assert level(error=good, kill=good) is None
    for unsound in (count(not_measured=1), count(harness_errors=1), ClassCount()):
        assert level(error=unsound, interrupt=good, kill=good) is None
        assert level(error=good, interrupt=unsound, kill=good) is None
        assert level(error=good, interrupt=good, kill=unsound) != 2


def test_counts_add_up() -> None:
    total = ClassCount(1, 2, 3, 4, 5, 6, 7, 8, 9, {"KVS-CLASS-1"}, [(0, 1)])
    total.add(ClassCount(1, 1, 1, 1, 1, 1, 1, 1, 1, {"KVS-CLASS-2"}, [(1, 3)]))
    assert total == ClassCount(2, 3, 4, 5, 6, 7, 8, 9, 10, {"KVS-CLASS-1", "KVS-CLASS-2"}, [(0, 3)])


def violation(byte: int, kind: Kind = Kind.TEMP_LEAKED, index: int = 1) -> Violation:
    return Violation(Fault(ERROR, Form.SHORT, index, Op.PWRITE, byte), Finding(kind, "f", "x"), "#1", byte, None, (index, kind))


def test_points_of_one_cause_are_one_violation() -> None:
    run = Run(TARGET)
    for one in (violation(1), violation(2), violation(2, Kind.ENTRY_LOST), violation(1, index=2)):
        run.note(one)
    assert [v.points for v in run.violations] == [2, 1, 1]
