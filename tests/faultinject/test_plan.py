"""Which points exist, counted here by arithmetic of its own, and covered by what is executed."""

from __future__ import annotations

from collections import Counter

import pytest

from faultinject.execute import Executor
from faultinject.faults import ERRNOS, INJECTED_ERROR, KEYBOARD_INTERRUPT, Fault, FaultClass, Form
from faultinject.ground import MemoryGround
from faultinject.kvc import KvcTarget, Operation, Scenario
from faultinject.kvc_content import Source
from faultinject.plan import Recorded, plan
from faultinject.sweep import CLASSES, sweep, units
from faultinject.target import Prepared
from kvformat.options import Strategy
from kvformat.temp_names import TempKind

STRATEGIES = [str(strategy) for strategy in Strategy]


def target(strategy: str, payload_bytes: int = 30, piece_bytes: int = 20, scenario: str = "old-same-size") -> KvcTarget:
    return KvcTarget(Operation.SAVE, strategy, scenario, TempKind.NAMED, Source(None, payload_bytes, piece_bytes))


def recorded_of(what: KvcTarget) -> tuple[Prepared, Recorded]:
    prepared = what.prepare()
    return prepared, Executor(prepared, MemoryGround(prepared)).record()


def planned(what: KvcTarget, fault_class: FaultClass) -> tuple[Recorded, list[Fault]]:
    """Every fault, each in a group of its own."""
    prepared, recorded = recorded_of(what)
    groups = list(plan(fault_class, prepared, recorded, exhaustive=True))
    assert all(group.points == len(group.faults) == 1 and group.lemma is None for group in groups)
    return recorded, [group.faults[0] for group in groups]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_operation_fails_with_every_errno_once_and_for_good(strategy: str) -> None:
    recorded, faults = planned(target(strategy), FaultClass.ERROR)
    found = Counter((f.index, f.op, f.error, f.sticky) for f in faults if f.form is Form.ERRNO)
    wanted = {(o.index, o.op, number, sticky) for o in recorded.trace for number in ERRNOS[o.op] for sticky in (0, 1)}
    assert set(found) == wanted
    assert set(found.values()) == {1}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_transfer_is_cut_after_every_byte_once(strategy: str) -> None:
    recorded, faults = planned(target(strategy), FaultClass.ERROR)
    sizes = {o.index: o.result for o in recorded.trace if o.op.transfers and o.result}
    cuts = Counter((f.index, f.byte, f.sticky) for f in faults if f.form is Form.CUT)
    assert cuts == Counter((i, j, sticky) for i, n in sizes.items() for j in range(1, n) for sticky in (False, True))
    shorts = Counter((f.index, f.byte) for f in faults if f.form is Form.SHORT)
    assert shorts == Counter((i, j) for i, n in sizes.items() for j in range(n))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_kill_comes_before_every_operation_and_after_every_byte(strategy: str) -> None:
    recorded, faults = planned(target(strategy), FaultClass.KILL)
    wanted = Counter((o.index, byte) for o in recorded.trace for byte in [None])
    inside = Counter((o.index, j) for o in recorded.trace if o.op.transfers for j in range(1, o.result))
    assert Counter((f.index, f.byte) for f in faults) == wanted + inside


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_interrupts_come_at_every_operation_and_from_the_producer_after_every_byte(strategy: str) -> None:
    recorded, faults = planned(target(strategy), FaultClass.INTERRUPT)
    signals = Counter((f.index, f.what) for f in faults if f.form is Form.SIGNAL)
    assert signals == Counter((o.index, what) for o in recorded.trace for what in ("SIGINT", "SIGTERM"))
    for form in (Form.RAISE_BEFORE, Form.RAISE_AFTER):
        raised = Counter((f.index, f.what) for f in faults if f.form is form)
        assert raised == Counter((o.index, w) for o in recorded.trace for w in (INJECTED_ERROR, KEYBOARD_INTERRUPT))
    produced = Counter((f.byte, f.what) for f in faults if f.form is Form.PAYLOAD_RAISES)
    assert produced == Counter((byte, w) for byte in range(31) for w in (INJECTED_ERROR, KEYBOARD_INTERRUPT))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_producer_of_another_size_is_an_error_where_the_size_was_predicted(strategy: str) -> None:
    _, faults = planned(target(strategy), FaultClass.ERROR)
    payload = Counter((f.form, f.byte) for f in faults if f.form.on_payload)
    wanted = [(Form.PAYLOAD_ENDS, byte) for byte in range(30)] + [(Form.PAYLOAD_GOES_ON, 30)]
    assert payload == Counter(wanted if strategy == "direct" else [])


def test_an_empty_payload_can_be_longer_than_predicted() -> None:
    _, faults = planned(target("direct", scenario="stripped"), FaultClass.ERROR)
    assert [f.byte for f in faults if f.form is Form.PAYLOAD_GOES_ON] == [0]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("fault_class", [FaultClass.ERROR, FaultClass.KILL])
@pytest.mark.parametrize("exhaustive", [False, True])
def test_ranges_cover_every_byte_of_the_file(strategy: str, fault_class: FaultClass, exhaustive: bool) -> None:
    what = target(strategy, 1200, 40)
    (run,) = sweep(units([what], [fault_class], exhaustive=exhaustive))
    size_bytes = what.prepare().regions()
    for name, (start, end) in size_bytes.items():
        assert run.covered_bytes(name) == end - start, name


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("fault_class", CLASSES)
def test_as_many_points_exist_by_class_as_by_execution(strategy: str, fault_class: FaultClass) -> None:
    what = target(strategy, 700, 650)
    by_class, by_execution = (
        sweep(units([what], [fault_class], exhaustive=exhaustive))[0].classes[fault_class]
        for exhaustive in (False, True)
    )
    assert (by_class.points, by_class.held) == (by_execution.points, by_execution.held)
    assert by_class.by_class
    assert by_class.executed < by_execution.executed
    assert by_execution.by_class == 0
    assert by_execution.executed == by_execution.by_execution == by_execution.points


@pytest.mark.parametrize("fault_class", [FaultClass.ERROR, FaultClass.INTERRUPT, FaultClass.KILL])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_repeated_transfers_have_as_many_points_by_class(strategy: str, fault_class: FaultClass) -> None:
    what = target(strategy, 20 * 6, 6)
    by_class, by_execution = (
        sweep(units([what], [fault_class], exhaustive=exhaustive))[0].classes[fault_class]
        for exhaustive in (False, True)
    )
    assert "KVS-CLASS-2" in by_class.lemmas
    assert (by_class.points, by_class.held) == (by_execution.points, by_execution.held)


def test_a_class_of_another_harness_is_not_planned() -> None:
    prepared, recorded = recorded_of(target("direct"))
    with pytest.raises(ValueError, match="power"):
        list(plan(FaultClass.POWER, prepared, recorded, exhaustive=True))


def test_a_write_inside_one_sector_of_a_published_file_is_not_cut() -> None:
    touch = KvcTarget(Operation.TOUCH, "-", Scenario.SAME_SIZE, TempKind.AUTO, Source())
    for fault_class in (FaultClass.ERROR, FaultClass.KILL):
        _, faults = planned(touch, fault_class)
        assert [f for f in faults if f.byte is not None] == []
