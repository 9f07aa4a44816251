"""Canaries: what is known to be lost on real file systems is seen to be lost (KVS-INV-1, KVS-INV-7)."""

from __future__ import annotations

import pytest

from faultinject.blackbox.state import Node, NodeKind
from faultinject.oracle import Kind
from tests.faultinject.powercut.examinations import NEW, OLD, of
from tests.faultinject.powercut.rooted import needs

ext4, xfs, btrfs = (pytest.param(name, marks=[pytest.mark.root, needs(name)]) for name in ("ext4", "xfs", "btrfs"))


@pytest.mark.parametrize("name", [ext4, xfs, btrfs])
def test_without_fsync_an_acknowledged_save_is_lost(name: str) -> None:
    found = of(name, "")
    assert Kind.LOST_AFTER_ACK in found.kinds
    lost = [
        one for one in found.outcomes if one.image.acknowledged and one.state is not None and "final" not in one.state
    ]
    assert lost, "the name is missing although success was reported"
    assert "final: success was reported and the new content is not there" in found.said


@pytest.mark.parametrize("name", [ext4, xfs])
def test_without_fsync_a_renamed_file_is_empty(name: str) -> None:
    found = of(name, "")
    assert Kind.PARTIAL_VISIBLE in found.kinds
    assert [one for one in found.outcomes if one.state and one.state.get("final") == Node(NodeKind.FILE, b"")]


@pytest.mark.parametrize("name", [ext4])
def test_without_fsync_and_with_harsh_options_a_renamed_file_holds_zeros(name: str) -> None:
    found = of(name, "", harshly=True)
    zeros = Node(NodeKind.FILE, bytes(len(NEW)))
    assert [one for one in found.outcomes if one.state and one.state.get("final") == zeros]
    assert f"partial-visible final: the file has {len(NEW)} bytes, and all are zeros" in found.said


@pytest.mark.parametrize("name", [ext4])
def test_without_fsync_the_old_content_is_replaced_by_zeros(name: str) -> None:
    found = of(name, "", harshly=True, old=True)
    assert found.recording.old["final"] == OLD
    assert Kind.PARTIAL_VISIBLE in found.kinds


@pytest.mark.parametrize("name", [ext4])
def test_without_fsync_of_the_directory_the_name_is_lost_but_never_half_there(name: str) -> None:
    found = of(name, "sync")
    assert Kind.PARTIAL_VISIBLE not in found.kinds
