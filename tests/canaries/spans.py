"""False statements about `faultinject.spans`."""

from __future__ import annotations

from faultinject import spans


def neighbours_overlap(one: spans.Span, other: spans.Span) -> spans.Span | None:
    """Says that spans which only touch share a byte.

    pre: one[0] < one[1] and other[0] < other[1]
    post: (__return__ is None) == (one[1] < other[0] or other[1] < one[0])
    """
    return spans.overlap(one, other)


def clipping_never_joins(some: list[spans.Span]) -> list[spans.Span]:
    """Says that two spans stay two.

    pre: len(some) == 2 and all(0 <= a < b <= 99 for a, b in some)
    post: len(__return__) == 2
    """
    return spans.clip(some, 0, 99)


def clipping_never_drops(some: list[spans.Span]) -> list[spans.Span]:
    """Says that a span outside leaves something.

    pre: len(some) == 1 and all(a < b for a, b in some)
    post: len(__return__) == 1
    """
    return spans.clip(some, 0, 99)


def one_span_meets_one(one: list[spans.Span], other: list[spans.Span]) -> list[spans.Span]:
    """Says that a span overlaps at most one of two.

    pre: len(one) <= 1 and len(other) <= 2 and all(a < b for a, b in one + other)
    post: len(__return__) <= 1
    """
    return spans.intersect(one, other)


def small_runs_are_inside(offset: int, size_bytes: int) -> bool:
    """Says that what is no longer than a block lies in one. Breaks KVS-ATOM-1.

    pre: offset >= 0 and 0 < size_bytes <= 512
    post: __return__
    """
    return spans.inside_one_block(offset, size_bytes, 512)


def a_block_is_filled(offset: int, end: int) -> tuple[int, int, int]:
    """Says that a run goes on to the end of its block.

    pre: 0 <= offset < end
    post: __return__[2] == 4096
    """
    return spans.first_block(offset, end, 4096)
