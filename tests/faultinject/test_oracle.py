"""Each violation from a directory made by hand, and the clean ones beside it."""

from __future__ import annotations

import pytest

from faultinject.memory_file import MemoryFile
from faultinject.oracle import Finding, Kind, Outcome, Reported, judge, lost_after_acknowledgement
from faultinject.target import Expectation, Files
from tests.faultinject.programs import ENTRY, LIVE, NEW, OLD, OTHER, STALE, TEMP, Tiny, saver

OK = Outcome(Reported.SUCCESS)
FAILED = Outcome(Reported.FAILURE, OSError())
EXCUSED = Outcome(Reported.FAILURE, OSError(), frozenset({TEMP}))
KILLED = Outcome(Reported.NOTHING)
BEFORE = {OTHER: b"another entry", ENTRY: OLD, LIVE: b"live", STALE: b"stale"}


def directory(content: dict[str, bytes | None]) -> Files:
    return {name: MemoryFile.of([data]) for name, data in content.items() if data is not None}


def findings(
    changes: dict[str, bytes | None], outcome: Outcome, *, recovered: bool = False, removed: bool = False
) -> list[Finding]:
    prepared = Tiny(saver(), new=None if removed else NEW, live=True, stale=True)
    after = directory({**BEFORE, **changes})
    return judge(prepared, directory({**BEFORE}), after, outcome, recovered=recovered)


@pytest.mark.parametrize(
    ("changes", "outcome", "recovered"),
    [
        ({ENTRY: NEW}, OK, False),
        ({}, FAILED, False),
        ({ENTRY: NEW}, FAILED, False),
        ({TEMP: b"x"}, KILLED, False),
        ({STALE: None}, KILLED, True),
        ({ENTRY: NEW, STALE: None}, OK, False),
        ({TEMP: b"x"}, EXCUSED, False),
        ({STALE: None}, EXCUSED, True),
    ],
)
def test_clean(changes: dict[str, bytes | None], outcome: Outcome, recovered: bool) -> None:
    assert findings(changes, outcome, recovered=recovered) == []


@pytest.mark.parametrize(
    ("kind", "name", "changes", "outcome", "recovered"),
    [
        (Kind.PARTIAL_VISIBLE, ENTRY, {ENTRY: NEW[:-1]}, FAILED, False),
        (Kind.PARTIAL_VISIBLE, ENTRY, {ENTRY: b""}, KILLED, False),
        (Kind.PARTIAL_VISIBLE, ENTRY, {ENTRY: NEW + b"!"}, KILLED, False),
        (Kind.PARTIAL_VISIBLE, ENTRY, {ENTRY: b"X" + NEW[1:]}, FAILED, False),
        (Kind.PARTIAL_VISIBLE, ENTRY, {ENTRY: OLD[:-1]}, FAILED, False),
        (Kind.PARTIAL_VISIBLE, "third.entry", {"third.entry": NEW}, FAILED, False),
        (Kind.TEMP_LEAKED, TEMP, {TEMP: b"x"}, FAILED, False),
        (Kind.TEMP_LEAKED, TEMP, {TEMP: b"x", ENTRY: NEW}, OK, False),
        (Kind.TEMP_LEAKED, ".tmp-two", {".tmp-two": b"x"}, EXCUSED, False),
        (Kind.ORPHAN_UNRECLAIMED, TEMP, {TEMP: b"x", STALE: None}, KILLED, True),
        (Kind.ORPHAN_UNRECLAIMED, TEMP, {TEMP: b"x", STALE: None}, EXCUSED, True),
        (Kind.ORPHAN_UNRECLAIMED, STALE, {}, KILLED, True),
        (Kind.LIVE_TEMP_REMOVED, LIVE, {LIVE: None}, FAILED, False),
        (Kind.LIVE_TEMP_REMOVED, LIVE, {LIVE: b"mine"}, FAILED, False),
        (Kind.FALSE_SUCCESS, ENTRY, {}, OK, False),
        (Kind.ENTRY_LOST, ENTRY, {ENTRY: None}, FAILED, False),
        (Kind.ENTRY_LOST, OTHER, {OTHER: None}, KILLED, False),
        (Kind.ENTRY_LOST, OTHER, {OTHER: b"Another entry"}, FAILED, False),
    ],
)
def test_each_violation(
    kind: Kind, name: str, changes: dict[str, bytes | None], outcome: Outcome, recovered: bool
) -> None:
    found = findings(changes, outcome, recovered=recovered)
    assert [(finding.kind, finding.name) for finding in found] == [(kind, name)]
    assert found[0].detail


def test_success_with_something_else_is_two_violations() -> None:
    found = findings({ENTRY: NEW[:5]}, OK)
    assert [finding.kind for finding in found] == [Kind.PARTIAL_VISIBLE, Kind.FALSE_SUCCESS]
    assert "first 5 of" in found[0].detail
    assert "body" in found[0].detail


def test_success_that_a_public_reader_rejects_is_false() -> None:
    prepared = Tiny(saver(), new=b"BAD content")
    before = directory({ENTRY: OLD})
    after = directory({ENTRY: b"BAD content"})
    assert [f.kind for f in judge(prepared, before, after, OK, recovered=False)] == [Kind.FALSE_SUCCESS]
    assert judge(prepared, before, after, FAILED, recovered=False) == []


def test_a_removal() -> None:
    assert findings({ENTRY: None}, OK, removed=True) == []
    assert findings({}, FAILED, removed=True) == []
    assert [f.kind for f in findings({}, OK, removed=True)] == [Kind.FALSE_SUCCESS]
    assert [f.kind for f in findings({ENTRY: b""}, FAILED, removed=True)] == [Kind.PARTIAL_VISIBLE]


def test_every_kind_has_its_clause() -> None:
    assert [kind.clause for kind in Kind] == [f"KVS-INV-{n}" for n in range(1, 10)]


@pytest.mark.parametrize(
    ("new", "there", "detail"),
    [
        (NEW, NEW, None),
        (NEW, OLD, "success was reported and the new content was lost with the power"),
        (NEW, None, "success was reported and after the loss of power there is no such entry"),
        (None, None, None),
        (None, OLD, "its removal was reported as done and it is there again"),
        (None, b"", "its removal was reported as done and it is there again"),
    ],
)
def test_what_a_loss_of_power_takes_after_success(new: bytes | None, there: bytes | None, detail: str | None) -> None:
    """KVS-INV-7, for saves and removals; other names are not looked at."""
    expectation = Expectation(ENTRY, None if new is None else MemoryFile.of([new]))
    found = lost_after_acknowledgement(expectation, directory({OTHER: b"x", ENTRY: there}))
    assert found == ([] if detail is None else [Finding(Kind.LOST_AFTER_ACK, ENTRY, detail)])


def test_an_operation_about_no_name_loses_nothing() -> None:
    """KVS-INV-7: a recovery promises no content."""
    assert lost_after_acknowledgement(Expectation(None, None), directory({ENTRY: OLD})) == []


@pytest.mark.parametrize(("new", "complains"), [(NEW, False), (b"BAD content", True)])
def test_content_that_goes_on_after_the_new_one_is_told_with_what_a_reader_says(new: bytes, complains: bool) -> None:
    """KVS-INV-1: no byte differs; the complaint of a public reader is added where it has one."""
    prepared = Tiny(saver(), new=new)
    there = directory({ENTRY: new + b" and more"})
    (finding,) = judge(prepared, directory({ENTRY: OLD}), there, FAILED, recovered=False)
    complaint = prepared.check(ENTRY, there[ENTRY])
    assert (complaint is not None) is complains
    said = f"neither old nor new content ({len(new) + 9} bytes)"
    assert finding.detail == (said if complaint is None else f"{said}: {complaint}")
