"""A dump shows every byte in which something starts or ends, says how many it leaves out, and loses none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvformat.conform.anatomy import Read, anatomy
from kvformat.conform.dump import ROWS_MAX, Gap, Row, is_marked, rows
from kvformat.testing import files
from tests.kvformat.samples import SESSION, patched


def reading(data: bytes) -> Read:
    return lambda offset, length: data[offset : offset + length]


def dump(data: bytes, *marks: str) -> list[Row | Gap]:
    return list(rows(reading(data), anatomy(reading(data), len(data)), marks))


def test_the_bytes_of_the_worked_example_stand_in_it() -> None:
    shown = [row for row in dump(SESSION) if isinstance(row, Row)]
    assert bytes.fromhex("".join(piece.hex for row in shown for piece in row.pieces)) == SESSION
    assert [row.offset for row in shown] == [0, 16, 32, 48, 64, 80]
    assert "".join(piece.text for piece in shown[3].pieces) == "····Hi ·····KTM·"


def test_a_marked_field_is_marked_in_every_row() -> None:
    marked = [
        (row.offset, piece.field)
        for row in dump(SESSION, "tool_map.entries[0]")
        if isinstance(row, Row)
        for piece in row.pieces
        if piece.is_marked
    ]
    names = [f"tool_map.entries[0].{name}" for name in ("id_bytes", "block_bytes", "id", "block")]
    assert marked == [*((64, name) for name in names), (80, names[3])]


def test_a_mark_is_of_a_field_and_its_parts_alone() -> None:
    assert is_marked("tool_map.entries[1].id", {"tool_map"})
    assert is_marked("header.tokens", {"header"})
    assert not is_marked("text_bytes", {"text"})
    assert not is_marked("tool_map.entries[10].id", {"tool_map.entries[1]"})


@given(
    files(max_text_bytes=600, max_payload_bytes=900).flatmap(lambda data: st.just(data) | st.just(data + bytes(500)))
)
def test_rows_and_gaps_cover_the_file(data: bytes) -> None:
    at = 0
    for one in dump(data):
        assert one.offset == at
        if isinstance(one, Gap):
            assert one.size_bytes > 16, "one row is shown, not counted"
            at += one.size_bytes
        else:
            shown = bytes.fromhex("".join(piece.hex for piece in one.pieces))
            assert shown == data[at : at + 16]
            at += len(shown)
    assert at == len(data)


def test_a_huge_file_is_looked_at_where_its_fields_end() -> None:
    size_bytes = 1 << 40
    head = patched(SESSION[:56], 40, (size_bytes - 56).to_bytes(8, "little"))
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return head[offset : offset + length].ljust(min(length, size_bytes - offset), b"\0")

    shown = list(rows(read, anatomy(read, size_bytes)))
    gaps = [one for one in shown if isinstance(one, Gap)]
    assert [gap.field for gap in gaps] == ["payload"]
    assert len(shown) < 12
    assert max(asked) <= 52


def test_a_file_of_many_fields_is_cut_and_says_so() -> None:
    entry = (200).to_bytes(4, "little") + (90).to_bytes(4, "little") + bytes(290)
    data = patched(SESSION[:60], 6, b"\1") + b"KTM\1" + (30).to_bytes(4, "little") + entry * 30
    shown = dump(data)
    assert sum(isinstance(one, Row) for one in shown) == ROWS_MAX
    assert isinstance(shown[-1], Gap)
    assert shown[-1].field is None


def test_an_empty_file_has_no_rows() -> None:
    assert [one for one in dump(b"") if isinstance(one, Gap)] == []
