"""The public strategies keep their word; whether readers agree is tested in test_verify.py."""

from __future__ import annotations

from hypothesis import given, settings

from kvformat import layout, rules, schema
from kvformat.model import Entry, Header, ToolEntry
from kvformat.testing import (
    BrokenFile,
    broken_files,
    entries,
    files,
    headers,
    raw_headers,
    texts,
    titles,
    tool_maps,
)


@given(headers(min_payload_bytes=3, max_payload_bytes=9))
def test_headers_are_good(header: Header) -> None:
    assert 3 <= header.payload_bytes <= 9
    assert rules.check_head(layout.encode_header(header) + bytes(4), total_bytes=61) == []


@given(raw_headers())
def test_raw_headers_fit(header: Header) -> None:
    assert len(layout.encode_header(header)) == 48


@given(texts(min_bytes=2, max_bytes=5), titles(min_bytes=1, max_bytes=3))
def test_sizes_of_texts_and_titles(text: bytes, title: bytes) -> None:
    assert 2 <= len(text) <= 5
    assert 1 <= len(title) <= 3


@given(tool_maps(min_entries=1, max_entries=2, max_id_bytes=3, max_block_bytes=4))
def test_sizes_of_tool_maps(tool_map: tuple[ToolEntry, ...]) -> None:
    assert 1 <= len(tool_map) <= 2
    assert all(1 <= len(tool.id) <= 3 and 1 <= len(tool.block) <= 4 for tool in tool_map)
    schema.build_sections(tool_map, None)


@given(entries(profile="ds4-abi2", tool_map=True, title=False, min_text_bytes=1, max_text_bytes=2))
def test_entries_are_as_asked_for(entry: Entry) -> None:
    assert rules.check_entry(entry) == []
    assert (entry.profile, entry.tool_map is None, entry.title) == ("ds4-abi2", False, None)
    assert 1 <= len(entry.text) <= 2


@given(files(profile="ds4-abi3", tool_map=False, title=False, max_text_bytes=5, max_payload_bytes=6))
def test_files_are_as_asked_for(data: bytes) -> None:
    assert len(data) <= 52 + 5 + 6
    assert (data[20], data[6] & 9) == (3, 0)


def test_every_way_of_breaking_is_drawn() -> None:
    wanted = {
        *(f"KVC-FILE-{number}" for number in (3, 4)),
        *(f"KVC-HEADER-{number}" for number in (1, 2, 3, 10)),
        *(f"KVC-TOOLMAP-{number}" for number in range(1, 7)),
        *(f"KVC-TITLE-{number}" for number in (1, 2, 3)),
        "KVC-PROFILE-2",
    }

    found: set[str] = set()

    @settings(max_examples=2000, database=None, derandomize=True)
    @given(broken_files())
    def collect(broken: BrokenFile) -> None:
        found.add(broken.clause)

    collect()
    assert found == wanted
