"""What is named as a repair makes the run hold, and none of it can be left out (KVS-POWER-7)."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultinject import repair as module
from faultinject.blackout import files_of
from faultinject.ops import Op, Operation, Trace
from faultinject.persistence.machine import NodeKind, StartNode
from faultinject.persistence.profiles import profiles
from faultinject.power import Left, PowerLoss, PowerRun, Right
from faultinject.repair import NO_REPAIR, repair
from tests.faultinject.persistence.replayed import linked, opened, renamed, synced, synced_directory, wrote

OLD, NEW = b"the old content", b"the new content, which is longer"


def run_of(operations: list[Operation]) -> PowerRun:
    trace = Trace(tuple(replace(operation, index=index) for index, operation in enumerate(operations)))
    start = {"e": StartNode(NodeKind.FILE, (OLD,), 7, OLD)}
    right = [Right((OLD,)), Right((NEW,))]
    return PowerRun(trace, start, lambda path: right if path == "e" else [], 64, len(trace), lambda operation: False)


def holds(left: Left) -> bool:
    entry = left.files.get("e")
    if entry is None:
        return False
    content = files_of({"e": entry})["e"].read_all() if entry.touched else OLD
    return content == NEW or (content == OLD and not left.acknowledged)


def all_hold(run: PowerRun, profile: str = "strict") -> bool:
    power = PowerLoss(run)
    return all(holds(power.left(group.faults[0])) for group in power.groups(profile, exhaustive=True))


FILE, DIRECTORY = "fdatasync 't' before #{} rename 't' 'e'", "fsync the directory before success is reported"
BARE = [opened("t", 1), wrote(1, 0, NEW), renamed("t", "e")]


@pytest.mark.parametrize(
    ("operations", "named"),
    [
        ([*BARE[:2], synced(1), BARE[2], synced_directory()], ""),
        (BARE, f"{FILE.format(2)}; {DIRECTORY}"),
        ([*BARE, synced_directory()], FILE.format(2)),
        ([*BARE, synced(1), synced_directory()], FILE.format(2)),
        ([*BARE[:2], synced(1), BARE[2]], DIRECTORY),
        ([*BARE[:2], synced_directory(), synced(7), BARE[2]], f"{FILE.format(4)}; {DIRECTORY}"),
        ([opened("e", 7), wrote(7, 0, NEW), synced(7), synced_directory()], NO_REPAIR),
        ([opened("e", 7), wrote(7, 0, NEW[:4])], NO_REPAIR),
    ],
)  # fmt: skip
def test_the_repair_in_words(operations: list[Operation], named: str) -> None:
    assert repair(run_of(operations), "strict", holds) == named


def test_a_file_without_a_name_is_synced_before_it_is_linked() -> None:
    operations = [Operation(-1, Op.OPEN_UNNAMED, inode=1), wrote(1, 0, NEW), linked(1, "t"), renamed("t", "e"), synced_directory()]  # fmt: skip
    assert repair(run_of(operations), "strict", holds) == "fdatasync the file before #2 link 't'"


def test_an_update_in_one_sector_is_synced_before_success() -> None:
    """KVS-ATOM-1, KVS-DURABLE-5: it is old or new, so that only the promise is missing."""
    run = replace(run_of([wrote(7, 0, OLD.upper())]), atomic=lambda operation: True)

    def found(left: Left) -> bool:
        content = files_of({"e": left.files["e"]})["e"].read_all()
        return content == OLD.upper() or (content == OLD and not left.acknowledged)

    assert repair(run, "strict", found) == "fdatasync 'e' before success is reported"


def test_a_directory_has_its_name() -> None:
    start = {"d": StartNode(NodeKind.DIRECTORY), "d/e": StartNode(NodeKind.FILE, (OLD,), 7, OLD)}
    operations = [opened("d/t", 1), wrote(1, 0, NEW), synced(1), renamed("d/t", "d/e")]
    run = replace(run_of(operations), start=start, right=lambda path: [])

    def found(left: Left) -> bool:
        return holds(replace(left, files={path.removeprefix("d/"): file for path, file in left.files.items()}))

    assert repair(run, "strict", found) == "fsync the directory 'd' before success is reported"


@pytest.mark.parametrize("profile", profiles())
def test_other_profiles_need_less(profile: str) -> None:
    named = repair(run_of([*BARE, synced_directory()]), profile, holds)
    assert named == ("" if profile == "ext4-ordered" else FILE.format(2))


SYNCS = [
    (2, synced(1), "t"),
    (3, synced_directory(), "directory"),
    (3, synced(1), "late"),
    (1, synced_directory(), "early"),
]


@settings(max_examples=40)
@given(st.sets(st.sampled_from(range(len(SYNCS)))), st.sampled_from(list(profiles())))
def test_applied_by_hand_it_holds_and_less_does_not(there: set[int], profile: str) -> None:
    """By brute force over the two syncs of which a repair can be made here."""

    def with_syncs(wanted: set[int]) -> PowerRun:
        operations: list[Operation] = []
        for place in range(len(BARE) + 1):
            operations += [SYNCS[number][1] for number in sorted(wanted) if SYNCS[number][0] == place]
            operations += BARE[place : place + 1]
        return run_of(operations)

    named = repair(with_syncs(there), profile, holds)
    parts = named.split("; ") if named else []
    added = {0 if "rename" in part else 1 for part in parts}
    assert len(added) == len(parts)
    assert all_hold(with_syncs(there | added), profile)
    for size in range(len(added)):
        for fewer in combinations(added, size):
            assert not all_hold(with_syncs(there | set(fewer)), profile)


def test_of_too_many_places_nobody_knows_a_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANDIDATES_MAX", 1)
    assert repair(run_of(BARE), "strict", holds) == ""
