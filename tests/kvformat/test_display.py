"""What people see is printable, says which bytes it stands for, and fits."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from kvformat.display import (
    counted,
    exact_bytes,
    folded,
    human_bytes,
    iso_time,
    quoted,
    safe,
    safe_lines,
    whole_characters,
    whole_characters_at_end,
)

_HOSTILE = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from([b"\x1b[2J", b"\n", b"\\", b"[red]", b":smile:", "\u202e".encode(), b"\xff", b'"'])).map(
        b"".join
    ),
)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain \xc3\xa9", "plain é"),
        (b"\x1b[31m\x07\x7f\x00", r"\x1b[31m\x07\x7f\x00"),
        (b"a\nb\tc\rd\\e", r"a\nb\tc\rd\\e"),
        (b"\xff\xc3", r"\xff\xc3"),
        ("\u202eevil\u2066\u200b\ufeff".encode(), r"\u202eevil\u2066\u200b\ufeff"),
        ("\U000e0041\x9b".encode(), r"\U000e0041\x9b"),
        (b"[bold]:smile:", "[bold]:smile:"),
    ],
)
def test_safe(data: bytes, shown: str) -> None:
    assert safe(data) == shown
    assert safe(os.fsdecode(data)) == shown


def test_half_a_surrogate_pair_is_shown_too() -> None:
    assert safe("\ud800") == r"\ud800"


@given(_HOSTILE, _HOSTILE)
def test_safe_text_is_printable_and_different_for_different_bytes(one: bytes, other: bytes) -> None:
    assert safe(one).isprintable()
    assert (safe(one) == safe(other)) == (one == other)
    assert safe_lines(safe(one)) == safe(one)


@given(st.text())
def test_safe_lines_keeps_lines(text: str) -> None:
    assert all(line.isprintable() for line in safe_lines(text).split("\n"))
    assert safe_lines(text).count("\n") == text.count("\n")


@given(_HOSTILE, st.integers(8, 60))
def test_quoted_fits(data: bytes, width: int) -> None:
    shown = quoted(data, width)
    assert cell_len(shown) <= width
    assert shown.startswith('"')
    assert shown.endswith(('"', '"…'))
    if shown.endswith('"'):
        assert shown == quoted(data)


@given(_HOSTILE, st.integers(12, 40))
def test_folded_loses_nothing_and_fits(data: bytes, width: int) -> None:
    lines = folded(data, width, 1000)
    assert "".join(lines) == safe(data)
    assert all(cell_len(line) <= width for line in lines)


def test_folded_is_cut() -> None:
    assert folded(b"a\nb\nc\nd", 10, 3) == ["a\\n", "b\\n", "…"]
    assert folded(b"a\nb\nc", 10, 3) == ["a\\n", "b\\n", "c"]
    assert folded(b"\n" * 10_000, 10, 2) == ["\\n", "…"]


@given(st.text(min_size=1), st.data())
def test_edges_of_text_are_whole_characters(text: str, data: st.DataObject) -> None:
    encoded = text.encode("utf-8", "replace")
    cut = data.draw(st.integers(0, len(encoded)))
    assert encoded.startswith(whole_characters(encoded[:cut]))
    whole_characters(encoded[:cut]).decode("utf-8")
    whole_characters_at_end(encoded[cut:]).decode("utf-8")


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5994, "5.9 KiB"),
        (10 * 1024, "10 KiB"),
        (1024**2 - 1, "1023 KiB"),
        (1024**3, "1.0 GiB"),
        (2**64 - 1, "16 EiB"),
    ],
)
def test_human_bytes(count: int, shown: str) -> None:
    assert human_bytes(count) == shown


@given(st.integers(0, 2**64 - 1))
def test_human_bytes_is_short(count: int) -> None:
    assert len(human_bytes(count)) <= 8


def test_counts() -> None:
    assert exact_bytes(1) == "1 byte"
    assert exact_bytes(5994) == "5,994 bytes (5.9 KiB)"
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(2000, "entry", "entries") == "2,000 entries"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (253_402_300_800, None),
        (2**64 - 1, None),
    ],
)
def test_iso_time(seconds: int, shown: str | None) -> None:
    assert iso_time(seconds) == shown
