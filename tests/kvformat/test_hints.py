"""Observations for people: they break no clause and reject nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat import hints, layout
from kvformat.model import Entry
from kvformat.reader import open_kvc
from kvformat.testing import file_of
from tests.kvformat.samples import PLAIN, SESSION, Pipe, patched

DS4_HEAD = b"DSV4" + b"".join(value.to_bytes(4, "little") for value in (1, 4096, 3, 4, 5, 6, 2, 8, 9, 10, 11, 12))
GOOD = file_of(Entry(b"Hi", 2, created=5, last_used=5), DS4_HEAD + b"rest")


def _clauses(data: bytes) -> list[str | None]:
    with open_kvc(io.BytesIO(data)) as reader:
        reader.payload.seek(1)
        found = hints.hints(reader)
        assert reader.payload.tell() == 1
    assert all(hint.message for hint in found)
    return [hint.clause for hint in found]


def test_fields_of_a_ds4_payload() -> None:
    """KVC-PAYLOAD-3."""
    with open_kvc(io.BytesIO(GOOD)) as reader:
        (hint,) = hints.hints(reader)
    assert "payload version 1, context size 4,096" in hint.message
    assert "live raw rows 12" in hint.message
    assert hints.ds4_fields(DS4_HEAD) == {
        name: int.from_bytes(DS4_HEAD[4 * index : 4 * index + 4], "little")
        for index, name in enumerate(hints.DS4_FIELDS)
        if index
    }
    assert hints.ds4_fields(DS4_HEAD[:-1]) is None
    assert hints.ds4_fields(b"X" + DS4_HEAD) is None


@pytest.mark.parametrize(
    ("offset", "new", "clause"),
    [
        (5, b"\x07", "KVC-HEADER-4"),
        (6, b"\x10", "KVC-HEADER-5"),
        (22, b"\x01", "KVC-HEADER-14"),
        (12, b"\xff" * 4, "KVC-HEADER-11"),
        (32, b"\x04", "KVC-HEADER-16"),
        (52, b"H\xc3", "KVC-TEXT-2"),
        (54 + 4, b"\x02", "KVC-PAYLOAD-3"),  # payload version
        (54 + 28, b"\x03", "KVC-PAYLOAD-3"),  # token count
        (len(GOOD), b"tail", "KVC-FILE-5"),
    ],
)
def test_each_observation(offset: int, new: bytes, clause: str) -> None:
    """Each one alone adds one hint with its clause to that of the ds4 fields."""
    clauses = _clauses(patched(GOOD, offset, new))
    assert len(clauses) == 2
    clauses.remove("KVC-PAYLOAD-3")
    assert clauses == [clause]


def test_an_unknown_payload_version_is_not_compared() -> None:
    """KVC-PROFILE-1: nothing is known of ds4-abi3."""
    assert _clauses(patched(patched(GOOD, 20, b"\x03"), 58, b"\x09")) == ["KVC-PAYLOAD-3"]


def test_a_stripped_payload_and_a_damaged_tool_map() -> None:
    """KVC-PAYLOAD-2, KVC-TOOLMAP-6."""
    assert _clauses(file_of(Entry(b"Hi", 2, title=b"t"), b"")) == ["KVC-PAYLOAD-2"]
    assert _clauses(patched(PLAIN, 60, b"X")) == ["KVC-TEXT-2", "KVC-TOOLMAP-6"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (bytes(4095), 0),
        (bytes(4096), 1),
        (bytes(4095) + b"x", 0),
        (bytes(2**16) + b"x", 1),
        (b"x" + bytes(2**16), 1),
        (b"x" + bytes(2**16 - 1), 0),
        (bytes(2**17) + b"x" * 3 + bytes(2**17), 2),
        (b"x" * 2**17, 0),
    ],
)
def test_zeros_at_the_ends_of_a_payload(payload: bytes, expected: int) -> None:
    """KVC-PAYLOAD-1: nobody can know, so it is a hint."""
    assert _clauses(file_of(Entry(b"Hi", 2), payload)) == ["KVC-PAYLOAD-1"] * expected


def test_a_hole_is_named_where_the_file_system_knows_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    payload_bytes = 2**20
    data = file_of(Entry(b"Hi", 2), b"x" * payload_bytes)
    with path.open("wb") as file:
        file.write(data[: 2**18])
        file.seek(2**19)
        file.write(data[2**19 :])
    fd = os.open(path, os.O_RDONLY)
    try:
        if os.lseek(fd, 0, os.SEEK_HOLE) == len(data):
            pytest.skip(f"the file system of {tmp_path} stores holes as data")
    finally:
        os.close(fd)
    with open_kvc(path) as reader:
        (hint,) = hints.hints(reader)
        start = layout.payload_offset(2)
        assert reader.source.first_hole(start, start) is None
        assert reader.source.first_hole(2**19, len(data)) is None
        assert reader.source.first_hole(2**18 + 4096, 2**18 + 8192) == (2**18 + 4096, 2**18 + 8192)
        assert reader.payload.read() == data[start : 2**18] + bytes(2**18) + data[2**19 :]
    assert hint.clause == "KVC-PAYLOAD-1"
    assert f"{2**18:,} bytes of the payload from offset {2**18:,}" in hint.message


def test_nothing_behind_the_text_of_a_pipe_is_looked_at() -> None:
    with open_kvc(Pipe(SESSION + b"tail")) as reader:
        assert [hint.clause for hint in hints.hints(reader)] == ["KVC-TEXT-2"]
        assert reader.payload.read() == b"\xde\xad\xbe\xef"


@given(st.text(max_size=5), st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), st.integers(1, 4))
def test_characters_that_are_cut(before: str, last: str, kept: int) -> None:
    """KVC-TEXT-2."""
    encoded = last.encode()
    text = before.encode("utf-8", "replace") + encoded[:kept]
    assert hints.cut_character_bytes(text) == (kept if kept < len(encoded) else 0)


@pytest.mark.parametrize("last", ["\x80", "\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff"])
def test_the_first_and_last_characters_of_each_length(last: str) -> None:
    """KVC-TEXT-2."""
    encoded = last.encode()
    cut = [hints.cut_character_bytes(b"a" + encoded[:kept]) for kept in range(len(encoded) + 1)]
    assert cut == [*range(len(encoded)), 0]


@pytest.mark.parametrize("text", [b"", b"a", b"\x80", b"\x80\x80\x80", b"\xff", b"\xc1", b"\xf5\x80", b"\xe4\xb8\xad"])
def test_texts_that_end_in_no_cut_character(text: bytes) -> None:
    assert hints.cut_character_bytes(text) == 0
