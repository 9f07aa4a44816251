"""False statements about `kvformat.eviction`."""

from __future__ import annotations

from collections.abc import Sequence

from kvformat import eviction


def what_goes_fits_exactly(sizes_bytes: Sequence[int]) -> int:
    """Says that never more is freed than was asked for.

    pre: len(sizes_bytes) == 2 and all(size >= 0 for size in sizes_bytes)
    post: sum(sizes_bytes[:__return__]) <= 10
    """
    return eviction.removals(sizes_bytes, 10)


def a_removal_always_suffices(sizes_bytes: Sequence[int]) -> int:
    """Says that the budget is always met.

    pre: len(sizes_bytes) <= 2 and all(size >= 0 for size in sizes_bytes)
    post: sum(sizes_bytes[:__return__]) >= 10
    """
    return eviction.removals(sizes_bytes, 10)
