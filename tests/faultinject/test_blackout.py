"""Our own saves under loss of power, and the same with any one sync left out or too late (KVS-DURABLE-2, KVS-LEVEL-3)."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from faultinject.blackout import Blackout, files_of
from faultinject.coverage import Run
from faultinject.faults import Fault, FaultClass, Form, parse_fault
from faultinject.inject import HarnessError
from faultinject.interpose import Interposed, Result
from faultinject.kvc import SCENARIOS, KvcPrepared, KvcTarget, Operation, Scenario, targets
from faultinject.kvc_content import Source
from faultinject.memory import MemoryFileSystem
from faultinject.memory_file import MemoryFile
from faultinject.ops import Op
from faultinject.oracle import Kind
from faultinject.persistence.machine import NodeKind
from faultinject.persistence.profiles import profiles
from faultinject.persistence.survivors import Extent, Survived
from faultinject.report.text import verdict
from faultinject.sweep import CLASSES, sweep, units
from faultinject.target import PayloadFault
from kvformat.filesystem import FileSystem
from kvformat.temp_names import TempKind
from tests.faultinject.programs import ENTRY, Labelled, Tiny, saver

POWER = FaultClass.POWER
SMALL = Source(None, 90, 40)
SYNCS = (Op.FSYNC, Op.FSYNC_DIRECTORY)
ALL = targets(source=SMALL)
LASTING = targets(source=SMALL, durable=False)


def named(target: KvcTarget) -> str:
    return f"{target.operation}-{target.strategy}-{target.temp}-{target.scenario}"


def power(target: Any, *names: str) -> Run:
    (run,) = sweep(units([target], [POWER], profiles=names or ("strict",)))
    return run


@pytest.mark.parametrize("target", ALL, ids=named)
def test_every_operation_holds_under_every_profile(target: KvcTarget) -> None:
    run = power(target, *profiles())
    assert [(v.finding, v.fault.id) for v in run.violations] == []
    assert run.problems == []
    count = run.classes[POWER]
    assert set(count.profiles) == set(profiles())
    assert count.points == count.held == sum(count.profiles.values())


@pytest.mark.parametrize("operation", list(Operation))
def test_every_operation_reaches_level_3(operation: Operation) -> None:
    scenario = SCENARIOS[operation][0]
    for target in targets(source=Source(None, 20, 20), operations=(operation,), scenarios=(scenario,)):
        (run,) = sweep(units([target], CLASSES))
        assert (run.level, run.violations, run.problems) == (3, [], [])


@pytest.mark.parametrize("target", [one for one in LASTING if one.scenario in ("empty", "old-same-size")], ids=named)
def test_without_syncs_it_is_level_2_and_promises_nothing_after_success(target: KvcTarget) -> None:
    """KVS-DURABLE-3: it keeps every promise but the fourth."""
    run = power(target)
    assert Kind.LOST_AFTER_ACK not in {violation.finding.kind for violation in run.violations}
    assert not [one for one in Blackout(target.prepare()).trace if one.op in SYNCS]


@pytest.mark.parametrize("strategy", ["direct", "staged", "backpatch"])
def test_a_save_that_is_not_durable_is_level_2(strategy: str) -> None:
    target = KvcTarget(Operation.SAVE, strategy, "old-same-size", TempKind.NAMED, Source(None, 20, 20), False)
    (run,) = sweep(units([target], CLASSES))
    assert run.level == 2
    assert {(v.fault.fault_class, v.finding.kind) for v in run.violations} == {(POWER, Kind.PARTIAL_VISIBLE)}


# One sync less, or too late


class Without(Interposed):
    """A file system on which one sync does nothing; or comes after the rename where it is `late`."""

    def __init__(self, inner: FileSystem, number: int, *, late: bool) -> None:
        super().__init__(inner)
        self._left = number
        self._late = late
        self._waiting: list[Callable[[], object]] = []

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        if op in SYNCS:
            self._left -= 1
            if self._left == -1:
                if self._late:
                    self._waiting.append(lambda: method(*arguments))
                return None  # type: ignore[return-value]  # a sync returns nothing
        result = method(*arguments)
        if op is Op.RENAME:
            while self._waiting:
                self._waiting.pop()()
        return result


class PreparedWithout(KvcPrepared):
    def __init__(self, target: KvcTarget, number: int, late: bool) -> None:
        super().__init__(target)
        self._number, self._late = number, late

    def act(self, fs: FileSystem, payload: PayloadFault | None = None) -> None:
        super().act(Without(fs, self._number, late=self._late), payload)


@dataclass(frozen=True)
class TargetWithout(Labelled):
    target: KvcTarget
    number: int
    late: bool
    subject: str = "one sync less"
    strategy: str = "-"
    scenario: str = "-"

    def prepare(self) -> PreparedWithout:
        return PreparedWithout(self.target, self.number, self.late)


@cache
def trace_of(target: KvcTarget) -> list[Op]:
    return [operation.op for operation in Blackout(target.prepare()).trace]


def syncs() -> list[Any]:
    """Every sync of every operation: its number among those of the operation, and whether it is one of a directory."""
    found = []
    for target in ALL:
        if target.scenario not in ("empty", "old-same-size", "old-other-size"):
            continue
        done = [op for op in trace_of(target) if op in SYNCS]
        assert done or target.operation is Operation.RECOVER
        found += [pytest.param(target, number, op, id=f"{named(target)}-{op}") for number, op in enumerate(done)]
    return found


def no_cure(target: KvcTarget) -> Kind | None:
    """A tool map is replaced in an entry that has to be sound: on one that is torn the repetition fails."""
    return Kind.NEVER_HEALS if target.operation is Operation.REPLACE_TOOL_MAP else None


@pytest.mark.parametrize(("target", "number", "op"), syncs())
def test_no_sync_can_be_left_out(target: KvcTarget, number: int, op: Op) -> None:
    run = power(TargetWithout(target, number, late=False))
    kinds = {violation.finding.kind for violation in run.violations}
    publishes = Op.RENAME in trace_of(target)
    torn = {Kind.PARTIAL_VISIBLE} if op is Op.FSYNC and publishes else set()
    assert kinds - {no_cure(target)} == {Kind.LOST_AFTER_ACK} | torn
    assert verdict([run]) == "violated"
    what = "fsync the directory" if op is Op.FSYNC_DIRECTORY else "fdatasync "
    assert all(violation.repair.startswith(what) and ";" not in violation.repair for violation in run.violations)


@pytest.mark.parametrize(
    ("target", "number", "op"),
    [one for one in syncs() if one.values[2] is Op.FSYNC and Op.RENAME in trace_of(one.values[0])],
)
def test_no_sync_of_a_file_may_come_after_the_rename(target: KvcTarget, number: int, op: Op) -> None:
    run = power(TargetWithout(target, number, late=True))
    assert {violation.finding.kind for violation in run.violations} - {no_cure(target)} == {Kind.PARTIAL_VISIBLE}
    assert all("before" in violation.repair for violation in run.violations)


def test_a_directory_synced_too_early_is_not_synced() -> None:
    class Early(Interposed):
        def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
            if op is Op.RENAME:
                self._inner.sync_directory()
            if op is Op.FSYNC_DIRECTORY:
                return None  # type: ignore[return-value]  # a sync returns nothing
            return method(*arguments)

    prepared = Tiny(lambda fs: saver()(Early(fs)))
    blackout = Blackout(prepared)
    kinds = set()
    for group in blackout.groups(["strict"], exhaustive=True):
        kinds |= {finding.kind for finding in blackout.run(group.faults[0])}
    assert kinds == {Kind.LOST_AFTER_ACK}
    for profile in ("strict", "ext4-ordered"):
        fault = Fault(FaultClass.POWER, Form.POWER_LOSS, len(blackout.trace), Op.ACKNOWLEDGE, what=profile)
        assert blackout.repair(fault) == "fsync the directory before success is reported"


# The parts


def test_a_living_writer_s_temp_file_is_an_orphan_after_a_loss_of_power() -> None:
    target = KvcTarget(Operation.SAVE, "direct", Scenario.LIVE_TEMP, TempKind.NAMED, SMALL)
    blackout = Blackout(target.prepare())
    groups = list(blackout.groups(["strict"], exhaustive=False))
    assert all(blackout.run(fault) == () for group in groups for fault in group.faults)
    bad = target.prepare()
    bad.recover = lambda fs: None  # type: ignore[method-assign]  # nobody recovers
    blackout = Blackout(bad)
    found = {finding.kind for group in groups[:3] for finding in blackout.run(group.faults[0])}
    assert found == {Kind.ORPHAN_UNRECLAIMED}


def test_a_run_that_fails_has_no_states() -> None:
    def act(fs: FileSystem) -> None:
        raise ValueError("always")

    with pytest.raises(HarnessError, match="always"):
        Blackout(Tiny(act))


def test_a_finding_says_what_is_missing() -> None:
    class NoSync(Interposed):
        def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
            return None if op is Op.FSYNC else method(*arguments)  # type: ignore[return-value]  # as a sync

    blackout = Blackout(Tiny(lambda fs: saver()(NoSync(fs))))
    found = [
        finding.detail
        for group in blackout.groups(["strict"], exhaustive=True)
        for finding in blackout.run(group.faults[0])
    ]
    assert any("the file is empty (power failed: of 'target.entry' only 0 of 36 bytes" in detail for detail in found)
    last = parse_fault(f"power/{len(blackout.trace)}/acknowledge/power-loss#0.0/strict")
    assert blackout.operation(last) == "after the end"
    files, acknowledged = blackout.files(last)
    assert acknowledged
    assert ENTRY in files


def test_what_was_not_touched_is_the_very_file_and_links_are_counted() -> None:
    fs = MemoryFileSystem()
    fs.put("a", b"content")
    fs.put_special("s", stat.S_IFLNK | 0o777)
    given = fs.files()
    links = given["a"].links
    untouched = Survived(1, NodeKind.FILE, given["a"], touched=False)
    made = files_of({"a": untouched, "b": untouched, "s": Survived(2, NodeKind.OTHER, given["s"], touched=True)})
    assert made["a"] is made["b"] is given["a"]
    assert given["a"].links == links, "the start is never written to"
    assert made["s"] is given["s"], "a special file stays one when it was renamed"
    new = Survived(3, NodeKind.FILE, None, True, 6, (Extent(0, (b"abcd",)), Extent(2, (b"xyz!",))))
    made = files_of({"n": new, "m": new})
    assert made["n"] is made["m"]
    assert made["n"].links == 2
    assert made["n"].read_all() == b"abxyz!"
    assert isinstance(made["n"], MemoryFile)
