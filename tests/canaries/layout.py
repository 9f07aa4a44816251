"""False statements about `kvformat.layout`."""

from __future__ import annotations

from kvformat import layout


def tokens_are_never_this(head: bytes) -> int:
    """Decodes the token count. Breaks KVC-HEADER-10.

    pre: len(head) == 48
    post: __return__ != 0x01020304
    """
    return layout.decode_fields(head)[4]


def hits_are_stored_big_endian(hits: int) -> bytes:
    """Encodes a hit count. Breaks KVC-FILE-1.

    pre: 0 <= hits < 2**32
    post: __return__[12] == hits // 2**24
    """
    return layout.encode_fields(2, 0, 0, 0, 1, hits, 0, 0, b"abc", 0, 0, 0)


def every_sum_is_a_file_size(payload_bytes: int) -> int | None:
    """Adds sizes. Breaks KVC-FILE-4 and KVC-LIMIT-2.

    pre: 0 <= payload_bytes < 2**64
    post: __return__ is not None
    """
    return layout.file_bytes(0, payload_bytes, 0)


def text_is_never_cut(text_bytes: int, total_bytes: int) -> tuple[int, ...]:
    """Bounds of the regions of a file that may be too short. Breaks KVC-FILE-3.

    pre: text_bytes >= 0 and total_bytes >= 52
    post: __return__[3] == 52 + text_bytes
    """
    return layout.region_bounds(text_bytes, 0, 0, 0, total_bytes)
