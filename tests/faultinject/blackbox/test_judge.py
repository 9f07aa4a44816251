"""One situation for every rule, and beside it the twin that breaks nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.checkers import Stage
from faultinject.blackbox.judge import Judge
from faultinject.blackbox.masks import Masks
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind, State
from faultinject.oracle import Kind, Reported

SUCCESS, FAILURE, NOTHING = Reported.SUCCESS, Reported.FAILURE, Reported.NOTHING
FAULT, RECOVERED, REPEATED = Stage.FAULT, Stage.RECOVERED, Stage.REPEATED


def file(data: bytes) -> Node:
    return Node(NodeKind.FILE, data)


def link(text: bytes) -> Node:
    return Node(NodeKind.SYMLINK, text)


OLD = {"f": file(b"old content"), "other": file(b"other"), "stale": file(b"s"), "l": link(b"a"), "d": DIRECTORY}
NEW = {"f": file(b"new content!"), "other": file(b"other"), "extra": file(b"more"), "l": link(b"b"), "d": DIRECTORY}


def judge(after: State, reported: Reported, stage: Stage = FAULT) -> list[tuple[str, str]]:
    findings = Judge(OLD, NEW, Masks.of(NEW, NEW, OLD)).judge(after, reported, stage)
    return [(str(finding.kind), finding.name) for finding in findings]


def but(state: State, **changes: Node | None) -> State:
    return {name: node for name, node in {**state, **changes}.items() if node is not None}


TEMP = {"t~": file(b"tmp")}

TABLE = {
    "nothing was done": (OLD, NOTHING, FAULT, []),
    "nothing was done and that was said": (OLD, FAILURE, FAULT, []),
    "all was done": (NEW, SUCCESS, FAULT, []),
    "all was done and failure was said": (NEW, FAILURE, FAULT, []),
    "half of several files": (but(OLD, f=NEW["f"]), NOTHING, FAULT, []),
    "the other half": (but(NEW, f=OLD["f"]), FAILURE, FAULT, []),
    "half, and success": (but(NEW, f=OLD["f"]), SUCCESS, FAULT, [("false-success", "f")]),
    "a new file is missing, and success": (but(NEW, extra=None), SUCCESS, FAULT, [("false-success", "extra")]),
    "a removed file is there, and success": (
        but(NEW, stale=OLD["stale"]),
        SUCCESS,
        FAULT,
        [("false-success", "stale")],
    ),
    "cut": (but(OLD, f=file(b"new co")), NOTHING, FAULT, [("partial-visible", "f")]),
    "cut, and success": (
        but(NEW, f=file(b"new co")),
        SUCCESS,
        FAULT,
        [("partial-visible", "f"), ("false-success", "f")],
    ),
    "a new file cut": (but(OLD, extra=file(b"m")), NOTHING, FAULT, [("partial-visible", "extra")]),
    "a link to somewhere else": (but(OLD, l=link(b"c")), FAILURE, FAULT, [("partial-visible", "l")]),
    "a link to the new place": (but(OLD, l=link(b"b")), FAILURE, FAULT, []),
    "another kind": (but(OLD, f=DIRECTORY), FAILURE, FAULT, [("partial-visible", "f")]),
    "gone": (but(OLD, f=None), FAILURE, FAULT, [("entry-lost", "f")]),
    "gone, and success": (but(NEW, f=None), SUCCESS, FAULT, [("entry-lost", "f"), ("false-success", "f")]),
    "removed as it would have been": (but(OLD, stale=None), FAILURE, FAULT, []),
    "removed half": (but(OLD, stale=file(b"")), FAILURE, FAULT, [("partial-visible", "stale")]),
    "another file gone": (but(OLD, other=None), NOTHING, FAULT, [("entry-lost", "other")]),
    "another file changed": (but(OLD, other=file(b"othex")), NOTHING, FAULT, [("entry-lost", "other")]),
    "temp after a kill": ({**OLD, **TEMP}, NOTHING, FAULT, []),
    "temp after a failure": ({**OLD, **TEMP}, FAILURE, FAULT, [("temp-leaked", "t~")]),
    "temp after success": ({**NEW, **TEMP}, SUCCESS, FAULT, [("temp-leaked", "t~")]),
    "temp after recovery": ({**OLD, **TEMP}, NOTHING, RECOVERED, [("orphan-unreclaimed", "t~")]),
    "no temp after recovery": (OLD, NOTHING, RECOVERED, []),
    "temp after repetition": ({**NEW, **TEMP}, SUCCESS, REPEATED, [("orphan-unreclaimed", "t~")]),
    "old temp after repetition": (but(NEW, stale=OLD["stale"]), SUCCESS, REPEATED, [("never-heals", "stale")]),
    "good repetition": (NEW, SUCCESS, REPEATED, []),
    "bad repetition": (but(NEW, f=OLD["f"]), SUCCESS, REPEATED, [("never-heals", "f")]),
    "failed repetition": (NEW, FAILURE, REPEATED, [("never-heals", "")]),
    "repetition that crashes": (NEW, NOTHING, REPEATED, [("never-heals", "")]),
    "failed repetition that tears": (
        but(NEW, f=file(b"")),
        FAILURE,
        REPEATED,
        [("never-heals", ""), ("never-heals", "f")],
    ),
    "a leaked directory is named once": (
        {**OLD, "t": DIRECTORY, "t/u": DIRECTORY, "t/u/v": file(b"x")},
        FAILURE,
        FAULT,
        [("temp-leaked", "t")],
    ),
    "a leak in a directory that stays": (
        {**OLD, "d": DIRECTORY, "d/v": file(b"x")},
        FAILURE,
        FAULT,
        [("temp-leaked", "d/v")],
    ),
    "a leaked FIFO": ({**OLD, "p": Node(NodeKind.FIFO)}, FAILURE, FAULT, [("temp-leaked", "p")]),
}


@pytest.mark.parametrize(("after", "reported", "stage", "expected"), TABLE.values(), ids=TABLE.keys())
def test_the_table(after: State, reported: Reported, stage: Stage, expected: list[tuple[str, str]]) -> None:
    assert judge(after, reported, stage) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"new c", "only the first 5 of 12 bytes are there"),
        (b"new content!?", "the new content is followed by 1 bytes too many"),
        (b"new cOntent!", "it differs from the new content first at byte 5"),
        (b"newX", "first at byte 3, and has 4 bytes instead of 12"),
        (b"old conten", "first at byte 0, and has 10 bytes instead of 12"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, words: str) -> None:
    (finding,) = Judge(OLD, NEW, Masks()).judge(but(OLD, f=file(data)), NOTHING, FAULT)
    assert finding.kind is Kind.PARTIAL_VISIBLE
    assert words in finding.detail


@pytest.mark.parametrize(
    ("after", "reported", "stage", "words"),
    [
        (but(OLD, f=None), FAILURE, FAULT, "the old file is gone and the new one is not there"),
        (but(OLD, other=None), FAILURE, FAULT, "another file than the ones saved is gone"),
        (but(OLD, other=file(b"oth")), FAILURE, FAULT, "has changed: only the first 3 of 5 bytes are there"),
        (but(OLD, f=Node(NodeKind.FIFO)), FAILURE, FAULT, "it is a FIFO and was to be a file"),
        (but(OLD, stale=file(b"sx")), FAILURE, FAULT, "the old content is followed by 1 bytes"),
        ({**OLD, **TEMP}, FAILURE, FAULT, "a file of 3 bytes is left although the program lived and reported failure"),
        (
            {**OLD, "t": DIRECTORY, "t/u": Node(NodeKind.FIFO)},
            FAILURE,
            RECOVERED,
            "a directory with 1 names in it is left after the rec",
        ),
        (but(NEW, f=file(b"")), SUCCESS, REPEATED, "after the repetition: partial-visible: the file is empty"),
        (NEW, FAILURE, REPEATED, "the repetition without a fault reported failure"),
    ],
)
def test_findings_speak_to_people(after: State, reported: Reported, stage: Stage, words: str) -> None:
    assert words in Judge(OLD, NEW, Masks()).judge(after, reported, stage)[0].detail


def test_entries_are_what_was_there_or_is_to_come() -> None:
    judged = Judge(OLD, NEW, Masks())
    assert all(judged.is_entry(path) for path in (*OLD, *NEW))
    assert not judged.is_entry("t~")


def test_masked_bytes_are_not_compared_and_the_others_are() -> None:
    one, other = (
        {"f": file(b"\xfe" * 8 + b"AAAAAAA1" + b"\xff" * 8)},
        {"f": file(b"\xfe" * 8 + b"AAAA\0AA2" + b"\xff" * 8)},
    )
    judged = Judge({}, one, Masks.of(one, other))
    assert judged.judge({"f": file(b"\xfe" * 8 + b"whatever" + b"\xff" * 8)}, SUCCESS, FAULT) == ()
    findings = judged.judge({"f": file(b"\xfe" * 8 + b"whatever" + b"\xff" * 7 + b"!")}, SUCCESS, FAULT)
    assert [finding.kind for finding in findings] == [Kind.PARTIAL_VISIBLE, Kind.FALSE_SUCCESS]
    assert "first at byte 23" in findings[0].detail


def test_a_varying_name_that_belongs_to_the_result_is_no_leftover() -> None:
    one, other = {"log-1": file(b"done")}, {"log-2": file(b"done")}
    judged = Judge({}, one, Masks.of(one, other))
    assert judged.judge({"log-3": file(b"done")}, SUCCESS, FAULT) == ()
    assert judged.judge({"log-3": file(b"done"), "log-4": file(b"done")}, SUCCESS, REPEATED) == ()
    assert [f.kind for f in judged.judge({"log-3": file(b"do")}, NOTHING, FAULT)] == [Kind.PARTIAL_VISIBLE]
    assert [f.kind for f in judged.judge({}, SUCCESS, FAULT)] == [Kind.FALSE_SUCCESS]
    assert [f.name for f in judged.judge({"dog-3": file(b"done"), "log-3": file(b"done")}, FAILURE, FAULT)] == ["dog-3"]


def test_names_that_come_and_go_without_a_fault_are_not_judged() -> None:
    one, other = {"f": file(b"x"), "cache": DIRECTORY, "cache/a": file(b"1")}, {"f": file(b"x")}
    judged = Judge({}, one, Masks.of(one, other))
    assert judged.judge(other, SUCCESS, FAULT) == ()
    assert judged.judge(one, SUCCESS, RECOVERED) == ()
    assert [f.name for f in judged.judge({**one, "more": Node(NodeKind.FIFO)}, SUCCESS, FAULT)] == ["more"]


@dataclass
class Format:
    """Entries end in .e and begin with OK."""

    def normalise(self, path: str, data: bytes) -> bytes:
        return data

    def uncounted(self, path: str) -> tuple[tuple[int, int], ...]:
        return ()

    def complaint(self, path: str, node: Node) -> str | None:
        return None if node.data.startswith(b"OK") else "it does not begin with OK"

    def is_entry(self, path: str, node: Node) -> bool | None:
        return None if path.endswith(".unknown") else path.endswith(".e")


def with_format(
    old: State, new: State, after: State, reported: Reported, stage: Stage = FAULT
) -> list[tuple[str, str]]:
    findings = Judge(old, new, Masks(), Format()).judge(after, reported, stage)
    return [(str(finding.kind), finding.name) for finding in findings]


def test_the_reader_of_the_format_has_a_say() -> None:
    good, bad = {"a.e": file(b"OK new")}, {"a.e": file(b"no new")}
    assert with_format({}, good, good, SUCCESS) == []
    assert with_format({}, bad, bad, SUCCESS) == [("false-success", "a.e")]
    assert with_format({}, good, {**good, "b.e": file(b"OK")}, FAILURE) == [("partial-visible", "b.e")]
    assert with_format({}, good, {**good, "b.e": file(b"OK")}, SUCCESS, REPEATED) == [("never-heals", "b.e")]
    (finding,) = Judge({}, good, Masks(), Format()).judge({"a.e": file(b"OQ new")}, NOTHING, FAULT)
    assert "(a public reader says: it does not begin with OK)" in finding.detail


def test_files_that_are_no_entries_may_hold_anything() -> None:
    old, new = (
        {"j.log": file(b"1"), "t.tmp": file(b"t"), "r.txt": file(b"r")},
        {"j.log": file(b"1234"), "r.txt": file(b"r")},
    )
    assert with_format(old, new, {"j.log": file(b"12"), "r.txt": file(b"r")}, NOTHING) == []
    assert with_format(old, new, {**old, "j.log": file(b"12")}, FAILURE) == []
    assert with_format(old, new, {**new, "t.tmp": file(b"t")}, SUCCESS) == [("orphan-unreclaimed", "t.tmp")]
    assert with_format(old, new, {**new, "t.tmp": file(b"t")}, NOTHING, RECOVERED) == [("orphan-unreclaimed", "t.tmp")]
    assert with_format(old, new, {**new, "t.tmp": file(b"t")}, SUCCESS, REPEATED) == [("orphan-unreclaimed", "t.tmp")]
    assert with_format(old, new, {"j.log": file(b"1")}, NOTHING) == [("entry-lost", "r.txt")]
    assert with_format(old, new, {"j.log": file(b"1"), "r.txt": file(b"R")}, NOTHING) == [("entry-lost", "r.txt")]


SAVED, OTHER_ENTRY = {"a.e": file(b"OK new")}, {"b.e": file(b"OK b")}


@pytest.mark.parametrize("old_entry", [{}, {"a.e": file(b"OK old")}], ids=["new", "replaced"])
@pytest.mark.parametrize("reported", list(Reported))
@pytest.mark.parametrize("stage", [FAULT, RECOVERED])
def test_an_entry_is_evicted_only_where_the_new_one_is_there(
    old_entry: State, reported: Reported, stage: Stage
) -> None:
    """KVS-AUDIT-10, KVS-EVICT-1."""
    old: State = {**old_entry, **OTHER_ENTRY}
    lost = with_format(old, SAVED, old_entry, reported, stage)
    assert ("entry-lost", "b.e") in lost
    assert ("false-success", "a.e") in lost or reported is not SUCCESS
    assert ("entry-lost", "b.e") in with_format(old, SAVED, {"a.e": file(b"OK n")}, reported, stage)
    assert with_format(old, SAVED, SAVED, reported, stage) == []


def test_an_eviction_that_fails_is_no_failure_of_the_save() -> None:
    """KVS-AUDIT-10: what was to be evicted may stay, whole."""
    assert with_format(OTHER_ENTRY, SAVED, {**SAVED, **OTHER_ENTRY}, SUCCESS) == []
    cut = with_format(OTHER_ENTRY, SAVED, {**SAVED, "b.e": file(b"OK")}, SUCCESS)
    assert cut == [("partial-visible", "b.e"), ("false-success", "b.e")]


def test_one_of_several_saved_entries_is_enough_to_evict() -> None:
    old, new = {"x.e": file(b"OK x"), "y.e": file(b"OK y")}, {"a.e": file(b"OK a"), "b.e": file(b"OK b")}
    assert with_format(old, new, {"a.e": file(b"OK a"), "y.e": file(b"OK y")}, FAILURE) == []
    assert with_format(old, new, {"y.e": file(b"OK y")}, FAILURE) == [("entry-lost", "x.e")]


def test_what_is_removed_without_a_save_or_is_no_good_entry_is_not_evicted() -> None:
    kept, damaged = {"k.e": file(b"OK k")}, {"b.e": file(b"damaged")}
    assert with_format({**kept, **OTHER_ENTRY}, kept, kept, FAILURE) == []
    assert with_format({**kept, **OTHER_ENTRY}, kept, {**kept, **OTHER_ENTRY}, SUCCESS) == [("false-success", "b.e")]
    assert with_format(damaged, SAVED, {}, FAILURE) == []
    assert with_format({"n.txt": file(b"OK")}, SAVED, {}, FAILURE) == []
    assert Judge(OTHER_ENTRY, SAVED, Masks()).judge({}, FAILURE, FAULT) == ()  # bytes do not say what is an entry


def test_after_the_repetition_a_lost_entry_is_one_that_never_heals() -> None:
    assert with_format(OTHER_ENTRY, SAVED, {}, SUCCESS, REPEATED) == [("never-heals", "a.e"), ("never-heals", "b.e")]
    assert with_format(OTHER_ENTRY, SAVED, SAVED, SUCCESS, REPEATED) == []


def test_what_the_format_does_not_know_is_judged_by_bytes() -> None:
    new = {"x.unknown": file(b"OK 12")}
    assert with_format({}, new, {"x.unknown": file(b"OK")}, NOTHING) == [("partial-visible", "x.unknown")]


def test_a_command_judges_content_and_leaks_are_still_found() -> None:
    judged = Judge(OLD, NEW, Masks(), content=False)
    assert judged.judge(but(OLD, f=file(b"x"), other=None), SUCCESS, FAULT) == ()
    assert [f.kind for f in judged.judge({"t~": file(b"")}, FAILURE, FAULT)] == [Kind.TEMP_LEAKED]
    assert [f.kind for f in judged.judge(NEW, FAILURE, REPEATED)] == [Kind.NEVER_HEALS]


def test_a_verdict_is_remembered_and_depends_on_all_that_it_is_given() -> None:
    judged = Judge(OLD, NEW, Masks())
    state = {**OLD, **TEMP}
    first = judged.judge(state, FAILURE, FAULT)
    assert judged.judge(dict(state), FAILURE, FAULT) is first
    assert judged.judge(state, NOTHING, FAULT) == ()
    assert judged.judge(state, FAILURE, RECOVERED) != first
    assert judged.judge({**state, "t~": file(b"tmq!")}, FAILURE, FAULT) != first


def test_what_is_remembered_is_bounded() -> None:
    judged = Judge({}, {"f": file(b"")}, Masks())
    for number in range(10_000):
        assert judged.judge({"f": file(b"%d" % number)}, NOTHING, FAULT)
    assert len(judged._remembered) <= 4096
    for number in range(40):
        assert judged.judge({"f": file(bytes(8_000_000) + bytes([number]))}, NOTHING, FAULT)
    assert judged._remembered_bytes <= 64 * 1024**2


nodes = st.sampled_from(
    [file(b"old content"), file(b"new content!"), file(b""), file(b"new"), DIRECTORY, link(b"a"), Node(NodeKind.FIFO)]
)
states = st.dictionaries(st.sampled_from(["a", "b", "c"]), nodes)


@given(states, states, states, st.sampled_from(list(Reported)), st.sampled_from(list(Stage)))
def test_the_rules_hold_for_any_states(old: State, new: State, after: State, reported: Reported, stage: Stage) -> None:
    judged = Judge(old, new, Masks())
    findings = judged.judge(after, reported, stage)
    assert Judge(old, new, Masks()).judge(after, reported, stage) == findings
    assert len({(finding.kind, finding.name, finding.detail) for finding in findings}) == len(findings)
    assert [finding.name for finding in findings] == sorted(finding.name for finding in findings)
    named = {finding.name for finding in findings}
    for path in ("a", "b", "c"):
        right = after.get(path) in (old.get(path), new.get(path))
        if path in old or path in new:
            if not right:
                assert path in named
            elif reported is not SUCCESS:
                assert path not in named
            else:
                assert (path in named) == (after.get(path) != new.get(path))
    assert not judged.judge(new, SUCCESS, stage)
    assert not judged.judge(old, FAILURE, FAULT)


def test_judging_is_fast() -> None:
    """20,000 equal states a second and more, on slow hosts as well."""
    judged = Judge(OLD, NEW, Masks.of(NEW, NEW, OLD))
    started = time.process_time()
    for _ in range(5000):
        judged.judge(dict(OLD), NOTHING, FAULT)
    assert time.process_time() - started < 0.25
