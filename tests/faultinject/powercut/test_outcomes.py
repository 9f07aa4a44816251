"""Outcomes of images: what acknowledges, what is mounted once, and what others are told of the states found."""

from __future__ import annotations

import pytest

from faultinject.blackbox.baseline import UnusableError
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind, State
from faultinject.inject import HarnessError
from faultinject.oracle import Finding, Kind
from faultinject.powercut import outcomes
from faultinject.powercut.outcomes import Outcome, crash_states, examined
from faultinject.powercut.recording import Recording
from tests.faultinject.powercut.examinations import NEW, all_of, of
from tests.faultinject.powercut.rooted import RIGHT, case, needs, usual

ext4 = pytest.param("ext4", marks=[pytest.mark.root, needs("ext4")])


@pytest.mark.parametrize("name", [ext4])
def test_a_program_that_goes_on_acknowledges_by_a_line(name: str) -> None:
    found = all_of(case(usual(name), f"{RIGHT},daemon", ack="saved", images_max=25, settle=0))
    assert found.said == ""
    assert 0 < found.recording.acknowledged_at <= len(found.recording.log)
    with pytest.raises(UnusableError, match="did not report success"):
        next(examined(case(usual(name), RIGHT, ack="something else", settle=0)))


@pytest.mark.parametrize("name", [ext4])
def test_equal_images_are_mounted_once_and_judged_alike(name: str) -> None:
    found = of(name, "").outcomes
    for one in found:
        if one.same_as is not None:
            first = found[one.same_as]
            assert (first.same_as, first.findings) == (None, one.findings)
            assert first.image.acknowledged is one.image.acknowledged
            assert one.state is None
    assert len({one.same_as for one in found}) > 1


@pytest.mark.parametrize("name", [ext4])
def test_states_are_told_to_models_of_persistence(name: str) -> None:
    states = list(crash_states(case(usual(name), RIGHT, images_max=30, settle=0)))
    assert {one.acknowledged for one in states} == {False, True}
    for one in states:
        assert one.description.startswith("power lost after ")
        assert one.state["another-entry"].kind is NodeKind.FILE
        assert not one.acknowledged or one.state["final"] == Node(NodeKind.FILE, NEW)


def test_images_that_cannot_be_mounted_are_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording((), 0, {}, {}, None, None, ())  # type: ignore[arg-type] # nothing of it is looked at
    outcome = Outcome(0, None, None, None, (), "ext4 cannot be mounted")  # type: ignore[arg-type]
    monkeypatch.setattr(outcomes, "examined", lambda _: (one for one in (recording, outcome)))
    with pytest.raises(HarnessError, match="cannot be mounted"):
        list(crash_states(case(usual("ext4"), "")))


@pytest.mark.parametrize(
    ("kind", "node", "detail"),
    [
        (
            Kind.PARTIAL_VISIBLE,
            Node(NodeKind.FILE, bytes(3)),
            "partial-visible the file has 3 bytes, and all are zeros",
        ),
        (Kind.PARTIAL_VISIBLE, Node(NodeKind.FILE, b""), "partial-visible as it was"),
        (Kind.PARTIAL_VISIBLE, Node(NodeKind.FILE, b"\0x"), "partial-visible as it was"),
        (Kind.PARTIAL_VISIBLE, DIRECTORY, "partial-visible as it was"),
        (Kind.ENTRY_LOST, None, "entry-lost as it was"),
    ],
)
def test_violations_have_the_names_of_a_loss_in_zeros(kind: Kind, node: Node | None, detail: str) -> None:
    state: State = {} if node is None else {"x": node}
    found = outcomes._in_zeros(Finding(kind, "x", "as it was"), state)
    assert f"{found.kind} {found.detail}" == detail
