"""Runs of bytes as plain integers: which of them overlap, and which blocks they touch.

Nothing here knows a file or a fault, so that tools/symbolic.py can prove the `post:` lines
over all paths. A span is [start, end) and holds at least one byte.
"""

from __future__ import annotations

Span = tuple[int, int]


def overlap(one: Span, other: Span) -> Span | None:
    """The bytes of both, None exactly where they share none.

    pre: one[0] < one[1] and other[0] < other[1]
    post: (__return__ is None) == (one[1] <= other[0] or other[1] <= one[0])
    post: __return__ is None or __return__ == (max(one[0], other[0]), min(one[1], other[1]))
    """
    start, end = max(one[0], other[0]), min(one[1], other[1])
    return (start, end) if start < end else None


def _held(start: int, end: int, spans: list[Span]) -> bool:
    """Whether one of the spans has all bytes of [start, end); only contracts call it."""
    return any(a <= start and end <= b for a, b in spans)


def clip(spans: list[Span], start: int, end: int) -> list[Span]:
    """The spans inside [start, end), joined and in order.

    pre: start < end and len(spans) <= 2
    pre: all(a < b for a, b in spans)
    post: all(start <= a < b <= end for a, b in __return__)
    post: all(left[1] < right[0] for left, right in zip(__return__, __return__[1:]))
    post: all(b <= start or end <= a or _held(max(a, start), min(b, end), __return__) for a, b in spans)
    post: all(any(c == max(a, start) for a, _ in spans) for c, _ in __return__)
    post: all(any(d == min(b, end) for _, b in spans) for _, d in __return__)
    """
    joined: list[Span] = []
    for a, b in sorted(part for span in spans if (part := overlap(span, (start, end)))):
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(b, joined[-1][1]))
        else:
            joined.append((a, b))
    return joined


def intersect(one: list[Span], other: list[Span]) -> list[Span]:
    """The bytes that are in both lists, each of which is joined and in order.

    pre: len(one) <= 1 and len(other) <= 2
    pre: all(a < b for a, b in one + other)
    post: all(_held(c, d, one) and _held(c, d, other) for c, d in __return__)
    post: len(__return__) == sum(overlap(a, b) is not None for a in one for b in other)
    """
    return [part for a in one for b in other if (part := overlap(a, b))]


def inside_one_block(offset: int, size_bytes: int, block_bytes: int) -> bool:
    """Whether all bytes of a run of at least one byte lie in one aligned block (KVS-ATOM-1).

    pre: offset >= 0 and size_bytes > 0 and block_bytes > 0
    post: __return__ == (offset % block_bytes + size_bytes <= block_bytes)
    """
    return offset // block_bytes == (offset + size_bytes - 1) // block_bytes


def first_block(offset: int, end: int, block_bytes: int) -> tuple[int, int, int]:
    """The block in which [offset, end) starts, and from where to where in the block its bytes there are.

    pre: 0 <= offset < end and block_bytes > 0
    post: 0 <= __return__[1] < __return__[2] <= block_bytes
    post: __return__[0] * block_bytes + __return__[1] == offset
    post: __return__[0] * block_bytes + __return__[2] == min(end, (offset // block_bytes + 1) * block_bytes)
    """
    index, start = divmod(offset, block_bytes)
    return index, start, min(block_bytes, end - index * block_bytes)
