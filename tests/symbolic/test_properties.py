"""Properties under the symbolic backend of Hypothesis, each beside a planted bug that it must find.

A property takes the function that it checks. With the real one it must pass; with the
planted one, wrong for one value in billions or at an edge, it must fail: a backend that
cannot look into the code would pass both. docs/symbolic.md says what it cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from faultinject import spans
from kvformat import eviction, layout, rules, utf8
from kvformat.model import Region

symbolically = settings(
    backend="crosshair",
    phases=[Phase.generate],
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
BYTES = st.integers(0, 255)
SIZES = st.integers(0, 2**61)
Function = Callable[..., Any]

RARE = int("78187" + "493520")
"""Where a planted bug sits. No literal: Hypothesis also tries the constants that it finds in the code under test."""


def the_tokens_of_a_whole_head_count(is_whole: Function) -> None:
    """KVC-HEADER-10, and the lengths stay inside the file (KVC-FILE-3)."""

    @symbolically
    @given(head=st.binary(min_size=52, max_size=52))
    def check(head: bytes) -> None:
        if is_whole(head, 1000, 500):
            assert int.from_bytes(head[8:12], "little") > 0
            assert 52 + int.from_bytes(head[48:52], "little") + int.from_bytes(head[40:48], "little") <= 1000

    check()


def _whole_of_any_tokens(head: bytes, total_bytes: int, text_bytes_max: int) -> bool:
    return rules.is_whole(head[:8] + b"\1\0\0\0" + head[12:], total_bytes, text_bytes_max)


def every_byte_of_a_file_has_a_region(regions: Function) -> None:
    """KVC-FILE-2: no gap, and the last one ends where the file does."""

    @symbolically
    @given(text=SIZES, payload=SIZES, tool_map=SIZES, total=SIZES)
    def check(text: int, payload: int, tool_map: int, total: int) -> None:
        found = regions(text_bytes=text, payload_bytes=payload, tool_map_bytes=tool_map, total_bytes=total)
        assert sum(region.size_bytes for region in found) == total

    check()


def _regions_without_a_tail(**sizes: int) -> tuple[Region, ...]:
    found = layout.regions(**sizes)
    return found[:-1] if sizes["payload_bytes"] == RARE else found


def a_cut_character_starts_with_a_lead_byte(cut_bytes: Function) -> None:
    """KVC-TEXT-2: nothing else is a hint."""

    @symbolically
    @given(third=BYTES, second=BYTES, last=BYTES)
    def check(third: int, second: int, last: int) -> None:
        cut = cut_bytes(third, second, last)
        assert cut == 0 or 0xC2 <= (last, second, third)[cut - 1] <= 0xF4

    check()


def _cut_with_f5(third: int, second: int, last: int) -> int:
    return 1 if last == 0xF5 else utf8.cut_bytes(third, second, last)


def a_run_is_inside_a_block_if_its_ends_are(inside_one_block: Function) -> None:
    """KVS-ATOM-1."""

    @symbolically
    @given(offset=SIZES, size_bytes=st.integers(1, 2**40))
    def check(offset: int, size_bytes: int) -> None:
        assert inside_one_block(offset, size_bytes, 512) == (offset % 512 + size_bytes <= 512)

    check()


def _inside_by_size(offset: int, size_bytes: int, block_bytes: int) -> bool:
    return spans.inside_one_block(offset, size_bytes, block_bytes) or offset == RARE


def not_one_file_too_many_goes(removals: Function) -> None:
    """Without the last one that goes the rest is over the budget."""

    @symbolically
    @given(sizes=st.lists(st.integers(0, 2**40), max_size=3), over=st.integers(-(2**40), 2**42))
    def check(sizes: list[int], over: int) -> None:
        count = removals(sizes, over)
        assert count == 0 or sum(sizes[: count - 1]) < over

    check()


def _one_more_at_the_edge(sizes: Sequence[int], over: int) -> int:
    return eviction.removals(sizes, over + 1)


CASES = (
    (the_tokens_of_a_whole_head_count, rules.is_whole, _whole_of_any_tokens),
    (every_byte_of_a_file_has_a_region, layout.regions, _regions_without_a_tail),
    (a_cut_character_starts_with_a_lead_byte, utf8.cut_bytes, _cut_with_f5),
    (a_run_is_inside_a_block_if_its_ends_are, spans.inside_one_block, _inside_by_size),
    (not_one_file_too_many_goes, eviction.removals, _one_more_at_the_edge),
)
NAMES = [holds.__name__ for holds, _, _ in CASES]


@pytest.mark.parametrize(("holds", "real"), [case[:2] for case in CASES], ids=NAMES)
def test_the_property_holds(holds: Callable[[Function], None], real: Function) -> None:
    holds(real)


@pytest.mark.parametrize(("holds", "planted"), [(case[0], case[2]) for case in CASES], ids=NAMES)
def test_a_planted_bug_is_seen(holds: Callable[[Function], None], planted: Function) -> None:
    with pytest.raises(AssertionError):
        holds(planted)
