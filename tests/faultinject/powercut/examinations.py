"""Savers examined on real file systems."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from faultinject.blackbox.state import Node, NodeKind
from faultinject.blackbox.subject import Start
from faultinject.oracle import Kind
from faultinject.powercut.case import Case
from faultinject.powercut.outcomes import Outcome, examined
from faultinject.powercut.recording import Recording
from tests.faultinject.powercut.rooted import case, harsh, usual

NEW = bytes(range(1, 256)) * 257
OLD = Node(NodeKind.FILE, b"the old content")


@dataclass(frozen=True)
class Examined:
    recording: Recording
    outcomes: tuple[Outcome, ...]

    @property
    def kinds(self) -> set[Kind]:
        return {finding.kind for one in self.outcomes for finding in one.findings}

    @property
    def said(self) -> str:
        return "\n".join(
            f"{finding.kind} {finding.name}: {finding.detail}" for one in self.outcomes for finding in one.findings
        )


@cache
def of(name: str, how: str, *, harshly: bool = False, old: bool = False) -> Examined:
    """Each is examined once; what is asked of it stands in the tests."""
    one = case(harsh(name) if harshly else usual(name), how, images_max=60, settle=2.5 if name == "btrfs" else 0)
    if old:
        one = replace(one, start=Start.OLD, older={"final": OLD})
    return all_of(one)


def all_of(one: Case) -> Examined:
    recording, *others = list(examined(one))
    assert isinstance(recording, Recording)
    found = tuple(other for other in others if isinstance(other, Outcome))
    assert len(found) == len(others)
    assert not [other.problem for other in found if other.problem]
    return Examined(recording, found)
