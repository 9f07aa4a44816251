"""What a writer refuses to store: every value that some reader would reject (KVC-WRITER-5)."""

from __future__ import annotations

from collections.abc import Iterator

from kvformat import layout
from kvformat.errors import Category, Problem
from kvformat.limits import DEFAULT_LIMITS, Limits
from kvformat.model import Entry, Extension, ToolEntry
from kvformat.profiles import PROFILES

_WRITER_FLAGS = int(Extension.RESPONSES_VISIBLE | Extension.THINKING_VISIBLE)


def check_entry(entry: Entry, *, payload_bytes: int | None = None, limits: Limits = DEFAULT_LIMITS) -> list[Problem]:
    """What is wrong with an entry that is to be written; empty for a good one. In file order, no offsets.

    `payload_bytes` is the size of its payload, None where it is not known yet.
    """
    payload_problems = (
        []
        if payload_bytes is None
        else check_payload(
            payload_bytes,
            text_bytes=len(entry.text),
            sections_bytes=_sections_bytes(entry),
            titled=entry.title is not None,
        )
    )
    return [
        *_header_problems(entry),
        *payload_problems,
        *_text_problems(entry.text, limits),
        *_tool_map_problems(entry.tool_map or ()),
        *_title_problems(entry.title or b""),
    ]


def _header_problems(entry: Entry) -> Iterator[Problem]:
    if entry.quantisation_bits not in layout.QUANTISATION_BITS:
        yield _invalid("header.quantisation_bits", entry.quantisation_bits, "2 or 4", "KVC-HEADER-3")
    yield from _outside("header.reason", entry.reason, 0, layout.REASON_MAX, "KVC-HEADER-4")
    if entry.flags & ~_WRITER_FLAGS:
        # Bits 0 and 3 follow from the sections; of the others a new entry sets none.
        yield _invalid("header.flags", entry.flags, f"bits of {_WRITER_FLAGS:#x} only", "KVC-HEADER-5")
    yield from _profile_problems(entry)
    yield from _outside("header.tokens", entry.tokens, 1, layout.U32_MAX, "KVC-HEADER-10")
    yield from _outside("header.hits", entry.hits, 0, layout.U32_MAX, "KVC-HEADER-11")
    yield from _outside("header.context_tokens", entry.context_tokens, 0, layout.U32_MAX, "KVC-HEADER-12")
    for name, value, clause in (
        ("header.created", entry.created, "KVC-HEADER-15"),
        ("header.last_used", entry.last_used, "KVC-HEADER-16"),
    ):
        yield from _outside(name, 0 if value is None else value, 0, layout.U64_MAX, clause)


def _profile_problems(entry: Entry) -> Iterator[Problem]:
    profile = PROFILES.get(entry.profile)
    if profile is None:
        message = f"found {entry.profile!r}, a writer writes one of {', '.join(PROFILES)}"
        yield Problem(Category.UNSUPPORTED_PROFILE, "profile", None, "KVC-PROFILE-1", message)
    elif profile.has_model_id:
        yield from _outside("header.byte7", entry.model_id, 0, layout.U8_MAX, "KVC-HEADER-9")
    elif entry.model_id != 0:
        yield _invalid("header.byte7", entry.model_id, f"no model id under {profile.name}", "KVC-HEADER-9")


def _sections_bytes(entry: Entry) -> int:
    tools = entry.tool_map
    tool_map_bytes = 0 if tools is None else layout.tool_map_bytes((len(one.id), len(one.block)) for one in tools)
    return tool_map_bytes + (0 if entry.title is None else layout.title_section_bytes(len(entry.title)))


def check_payload(payload_bytes: int, *, text_bytes: int, sections_bytes: int, titled: bool) -> list[Problem]:
    """What is wrong with a payload of that size beside such a text and such sections; empty where nothing is.

    `titled` says that a title is among these.
    """
    problems = []
    if payload_bytes == 0 and not titled:
        problems.append(_invalid("header.payload_bytes", 0, "a payload, as there is no title", "KVC-PAYLOAD-2"))
    if payload_bytes < 0:
        problems.append(_invalid("header.payload_bytes", payload_bytes, "0 or more", "KVC-WRITER-5"))
    elif layout.file_bytes(text_bytes, payload_bytes, sections_bytes) is None:
        message = f"text, payload of {payload_bytes:,} bytes and sections are more than a file can have"
        problems.append(Problem(Category.LIMIT, "header.payload_bytes", None, "KVC-FILE-4", message))
    return problems


def _text_problems(text: bytes, limits: Limits) -> Iterator[Problem]:
    most = min(limits.text_bytes_max, layout.U32_MAX)
    if len(text) > most:
        message = f"the text has {len(text):,} bytes, readers take {most:,}"
        yield Problem(Category.LIMIT, "text_bytes", None, "KVC-LIMIT-3", message)


def _tool_map_problems(tool_map: tuple[ToolEntry, ...]) -> Iterator[Problem]:
    if len(tool_map) > layout.TOOL_MAP_COUNT_MAX:
        yield _bad_length("tool_map.count", len(tool_map), 0, layout.TOOL_MAP_COUNT_MAX, "KVC-TOOLMAP-3")
    for index, entry in enumerate(tool_map):
        field = f"tool_map.entries[{index}]"
        if not 1 <= len(entry.id) <= layout.TOOL_ID_BYTES_MAX:
            most = layout.TOOL_ID_BYTES_MAX
            yield _bad_length(f"{field}.id_bytes", len(entry.id), 1, most, "KVC-TOOLMAP-4")
        if not 1 <= len(entry.block) <= layout.TOOL_BLOCK_BYTES_MAX:
            most = layout.TOOL_BLOCK_BYTES_MAX
            yield _bad_length(f"{field}.block_bytes", len(entry.block), 1, most, "KVC-TOOLMAP-5")


def _title_problems(title: bytes) -> Iterator[Problem]:
    if len(title) > layout.TITLE_BYTES_MAX:
        message = f"the title has {len(title):,} bytes, readers take {layout.TITLE_BYTES_MAX:,}"
        yield Problem(Category.LIMIT, "title_bytes", None, "KVC-TITLE-3", message)


def _outside(field: str, value: int, least: int, most: int, clause: str) -> Iterator[Problem]:
    if not least <= value <= most:
        yield _invalid(field, value, f"{least} to {most}", clause)


def _invalid(field: str, found: int, wanted: str, clause: str) -> Problem:
    return Problem(Category.INVALID_FIELD, field, None, clause, f"found {found}, expected {wanted}")


def _bad_length(field: str, found: int, least: int, most: int, clause: str) -> Problem:
    message = f"found {found:,}, expected {least:,} to {most:,}"
    return Problem(Category.BAD_SECTION, field, None, clause, message)
