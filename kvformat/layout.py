"""Where everything in a KVC file is, and the header codec, on plain integers.

This is the part that the symbolic checker sees: slices and `int.from_bytes`, no struct,
no construct, no streams. The `pre:` and `post:` lines are contracts which
tools/symbolic.py proves over all paths; tests prove this codec equal to
`kvformat.schema` on all inputs. Nothing here judges values: that is `kvformat.rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvformat.model import Header, Region

MAGIC = b"KVC"  # KVC-HEADER-1
VERSION = 1  # KVC-HEADER-2
HEADER_BYTES = 48  # KVC-FILE-2
TEXT_OFFSET = 52  # KVC-FILE-3: header and text byte count, the smallest file

VERSION_OFFSET = 3  # KVC-HEADER-2
QUANTISATION_OFFSET = 4  # KVC-HEADER-3
TOKENS_OFFSET = 8  # KVC-HEADER-10
HITS_OFFSET = 12  # KVC-HEADER-11
BYTE20_OFFSET = 20  # KVC-HEADER-13
LAST_USED_OFFSET = 32  # KVC-HEADER-16
PAYLOAD_BYTES_OFFSET = 40  # KVC-HEADER-17
TEXT_BYTES_OFFSET = 48  # KVC-TEXT-1

QUANTISATION_BITS = (2, 4)  # KVC-HEADER-3
REASON_MAX = 6  # KVC-HEADER-4
KNOWN_FLAGS = 15  # KVC-HEADER-5
RESERVED_BYTES = 3  # KVC-HEADER-14

TOOL_MAP_MAGIC = b"KTM"  # KVC-TOOLMAP-1
TOOL_MAP_VERSION = 1  # KVC-TOOLMAP-2
TOOL_MAP_COUNT_MAX = 400_000  # KVC-TOOLMAP-3
TOOL_MAP_HEAD_BYTES = 8  # KVC-TOOLMAP-1..3: magic, version, count
TOOL_ENTRY_HEAD_BYTES = 8  # KVC-TOOLMAP-4, KVC-TOOLMAP-5: the two lengths
TOOL_ID_BYTES_MAX = 256  # KVC-TOOLMAP-4
TOOL_BLOCK_BYTES_MAX = 512 * 1024 * 1024  # KVC-TOOLMAP-5
TITLE_LENGTH_BYTES = 4  # KVC-TITLE-1
TITLE_BYTES_MAX = 64 * 1024  # KVC-TITLE-3

U8_MAX = 2**8 - 1
U32_MAX = 2**32 - 1  # KVC-HEADER-10..12, KVC-TEXT-1
U64_MAX = 2**64 - 1  # KVC-HEADER-15..17
FILE_BYTES_MAX = 2**63 - 1  # KVC-FILE-4: the largest file offset

Fields = tuple[int, int, int, int, int, int, int, int, bytes, int, int, int]
"""The fields of `Header` in its order, which is the order of the file."""

REGION_NAMES = ("header", "text_length", "text", "payload", "tool_map", "title", "trailing")
"""The names of regions, in file order (KVC-FILE-2)."""

_ALWAYS_A_REGION = ("text", "payload")

_FIELD_MAX = (
    ("quantisation_bits", U8_MAX),
    ("reason", U8_MAX),
    ("flags", U8_MAX),
    ("byte7", U8_MAX),
    ("tokens", U32_MAX),
    ("hits", U32_MAX),
    ("context_tokens", U32_MAX),
    ("byte20", U8_MAX),
    ("created", U64_MAX),
    ("last_used", U64_MAX),
    ("payload_bytes", U64_MAX),
)


def decode_header(head: bytes) -> Header:
    """The fields of the first 48 bytes as they are; magic, version and values are not looked at.

    Raises ValueError where `head` has fewer than 48 bytes (KVC-FILE-2).
    """
    if len(head) < HEADER_BYTES:
        raise ValueError(f"a header has {HEADER_BYTES} bytes, here are {len(head)}")
    return Header(*decode_fields(head))


def encode_header(header: Header) -> bytes:
    """The 48 bytes of `header`, always with the magic and version of this format.

    Raises ValueError where a value does not fit its field (KVC-FILE-1, KVC-FILE-2).
    """
    for name, value_max in _FIELD_MAX:
        value = getattr(header, name)
        if not 0 <= value <= value_max:
            raise ValueError(f"header.{name} is {value}, its field holds 0 to {value_max}")
    if len(header.reserved) != RESERVED_BYTES:
        raise ValueError(f"header.reserved has {len(header.reserved)} bytes, its field has {RESERVED_BYTES}")
    return encode_fields(
        header.quantisation_bits,
        header.reason,
        header.flags,
        header.byte7,
        header.tokens,
        header.hits,
        header.context_tokens,
        header.byte20,
        header.reserved,
        header.created,
        header.last_used,
        header.payload_bytes,
    )


def decode_text_bytes(head: bytes) -> int:
    """The text byte count at offset 48 (KVC-TEXT-1).

    Raises ValueError where `head` has fewer than 52 bytes.

    raises: ValueError
    post: __return__ == sum(head[48 + i] * 256**i for i in range(4))
    """
    if len(head) < TEXT_OFFSET:
        raise ValueError(f"the text byte count ends at {TEXT_OFFSET}, here are {len(head)} bytes")
    return int.from_bytes(head[48:52], "little")


def decode_fields(head: bytes) -> Fields:
    """The integers of the first 48 bytes, in file order (KVC-FILE-1, KVC-HEADER-3..17).

    pre: len(head) >= 48
    post: __return__[:4] == (head[4], head[5], head[6], head[7])
    post: __return__[4] == sum(head[8 + i] * 256**i for i in range(4))
    post: __return__[5] == sum(head[12 + i] * 256**i for i in range(4))
    post: __return__[6] == sum(head[16 + i] * 256**i for i in range(4))
    post: __return__[7] == head[20] and __return__[8] == head[21:24]
    post: __return__[9] == sum(head[24 + i] * 256**i for i in range(8))
    post: __return__[10] == sum(head[32 + i] * 256**i for i in range(8))
    post: __return__[11] == sum(head[40 + i] * 256**i for i in range(8))
    """
    return (
        head[4],
        head[5],
        head[6],
        head[7],
        int.from_bytes(head[8:12], "little"),
        int.from_bytes(head[12:16], "little"),
        int.from_bytes(head[16:20], "little"),
        head[20],
        head[21:24],
        int.from_bytes(head[24:32], "little"),
        int.from_bytes(head[32:40], "little"),
        int.from_bytes(head[40:48], "little"),
    )


def encode_fields(
    quantisation_bits: int,
    reason: int,
    flags: int,
    byte7: int,
    tokens: int,
    hits: int,
    context_tokens: int,
    byte20: int,
    reserved: bytes,
    created: int,
    last_used: int,
    payload_bytes: int,
) -> bytes:
    """The 48 header bytes of these fields (KVC-FILE-1, KVC-HEADER-1..17).

    pre: 0 <= quantisation_bits <= 255 and 0 <= reason <= 255 and 0 <= flags <= 255 and 0 <= byte7 <= 255
    pre: 0 <= tokens <= U32_MAX and 0 <= hits <= U32_MAX and 0 <= context_tokens <= U32_MAX
    pre: 0 <= byte20 <= 255 and len(reserved) == 3
    pre: 0 <= created <= U64_MAX and 0 <= last_used <= U64_MAX and 0 <= payload_bytes <= U64_MAX
    post: len(__return__) == 48
    post: __return__[:8] == b"KVC\x01" + bytes((quantisation_bits, reason, flags, byte7))
    post: all(__return__[8 + i] == tokens // 256**i % 256 for i in range(4))
    post: all(__return__[12 + i] == hits // 256**i % 256 for i in range(4))
    post: all(__return__[16 + i] == context_tokens // 256**i % 256 for i in range(4))
    post: __return__[20] == byte20 and __return__[21:24] == reserved
    post: all(__return__[24 + i] == created // 256**i % 256 for i in range(8))
    post: all(__return__[32 + i] == last_used // 256**i % 256 for i in range(8))
    post: all(__return__[40 + i] == payload_bytes // 256**i % 256 for i in range(8))
    """
    return (
        MAGIC
        + bytes((VERSION, quantisation_bits, reason, flags, byte7))
        + tokens.to_bytes(4, "little")
        + hits.to_bytes(4, "little")
        + context_tokens.to_bytes(4, "little")
        + bytes((byte20,))
        + reserved
        + created.to_bytes(8, "little")
        + last_used.to_bytes(8, "little")
        + payload_bytes.to_bytes(8, "little")
    )


def payload_offset(text_bytes: int) -> int:
    """The offset of the payload's first byte (KVC-FILE-2).

    pre: text_bytes >= 0
    post: __return__ == 52 + text_bytes
    """
    return TEXT_OFFSET + text_bytes


def file_bytes(text_bytes: int, payload_bytes: int, sections_bytes: int) -> int | None:
    """The size of the whole file, None where it is over the largest file offset (KVC-FILE-4, KVC-LIMIT-2).

    pre: text_bytes >= 0 and payload_bytes >= 0 and sections_bytes >= 0
    post: (__return__ is None) == (52 + text_bytes + payload_bytes + sections_bytes >= 2**63)
    post: __return__ is None or __return__ == 52 + text_bytes + payload_bytes + sections_bytes
    """
    size_bytes = TEXT_OFFSET + text_bytes + payload_bytes + sections_bytes
    return None if size_bytes > FILE_BYTES_MAX else size_bytes


def tool_entry_bytes(id_bytes: int, block_bytes: int) -> int:
    """The size of one tool map entry with its two lengths (KVC-TOOLMAP-4, KVC-TOOLMAP-5).

    pre: id_bytes >= 0 and block_bytes >= 0
    post: __return__ == 4 + 4 + id_bytes + block_bytes
    """
    return TOOL_ENTRY_HEAD_BYTES + id_bytes + block_bytes


def tool_map_bytes(lengths: Iterable[tuple[int, int]]) -> int:
    """The size of a tool map section whose entries have these (id, block) byte counts (KVC-TOOLMAP-1..5)."""
    return TOOL_MAP_HEAD_BYTES + sum(tool_entry_bytes(id_bytes, block_bytes) for id_bytes, block_bytes in lengths)


def title_section_bytes(title_bytes: int) -> int:
    """The size of the title section with its length (KVC-TITLE-1).

    pre: title_bytes >= 0
    post: __return__ == 4 + title_bytes
    """
    return TITLE_LENGTH_BYTES + title_bytes


def region_bounds(
    text_bytes: int, payload_bytes: int, tool_map_bytes: int, title_bytes: int, total_bytes: int
) -> tuple[int, ...]:
    """Eight offsets: region number n of `REGION_NAMES` is [bounds[n], bounds[n + 1]) (KVC-FILE-2).

    Where the file is shorter than its lengths claim, offsets stop at its end.

    pre: text_bytes >= 0 and payload_bytes >= 0 and tool_map_bytes >= 0 and title_bytes >= 0
    pre: total_bytes >= 0
    post: len(__return__) == 8 and __return__[0] == 0 and __return__[7] == total_bytes
    post: all(a <= b for a, b in zip(__return__, __return__[1:]))
    post: total_bytes < 52 + text_bytes or __return__[1:4] == (48, 52, 52 + text_bytes)
    post: total_bytes < 52 + text_bytes + payload_bytes or __return__[4] - __return__[3] == payload_bytes
    post: total_bytes < __return__[4] + tool_map_bytes or __return__[5] - __return__[4] == tool_map_bytes
    post: total_bytes < __return__[5] + title_bytes or __return__[6] - __return__[5] == title_bytes
    """
    text_end = TEXT_OFFSET + text_bytes
    payload_end = text_end + payload_bytes
    tool_map_end = payload_end + tool_map_bytes
    title_end = tool_map_end + title_bytes
    ends = (0, HEADER_BYTES, TEXT_OFFSET, text_end, payload_end, tool_map_end, title_end)
    return (*(min(end, total_bytes) for end in ends), total_bytes)


def regions(
    *,
    text_bytes: int,
    payload_bytes: int,
    tool_map_bytes: int = 0,
    title_bytes: int = 0,
    total_bytes: int | None = None,
) -> tuple[Region, ...]:
    """The regions of a file in file order, without gaps (KVC-FILE-2).

    `tool_map_bytes` and `title_bytes` are whole sections, 0 where there is none.
    `total_bytes` is the size of the file, None for exactly what the lengths call for: a
    larger one adds "trailing", a smaller one cuts regions off. Empty regions are left out,
    but for the text and the payload. Raises ValueError for a negative size.
    """
    if min(text_bytes, payload_bytes, tool_map_bytes, title_bytes, total_bytes or 0) < 0:
        raise ValueError("a size is negative")
    if total_bytes is None:
        total_bytes = TEXT_OFFSET + text_bytes + payload_bytes + tool_map_bytes + title_bytes
    bounds = region_bounds(text_bytes, payload_bytes, tool_map_bytes, title_bytes, total_bytes)
    named = zip(REGION_NAMES, bounds, bounds[1:], strict=False)
    return tuple(
        Region(name, start, end - start) for name, start, end in named if end > start or name in _ALWAYS_A_REGION
    )


def region_at(regions: Sequence[Region], offset: int) -> str | None:
    """The name of the region that holds the byte at `offset`, None where none does (KVC-FILE-2).

    pre: len(regions) <= 2
    post: __return__ == next((r.name for r in regions if r.offset <= offset < r.offset + r.size_bytes), None)
    """
    for region in regions:
        if region.offset <= offset < region.end:
            return region.name
    return None


def bytes_left(size_bytes: int, offset: int) -> int:
    """How many bytes a run of `size_bytes` has from `offset` on, 0 behind its end.

    pre: offset >= 0 and size_bytes >= 0
    post: __return__ == (size_bytes - offset if offset < size_bytes else 0)
    """
    return max(0, size_bytes - offset)


def readable_bytes(wanted_bytes: int, size_bytes: int, position: int) -> int:
    """How many of `wanted_bytes` a read at `position` of a run gets: never one behind its end (KVC-PAYLOAD-1).

    pre: wanted_bytes >= 0 and size_bytes >= 0 and position >= 0
    post: 0 <= __return__ <= wanted_bytes
    post: __return__ == 0 or position + __return__ <= size_bytes
    post: __return__ == wanted_bytes or position + __return__ >= size_bytes
    """
    return min(wanted_bytes, bytes_left(size_bytes, position))
