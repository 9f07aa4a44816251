"""Every checker is itself checked: each wrong writer is caught, by name, and the right one beside it is clean."""

from __future__ import annotations

import re

import pytest

from faultinject.kvc import Operation, Scenario
from faultinject.oracle import Kind
from faultinject.repair import NO_REPAIR
from faultinject.sweep import CLASSES
from tests.mutants.harness import swept
from tests.mutants.names import TEMP_PREFIX
from tests.mutants.textbook import Textbook
from tests.mutants.wrong import MUTANTS, POWER, Deserved, DirectToTheFinalName, OldEntryUnlinkedFirst
from tests.mutants.wrong_power import REPAIRS


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
    assert run.level == 3


@pytest.mark.parametrize("scenario", [Scenario.SAME_SIZE, Scenario.LIVE_TEMP, Scenario.ORPHANS])
@pytest.mark.parametrize("operation", [Operation.TOUCH, Operation.REPLACE_TOOL_MAP])
def test_the_right_updates_are_clean(operation: Operation, scenario: Scenario) -> None:
    run = swept(Textbook, operation, "-", scenario, *CLASSES)
    assert [(v.finding, v.fault.id) for v in run.violations] == []
    assert run.problems == []
    assert run.level == 3


@pytest.mark.parametrize(("writer", "deserved"), MUTANTS.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_a_wrong_writer_is_caught_by_name(writer: type[Textbook], deserved: Deserved) -> None:
    strategy = writer.strategy if deserved.operation is Operation.SAVE else "-"
    run = swept(writer, deserved.operation, strategy, deserved.scenario, *CLASSES)
    caught = {(v.finding.kind, v.fault.fault_class) for v in run.violations}
    assert (deserved.kind, deserved.fault_class) in caught
    assert run.level is not None
    assert run.level <= deserved.level


@pytest.mark.parametrize("writer", [writer for writer, what in MUTANTS.items() if what.level == 2])
def test_what_only_a_loss_of_power_can_hurt_is_clean_under_the_other_classes(writer: type[Textbook]) -> None:
    """So the class is needed: no other one finds these."""
    deserved = MUTANTS[writer]
    strategy = writer.strategy if deserved.operation is Operation.SAVE else "-"
    run = swept(writer, deserved.operation, strategy, deserved.scenario, *CLASSES[:-1])
    assert (run.level, run.violations) == (2, [])


def anonymous(repair: str) -> str:
    """Without random names and places."""
    return re.sub(r"#\d+", "#N", re.sub(r"\w+\.kv", "ENTRY", re.sub(rf"{TEMP_PREFIX}\w+", "TEMP", repair)))


@pytest.mark.parametrize("writer", REPAIRS)
def test_the_repair_that_is_named_is_the_right_one(writer: type[Textbook]) -> None:
    """KVS-POWER-7: what is named is what was taken out, and the writer with it is clean."""
    deserved, (named, repaired) = MUTANTS[writer], REPAIRS[writer]
    strategy = writer.strategy if deserved.operation is Operation.SAVE else "-"
    wrong = swept(writer, deserved.operation, strategy, deserved.scenario, POWER)
    for violation in wrong.violations:
        assert anonymous(violation.repair) == named
    right = swept(repaired, deserved.operation, strategy, deserved.scenario, POWER)
    assert [(v.finding, v.fault.id) for v in right.violations] == []


@pytest.mark.parametrize("writer", [DirectToTheFinalName, OldEntryUnlinkedFirst])
def test_what_no_sync_can_mend_is_told(writer: type[Textbook]) -> None:
    run = swept(writer, Operation.SAVE, "direct", Scenario.SAME_SIZE, POWER)
    assert {violation.repair for violation in run.violations} == {NO_REPAIR}


def test_there_are_at_least_twenty_of_them_and_every_violation_of_these_classes_has_one() -> None:
    """The one that is missing needs a class that is not swept in process."""
    assert len(MUTANTS) >= 20
    deserved = {what.kind for what in MUTANTS.values()}
    assert deserved == set(Kind) - {Kind.DAMAGE_ACCEPTED}
