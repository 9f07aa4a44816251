"""An entry as bytes: the one serializer that every strategy of saving uses."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kvformat import identity, layout, schema
from kvformat.errors import error_for
from kvformat.limits import DEFAULT_LIMITS, Limits
from kvformat.model import Entry, Extension, Header
from kvformat.profiles import profile_named
from kvformat.refusals import check_entry, check_payload


@dataclass(frozen=True, slots=True)
class Serial:
    """An entry as bytes, but for the payload: the one serializer that every strategy uses.

    `blank_head` is header, text byte count and text as the schema builds them for a payload of 0 bytes.
    """

    name: str
    header: Header
    text_bytes: int
    blank_head: bytes
    sections: bytes

    @classmethod
    def of(cls, name: str, header: Header, text: bytes, sections: bytes) -> Serial:
        """Builds the head; `header.payload_bytes` is put in when it is known. Raises KvcError as the schema."""
        blank = replace(header, payload_bytes=0)
        return cls(name, blank, len(text), schema.build_head(blank, text), sections)

    @property
    def payload_offset(self) -> int:
        """Where the payload starts in the file."""
        return layout.payload_offset(self.text_bytes)

    def check_payload(self, payload_bytes: int) -> None:
        """Raises KvcError for a size that no payload of this entry may have (KVS-SAVE-1, KVC-PAYLOAD-2, KVC-FILE-4)."""
        if 0 < payload_bytes <= layout.FILE_BYTES_MAX - self.payload_offset - len(self.sections):
            return
        for problem in check_payload(
            payload_bytes,
            text_bytes=self.text_bytes,
            sections_bytes=len(self.sections),
            titled=self.header.has_title,
        ):
            raise error_for(problem, self.name)

    def head(self, payload_bytes: int) -> bytes:
        """Header, text byte count and text, for a payload of that many bytes."""
        count = payload_bytes.to_bytes(8, "little")
        return self.blank_head[: layout.PAYLOAD_BYTES_OFFSET] + count + self.blank_head[layout.HEADER_BYTES :]


def serialize(entry: Entry, *, now: int, name: str | None = None, limits: Limits = DEFAULT_LIMITS) -> Serial:
    """Turns an entry into bytes, strictly (KVC-WRITER-1 to KVC-WRITER-5).

    `name` is given for a fixed name (KVC-NAME-4) and computed otherwise. `limits` are those of the readers that
    the entry is for (KVC-LIMIT-3). Raises KvcError for an entry
    that some reader would reject, ValueError for a name that no reader would find it under.
    """
    problems = check_entry(entry, limits=limits)
    if problems:
        raise error_for(problems[0], "the entry to save")
    profile = profile_named(entry.profile)
    created = now if entry.created is None else entry.created
    flags = entry.flags
    if entry.tool_map is not None:
        flags |= Extension.TOOL_MAP
    if entry.title is not None:
        flags |= Extension.SESSION_TITLE
    header = Header(
        quantisation_bits=entry.quantisation_bits,
        reason=entry.reason,
        flags=flags,
        byte7=entry.model_id if profile.has_model_id else 0,
        tokens=entry.tokens,
        hits=entry.hits,
        context_tokens=entry.context_tokens,
        byte20=profile.payload_abi if profile.has_payload_abi else 0,
        reserved=bytes(3),
        created=created,
        last_used=created if entry.last_used is None else entry.last_used,
        payload_bytes=0,
    )
    if name is None:
        name = identity.expected_name(header, entry.text, entry.title)
    elif name not in identity.FIXED_NAMES:
        raise ValueError(f"{name!r} is not a fixed name; entries are named by their content")
    return Serial.of(name, header, entry.text, schema.build_sections(entry.tool_map, entry.title))
