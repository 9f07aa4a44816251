"""The public strategies keep their word, refuse arguments that contradict each other, and shrink to what one can read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from kvformat import layout, rules, schema
from kvformat.errors import KvcError
from kvformat.identity import expected_name
from kvformat.limits import Limits
from kvformat.model import Entry, Header, ToolEntry
from kvformat.profiles import PROFILES
from kvformat.reader import open_kvc, verify
from kvformat.testing import (
    Sections,
    boundary_headers,
    entries,
    file_of,
    files,
    headers,
    limits,
    name_of,
    profiles,
    raw_headers,
    sections,
    texts,
    titles,
    tool_maps,
)
from kvformat.testing import __all__ as public

QUICK = settings(
    database=None,
    derandomize=True,
    max_examples=2000,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
"""For `find`: the same answer each time."""


@given(headers(min_payload_bytes=3, max_payload_bytes=9))
def test_headers_are_good(header: Header) -> None:
    assert 3 <= header.payload_bytes <= 9
    assert rules.check_head(layout.encode_header(header) + bytes(4), total_bytes=61) == []


@given(raw_headers())
def test_raw_headers_fit(header: Header) -> None:
    assert len(layout.encode_header(header)) == 48


@given(boundary_headers(text_bytes=7))
def test_schema_and_integer_codec_agree_on_every_border(header: Header) -> None:
    """KVC-FILE-1: two ways to read and to write the same bytes."""
    data = layout.encode_header(header)
    assert layout.decode_header(data) == header
    assert schema.parse_fixed(data + bytes(4)) == (header, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("quantisation_bits", value) for value in (0, 1, 2, 3, 4, 5, 255)),
        *(("reason", value) for value in (0, 6, 7, 255)),
        *(("flags", value) for value in (0, 1, 2, 4, 8, 15, 16, 128, 255)),
        *(("tokens", value) for value in (0, 1, 2**32 - 1)),
        *(("byte20", value) for value in (0, 1, 2, 3, 4, 255)),
        *(("created", value) for value in (0, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)),
        *(("payload_bytes", value) for value in (0, 1, 2**63 - 1 - 59, 2**63 - 59, 2**63 - 60, 2**63, 2**64 - 1)),
    ],
)
def test_both_sides_of_a_border_are_drawn(field: str, value: int) -> None:
    """Of KVC-FILE-4 too, for a text of 7 bytes: the sum is 2**63 - 1, one more, and one less."""
    found = find(boundary_headers(text_bytes=7), lambda header: getattr(header, field) == value, settings=QUICK)
    assert getattr(found, field) == value


@given(texts(min_bytes=2, max_bytes=5), titles(min_bytes=1, max_bytes=3))
def test_sizes_of_texts_and_titles(text: bytes, title: bytes) -> None:
    assert 2 <= len(text) <= 5
    assert 1 <= len(title) <= 3


@given(tool_maps(min_entries=1, max_entries=2, min_id_bytes=2, max_id_bytes=3, min_block_bytes=4, max_block_bytes=4))
def test_sizes_of_tool_maps(tool_map: tuple[ToolEntry, ...]) -> None:
    assert 1 <= len(tool_map) <= 2
    assert all(2 <= len(tool.id) <= 3 and len(tool.block) == 4 for tool in tool_map)
    schema.build_sections(tool_map, None)


@given(sections(unknown_flags=True, min_trailing_bytes=1, max_trailing_bytes=3))
def test_sections_are_those_of_the_schema_and_what_is_behind(parts: Sections) -> None:
    """KVC-FILE-2, KVC-HEADER-5."""
    assert parts.data == schema.build_sections(parts.tool_map, parts.title) + parts.trailing
    assert (bool(parts.flags & 1), bool(parts.flags & 8)) == (parts.tool_map is not None, parts.title is not None)
    assert 1 <= len(parts.trailing) <= 3
    assert not parts.flags & 6


@given(entries(profile="ds4-abi2", tool_map=True, title=False, min_text_bytes=1, max_text_bytes=2))
def test_entries_are_as_asked_for(entry: Entry) -> None:
    assert rules.check_entry(entry) == []
    assert (entry.profile, entry.tool_map is None, entry.title) == ("ds4-abi2", False, None)
    assert 1 <= len(entry.text) <= 2


@given(entries(), st.binary(min_size=1, max_size=5))
def test_the_name_is_the_one_that_the_content_calls_for(entry: Entry, payload: bytes) -> None:
    """KVC-NAME-1, KVC-NAME-3: found without the module that the store uses, and taken by a reader."""
    data = file_of(entry, payload)
    assert name_of(entry) == expected_name(layout.decode_header(data), entry.text, entry.title)
    with open_kvc(io.BytesIO(data), name=name_of(entry)) as reader:
        assert reader.payload.read() == payload


@given(files(profile="ds4-abi3", tool_map=False, title=False, max_text_bytes=5, max_payload_bytes=6))
def test_files_are_as_asked_for(data: bytes) -> None:
    assert len(data) <= 52 + 5 + 6
    assert (data[20], data[6] & 9) == (3, 0)


@given(
    files(
        min_text_bytes=2,
        min_payload_bytes=3,
        title=True,
        unknown_flags=True,
        min_trailing_bytes=1,
        max_trailing_bytes=4,
    )
)
def test_files_with_sections_that_nobody_knows_are_taken(data: bytes) -> None:
    """KVC-FILE-5, KVC-HEADER-5."""
    report = verify(io.BytesIO(data))
    assert report.ok
    assert report.trailing_bytes is not None
    assert 1 <= report.trailing_bytes <= 4
    assert report.header is not None
    assert report.header.payload_bytes >= 3
    assert (report.text_bytes or 0) >= 2


@given(limits(min_text_bytes=2, max_text_bytes=4), profiles(), profiles(auto=True))
def test_limits_and_profiles(chosen: Limits, profile: str, told: str) -> None:
    assert 2 <= chosen.text_bytes_max <= 4
    assert profile in PROFILES
    assert told in {"auto", *PROFILES}


@given(files(min_text_bytes=1), limits(max_text_bytes=9), profiles(auto=True))
def test_whatever_a_reader_is_told_reader_and_verifier_agree(data: bytes, told: Limits, profile: str) -> None:
    """spec/kvc.md, 1.4: what a reader raises is the first that a verifier reports."""
    problems = verify(io.BytesIO(data), limits=told, profile=profile).problems
    try:
        with open_kvc(io.BytesIO(data), limits=told, profile=profile):
            assert problems == ()
    except KvcError as error:
        assert error.problem == problems[0]


SMALLEST_ENTRY = Entry(text=b"", tokens=1, quantisation_bits=2, created=0, last_used=0)


@pytest.mark.parametrize(
    ("strategy", "smallest"),
    [
        (texts(), b""),
        (texts(min_bytes=2), b"00"),
        (titles(), b""),
        (tool_maps(), ()),
        (tool_maps(min_entries=1), (ToolEntry(b"\0", b"\0"),)),
        (sections(), Sections()),
        (sections(tool_map=True, title=True), Sections((), b"")),
        (entries(), SMALLEST_ENTRY),
        (files(), file_of(SMALLEST_ENTRY, b"\0")),
        (limits(min_text_bytes=3), Limits(text_bytes_max=3)),
        (profiles(), "ds4-abi0"),
        (profiles(auto=True), "auto"),
        (headers(), Header(2, 0, 0, 0, 1, 0, 0, 0, bytes(3), 0, 0, 0)),
        (raw_headers(), Header(0, 0, 0, 0, 0, 0, 0, 0, bytes(3), 0, 0, 0)),
        (boundary_headers(), Header(0, 0, 0, 0, 0, 0, 0, 0, bytes(3), 0, 0, 0)),
    ],
)
def test_the_smallest_example_is_one_that_can_be_read(strategy: st.SearchStrategy[Any], smallest: object) -> None:
    assert find(strategy, lambda _: True, settings=QUICK) == smallest


def test_a_smallest_example_has_only_what_it_must_have() -> None:
    """The smallest file with a tool map of two entries and a title, beside the smallest with trailing bytes."""
    found = find(files(), lambda data: verify(io.BytesIO(data)).tool_entries == 2, settings=QUICK)
    tools = (ToolEntry(b"\0", b"\0"),) * 2
    assert found == file_of(Entry(b"", 1, 2, created=0, last_used=0, tool_map=tools), b"\0")
    odd = find(
        files(unknown_flags=True, max_trailing_bytes=9),
        lambda data: verify(io.BytesIO(data)).trailing_bytes == 2,
        settings=QUICK,
    )
    assert odd == file_of(SMALLEST_ENTRY, b"\0", trailing=bytes(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: texts(min_bytes=-1), "min_bytes is -1, it must be at least 0"),
        (lambda: texts(min_bytes=9, max_bytes=8), "max_bytes is 8 and min_bytes is 9: nothing lies between them"),
        (lambda: titles(max_bytes=65537), "max_bytes is 65537, the format ends at 65536"),
        (lambda: tool_maps(max_id_bytes=257), "max_id_bytes is 257, the format ends at 256"),
        (lambda: tool_maps(min_block_bytes=0), "min_block_bytes is 0, it must be at least 1"),
        (lambda: tool_maps(min_entries=5), "max_entries is 4 and min_entries is 5: nothing lies between them"),
        (lambda: headers(max_payload_bytes=2**64), f"max_payload_bytes is {2**64}, the format ends at {2**64 - 1}"),
        (lambda: boundary_headers(text_bytes=2**32), f"max_text_bytes is {2**32}, the format ends at {2**32 - 1}"),
        (lambda: entries(profile="abi2"), "there is no profile 'abi2'; there are ds4-abi0, ds4-abi2, ds4-abi3"),
        (lambda: files(min_trailing_bytes=1), "max_trailing_bytes is 0 and min_trailing_bytes is 1"),
        (lambda: files(min_payload_bytes=300), "max_payload_bytes is 200 and min_payload_bytes is 300"),
        (lambda: limits(min_text_bytes=-1), "min_text_bytes is -1, it must be at least 0"),
    ],
)
def test_arguments_that_contradict_each_other_are_said_where_they_are_given(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_every_public_name_is_documented() -> None:
    import kvformat.testing as module

    assert [name for name in public if not (getattr(module, name).__doc__ or name.isupper())] == []
