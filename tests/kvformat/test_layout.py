"""Sizes, offsets, regions and the integer codec: KVC-FILE-1, KVC-FILE-2, KVC-FILE-4, KVC-HEADER-1 to -17."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat import layout, schema
from kvformat.model import Header
from kvformat.testing import raw_headers
from tests.kvformat.samples import SESSION, patched


def _with(header: Header, field: str, value: int) -> Header:
    changes: dict[str, Any] = {field: value}
    return replace(header, **changes)


SIZES = st.integers(0, 2**40)


def test_the_example_of_the_specification() -> None:
    assert layout.decode_header(SESSION) == Header(
        quantisation_bits=4,
        reason=6,
        flags=9,
        byte7=0,
        tokens=2,
        hits=0,
        context_tokens=4096,
        byte20=0,
        reserved=bytes(3),
        created=1_700_000_000,
        last_used=1_700_000_000,
        payload_bytes=4,
    )
    assert layout.decode_text_bytes(SESSION) == 4
    assert layout.payload_offset(4) == 56


@given(raw_headers())
def test_integer_codec_and_declaration_write_the_same_bytes(header: Header) -> None:
    """KVC-FILE-1, KVC-HEADER-1 to KVC-HEADER-17."""
    data = layout.encode_header(header)
    assert data + bytes(4) == schema.build_head(header, b"")
    assert layout.decode_header(data) == header


@given(st.binary(min_size=48, max_size=48).map(lambda data: patched(data, 0, b"KVC\x01")))
def test_integer_codec_and_declaration_read_the_same_values(head: bytes) -> None:
    """KVC-FILE-1: every value of every byte behind magic and version, and nothing is lost by reading."""
    header = layout.decode_header(head)
    assert header == schema.parse_header(head)
    assert layout.encode_header(header) == head
    assert schema.build_head(header, b"")[:48] == head


@given(st.binary(max_size=47))
def test_a_short_header_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match="a header has 48 bytes"):
        layout.decode_header(head)


@given(st.binary(max_size=60))
def test_text_bytes_need_52_bytes(head: bytes) -> None:
    """KVC-TEXT-1."""
    if len(head) < 52:
        with pytest.raises(ValueError, match="ends at 52"):
            layout.decode_text_bytes(head)
    else:
        assert layout.decode_text_bytes(head).to_bytes(4, "little") == head[48:52]


@pytest.mark.parametrize(
    ("field", "bits"),
    [(name, 8) for name in ("quantisation_bits", "reason", "flags", "byte7", "byte20")]
    + [(name, 32) for name in ("tokens", "hits", "context_tokens")]
    + [(name, 64) for name in ("created", "last_used", "payload_bytes")],
)
def test_a_value_that_does_not_fit_is_refused(field: str, bits: int) -> None:
    """KVC-WRITER-5: neither truncated nor wrapped."""
    header = layout.decode_header(SESSION)
    for value in (-1, 2**bits):
        wrong = _with(header, field, value)
        with pytest.raises(ValueError, match=f"header.{field} is {value}"):
            layout.encode_header(wrong)
        with pytest.raises(ValueError, match="does not fit"):
            schema.build_head(wrong, b"")
    most = _with(header, field, 2**bits - 1)
    assert layout.decode_header(layout.encode_header(most)) == most


@pytest.mark.parametrize("reserved", [b"", b"ab", b"abcd"])
def test_reserved_bytes_are_three(reserved: bytes) -> None:
    """KVC-HEADER-14."""
    wrong = replace(layout.decode_header(SESSION), reserved=reserved)
    with pytest.raises(ValueError, match="reserved has"):
        layout.encode_header(wrong)
    with pytest.raises(ValueError, match="does not fit"):
        schema.build_head(wrong, b"")


def test_mutable_fields_stand_where_their_offsets_say() -> None:
    """KVC-HEADER-11, KVC-HEADER-16, KVC-HEADER-17."""
    header = layout.decode_header(SESSION)
    for field, offset, size_bytes in (
        ("hits", layout.HITS_OFFSET, 4),
        ("last_used", layout.LAST_USED_OFFSET, 8),
        ("payload_bytes", layout.PAYLOAD_BYTES_OFFSET, 8),
        ("tokens", layout.TOKENS_OFFSET, 4),
        ("byte20", layout.BYTE20_OFFSET, 1),
        ("quantisation_bits", layout.QUANTISATION_OFFSET, 1),
    ):
        changed = layout.encode_header(_with(header, field, 77))
        assert changed == patched(SESSION[:48], offset, (77).to_bytes(size_bytes, "little"))


def test_file_bytes_does_not_wrap() -> None:
    """KVC-FILE-4, KVC-LIMIT-2: the largest file offset, 2^63-1, is the last sum that is a size."""
    most = 2**63 - 1
    assert layout.file_bytes(0, most - 52, 0) == most
    assert layout.file_bytes(0, most - 51, 0) is None
    assert layout.file_bytes(2**32 - 1, most - 52 - (2**32 - 1), 0) == most
    assert layout.file_bytes(0, 2**64 - 52, 0) is None  # would wrap to 0
    assert layout.file_bytes(2**32 - 1, 2**64 - 1, 0) is None


@given(st.lists(st.tuples(SIZES, SIZES), max_size=5))
def test_tool_map_bytes(lengths: list[tuple[int, int]]) -> None:
    """KVC-TOOLMAP-1 to KVC-TOOLMAP-5."""
    assert layout.tool_map_bytes(lengths) == 8 + sum(8 + a + b for a, b in lengths)


@given(SIZES, SIZES, st.just(0) | SIZES, st.just(0) | SIZES, st.none() | SIZES)
def test_regions_cover_the_file_without_gaps(
    text: int, payload: int, tool_map: int, title: int, total: int | None
) -> None:
    """KVC-FILE-2."""
    regions = layout.regions(
        text_bytes=text, payload_bytes=payload, tool_map_bytes=tool_map, title_bytes=title, total_bytes=total
    )
    end = 52 + text + payload + tool_map + title if total is None else total
    assert sum(region.size_bytes for region in regions) == end
    for before, after in itertools.pairwise(regions):
        assert before.end == after.offset
    names = [region.name for region in regions]
    assert names == [name for name in layout.REGION_NAMES if name in names]
    assert {region.name for region in regions if not region.size_bytes} <= {"text", "payload"}
    assert {"text", "payload"} <= set(names)
    if total is None or total >= 52 + text + payload + tool_map + title:
        sizes = {region.name: region.size_bytes for region in regions}
        assert (sizes["text"], sizes["payload"]) == (text, payload)
        assert (sizes.get("tool_map", 0), sizes.get("title", 0)) == (tool_map, title)


def test_every_byte_of_the_example_is_in_its_region() -> None:
    """KVC-FILE-2."""
    regions = layout.regions(
        text_bytes=4, payload_bytes=4, tool_map_bytes=22, title_bytes=8, total_bytes=len(SESSION) + 2
    )
    sizes = {
        "header": 48,
        "text_length": 4,
        "text": 4,
        "payload": 4,
        "tool_map": 22,
        "title": 8,
        "trailing": 2,
    }
    expected = [name for name, size_bytes in sizes.items() for _ in range(size_bytes)]
    assert [layout.region_at(regions, offset) for offset in range(len(SESSION) + 2)] == expected
    assert layout.region_at(regions, len(SESSION) + 2) is None
    assert layout.region_at(regions, -1) is None


@pytest.mark.parametrize("name", ["text_bytes", "payload_bytes", "tool_map_bytes", "title_bytes", "total_bytes"])
def test_a_negative_size_is_refused(name: str) -> None:
    sizes = {"text_bytes": 1, "payload_bytes": 1, name: -1}
    with pytest.raises(ValueError, match="negative"):
        layout.regions(**sizes)


def test_sections_that_are_not_named_are_not_there() -> None:
    """KVC-FILE-2: what a stream tells whose end was not seen."""
    regions = layout.regions(text_bytes=1, payload_bytes=2)
    assert [(region.name, region.size_bytes) for region in regions] == [
        ("header", 48),
        ("text_length", 4),
        ("text", 1),
        ("payload", 2),
    ]
