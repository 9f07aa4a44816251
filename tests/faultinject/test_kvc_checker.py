"""The built-in checker knows KVC entries, and takes nothing else for one."""

from __future__ import annotations

import pytest

from faultinject.blackbox.checkers import Checker, Stage
from faultinject.blackbox.formats import older_bytes
from faultinject.blackbox.judge import Judge
from faultinject.blackbox.masks import Masks
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind, State
from faultinject.kvc_checker import KvcChecker, known
from faultinject.memory import MemoryFileSystem
from faultinject.oracle import Kind, Reported
from kvformat import Entry, Store, ToolEntry

CHECKER: Checker = KvcChecker()
TEMP = ".kvc-save-" + "1" * 32 + ".tmp"


def file(data: bytes) -> Node:
    return Node(NodeKind.FILE, data)


def saved(now: int = 1_790_000_000, *, title: bytes | None = None) -> tuple[str, bytes]:
    """Name and content of an entry saved at that time."""
    fs = MemoryFileSystem()
    tools = (ToolEntry(b"id", b"block"),)
    Store(fs, clock=lambda: now).save(Entry(text=b"A prompt.", tokens=3, title=title, tool_map=tools), b"payload " * 20)
    ((name, content),) = fs.files().items()
    return name, content.read_all()


NAME, DATA = saved()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (NAME, True),
        (NAME.upper().replace(".KV", ".kv"), True),
        (f"cache/{NAME}", True),
        ("sysprompt.kv", True),
        (NAME + "\n", False),
        (NAME.replace(".kv", ".KV"), False),
        (NAME + ".tmp.1", False),
        (TEMP, False),
        ("README", False),
        (f"{NAME}/x", False),
        ("", False),
    ],
)
def test_the_name_makes_the_entry(path: str, expected: bool) -> None:
    assert CHECKER.is_entry(path, file(DATA)) is expected
    assert CHECKER.is_entry(path, DIRECTORY) is expected


def test_two_saves_at_different_times_are_the_same() -> None:
    name, later = saved(1_890_000_000)
    assert name == NAME
    assert later != DATA
    assert CHECKER.normalise(NAME, later) == CHECKER.normalise(NAME, DATA)
    assert len(CHECKER.normalise(NAME, DATA)) == len(DATA)


def test_every_other_byte_counts() -> None:
    kept = CHECKER.normalise(NAME, DATA)
    for place in range(len(DATA)):
        changed = bytearray(DATA)
        changed[place] ^= 1
        hidden = CHECKER.normalise(NAME, bytes(changed)) == kept
        assert hidden == (24 <= place < 40), place


def test_what_is_no_entry_is_left_as_it_is() -> None:
    assert CHECKER.normalise(TEMP, DATA) == DATA
    assert CHECKER.normalise(NAME, DATA[:47]) == DATA[:47]
    assert CHECKER.normalise(NAME, b"XYZ" + DATA[3:]) == b"XYZ" + DATA[3:]
    assert CHECKER.normalise(NAME, b"") == b""


def test_a_reader_accepts_what_was_saved_and_nothing_cut() -> None:
    assert CHECKER.complaint(NAME, file(DATA)) is None
    assert CHECKER.complaint(f"cache/{NAME}", file(DATA)) is None
    titled = saved(title=b"A session")
    assert CHECKER.complaint(titled[0], file(titled[1])) is None
    for size_bytes in range(len(DATA)):
        assert CHECKER.complaint(NAME, file(DATA[:size_bytes])), size_bytes
    assert "no regular file" in (CHECKER.complaint(NAME, Node(NodeKind.SYMLINK, b"x")) or "")
    assert CHECKER.complaint("0" * 40 + ".kv", file(DATA))


def test_it_judges_a_save() -> None:
    other_name, other = saved(1_890_000_000)
    one: State = {NAME: file(DATA)}
    masks = Masks.of(one, {other_name: file(other)}, normalise=CHECKER.normalise)
    assert masks.sentences() == []
    judge = Judge({}, one, masks, CHECKER)
    assert judge.judge({NAME: file(saved(5)[1])}, Reported.SUCCESS, Stage.FAULT) == ()
    assert judge.judge({TEMP: file(DATA[:9])}, Reported.NOTHING, Stage.FAULT) == ()
    (finding,) = judge.judge({TEMP: file(DATA[:9])}, Reported.FAILURE, Stage.FAULT)
    assert finding.kind is Kind.TEMP_LEAKED
    (finding,) = judge.judge({NAME: file(DATA[:60])}, Reported.NOTHING, Stage.FAULT)
    assert finding.kind is Kind.PARTIAL_VISIBLE
    assert "only the first 60 of" in finding.detail
    assert "a public reader says" in finding.detail
    (finding,) = judge.judge({**one, "sysprompt.kv": file(b"")}, Reported.NOTHING, Stage.FAULT)
    assert (finding.kind, finding.name) == (Kind.PARTIAL_VISIBLE, "sysprompt.kv")


def test_a_wrong_entry_that_every_run_writes_is_a_false_success() -> None:
    wrong: State = {NAME: file(DATA[:-1])}
    (finding,) = Judge({}, wrong, Masks(CHECKER.normalise), CHECKER).judge(wrong, Reported.SUCCESS, Stage.FAULT)
    assert finding.kind is Kind.FALSE_SUCCESS
    assert "a public reader rejects it" in finding.detail


def test_the_old_entry_and_the_other_one_of_an_audit_are_good_ones() -> None:
    of_audit = known()
    other, content = of_audit.another
    assert CHECKER.is_entry(other, file(content))
    assert CHECKER.complaint(other, file(content)) is None
    older = of_audit.older(NAME, DATA)
    assert len(older) == len(DATA)
    assert CHECKER.normalise(NAME, older) != CHECKER.normalise(NAME, DATA)
    assert CHECKER.complaint(NAME, file(older)) is None
    for no_entry in (("notes", DATA), (NAME, DATA[:-1]), (NAME, b"")):
        assert of_audit.older(*no_entry) == older_bytes(*no_entry)
