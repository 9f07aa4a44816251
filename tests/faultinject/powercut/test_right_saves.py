"""A right save (temp file, fsync, rename, fsync of the directory) holds on every file system (KVS-INV-7)."""

from __future__ import annotations

from collections import Counter

import pytest

from faultinject.blackbox.state import Node, NodeKind
from tests.faultinject.powercut.examinations import NEW, OLD, of
from tests.faultinject.powercut.rooted import RIGHT, needs


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("name", "harshly"),
    [
        pytest.param("ext4", False, marks=[pytest.mark.root, needs("ext4")]),
        pytest.param("ext4", True, marks=[pytest.mark.root, needs("ext4")]),
        pytest.param("xfs", False, marks=[pytest.mark.root, needs("xfs")]),
        pytest.param("btrfs", False, marks=[pytest.mark.root, needs("btrfs")]),
    ],
)
def test_a_right_save_holds(name: str, harshly: bool, old: bool) -> None:
    found = of(name, RIGHT, harshly=harshly, old=old)
    assert found.said == ""
    states = Counter(one.state.get("final") for one in found.outcomes if one.state is not None)
    assert set(states) == {OLD if old else None, Node(NodeKind.FILE, NEW)}, "power is lost before and after the rename"
    assert {one.image.acknowledged for one in found.outcomes} == {False, True}
