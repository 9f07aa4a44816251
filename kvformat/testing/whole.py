"""Strategies for good files and their parts.

Bytes are put together here without the writer of this package, so that it can be tested
with them too.
"""

from __future__ import annotations

from hypothesis import strategies as st

from kvformat import layout
from kvformat.model import Entry, Extension, Header, ToolEntry
from kvformat.profiles import PROFILES

_U8 = st.integers(0, layout.U8_MAX)
_U32 = st.integers(0, layout.U32_MAX)
_U64 = st.integers(0, layout.U64_MAX)


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
        reserved=st.binary(min_size=layout.RESERVED_BYTES, max_size=layout.RESERVED_BYTES),
        created=_U64,
        last_used=_U64,
        payload_bytes=_U64,
    )


def headers(*, min_payload_bytes: int = 0, max_payload_bytes: int = 2**40) -> st.SearchStrategy[Header]:
    """Headers that a reader takes under "auto", reserved bytes, unknown flags and reasons included."""
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
        reserved=st.binary(min_size=layout.RESERVED_BYTES, max_size=layout.RESERVED_BYTES),
        created=_U64,
        last_used=_U64,
        payload_bytes=st.integers(min_payload_bytes, max_payload_bytes),
    )


def texts(*, min_bytes: int = 0, max_bytes: int = 200) -> st.SearchStrategy[bytes]:
    """Texts: UTF-8, UTF-8 cut inside a character, and bytes that are neither (KVC-TEXT-2)."""
    written = st.text(max_size=max_bytes).map(lambda text: text.encode("utf-8", "surrogatepass")[:max_bytes])
    return st.one_of(
        written.filter(lambda text: len(text) >= min_bytes),
        st.binary(min_size=min_bytes, max_size=max_bytes),
    )


def tool_maps(
    *, min_entries: int = 0, max_entries: int = 4, max_id_bytes: int = 20, max_block_bytes: int = 60
) -> st.SearchStrategy[tuple[ToolEntry, ...]]:
    """Tool maps, at times with several entries of one id (KVC-TOOLMAP-3, -4, -5, -8)."""
    entry = st.builds(
        ToolEntry,
        id=st.binary(min_size=1, max_size=max_id_bytes),
        block=st.binary(min_size=1, max_size=max_block_bytes),
    )
    return st.lists(entry, min_size=min_entries, max_size=max_entries).map(tuple)


def titles(*, min_bytes: int = 0, max_bytes: int = 40) -> st.SearchStrategy[bytes]:
    """Session titles (KVC-TITLE-1)."""
    return texts(min_bytes=min_bytes, max_bytes=max_bytes)


@st.composite
def entries(
    draw: st.DrawFn,
    *,
    profile: str | None = None,
    min_text_bytes: int = 0,
    max_text_bytes: int = 200,
    min_tool_entries: int = 0,
    max_tool_entries: int = 4,
    tool_map: bool | None = None,
    title: bool | None = None,
) -> Entry:
    """Entries that a writer takes, with times; `tool_map`, `title`: whether there is one, None for either."""
    chosen = PROFILES[draw(st.sampled_from(sorted(PROFILES)) if profile is None else st.just(profile))]
    with_tool_map = draw(st.booleans()) if tool_map is None else tool_map
    with_title = draw(st.booleans()) if title is None else title
    tools = tool_maps(min_entries=min_tool_entries, max_entries=max_tool_entries)
    return Entry(
        text=draw(texts(min_bytes=min_text_bytes, max_bytes=max_text_bytes)),
        tokens=draw(st.integers(1, layout.U32_MAX)),
        quantisation_bits=draw(st.sampled_from(layout.QUANTISATION_BITS)),
        reason=draw(st.integers(0, layout.REASON_MAX)),
        context_tokens=draw(_U32),
        hits=draw(_U32),
        flags=draw(st.sampled_from([0, 2, 4, 6])),
        profile=chosen.name,
        model_id=draw(_U8) if chosen.has_model_id else 0,
        created=draw(_U64),
        last_used=draw(_U64),
        tool_map=draw(tools) if with_tool_map else None,
        title=draw(titles()) if with_title else None,
    )


def file_of(entry: Entry, payload: bytes) -> bytes:
    """The whole file of `entry`; times that are None become 0. Raises KeyError for an unknown profile."""
    header = _header_of(entry, len(payload))
    head = layout.encode_header(header) + len(entry.text).to_bytes(4, "little")
    return head + entry.text + payload + _sections_of(entry)


@st.composite
def files(
    draw: st.DrawFn,
    *,
    profile: str | None = None,
    max_text_bytes: int = 200,
    max_payload_bytes: int = 200,
    max_tool_entries: int = 4,
    tool_map: bool | None = None,
    title: bool | None = None,
    max_trailing_bytes: int = 0,
) -> bytes:
    """Whole files that a reader takes, arguments as `entries`; at times with trailing bytes (KVC-FILE-5)."""
    entry = draw(
        entries(
            profile=profile,
            max_text_bytes=max_text_bytes,
            max_tool_entries=max_tool_entries,
            tool_map=tool_map,
            title=title,
        )
    )
    least = 1 if entry.title is None else 0
    payload = draw(st.binary(min_size=least, max_size=max(least, max_payload_bytes)))
    return file_of(entry, payload) + draw(st.binary(max_size=max_trailing_bytes))


def _header_of(entry: Entry, payload_bytes: int) -> Header:
    profile = PROFILES[entry.profile]
    tool_map = 0 if entry.tool_map is None else Extension.TOOL_MAP
    title = 0 if entry.title is None else Extension.SESSION_TITLE
    return Header(
        quantisation_bits=entry.quantisation_bits,
        reason=entry.reason,
        flags=entry.flags | tool_map | title,
        byte7=entry.model_id,
        tokens=entry.tokens,
        hits=entry.hits,
        context_tokens=entry.context_tokens,
        byte20=profile.payload_abi,
        reserved=bytes(3),
        created=entry.created or 0,
        last_used=entry.last_used or 0,
        payload_bytes=payload_bytes,
    )


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _sections_of(entry: Entry) -> bytes:
    data = b""
    if entry.tool_map is not None:
        data += layout.TOOL_MAP_MAGIC + bytes((layout.TOOL_MAP_VERSION,)) + _u32(len(entry.tool_map))
        for tool in entry.tool_map:
            data += _u32(len(tool.id)) + _u32(len(tool.block)) + tool.id + tool.block
    if entry.title is not None:
        data += _u32(len(entry.title)) + entry.title
    return data
