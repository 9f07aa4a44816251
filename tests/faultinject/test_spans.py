"""Runs of bytes against sets of bytes: what the contracts of `faultinject.spans` prove for two spans, for many."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from faultinject.spans import Span, clip, first_block, inside_one_block, intersect, overlap

SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda one: (one[0], one[0] + one[1])), max_size=6
)


def bytes_of(spans: list[Span]) -> set[int]:
    return {byte for start, end in spans for byte in range(start, end)}


@given(spans=SPANS, start=st.integers(0, 30), size=st.integers(1, 40))
def test_clipped_spans_hold_the_bytes_inside_and_are_apart(spans: list[Span], start: int, size: int) -> None:
    clipped = clip(spans, start, start + size)
    assert bytes_of(clipped) == bytes_of(spans) & set(range(start, start + size))
    assert all(left[1] < right[0] for left, right in pairwise(clipped))


@given(one=SPANS, other=SPANS)
def test_the_intersection_holds_the_bytes_of_both_once(one: list[Span], other: list[Span]) -> None:
    one, other = clip(one, 0, 50), clip(other, 0, 50)
    common = intersect(one, other)
    assert bytes_of(common) == bytes_of(one) & bytes_of(other)
    assert sum(end - start for start, end in common) == len(bytes_of(common))


@given(SPANS.filter(bool), SPANS.filter(bool))
def test_spans_overlap_exactly_where_they_share_a_byte(one: list[Span], other: list[Span]) -> None:
    shared = bytes_of(one[:1]) & bytes_of(other[:1])
    assert overlap(one[0], other[0]) == ((min(shared), max(shared) + 1) if shared else None)


@given(offset=st.integers(0, 2**40), size=st.integers(1, 5000), block=st.integers(1, 4096))
def test_a_run_goes_block_by_block_to_its_end(offset: int, size: int, block: int) -> None:
    """KVS-ATOM-1: it takes one step exactly where it is inside one block."""
    position, end, steps = offset, offset + size, 0
    while position < end and steps < 9:
        index, start, stop = first_block(position, end, block)
        assert index * block + start == position
        position, steps = index * block + stop, steps + 1
    assert position == end or steps == 9
    assert (steps == 1) == inside_one_block(offset, size, block)
