"""Where two contents begin to differ."""

from __future__ import annotations


def common_bytes(one: bytes, other: bytes) -> int:
    """How many bytes at the beginning are the same, found by halves: byte by byte would be far too slow."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:  # the first `low` bytes are the same, the first `high` are not
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
