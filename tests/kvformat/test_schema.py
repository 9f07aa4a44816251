"""The declaration, in both directions: KVC-FILE-2, KVC-TOOLMAP-1 to -6, KVC-TITLE-1 and -3, KVC-LIMIT-1."""

from __future__ import annotations

import io
import pickle
import tracemalloc
from typing import Any

import pytest
from construct import ConstructError
from hypothesis import given
from hypothesis import strategies as st

from kvformat import layout, schema
from kvformat.errors import Category
from kvformat.fields import SchemaError
from kvformat.model import Entry, Header, ToolEntry
from kvformat.testing import entries, file_of, headers, texts
from tests.kvformat.samples import SESSION, patched


def test_the_example_of_the_specification() -> None:
    parsed = schema.FILE.parse(SESSION)
    assert parsed.text == b"Hi \xc3"
    assert (parsed.payload.offset, parsed.payload.size_bytes) == (56, 4)
    assert [(tool.id, tool.block) for tool in parsed.sections.tool_map.entries] == [(b"c1", b"<t/>")]
    assert parsed.sections.title.title == b"Demo"
    assert schema.parse_fixed(SESSION) == (layout.decode_header(SESSION), 4)


@given(entries(), st.binary(min_size=1, max_size=50))
def test_parts_and_whole_agree_in_both_directions(entry: Entry, payload: bytes) -> None:
    """KVC-FILE-2: head, payload and sections in a row are the file, and the file is these."""
    data = file_of(entry, payload)
    header = layout.decode_header(data)
    parts = schema.build_head(header, entry.text), schema.build_sections(entry.tool_map, entry.title)
    assert parts[0] + payload + parts[1] == data

    parsed = schema.FILE.parse(data)
    assert parsed.text == entry.text
    assert parsed.payload.size_bytes == len(payload)
    tool_map = parsed.sections.tool_map
    tools = None if tool_map is None else tuple(ToolEntry(tool.id, tool.block) for tool in tool_map.entries)
    assert tools == entry.tool_map
    title = parsed.sections.title
    assert (None if title is None else title.title) == entry.title

    rebuilt = io.BytesIO()
    schema.FILE.build_stream(parsed, rebuilt)
    window = parsed.payload.offset
    rebuilt.seek(window)
    rebuilt.write(payload)  # the window is the caller's to fill
    assert rebuilt.getvalue() == data


@given(headers(), texts())
def test_the_text_count_is_that_of_the_text(header: Header, text: bytes) -> None:
    """KVC-TEXT-1."""
    head = schema.build_head(header, text)
    assert layout.decode_text_bytes(head) == len(text)
    assert head[52:] == text


def test_a_file_cut_at_any_byte_is_no_file() -> None:
    """KVC-FILE-3, KVC-TOOLMAP-6, KVC-TITLE-1: interpreted construct notices every cut."""
    for size_bytes in range(len(SESSION)):
        with pytest.raises((SchemaError, ConstructError)):
            schema.FILE.parse(SESSION[:size_bytes])


def test_hostile_lengths_are_refused_before_anything_is_read() -> None:
    """KVC-LIMIT-1: on a buffered stream, which would allocate what it is asked for."""
    for offset, size_bytes in ((40, 8), (48, 4), (72, 4), (82, 4)):
        data = patched(SESSION, offset, b"\xff" * (size_bytes - 1) + b"\x1f")
        stream = io.BufferedReader(io.BytesIO(data))
        tracemalloc.start()
        try:
            with pytest.raises(SchemaError):
                schema.FILE.parse_stream(stream)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


def test_the_sum_of_lengths_is_bounded() -> None:
    """KVC-FILE-4."""
    with pytest.raises(SchemaError) as caught:
        schema.FILE.parse(patched(SESSION, 40, b"\xff" * 8))
    assert (caught.value.problem.clause, caught.value.problem.offset) == ("KVC-FILE-4", 40)


@pytest.mark.parametrize(
    ("data", "field", "clause", "offset"),
    [
        (b"KTX\x01\0\0\0\0", "tool_map.magic", "KVC-TOOLMAP-1", 0),
        (b"KTX", "tool_map.magic", "KVC-TOOLMAP-1", 0),
        (b"KTM\x02\0\0\0\0", "tool_map.version", "KVC-TOOLMAP-2", 3),
        (b"KTM\x01\x81\x1a\x06\0", "tool_map.count", "KVC-TOOLMAP-3", 4),
        (b"", "tool_map.magic", "KVC-TOOLMAP-6", 0),
        (b"KT", "tool_map.magic", "KVC-TOOLMAP-6", 2),
        (b"KTM", "tool_map.version", "KVC-TOOLMAP-6", 3),
        (b"KTM\x01\0\0\0", "tool_map.count", "KVC-TOOLMAP-6", 7),
    ],
)
def test_start_of_a_tool_map(data: bytes, field: str, clause: str, offset: int) -> None:
    """KVC-TOOLMAP-1, -2, -3, -6: each field is judged once all its bytes are there."""
    with pytest.raises(SchemaError) as caught:
        schema.parse_tool_count(data)
    problem = caught.value.problem
    assert (problem.category, problem.field, problem.clause, problem.offset) == (
        Category.BAD_SECTION,
        field,
        clause,
        offset,
    )
    assert schema.parse_tool_count(b"KTM\x01\x80\x1a\x06\0") == 400_000


@pytest.mark.parametrize(
    ("lengths", "left_bytes", "field", "clause", "offset"),
    [
        ((0, 1), 99, "id_bytes", "KVC-TOOLMAP-4", 0),
        ((257, 1), 999, "id_bytes", "KVC-TOOLMAP-4", 0),
        ((2**32 - 1, 0), None, "id_bytes", "KVC-TOOLMAP-4", 0),
        ((1, 0), 99, "block_bytes", "KVC-TOOLMAP-5", 4),
        ((1, 2**29 + 1), 2**30, "block_bytes", "KVC-TOOLMAP-5", 4),
        ((5, 1), 4, "id", "KVC-TOOLMAP-6", 12),
        ((5, 6), 10, "block", "KVC-TOOLMAP-6", 18),
    ],
)
def test_bad_lengths_of_a_tool_entry(
    lengths: tuple[int, int], left_bytes: int | None, field: str, clause: str, offset: int
) -> None:
    """KVC-TOOLMAP-4, -5, -6; the index is that of the entry."""
    data = lengths[0].to_bytes(4, "little") + lengths[1].to_bytes(4, "little")
    with pytest.raises(SchemaError) as caught:
        schema.parse_tool_lengths(data, index=7, left_bytes=left_bytes)
    problem = caught.value.problem
    assert (problem.field, problem.clause, problem.offset) == (f"tool_map.entries[7].{field}", clause, offset)


@pytest.mark.parametrize(("size_bytes", "field"), [(0, "id_bytes"), (3, "id_bytes"), (4, "block_bytes")])
def test_a_tool_entry_is_judged_once_both_lengths_are_there(size_bytes: int, field: str) -> None:
    """KVC-TOOLMAP-6: the id length of 0 is not looked at."""
    with pytest.raises(SchemaError) as caught:
        schema.parse_tool_lengths(bytes(size_bytes), index=0, left_bytes=0)
    problem = caught.value.problem
    assert (problem.field, problem.clause) == (f"tool_map.entries[0].{field}", "KVC-TOOLMAP-6")
    assert problem.offset == size_bytes


@pytest.mark.parametrize("lengths", [(1, 1), (256, 2**29)])
def test_good_lengths_of_a_tool_entry(lengths: tuple[int, int]) -> None:
    """KVC-TOOLMAP-4, KVC-TOOLMAP-5: both bounds are good."""
    data = lengths[0].to_bytes(4, "little") + lengths[1].to_bytes(4, "little")
    assert schema.parse_tool_lengths(data, index=0, left_bytes=sum(lengths)) == lengths
    assert schema.parse_tool_lengths(data + b"the id", index=0, left_bytes=sum(lengths)) == lengths


def test_title_is_present_before_it_is_too_long() -> None:
    """KVC-TITLE-1 before KVC-TITLE-3, so that a hostile length is damage for every reader."""
    too_long = (65_537).to_bytes(4, "little")
    for data, left_bytes, clause, field in (
        (too_long, 65_536, "KVC-TITLE-1", "title"),
        (too_long, 65_537, "KVC-TITLE-3", "title_bytes"),
        (too_long, None, "KVC-TITLE-3", "title_bytes"),
        (too_long[:3], 0, "KVC-TITLE-1", "title_bytes"),
    ):
        with pytest.raises(SchemaError) as caught:
            schema.parse_title_bytes(data, left_bytes=left_bytes)
        assert (caught.value.problem.clause, caught.value.problem.field) == (clause, field)
    assert schema.parse_title_bytes((65_536).to_bytes(4, "little"), left_bytes=65_536) == 65_536


@pytest.mark.parametrize(
    ("tool_map", "title", "clause"),
    [
        ((ToolEntry(b"", b"x"),), None, "KVC-TOOLMAP-4"),
        ((ToolEntry(b"x" * 257, b"x"),), None, "KVC-TOOLMAP-4"),
        ((ToolEntry(b"x", b"y"), ToolEntry(b"x", b"")), None, "KVC-TOOLMAP-5"),
        ((ToolEntry(b"x", b"y"),) * 400_001, None, "KVC-TOOLMAP-3"),
        (None, bytes(65_537), "KVC-TITLE-3"),
    ],
)
def test_building_refuses_what_parsing_refuses(
    tool_map: tuple[ToolEntry, ...] | None, title: bytes | None, clause: str
) -> None:
    """KVC-WRITER-3, KVC-TOOLMAP-3, -4, -5, KVC-TITLE-3."""
    with pytest.raises(SchemaError) as caught:
        schema.build_sections(tool_map, title)
    assert caught.value.problem.clause == clause


def test_empty_sections_are_sections() -> None:
    """KVC-HEADER-6, KVC-HEADER-8, KVC-TOOLMAP-3, KVC-TITLE-1."""
    assert schema.build_sections(None, None) == b""
    assert schema.build_sections((), None) == b"KTM\x01\0\0\0\0"
    assert schema.build_sections(None, b"") == bytes(4)


@pytest.mark.parametrize(
    ("flags", "sections", "clause"),
    [
        (1, {"tool_map": None, "title": None}, "KVC-HEADER-6"),
        (0, {"tool_map": {"entries": []}, "title": None}, "KVC-HEADER-6"),
        (8, {"tool_map": None, "title": None}, "KVC-HEADER-8"),
        (0, {"tool_map": None, "title": {"title": b"x"}}, "KVC-HEADER-8"),
    ],
)
def test_flags_and_sections_agree(flags: int, sections: dict[str, Any], clause: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema.SECTIONS.build(sections, flags=flags)
    assert caught.value.problem.clause == clause


def test_a_schema_error_survives_pickling() -> None:
    with pytest.raises(SchemaError) as caught:
        schema.parse_tool_count(b"")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problem == caught.value.problem
    assert str(again) == str(caught.value.problem)


@pytest.mark.parametrize("data", [b"", b"KV", SESSION[:51]])
def test_a_short_head_is_truncated(data: bytes) -> None:
    """KVC-FILE-3."""
    with pytest.raises(SchemaError) as caught:
        schema.parse_fixed(data)
    assert (caught.value.problem.category, caught.value.problem.offset) == (Category.TRUNCATED, len(data))


@pytest.mark.parametrize(
    ("offset", "clause"),
    [(0, "KVC-HEADER-1"), (2, "KVC-HEADER-1"), (3, "KVC-HEADER-2")],
)
def test_constants_are_validated(offset: int, clause: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema.parse_header(patched(SESSION, offset, b"\0"))
    assert caught.value.problem.clause == clause
