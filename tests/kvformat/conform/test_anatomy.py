"""Every byte of every file has a name, of damaged files too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvformat import layout
from kvformat.conform.anatomy import TOOLS_MAX, Anatomy, anatomy
from kvformat.testing import broken_files, files
from tests.kvformat.samples import SESSION, patched


def of(data: bytes) -> Anatomy:
    return anatomy(lambda offset, length: data[offset : offset + length], len(data))


def test_the_worked_example_has_the_fields_of_the_specification() -> None:
    """kvc.md, 4.6, line by line."""
    found = {span.field: (span.start, span.end, span.number) for span in of(SESSION).spans}
    assert found == {
        "header.magic": (0, 3, None),
        "header.version": (3, 4, 1),
        "header.quantisation_bits": (4, 5, 4),
        "header.reason": (5, 6, 6),
        "header.flags": (6, 7, 9),
        "header.byte7": (7, 8, 0),
        "header.tokens": (8, 12, 2),
        "header.hits": (12, 16, 0),
        "header.context_tokens": (16, 20, 4096),
        "header.byte20": (20, 21, 0),
        "header.reserved": (21, 24, None),
        "header.created": (24, 32, 1_700_000_000),
        "header.last_used": (32, 40, 1_700_000_000),
        "header.payload_bytes": (40, 48, 4),
        "text_bytes": (48, 52, 4),
        "text": (52, 56, None),
        "payload": (56, 60, None),
        "tool_map.magic": (60, 63, None),
        "tool_map.version": (63, 64, 1),
        "tool_map.count": (64, 68, 1),
        "tool_map.entries[0].id_bytes": (68, 72, 2),
        "tool_map.entries[0].block_bytes": (72, 76, 4),
        "tool_map.entries[0].id": (76, 78, None),
        "tool_map.entries[0].block": (78, 82, None),
        "title_bytes": (82, 86, 4),
        "title": (86, 90, None),
    }


def check(data: bytes) -> None:
    found = of(data)
    ends = [0, *(span.end for span in found.spans)]
    assert [span.start for span in found.spans] == ends[:-1], "in order, without gaps"
    assert ends[-1] == len(data) == found.size_bytes
    assert all(span.start < span.end and span.region in layout.REGION_NAMES for span in found.spans)
    called_for = layout.TEXT_OFFSET
    if len(data) >= layout.TEXT_OFFSET:
        called_for += layout.decode_text_bytes(data) + layout.decode_header(data).payload_bytes
    assert found.missing_bytes == max(0, called_for - len(data))


@given(files().flatmap(lambda data: st.integers(0, len(data)).map(lambda kept: data[:kept] + b"more")))
def test_no_byte_is_left_out_wherever_a_file_is_cut(data: bytes) -> None:
    check(data)


@given(broken_files())
def test_no_byte_is_left_out_of_a_damaged_file(broken: tuple[bytes, str, object]) -> None:
    check(broken[0])


@given(st.binary(max_size=200))
def test_no_byte_is_left_out_of_any_bytes(data: bytes) -> None:
    check(data)


def test_behind_a_damaged_map_nothing_is_found() -> None:
    """KVC-TOOLMAP-6, KVC-TITLE-2: the title cannot be found."""
    for offset, new in ((63, b"\2"), (68, bytes(4)), (72, b"\xff" * 4)):
        spans = of(patched(SESSION, offset, new)).spans
        assert {span.region for span in spans if span.start >= 60} == {"tool_map"}


def test_a_long_map_is_named_up_to_a_bound() -> None:
    entry = b"\1\0\0\0\1\0\0\0ab"
    data = patched(SESSION[:60], 6, b"\1") + b"KTM\1" + (40).to_bytes(4, "little") + entry * 40
    fields = [span.field for span in of(data).spans]
    assert f"tool_map.entries[{TOOLS_MAX - 1}].block" in fields
    assert f"tool_map.entries[{TOOLS_MAX}].id_bytes" not in fields
    assert fields[-1] == "tool_map"
