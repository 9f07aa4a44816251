"""The model of what survives, held against real file systems: what a disk shows, its profile allows (KVS-POWER-2)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from faultinject.blackbox.place import Place
from faultinject.blackbox.power import start_of
from faultinject.blackbox.state import NodeKind, State
from faultinject.oracle import Reported
from faultinject.persistence.allows import allows
from faultinject.persistence.machine import Effect, Machine
from faultinject.persistence.profiles import profiles
from tests.faultinject.powercut.examinations import Examined, of
from tests.faultinject.powercut.rooted import RIGHT, case, needs, usual

HOW = {"nothing": "", "file": "sync", "right": RIGHT, "in-place": "direct", "in-place, synced": "direct,sync"}
CASES = [
    pytest.param(name, how, harshly, old, marks=[pytest.mark.root, needs(name)], id=f"{name}{suffix}-{what}-{start}")
    for name, harshly, suffix in (("ext4", False, ""), ("ext4", True, "-harsh"), ("xfs", False, ""), ("btrfs", False, ""))
    for what, how in HOW.items()
    for old, start in ((False, "empty"), (True, "old"))
    if not (harshly and what not in ("nothing", "right"))
]


def profile_of(name: str, harshly: bool) -> str:
    if name == "ext4":
        return "ext4-writeback" if harshly else "ext4-ordered"
    return name


def moments(found: Examined, name: str, how: str, profile: str, base: Path) -> list[dict[str, bytes | None]]:
    """States found on the disk that the model allows at no moment of the run."""
    seed = base / "seed"
    seed.mkdir()
    for path, node in found.recording.old.items():
        if node.kind is NodeKind.FILE:
            (seed / path).write_bytes(node.data)
    with closing(Place(case(usual(name), how).audited, base / "place", seed)) as place:
        old, inodes = place.template.state, {path: inode for path, (_, inode) in place.roots.inodes().items()}
        ran = place.run()
        assert ran.reported is Reported.SUCCESS, ran.said
    states = [as_found(one.state) for one in found.outcomes if one.state is not None]
    machine = Machine(profiles()[profile], start_of(old, inodes), profiles()[profile].block_bytes)
    left = [state for state in states if not allows(machine, state)]
    for operation in ran.trace:
        if machine.apply(operation) is Effect.MORE:
            left = [state for state in left if not allows(machine, state)]
    return left


def as_found(state: State) -> dict[str, bytes | None]:
    return {path: node.data if node.kind is NodeKind.FILE else None for path, node in state.items()}


@pytest.mark.parametrize(("name", "how", "harshly", "old"), CASES)
def test_each_state_on_a_disk_is_one_that_its_profile_allows(
    name: str, how: str, harshly: bool, old: bool, tmp_path: Path
) -> None:
    found = of(name, how, harshly=harshly, old=old)
    assert [one for one in found.outcomes if one.state is not None]
    for profile in (profile_of(name, harshly), "strict"):
        (tmp_path / profile).mkdir()
        strange = moments(found, name, how, profile, tmp_path / profile)
        assert [{path: summary(data) for path, data in state.items()} for state in strange] == [], profile


def summary(data: bytes | None) -> str:
    if data is None:
        return "no file"
    first = next((place for place, byte in enumerate(data) if not byte), None)
    return f"{len(data)} bytes, first zero at {first}"
