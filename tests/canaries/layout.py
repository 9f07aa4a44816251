"""False statements about `kvformat.layout`."""

from __future__ import annotations

from collections.abc import Sequence

from kvformat import layout
from kvformat.model import Region


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


def the_last_byte_belongs_to_nobody(regions: Sequence[Region], offset: int) -> str | None:
    """Says that a region ends one byte early.

    pre: len(regions) == 1 and offset == regions[0].offset + regions[0].size_bytes - 1
    post: __return__ is None
    """
    return layout.region_at(regions, offset)


def something_is_left_at_the_end(size_bytes: int) -> int:
    """Says that the byte behind the end counts.

    pre: size_bytes >= 0
    post: __return__ > 0
    """
    return layout.bytes_left(size_bytes, size_bytes)


def reads_are_never_short(wanted_bytes: int, position: int) -> int:
    """Says that a read in the run gets all it wants.

    pre: wanted_bytes >= 0 and 0 <= position < 1000
    post: __return__ == wanted_bytes
    """
    return layout.readable_bytes(wanted_bytes, 1000, position)
