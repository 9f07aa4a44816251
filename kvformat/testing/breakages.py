"""The ways to break a file, one function each, and the clause that each breaks (spec/kvc.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st

from kvformat import layout
from kvformat.errors import Category
from kvformat.limits import DEFAULT_LIMITS, Limits
from kvformat.model import Entry, Extension
from kvformat.profiles import AUTO, PROFILES
from kvformat.testing.parts import Sections, u32
from kvformat.testing.whole import file_of, name_of

_FLAGS_OFFSET, _BYTE7_OFFSET, _REASON_OFFSET, _RESERVED_OFFSET = 6, 7, 5, 21  # spec/kvc.md, 2.1


_Value = TypeVar("_Value")
_U8 = st.integers(0, layout.U8_MAX)


def _other(values: st.SearchStrategy[_Value], *good: _Value) -> st.SearchStrategy[_Value]:
    return values.filter(lambda value: value not in good)


@dataclass(frozen=True)
class Whole:
    """The good file that is to be broken."""

    entry: Entry
    payload: bytes

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return file_of(self.entry, self.payload)

    @property
    def sections_offset(self) -> int:
        """Where its payload ends."""
        return layout.payload_offset(len(self.entry.text)) + len(self.payload)

    def patched(self, offset: int, new: bytes) -> bytes:
        """Its bytes with `new` at `offset`."""
        data = self.data
        return data[:offset] + new + data[offset + len(new) :]


class Broken(NamedTuple):
    """What has become of it, in words too, and what a reader must be told to see it."""

    data: bytes
    description: str
    name: str | None = None
    profile: str = AUTO
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True)
class Breakage:
    """One way. breaks: the clause; clause, category: what a reader says. The rest is what the good file must be."""

    breaks: str
    make: Callable[[st.DrawFn, Whole], Broken]
    clause: str = ""
    category: Category = Category.BAD_SECTION
    told: bool = False
    tool_map: bool | None = None
    title: bool | None = None
    profile: str | None = None
    min_text_bytes: int = 0


def _cut_in_fixed_part(draw: st.DrawFn, whole: Whole) -> Broken:
    size_bytes = draw(st.integers(0, layout.TEXT_OFFSET - 1))
    return Broken(whole.data[:size_bytes], f"cut to {size_bytes} bytes, inside the fixed part")


def _cut_before_sections(draw: st.DrawFn, whole: Whole) -> Broken:
    size_bytes = draw(st.integers(layout.TEXT_OFFSET, whole.sections_offset - 1))
    return Broken(whole.data[:size_bytes], f"cut to {size_bytes} bytes, its payload ends at {whole.sections_offset}")


def _text_count_too_large(draw: st.DrawFn, whole: Whole) -> Broken:
    count = draw(st.integers(len(whole.data), layout.U32_MAX))
    data = whole.patched(layout.TEXT_BYTES_OFFSET, u32(count))
    return Broken(data, f"text_bytes is {count} in a file of {len(data)} bytes")


def _payload_count(draw: st.DrawFn, whole: Whole, least: int, most: int) -> Broken:
    count = draw(st.integers(least, most))
    data = whole.patched(layout.PAYLOAD_BYTES_OFFSET, count.to_bytes(8, "little"))
    return Broken(data, f"header.payload_bytes is {count} in a file of {len(data)} bytes")


def _payload_count_too_large(draw: st.DrawFn, whole: Whole) -> Broken:
    return _payload_count(draw, whole, len(whole.data), layout.FILE_BYTES_MAX - len(whole.data))


def _sum_too_large(draw: st.DrawFn, whole: Whole) -> Broken:
    offset = layout.payload_offset(len(whole.entry.text))
    return _payload_count(draw, whole, layout.FILE_BYTES_MAX + 1 - offset, layout.U64_MAX)


def _payload_count_big_endian(_draw: st.DrawFn, whole: Whole) -> Broken:
    data = whole.patched(layout.PAYLOAD_BYTES_OFFSET, len(whole.payload).to_bytes(8, "big"))
    return Broken(data, f"header.payload_bytes is {len(whole.payload)} with its most significant byte first")


def _look_alike(draw: st.DrawFn, whole: Whole) -> Broken:
    foreign = draw(st.binary(max_size=40))
    start = layout.TEXT_BYTES_OFFSET + 8 + len(foreign)
    data = whole.data[: layout.HEADER_BYTES] + start.to_bytes(8, "little") + foreign + whole.payload
    return Broken(data, f"behind the header stands the offset of the payload, {start}, as a u64")


def _magic(draw: st.DrawFn, whole: Whole) -> Broken:
    magic = draw(_other(st.binary(min_size=3, max_size=3), layout.MAGIC))
    return Broken(whole.patched(0, magic), f"header.magic is {magic!r}")


def _version(draw: st.DrawFn, whole: Whole) -> Broken:
    version = draw(_other(_U8, layout.VERSION))
    return Broken(whole.patched(layout.VERSION_OFFSET, bytes((version,))), f"header.version is {version}")


def _quantisation(draw: st.DrawFn, whole: Whole) -> Broken:
    bits = draw(_other(_U8, *layout.QUANTISATION_BITS))
    return Broken(whole.patched(layout.QUANTISATION_OFFSET, bytes((bits,))), f"header.quantisation_bits is {bits}")


def _no_tokens(_draw: st.DrawFn, whole: Whole) -> Broken:
    return Broken(whole.patched(layout.TOKENS_OFFSET, bytes(4)), "header.tokens is 0")


def _payload_abi(draw: st.DrawFn, whole: Whole) -> Broken:
    abi = draw(_other(_U8, *(profile.payload_abi for profile in PROFILES.values())))
    return Broken(whole.patched(layout.BYTE20_OFFSET, bytes((abi,))), f"header.byte20 is {abi}, of no profile")


def _told_other_profile(draw: st.DrawFn, whole: Whole) -> Broken:
    strict = [name for name, one in PROFILES.items() if one.has_payload_abi and name != whole.entry.profile]
    profile = draw(st.sampled_from(sorted(strict)))
    return Broken(whole.data, f"of {whole.entry.profile}, for a reader that is told {profile}", profile=profile)


def _payload_abi_told(draw: st.DrawFn, whole: Whole) -> Broken:
    told = PROFILES[whole.entry.profile]
    abi = draw(_other(_U8, told.payload_abi))
    data = whole.patched(layout.BYTE20_OFFSET, bytes((abi,)))
    return Broken(data, f"header.byte20 is {abi}, for a reader that is told {told.name}", profile=told.name)


def _text_over_limit(draw: st.DrawFn, whole: Whole) -> Broken:
    most = draw(st.integers(0, len(whole.entry.text) - 1))
    words = f"a text of {len(whole.entry.text)} bytes, for a reader that takes {most}"
    return Broken(whole.data, words, limits=replace(DEFAULT_LIMITS, text_bytes_max=most))


def _other_name(draw: st.DrawFn, whole: Whole) -> Broken:
    digits = st.text("0123456789abcdef", min_size=40, max_size=40)
    name = draw(_other(digits.map("{}.kv".format), name_of(whole.entry)))
    return Broken(whole.data, f"called {name}, its content calls for {name_of(whole.entry)}", name=name)


def _map_start(draw: st.DrawFn, whole: Whole) -> Broken:
    magic = draw(_other(st.binary(min_size=3, max_size=3), layout.TOOL_MAP_MAGIC))
    return Broken(whole.patched(whole.sections_offset, magic), f"tool_map.magic is {magic!r}")


def _map_version(draw: st.DrawFn, whole: Whole) -> Broken:
    version = draw(_other(_U8, layout.TOOL_MAP_VERSION))
    return Broken(whole.patched(whole.sections_offset + 3, bytes((version,))), f"tool_map.version is {version}")


def _map_count(draw: st.DrawFn, whole: Whole) -> Broken:
    count = draw(st.integers(layout.TOOL_MAP_COUNT_MAX + 1, layout.U32_MAX))
    return Broken(whole.patched(whole.sections_offset + 4, u32(count)), f"tool_map.count is {count}")


def _tool_length(field: str, offset: int, most: int) -> Callable[[st.DrawFn, Whole], Broken]:
    def make(draw: st.DrawFn, whole: Whole) -> Broken:
        length = draw(st.just(0) | st.integers(most + 1, layout.U32_MAX))
        at = whole.sections_offset + layout.TOOL_MAP_HEAD_BYTES + offset
        return Broken(whole.patched(at, u32(length)), f"tool_map.entries[0].{field} is {length}")

    return make


def _map_cut(draw: st.DrawFn, whole: Whole) -> Broken:
    size_bytes = draw(st.integers(whole.sections_offset, len(whole.data) - 1))
    return Broken(whole.data[:size_bytes], f"cut to {size_bytes} bytes, its tool map ends at {len(whole.data)}")


def _map_missing(_draw: st.DrawFn, whole: Whole) -> Broken:
    flags = whole.entry.flags | Extension.TOOL_MAP
    return Broken(whole.patched(_FLAGS_OFFSET, bytes((flags,))), "flag bit 0 is set, and there is no tool map")


def _title_cut(draw: st.DrawFn, whole: Whole) -> Broken:
    size_bytes = draw(st.integers(whole.sections_offset, len(whole.data) - 1))
    return Broken(whole.data[:size_bytes], f"cut to {size_bytes} bytes, its title ends at {len(whole.data)}")


def _title_missing(_draw: st.DrawFn, whole: Whole) -> Broken:
    flags = whole.entry.flags | Extension.SESSION_TITLE
    return Broken(whole.patched(_FLAGS_OFFSET, bytes((flags,))), "flag bit 3 is set, and there is no title")


def _title_behind_damage(draw: st.DrawFn, whole: Whole) -> Broken:
    start = draw(_other(st.binary(min_size=4, max_size=4), layout.TOOL_MAP_MAGIC + bytes((layout.TOOL_MAP_VERSION,))))
    return Broken(whole.patched(whole.sections_offset, start), f"a title behind a tool map that starts with {start!r}")


def _title_first(_draw: st.DrawFn, whole: Whole) -> Broken:
    entry = whole.entry
    title, tools = Sections(title=entry.title).data, Sections(tool_map=entry.tool_map).data
    return Broken(whole.data[: whole.sections_offset] + title + tools, "the title stands before the tool map")


def _title_too_long(draw: st.DrawFn, whole: Whole) -> Broken:
    size_bytes = draw(st.integers(layout.TITLE_BYTES_MAX + 1, layout.TITLE_BYTES_MAX + 9))
    data = whole.data[: whole.sections_offset] + u32(size_bytes) + bytes(size_bytes)
    return Broken(data, f"a title of {size_bytes} bytes")


def _unknown_reason(draw: st.DrawFn, whole: Whole) -> Broken:
    reason = draw(st.integers(layout.REASON_MAX + 1, layout.U8_MAX))
    return Broken(whole.patched(_REASON_OFFSET, bytes((reason,))), f"header.reason is {reason}")


def _unknown_flags(draw: st.DrawFn, whole: Whole) -> Broken:
    unknown = draw(st.integers(1, 15)) << 4
    return Broken(file_of(whole.entry, whole.payload, unknown_flags=unknown), f"flag bits {unknown:#x} are set")


def _model_id_in_abi0(draw: st.DrawFn, whole: Whole) -> Broken:
    value = draw(st.integers(1, layout.U8_MAX))
    return Broken(whole.patched(_BYTE7_OFFSET, bytes((value,))), f"header.byte7 is {value} where it is reserved")


def _reserved(draw: st.DrawFn, whole: Whole) -> Broken:
    value = draw(_other(st.binary(min_size=3, max_size=3), bytes(3)))
    return Broken(whole.patched(_RESERVED_OFFSET, value), f"header.reserved is {value!r}")


def _stripped(_draw: st.DrawFn, whole: Whole) -> Broken:
    return Broken(file_of(whole.entry, b""), "no payload, in an entry without a title")


def _trailing(draw: st.DrawFn, whole: Whole) -> Broken:
    rest = draw(st.binary(min_size=1, max_size=20))
    return Broken(whole.data + rest, f"{rest!r} stands behind the last section")


def _map_without_bit(_draw: st.DrawFn, whole: Whole) -> Broken:
    return Broken(whole.patched(_FLAGS_OFFSET, bytes((whole.entry.flags,))), "a tool map, and flag bit 0 is not set")


def _payload_count_too_small(draw: st.DrawFn, whole: Whole) -> Broken:
    count = draw(st.integers(0, len(whole.payload) - 1))
    data = whole.patched(layout.PAYLOAD_BYTES_OFFSET, count.to_bytes(8, "little"))
    return Broken(data, f"header.payload_bytes is {count}, and {len(whole.payload)} bytes were written")


_CUT = Category.TRUNCATED
_FIELD = Category.INVALID_FIELD
_PROFILE = Category.UNSUPPORTED_PROFILE
_NAME = Category.IDENTITY_MISMATCH

KINDS = (
    Breakage("KVC-FILE-3", _cut_in_fixed_part, "KVC-FILE-3", _CUT),
    Breakage("KVC-FILE-3", _cut_before_sections, "KVC-FILE-3", _CUT),
    Breakage("KVC-TEXT-1", _text_count_too_large, "KVC-FILE-3", _CUT),
    Breakage("KVC-HEADER-17", _payload_count_too_large, "KVC-FILE-3", _CUT),
    Breakage("KVC-FILE-1", _payload_count_big_endian, "KVC-FILE-3", _CUT),
    Breakage("KVC-FILE-6", _look_alike, "KVC-FILE-3", _CUT),
    Breakage("KVC-FILE-4", _sum_too_large, "KVC-FILE-4", Category.LIMIT),
    Breakage("KVC-HEADER-1", _magic, "KVC-HEADER-1", Category.BAD_MAGIC),
    Breakage("KVC-HEADER-2", _version, "KVC-HEADER-2", Category.UNSUPPORTED_VERSION),
    Breakage("KVC-HEADER-3", _quantisation, "KVC-HEADER-3", _FIELD),
    Breakage("KVC-HEADER-10", _no_tokens, "KVC-HEADER-10", _FIELD),
    Breakage("KVC-PROFILE-2", _payload_abi, "KVC-PROFILE-2", _PROFILE),
    Breakage("KVC-PROFILE-3", _told_other_profile, "KVC-PROFILE-3", _PROFILE, told=True),
    Breakage("KVC-HEADER-13", _payload_abi_told, "KVC-PROFILE-3", _PROFILE, told=True, profile="ds4-abi2"),
    Breakage("KVC-LIMIT-3", _text_over_limit, "KVC-LIMIT-3", Category.LIMIT, told=True, min_text_bytes=1),
    Breakage("KVC-NAME-1", _other_name, "KVC-NAME-1", _NAME, told=True, title=False),
    Breakage("KVC-NAME-3", _other_name, "KVC-NAME-3", _NAME, told=True, title=True),
    Breakage("KVC-TOOLMAP-1", _map_start, "KVC-TOOLMAP-1", tool_map=True, title=False),
    Breakage("KVC-TOOLMAP-2", _map_version, "KVC-TOOLMAP-2", tool_map=True, title=False),
    Breakage("KVC-TOOLMAP-3", _map_count, "KVC-TOOLMAP-3", tool_map=True, title=False),
    Breakage(
        "KVC-TOOLMAP-4",
        _tool_length("id_bytes", 0, layout.TOOL_ID_BYTES_MAX),
        "KVC-TOOLMAP-4",
        tool_map=True,
        title=False,
    ),
    Breakage(
        "KVC-TOOLMAP-5",
        _tool_length("block_bytes", 4, layout.TOOL_BLOCK_BYTES_MAX),
        "KVC-TOOLMAP-5",
        tool_map=True,
        title=False,
    ),
    Breakage("KVC-TOOLMAP-6", _map_cut, "KVC-TOOLMAP-6", tool_map=True, title=False),
    Breakage("KVC-HEADER-6", _map_missing, "KVC-TOOLMAP-6", tool_map=False, title=False),
    Breakage("KVC-HEADER-8", _title_missing, "KVC-TITLE-1", tool_map=False, title=False),
    Breakage("KVC-TITLE-1", _title_cut, "KVC-TITLE-1", tool_map=False, title=True),
    Breakage("KVC-TITLE-2", _title_behind_damage, "KVC-TITLE-2", tool_map=True, title=True),
    Breakage("KVC-FILE-2", _title_first, "KVC-TITLE-2", tool_map=True, title=True),
    Breakage("KVC-TITLE-3", _title_too_long, "KVC-TITLE-3", Category.LIMIT, tool_map=False, title=True),
)
"""What a reader rejects, or a verifier reports."""

TOLERATED = (
    Breakage("KVC-FILE-5", _trailing),
    Breakage("KVC-HEADER-4", _unknown_reason),
    Breakage("KVC-HEADER-5", _unknown_flags),
    Breakage("KVC-HEADER-9", _model_id_in_abi0, profile="ds4-abi0"),
    Breakage("KVC-HEADER-14", _reserved),
    Breakage("KVC-PAYLOAD-2", _stripped, title=False),
    Breakage("KVC-TOOLMAP-7", _map_without_bit, tool_map=True, title=False),
    Breakage("KVC-WRITER-1", _reserved),
    Breakage("KVC-WRITER-2", _payload_count_too_small, tool_map=False, title=False),
    Breakage("KVC-WRITER-3", _trailing),
)
"""What only a writer may not leave (KVC-WRITER-1 to -3 and the `Writer:` paragraphs)."""
