"""What a loss of power has left is judged, recovered and repeated (KVS-INV-3, KVS-INV-7, KVS-INV-9)."""

from __future__ import annotations

import errno

import pytest

from faultinject.aftermath import Aftermath, rebooted
from faultinject.ground import MemoryGround
from faultinject.memory import MemoryFileSystem
from faultinject.oracle import Finding, Kind, Outcome, Reported
from faultinject.target import Expectation
from kvformat.filesystem import FileSystem
from tests.faultinject.programs import ENTRY, LIVE, NEW, OLD, OTHER, STALE, TEMP, Tiny, saver


def left(**content: bytes) -> MemoryFileSystem:
    names = {"entry": ENTRY, "other": OTHER, "live": LIVE, "stale": STALE, "temp": TEMP}
    fs = MemoryFileSystem()
    for name, data in content.items():
        fs.put(names[name], data)
    return fs


def aftermath(prepared: Tiny) -> Aftermath:
    return Aftermath(prepared, MemoryGround(prepared))


def kinds(findings: tuple[Finding, ...] | list[Finding]) -> set[Kind]:
    return {finding.kind for finding in findings}


ANOTHER = b"another entry"


@pytest.mark.parametrize(
    ("content", "acknowledged", "expected"),
    [
        ({"entry": OLD}, False, set()),
        ({"entry": NEW}, False, set()),
        ({"entry": NEW}, True, set()),
        ({"entry": OLD}, True, {Kind.LOST_AFTER_ACK}),
        ({"entry": b""}, False, {Kind.PARTIAL_VISIBLE}),
        ({"entry": b""}, True, {Kind.PARTIAL_VISIBLE, Kind.LOST_AFTER_ACK}),
        ({"entry": NEW[:-1] + b"\0"}, False, {Kind.PARTIAL_VISIBLE}),
        ({}, False, {Kind.ENTRY_LOST}),
        ({}, True, {Kind.ENTRY_LOST, Kind.LOST_AFTER_ACK}),
        ({"entry": NEW, "temp": b"torn"}, True, set()),
    ],
)
def test_a_state_is_judged(content: dict[str, bytes], acknowledged: bool, expected: set[Kind]) -> None:
    under_test = aftermath(Tiny(saver()))
    for _ in range(2):  # the second time it is known
        fs = left(other=ANOTHER, **content)
        assert kinds(under_test.of_power_loss(fs, acknowledged=acknowledged)) == expected
    at_once = under_test.at_power_loss(left(other=ANOTHER, **content).files(), acknowledged=acknowledged)
    assert kinds(at_once) == expected


def test_another_entry_is_no_less_to_be_kept() -> None:
    under_test = aftermath(Tiny(saver()))
    lost = {Kind.ENTRY_LOST, Kind.NEVER_HEALS}  # no repetition brings it back
    assert kinds(under_test.of_power_loss(left(entry=OLD), acknowledged=False)) == lost
    assert kinds(under_test.of_power_loss(left(entry=OLD, other=b"?"), acknowledged=False)) == lost


def test_no_writer_lives_after_a_start_of_the_machine() -> None:
    expectation = Expectation(ENTRY, None, frozenset({LIVE}), frozenset({STALE}))
    assert rebooted(expectation) == Expectation(ENTRY, None, frozenset(), frozenset({LIVE, STALE}))
    assert rebooted(Expectation(ENTRY, None)) == Expectation(ENTRY, None)
    state = left(entry=OLD, other=ANOTHER, live=b"live", stale=b"stale")
    assert aftermath(Tiny(saver(), live=True, stale=True)).of_power_loss(state, acknowledged=False) == ()
    nobody = Tiny(saver(), live=True, stale=True, recovery=lambda fs: None)
    found = aftermath(nobody).of_power_loss(
        left(entry=OLD, other=ANOTHER, live=b"live", stale=b"stale"), acknowledged=False
    )
    assert {(one.kind, one.name) for one in found} == {
        (Kind.ORPHAN_UNRECLAIMED, LIVE),
        (Kind.ORPHAN_UNRECLAIMED, STALE),
    }


def test_the_same_state_after_a_kill_and_after_a_loss_of_power_is_judged_for_each() -> None:
    """A kill lets the living writer live: what is known of the one says nothing of the other."""
    prepared = Tiny(saver(), live=True, recovery=lambda fs: None)
    under_test = aftermath(prepared)
    assert under_test.of_crash(prepared.base.snapshot()) == ()
    lost = under_test.of_power_loss(MemoryFileSystem.holding(prepared.base.files()), acknowledged=False)
    assert kinds(lost) == {Kind.ORPHAN_UNRECLAIMED}
    assert under_test.of_crash(prepared.base.snapshot()) == ()


def test_a_recovery_that_fails_and_a_repetition_that_fails_are_violations() -> None:
    def fails(fs: FileSystem) -> None:
        raise OSError(errno.EIO, "broken")

    found = aftermath(Tiny(saver(), recovery=fails)).of_power_loss(left(entry=OLD, other=ANOTHER), acknowledged=False)
    assert kinds(found) == {Kind.ORPHAN_UNRECLAIMED}

    def refuses(fs: FileSystem) -> None:
        if fs.stat(ENTRY).size_bytes == len(NEW):
            raise ValueError("is there")
        saver()(fs)

    found = aftermath(Tiny(refuses)).of_power_loss(left(entry=NEW, other=ANOTHER), acknowledged=True)
    assert kinds(found) == {Kind.NEVER_HEALS}


def test_a_removal_that_comes_back() -> None:
    removal = Tiny(lambda fs: fs.unlink(ENTRY), new=None)
    under_test = aftermath(removal)
    assert under_test.of_power_loss(left(other=ANOTHER), acknowledged=True) == ()
    found = under_test.of_power_loss(left(entry=OLD, other=ANOTHER), acknowledged=True)
    assert [(one.kind, one.detail) for one in found] == [
        (Kind.LOST_AFTER_ACK, "its removal was reported as done and it is there again")
    ]
    assert under_test.of_power_loss(left(entry=OLD, other=ANOTHER), acknowledged=False) == ()


def test_a_run_that_ended_by_itself_is_no_crash() -> None:
    under_test = aftermath(Tiny(saver()))
    state = left(entry=OLD, other=ANOTHER, temp=b"torn")
    assert kinds(under_test.of_run(state, Outcome(Reported.FAILURE))) >= {Kind.TEMP_LEAKED}
    excused = Outcome(Reported.FAILURE, excused=frozenset({TEMP}))
    assert under_test.of_run(left(entry=OLD, other=ANOTHER, temp=b"torn"), excused) == ()
