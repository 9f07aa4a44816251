"""Every checker is itself checked: each wrong writer is caught, by name, and the right one beside it is clean."""

from __future__ import annotations

import pytest

from faultinject.kvc import Operation, Scenario
from faultinject.oracle import Kind
from faultinject.sweep import CLASSES
from tests.mutants.harness import swept
from tests.mutants.textbook import Textbook
from tests.mutants.wrong import MUTANTS, Deserved


class Staged(Textbook):
    strategy = "staged"


class Backpatch(Textbook):
    strategy = "backpatch"


SAVES = [
    (writer, writer.strategy, scenario)
    for writer in (Textbook, Staged, Backpatch)
    for scenario in Scenario
    if scenario is not Scenario.STRIPPED
]


@pytest.mark.parametrize(("writer", "strategy", "scenario"), SAVES)
def test_the_right_writer_is_clean(writer: type[Textbook], strategy: str, scenario: Scenario) -> None:
    run = swept(writer, Operation.SAVE, strategy, scenario, *CLASSES)
    assert [(v.finding, v.fault.id) for v in run.violations] == []
    assert run.problems == []
    assert run.level == 2


@pytest.mark.parametrize("scenario", [Scenario.SAME_SIZE, Scenario.LIVE_TEMP, Scenario.ORPHANS])
@pytest.mark.parametrize("operation", [Operation.TOUCH, Operation.REPLACE_TOOL_MAP])
def test_the_right_updates_are_clean(operation: Operation, scenario: Scenario) -> None:
    run = swept(Textbook, operation, "-", scenario, *CLASSES)
    assert [(v.finding, v.fault.id) for v in run.violations] == []
    assert run.problems == []
    assert run.level == 2


@pytest.mark.parametrize(("writer", "deserved"), MUTANTS.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_a_wrong_writer_is_caught_by_name(writer: type[Textbook], deserved: Deserved) -> None:
    strategy = writer.strategy if deserved.operation is Operation.SAVE else "-"
    run = swept(writer, deserved.operation, strategy, deserved.scenario, *CLASSES)
    caught = {(v.finding.kind, v.fault.fault_class) for v in run.violations}
    assert (deserved.kind, deserved.fault_class) in caught
    assert run.level is not None
    assert run.level < 2


def test_there_are_at_least_twenty_of_them_and_every_violation_of_these_classes_has_one() -> None:
    """The two that are missing need classes that are not swept in process."""
    assert len(MUTANTS) >= 20
    deserved = {what.kind for what in MUTANTS.values()}
    assert deserved == set(Kind) - {Kind.LOST_AFTER_ACK, Kind.DAMAGE_ACCEPTED}
