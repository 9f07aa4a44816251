"""Strategies for good files, and the bytes and names of entries.

Bytes are put together here without the writer of this package, so that it can be tested
with them too.
"""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from kvformat import layout
from kvformat.model import Entry, Header
from kvformat.profiles import PROFILES
from kvformat.testing.arguments import check_known, check_range
from kvformat.testing.parts import Sections, profiles, sections, texts, u32


def entries(
    *,
    profile: str | None = None,
    min_text_bytes: int = 0,
    max_text_bytes: int = 200,
    min_tool_entries: int = 0,
    max_tool_entries: int = 4,
    max_title_bytes: int = 40,
    tool_map: bool | None = None,
    title: bool | None = None,
) -> st.SearchStrategy[Entry]:
    """Entries that a writer takes, with times; `tool_map`, `title`: whether there is one, None for either."""
    if profile is not None:
        check_known("profile", profile, PROFILES)
    text = texts(min_bytes=min_text_bytes, max_bytes=max_text_bytes)
    behind = sections(
        tool_map=tool_map,
        title=title,
        min_tool_entries=min_tool_entries,
        max_tool_entries=max_tool_entries,
        max_title_bytes=max_title_bytes,
    )
    return _entries(profiles() if profile is None else st.just(profile), text, behind)


@st.composite
def _entries(
    draw: st.DrawFn,
    profile: st.SearchStrategy[str],
    text: st.SearchStrategy[bytes],
    behind: st.SearchStrategy[Sections],
) -> Entry:
    chosen = PROFILES[draw(profile)]
    parts = draw(behind)
    u32s, u64s = st.integers(0, layout.U32_MAX), st.integers(0, layout.U64_MAX)
    return Entry(
        text=draw(text),
        tokens=draw(st.integers(1, layout.U32_MAX)),
        quantisation_bits=draw(st.sampled_from(layout.QUANTISATION_BITS)),
        reason=draw(st.integers(0, layout.REASON_MAX)),
        context_tokens=draw(u32s),
        hits=draw(u32s),
        flags=draw(st.sampled_from([0, 2, 4, 6])),
        profile=chosen.name,
        model_id=draw(st.integers(0, layout.U8_MAX)) if chosen.has_model_id else 0,
        created=draw(u64s),
        last_used=draw(u64s),
        tool_map=parts.tool_map,
        title=parts.title,
    )


def file_of(entry: Entry, payload: bytes, *, unknown_flags: int = 0, trailing: bytes = b"") -> bytes:
    """The whole file of `entry`; times that are None become 0. Raises KeyError for an unknown profile.

    `unknown_flags` and `trailing` are what no writer of this version leaves (KVC-FILE-5).
    """
    behind = Sections(entry.tool_map, entry.title, unknown_flags, trailing)
    header = Header(
        quantisation_bits=entry.quantisation_bits,
        reason=entry.reason,
        flags=entry.flags | behind.flags,
        byte7=entry.model_id,
        tokens=entry.tokens,
        hits=entry.hits,
        context_tokens=entry.context_tokens,
        byte20=PROFILES[entry.profile].payload_abi,
        reserved=bytes(layout.RESERVED_BYTES),
        created=entry.created or 0,
        last_used=entry.last_used or 0,
        payload_bytes=len(payload),
    )
    return layout.encode_header(header) + u32(len(entry.text)) + entry.text + payload + behind.data


def name_of(entry: Entry) -> str:
    """The name that an entry calls for; a creation time of None counts as 0 (KVC-NAME-1, KVC-NAME-3)."""
    named = entry.text if entry.title is None else entry.title + (entry.created or 0).to_bytes(8, "little")
    return hashlib.sha1(named, usedforsecurity=False).hexdigest() + ".kv"


@st.composite
def _files(
    draw: st.DrawFn,
    entry: st.SearchStrategy[Entry],
    min_payload_bytes: int,
    max_payload_bytes: int,
    behind: st.SearchStrategy[Sections],
) -> bytes:
    drawn = draw(entry)
    # Only a session may be stripped (KVC-PAYLOAD-2).
    least = max(1, min_payload_bytes) if drawn.title is None else min_payload_bytes
    payload = draw(st.binary(min_size=least, max_size=max(least, max_payload_bytes)))
    rest = draw(behind)
    return file_of(drawn, payload, unknown_flags=rest.unknown_flags, trailing=rest.trailing)


def files(
    *,
    profile: str | None = None,
    min_text_bytes: int = 0,
    max_text_bytes: int = 200,
    min_payload_bytes: int = 0,
    max_payload_bytes: int = 200,
    min_tool_entries: int = 0,
    max_tool_entries: int = 4,
    max_title_bytes: int = 40,
    tool_map: bool | None = None,
    title: bool | None = None,
    unknown_flags: bool = False,
    min_trailing_bytes: int = 0,
    max_trailing_bytes: int = 0,
) -> st.SearchStrategy[bytes]:
    """Whole files that a reader takes, arguments as `entries` and `sections`; empty payloads only beside a title."""
    check_range("payload_bytes", min_payload_bytes, max_payload_bytes)
    entry = entries(
        profile=profile,
        min_text_bytes=min_text_bytes,
        max_text_bytes=max_text_bytes,
        min_tool_entries=min_tool_entries,
        max_tool_entries=max_tool_entries,
        max_title_bytes=max_title_bytes,
        tool_map=tool_map,
        title=title,
    )
    behind = sections(
        tool_map=False,
        title=False,
        unknown_flags=unknown_flags,
        min_trailing_bytes=min_trailing_bytes,
        max_trailing_bytes=max_trailing_bytes,
    )
    return _files(entry, min_payload_bytes, max_payload_bytes, behind)
