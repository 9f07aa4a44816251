"""Strategies for the parts of a file: headers, texts, tool maps, titles, sections, and what a reader is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from kvformat import layout
from kvformat.limits import Limits
from kvformat.model import Extension, Header, ToolEntry
from kvformat.profiles import AUTO, PROFILES
from kvformat.testing.arguments import check_range

_Value = TypeVar("_Value")

_U8 = st.integers(0, layout.U8_MAX)
_U32 = st.integers(0, layout.U32_MAX)
_U64 = st.integers(0, layout.U64_MAX)
_RESERVED = st.binary(min_size=layout.RESERVED_BYTES, max_size=layout.RESERVED_BYTES)


def profiles(*, auto: bool = False) -> st.SearchStrategy[str]:
    """Names of profiles (KVC-PROFILE-1); with `auto` also "auto", as a reader is told (KVC-PROFILE-2)."""
    return st.sampled_from([AUTO, *sorted(PROFILES)] if auto else sorted(PROFILES))


def limits(*, min_text_bytes: int = 0, max_text_bytes: int = 2**20) -> st.SearchStrategy[Limits]:
    """What a reader is willing to hold: its limit for a text lies between the two (KVC-LIMIT-3)."""
    check_range("text_bytes", min_text_bytes, max_text_bytes, ceiling=layout.U32_MAX)
    return st.builds(
        Limits,
        text_bytes_max=st.integers(min_text_bytes, max_text_bytes),
        memory_bytes_max=st.just(Limits().memory_bytes_max),
    )


def raw_headers() -> st.SearchStrategy[Header]:
    """Any header whose values fit their fields, most of them no good to a reader (KVC-FILE-1)."""
    return st.builds(
        Header,
        quantisation_bits=_U8,
        reason=_U8,
        flags=_U8,
        byte7=_U8,
        tokens=_U32,
        hits=_U32,
        context_tokens=_U32,
        byte20=_U8,
        reserved=_RESERVED,
        created=_U64,
        last_used=_U64,
        payload_bytes=_U64,
    )


def headers(*, min_payload_bytes: int = 0, max_payload_bytes: int = 2**40) -> st.SearchStrategy[Header]:
    """Headers that a reader takes under "auto", reserved bytes, unknown flags and reasons included."""
    check_range("payload_bytes", min_payload_bytes, max_payload_bytes, ceiling=layout.U64_MAX)
    return st.builds(
        Header,
        quantisation_bits=st.sampled_from(layout.QUANTISATION_BITS),
        reason=_U8,
        flags=_U8,
        byte7=_U8,
        tokens=st.integers(1, layout.U32_MAX),
        hits=_U32,
        context_tokens=_U32,
        byte20=st.sampled_from([profile.payload_abi for profile in PROFILES.values()]),
        reserved=_RESERVED,
        created=_U64,
        last_used=_U64,
        payload_bytes=st.integers(min_payload_bytes, max_payload_bytes),
    )


def _near(*borders: int, most: int) -> st.SearchStrategy[int]:
    """Each border, the value before and the value behind it, and both ends of the field."""
    values = {0, most, *(border + step for border in borders for step in (-1, 0, 1))}
    return st.sampled_from(sorted(value for value in values if 0 <= value <= most))


def boundary_headers(*, text_bytes: int = 0) -> st.SearchStrategy[Header]:
    """Headers all of whose values stand at a border of their field or beside it, on both sides.

    `text_bytes` is the text that goes with it: the largest payload depends on it (KVC-FILE-4).
    """
    check_range("text_bytes", text_bytes, text_bytes, ceiling=layout.U32_MAX)
    seconds = _near(2**31, 2**32, 2**63, most=layout.U64_MAX)
    counts = _near(1, 2**31, most=layout.U32_MAX)
    largest = layout.FILE_BYTES_MAX - layout.payload_offset(text_bytes)
    return st.builds(
        Header,
        quantisation_bits=_near(*layout.QUANTISATION_BITS, most=layout.U8_MAX),
        reason=_near(layout.REASON_MAX, most=layout.U8_MAX),
        flags=_near(*Extension, layout.KNOWN_FLAGS, 2**7, most=layout.U8_MAX),
        byte7=_near(most=layout.U8_MAX),
        tokens=counts,
        hits=counts,
        context_tokens=counts,
        byte20=_near(*(profile.payload_abi for profile in PROFILES.values()), most=layout.U8_MAX),
        reserved=st.sampled_from([bytes(layout.RESERVED_BYTES), b"\xff" * layout.RESERVED_BYTES]),
        created=seconds,
        last_used=seconds,
        payload_bytes=_near(1, 2**32, 2**63, largest, most=layout.U64_MAX),
    )


def texts(*, min_bytes: int = 0, max_bytes: int = 200) -> st.SearchStrategy[bytes]:
    """Texts: UTF-8, UTF-8 cut inside a character, and bytes that are neither (KVC-TEXT-2)."""
    check_range("bytes", min_bytes, max_bytes)
    written = st.text(min_size=min_bytes, max_size=max_bytes)  # a character has at least one byte
    return st.one_of(
        written.map(lambda text: text.encode("utf-8", "surrogatepass")[:max_bytes]),
        st.binary(min_size=min_bytes, max_size=max_bytes),
    )


def tool_maps(
    *,
    min_entries: int = 0,
    max_entries: int = 4,
    min_id_bytes: int = 1,
    max_id_bytes: int = 20,
    min_block_bytes: int = 1,
    max_block_bytes: int = 60,
) -> st.SearchStrategy[tuple[ToolEntry, ...]]:
    """Tool maps, at times with several entries of one id (KVC-TOOLMAP-3, -4, -5, -8)."""
    check_range("entries", min_entries, max_entries, ceiling=layout.TOOL_MAP_COUNT_MAX)
    check_range("id_bytes", min_id_bytes, max_id_bytes, floor=1, ceiling=layout.TOOL_ID_BYTES_MAX)
    check_range("block_bytes", min_block_bytes, max_block_bytes, floor=1, ceiling=layout.TOOL_BLOCK_BYTES_MAX)
    entry = st.builds(
        ToolEntry,
        id=st.binary(min_size=min_id_bytes, max_size=max_id_bytes),
        block=st.binary(min_size=min_block_bytes, max_size=max_block_bytes),
    )
    return st.lists(entry, min_size=min_entries, max_size=max_entries).map(tuple)


def titles(*, min_bytes: int = 0, max_bytes: int = 40) -> st.SearchStrategy[bytes]:
    """Session titles (KVC-TITLE-1)."""
    check_range("bytes", min_bytes, max_bytes, ceiling=layout.TITLE_BYTES_MAX)
    return texts(min_bytes=min_bytes, max_bytes=max_bytes)


@dataclass(frozen=True, slots=True)
class Sections:
    """What stands behind a payload. `unknown_flags` are those of bits 4 to 7 that announce the `trailing` bytes."""

    tool_map: tuple[ToolEntry, ...] | None = None
    title: bytes | None = None
    unknown_flags: int = 0
    trailing: bytes = b""

    @property
    def flags(self) -> int:
        """The flag bits that go with these sections (KVC-HEADER-5)."""
        tool_map = 0 if self.tool_map is None else Extension.TOOL_MAP
        title = 0 if self.title is None else Extension.SESSION_TITLE
        return self.unknown_flags | tool_map | title

    @property
    def data(self) -> bytes:
        """The bytes, in the order of the bits (KVC-FILE-2)."""
        data = b""
        if self.tool_map is not None:
            data += layout.TOOL_MAP_MAGIC + bytes((layout.TOOL_MAP_VERSION,)) + u32(len(self.tool_map))
            for tool in self.tool_map:
                data += u32(len(tool.id)) + u32(len(tool.block)) + tool.id + tool.block
        if self.title is not None:
            data += u32(len(self.title)) + self.title
        return data + self.trailing


def sections(
    *,
    tool_map: bool | None = None,
    title: bool | None = None,
    min_tool_entries: int = 0,
    max_tool_entries: int = 4,
    max_title_bytes: int = 40,
    unknown_flags: bool = False,
    min_trailing_bytes: int = 0,
    max_trailing_bytes: int = 0,
) -> st.SearchStrategy[Sections]:
    """Sections of a good file; `tool_map`, `title`: whether there is one, None for either.

    Trailing bytes belong to nothing (KVC-FILE-5); with `unknown_flags` they are at times those of a bit that this
    version does not know, and an update must keep them.
    """
    check_range("trailing_bytes", min_trailing_bytes, max_trailing_bytes)
    tools = tool_maps(min_entries=min_tool_entries, max_entries=max_tool_entries)
    unknown = st.integers(0, 15).map(lambda bits: bits << 4) if unknown_flags else st.just(0)
    return st.builds(
        Sections,
        tool_map=_some(tools, tool_map),
        title=_some(titles(max_bytes=max_title_bytes), title),
        unknown_flags=unknown,
        trailing=st.binary(min_size=min_trailing_bytes, max_size=max_trailing_bytes),
    )


def _some(values: st.SearchStrategy[_Value], wanted: bool | None) -> st.SearchStrategy[_Value | None]:
    if wanted is None:
        return st.none() | values
    return values if wanted else st.none()


def u32(value: int) -> bytes:
    """As the file has it (KVC-FILE-1)."""
    return value.to_bytes(4, "little")
