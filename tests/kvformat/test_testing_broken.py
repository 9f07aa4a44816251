"""Files with one thing wrong: every clause that bytes can break is broken, and says so to whoever reads them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import find, given

from kvformat import layout
from kvformat.errors import Category, KvcError
from kvformat.limits import DEFAULT_LIMITS
from kvformat.model import Entry, ToolEntry
from kvformat.reader import open_kvc, verify
from kvformat.testing import (
    BROKEN_CLAUSES,
    TOLERATED_CLAUSES,
    BrokenFile,
    ToleratedFile,
    broken_files,
    file_of,
    tolerated_files,
)
from tests.kvformat.test_testing import QUICK

SPEC = Path(__file__).resolve().parents[2] / "spec" / "kvc.md"

VALUE = "every value is valid"
NAMES = "about names and kinds of files: `directories` has them"
CHOICE = "about the choice among entries: `prompts` and the tests of lookups"
READER = (
    "about what a reader does, whatever the bytes are: the broken lengths of other clauses are what it is held against"
)
NOT_OF_BYTES = {
    "KVC-HEADER-7": "any combination of the two bits is valid",
    "KVC-HEADER-11": VALUE,
    "KVC-HEADER-12": VALUE,
    "KVC-HEADER-15": VALUE,
    "KVC-HEADER-16": VALUE,
    "KVC-TEXT-2": "any bytes are a text",
    "KVC-PAYLOAD-1": "any bytes are a payload",
    "KVC-PROFILE-1": "it says which bytes have a meaning; KVC-HEADER-9 and KVC-HEADER-13 say which",
    "KVC-WRITER-4": "about values that a caller does not give: each of them is a valid one",
    "KVC-WRITER-5": "every file of `broken_files` breaks it",
    "KVC-NAME-2": NAMES,
    "KVC-NAME-4": NAMES,
    "KVC-NAME-5": NAMES,
    "KVC-NAME-6": NAMES,
    "KVC-NAME-7": NAMES,
    "KVC-LOOKUP-1": CHOICE,
    "KVC-LOOKUP-2": CHOICE,
    "KVC-LOOKUP-3": CHOICE,
    "KVC-LOOKUP-5": CHOICE,
    "KVC-LIMIT-1": READER,
    "KVC-LIMIT-2": READER,
    "KVC-LIMIT-4": READER,
}
"""Clauses of level MUST that no file can break by its bytes, and why."""


def test_every_clause_that_bytes_can_break_is_broken_by_some_strategy() -> None:
    clauses = set(re.findall(r"^#### (KVC-\S+) · MUST", SPEC.read_text("utf-8"), re.MULTILINE))
    assert len(clauses) > 50
    broken = BROKEN_CLAUSES | TOLERATED_CLAUSES
    assert clauses - broken == set(NOT_OF_BYTES), "break it, or say why no file can"
    assert broken <= clauses
    assert not broken & NOT_OF_BYTES.keys()


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # a title over its limit has 64 KiB
@pytest.mark.parametrize("clause", sorted(BROKEN_CLAUSES))
def test_what_a_reader_must_be_told_to_see_is_drawn_only_where_asked_for(clause: str) -> None:
    if clause in {"KVC-PROFILE-3", "KVC-HEADER-13", "KVC-LIMIT-3", "KVC-NAME-1", "KVC-NAME-3"}:
        with pytest.raises(ValueError, match="no such file is left"):
            broken_files(clauses=[clause])
        return
    found = find(broken_files(clauses=[clause]), lambda _: True, settings=QUICK)
    assert (found.breaks, found.name, found.profile, found.limits) == (clause, None, "auto", DEFAULT_LIMITS)


@given(broken_files(told=True))
def test_a_reader_and_a_verifier_say_what_was_broken(broken: BrokenFile) -> None:
    told = {"name": broken.name, "profile": broken.profile, "limits": broken.limits}
    report = verify(io.BytesIO(broken.data), **told)  # type: ignore[arg-type]  # each has its own type
    assert (broken.clause, broken.category) in [(one.clause, one.category) for one in report.problems]
    if broken.clause.startswith("KVC-TOOLMAP"):
        assert report.usable
        return
    with pytest.raises(KvcError) as caught:
        open_kvc(io.BytesIO(broken.data), **told)  # type: ignore[arg-type]  # each has its own type
    assert (caught.value.clause, caught.value.category) == (broken.clause, broken.category)
    assert broken.description


@given(tolerated_files())
def test_what_only_a_writer_may_not_leave_is_taken_by_readers(odd: ToleratedFile) -> None:
    assert verify(io.BytesIO(odd.data)).ok
    with open_kvc(io.BytesIO(odd.data)) as reader:
        assert reader.header == layout.decode_header(odd.data)
    assert odd.description


PLAIN = file_of(Entry(b"", 1, 2, created=0, last_used=0), b"\0")
SESSION = file_of(Entry(b"", 1, 2, created=0, last_used=0, title=b""), b"\0")
TOOLS = file_of(Entry(b"", 1, 2, created=0, last_used=0, tool_map=(ToolEntry(b"\0", b"\0"),)), b"\0")


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


SMALLEST = {
    "KVC-FILE-3": (b"", "cut to 0 bytes, inside the fixed part"),
    "KVC-TEXT-1": (patched(PLAIN, 48, b"\x35"), "text_bytes is 53 in a file of 53 bytes"),
    "KVC-HEADER-17": (patched(PLAIN, 40, b"\x35"), "header.payload_bytes is 53 in a file of 53 bytes"),
    "KVC-HEADER-1": (patched(PLAIN, 0, bytes(3)), "header.magic is b'\\x00\\x00\\x00'"),
    "KVC-HEADER-2": (patched(PLAIN, 3, b"\0"), "header.version is 0"),
    "KVC-HEADER-3": (patched(PLAIN, 4, b"\0"), "header.quantisation_bits is 0"),
    "KVC-HEADER-10": (patched(PLAIN, 8, b"\0"), "header.tokens is 0"),
    "KVC-PROFILE-2": (patched(PLAIN, 20, b"\1"), "header.byte20 is 1, of no profile"),
    "KVC-PROFILE-3": (PLAIN, "of ds4-abi0, for a reader that is told ds4-abi2"),
    "KVC-NAME-1": (PLAIN, f"called {'0' * 40}.kv, its content calls for da39a3ee5e6b4b0d3255bfef95601890afd80709.kv"),
    "KVC-TOOLMAP-2": (patched(TOOLS, 56, b"\0"), "tool_map.version is 0"),
    "KVC-TOOLMAP-3": (patched(TOOLS, 57, (400_001).to_bytes(4, "little")), "tool_map.count is 400001"),
    "KVC-TOOLMAP-4": (patched(TOOLS, 61, b"\0"), "tool_map.entries[0].id_bytes is 0"),
    "KVC-TOOLMAP-5": (patched(TOOLS, 65, b"\0"), "tool_map.entries[0].block_bytes is 0"),
    "KVC-TOOLMAP-6": (TOOLS[:53], f"cut to 53 bytes, its tool map ends at {len(TOOLS)}"),
    "KVC-HEADER-6": (patched(PLAIN, 6, b"\1"), "flag bit 0 is set, and there is no tool map"),
    "KVC-HEADER-8": (patched(PLAIN, 6, b"\x08"), "flag bit 3 is set, and there is no title"),
    "KVC-TITLE-1": (SESSION[:53], "cut to 53 bytes, its title ends at 57"),
}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # a title over its limit has 64 KiB
@pytest.mark.parametrize("clause", sorted(BROKEN_CLAUSES))
def test_the_smallest_broken_file_of_each_clause_is_the_smallest_whole_one_with_that_wrong(clause: str) -> None:
    found = find(broken_files(clauses=[clause], told=True), lambda _: True, settings=QUICK)
    assert found.breaks == clause
    if clause in SMALLEST:
        assert (found.data, found.description) == SMALLEST[clause]
    if clause != "KVC-TITLE-3":
        assert len(found.data) <= 100


@pytest.mark.parametrize(
    ("clause", "smallest"),
    [
        ("KVC-FILE-5", PLAIN + b"\0"),
        ("KVC-HEADER-4", patched(PLAIN, 5, b"\7")),
        ("KVC-HEADER-5", patched(PLAIN, 6, b"\x10")),
        ("KVC-HEADER-9", patched(PLAIN, 7, b"\1")),
        ("KVC-HEADER-14", patched(PLAIN, 23, b"\1")),
        ("KVC-PAYLOAD-2", patched(PLAIN, 40, b"\0")[:52]),
        ("KVC-TOOLMAP-7", patched(TOOLS, 6, b"\0")),
        ("KVC-WRITER-1", patched(PLAIN, 23, b"\1")),
        ("KVC-WRITER-2", patched(PLAIN, 40, b"\0")),
        ("KVC-WRITER-3", PLAIN + b"\0"),
    ],
)
def test_the_smallest_tolerated_file_of_each_clause(clause: str, smallest: bytes) -> None:
    assert find(tolerated_files(clauses=[clause]), lambda _: True, settings=QUICK).data == smallest
    assert clause in TOLERATED_CLAUSES


@pytest.mark.parametrize("category", sorted(Category))
def test_every_category_is_there(category: Category) -> None:
    found = find(broken_files(told=True), lambda broken: broken.category is category, settings=QUICK)
    assert found.category is category


def test_what_no_file_breaks_is_said() -> None:
    with pytest.raises(ValueError, match="no file breaks KVC-LOOKUP-1; known are KVC-FILE-1, "):
        broken_files(clauses=["KVC-LOOKUP-1", "KVC-FILE-3"])
    with pytest.raises(ValueError, match="no such file is left"):
        broken_files(clauses=["KVC-NAME-1"])
    with pytest.raises(ValueError, match="no such file is left"):
        broken_files(clauses=[])
    with pytest.raises(ValueError, match="no file breaks KVC-NAME-1"):
        tolerated_files(clauses=["KVC-NAME-1"])
