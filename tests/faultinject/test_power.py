"""The points of class `power` of one run: counted, named, and asked for in any order (KVS-POWER, KVS-CLASS-5)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from faultinject.blackout import files_of
from faultinject.faults import Fault, FaultClass, Form, parse_fault
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace
from faultinject.persistence.machine import NodeKind, StartNode
from faultinject.persistence.profiles import profiles
from faultinject.persistence.survivors import Survived
from faultinject.power import Left, PowerLoss, PowerRun, Right
from tests.faultinject.persistence.replayed import opened, renamed, synced, synced_directory, wrote

OLD, NEW = bytes(700), bytes(i % 251 for i in range(1300))
SAVE = [opened("t", 1), wrote(1, 0, NEW[:600]), wrote(1, 600, NEW[600:]), synced(1), renamed("t", "e"), synced_directory()]  # fmt: skip


def run_of(operations: list[Operation], *, acknowledged_at: int | None = None, atomic: bool = False) -> PowerRun:
    trace = Trace(tuple(replace(operation, index=index) for index, operation in enumerate(operations)))
    return PowerRun(
        trace,
        {"e": StartNode(NodeKind.FILE, (OLD,), 7)},
        lambda path: [Right((OLD,)), Right((NEW,))] if path == "e" else [],
        len(NEW),
        len(trace) if acknowledged_at is None else acknowledged_at,
        lambda operation: atomic,
    )


def contents(files: Mapping[str, Survived]) -> dict[str, bytes]:
    found = {name: file.read_all() for name, file in files_of(files).items()}
    return {name: found.get(name, b"") if files[name].touched else OLD for name in files}


@pytest.mark.parametrize("profile", profiles())
def test_groups_stand_for_as_many_points_as_there_are(profile: str) -> None:
    groups = list(PowerLoss(run_of(SAVE)).groups(profile))
    every = list(PowerLoss(run_of(SAVE)).groups(profile, exhaustive=True))
    assert sum(group.points for group in groups) == len(every)
    assert all((group.points, len(group.faults), group.lemma) == (1, 1, None) for group in every)
    assert all(group.lemma in (("KVS-CLASS-1", "KVS-CLASS-5") if group.points > 1 else (None,)) for group in groups)
    ids = [group.faults[0].id for group in every]
    assert len(set(ids)) == len(ids)
    assert {fault.id for group in groups for fault in group.faults} <= set(ids)


@pytest.mark.parametrize("profile", ["strict", "ext4-ordered", "btrfs"])
def test_every_point_has_a_name_and_is_the_same_in_any_order(profile: str) -> None:
    power = PowerLoss(run_of(SAVE))
    in_order: list[tuple[Fault, Left]] = []
    for group in power.groups(profile, exhaustive=True):
        in_order += [(fault, power.left(fault)) for fault in group.faults]
    known = [(fault, contents(left.files), left.acknowledged, left.sentence) for fault, left in in_order]
    random.Random(0).shuffle(known)
    other = PowerLoss(run_of(SAVE))
    for fault, files, acknowledged, sentence in known[:400]:
        assert parse_fault(fault.id) == fault
        again = other.left(parse_fault(fault.id))
        assert (contents(again.files), again.acknowledged, again.sentence) == (files, acknowledged, sentence)


def test_asking_for_another_point_meanwhile_changes_no_plan() -> None:
    plain = [group.faults[0].id for group in PowerLoss(run_of(SAVE)).groups("strict")]
    power, seen = PowerLoss(run_of(SAVE)), []
    last = parse_fault(f"power/{len(SAVE)}/acknowledge/power-loss#0/strict")
    first = parse_fault("power/0/open/power-loss#1/strict")
    for group in power.groups("strict"):
        seen.append(group.faults[0].id)
        assert contents(power.left(last).files) == {"e": NEW}
        assert contents(power.left(first).files) == {"e": OLD}
    assert seen == plain


def test_a_right_save_leaves_old_or_new_and_after_it_new() -> None:
    power = PowerLoss(run_of(SAVE))
    for group in power.groups("strict", exhaustive=True):
        left = power.left(group.faults[0])
        assert contents(left.files)["e"] in ((NEW,) if left.acknowledged else (OLD, NEW))


def test_success_that_is_reported_early_is_noted() -> None:
    early = run_of([*SAVE[:5], Operation(-1, Op.ACKNOWLEDGE), SAVE[5]], acknowledged_at=5)
    lost = []
    power = PowerLoss(early)
    for group in power.groups("strict", exhaustive=True):
        left = power.left(group.faults[0])
        assert left.acknowledged == (group.faults[0].index >= 5)
        if left.acknowledged and contents(left.files)["e"] == OLD:
            lost.append(group.faults[0].index)
    assert set(lost) == {5}, "and no more once the directory is synced"


def test_between_two_bytes_all_before_is_on_the_disk() -> None:
    power = PowerLoss(run_of(SAVE))
    inside = [group for group in power.groups("strict") if group.faults[0].byte is not None]
    assert [group.points for group in inside] == [599, 699]
    for byte in (1, 350, 699):
        fault = Fault(FaultClass.POWER, Form.POWER_LOSS, 2, Op.PWRITE, byte, what="strict")
        assert contents(power.left(fault).files)["t"] == NEW[: 600 + byte]
    none = PowerLoss(run_of(SAVE, atomic=True)).groups("strict")
    assert all(group.faults[0].byte is None for group in none), "KVS-ATOM-1"


@pytest.mark.parametrize(
    "point",
    [
        "power/0/open/power-loss#2/strict",
        "power/0/open/power-loss/strict",
        "power/0/open/power-loss#0/zfs",
        "power/0/rename/power-loss#0/strict",
        "power/-1/payload/power-loss#0/strict",
        "power/6/open/power-loss#0/strict",
        "power/7/acknowledge/power-loss#0/strict",
        "power/6/acknowledge/power-loss#1/strict",
        "power/6/acknowledge/power-loss@1/strict",
        "power/0/open/power-loss@1/strict",
        "power/1/pwrite/power-loss@600/strict",
        "power/1/pwrite/power-loss@0/strict",
        "power/1/pwrite/power-loss#0.999999/strict",
        "power/1/pwrite/power-loss#0.0.0/strict",
        f"power/1/pwrite/power-loss#{10**40}.0/strict",
    ],
)
def test_a_point_that_does_not_exist_is_a_harness_error(point: str) -> None:
    with pytest.raises(HarnessError):
        PowerLoss(run_of(SAVE)).left(parse_fault(point))


def test_what_is_not_modelled_is_a_harness_error() -> None:
    unknown = Operation(-1, Op.SPLICE, inode=1, offset=0, size_bytes=9, result=9)
    power = PowerLoss(run_of([opened("t", 1), unknown]))
    with pytest.raises(HarnessError, match="its bytes were not recorded"):
        list(power.groups("strict"))
    with pytest.raises(HarnessError, match="its bytes were not recorded"):
        power.left(parse_fault("power/1/splice/power-loss@3/strict"))
    with pytest.raises(HarnessError, match="no persistence profile 'zfs'"):
        list(power.groups("zfs"))
