"""A KVC file field by field, right or not, and the view of it (spec/kvc.md, 2; spec/conformance.md, 3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

CREATED = 1_700_000_000
"""The time of the examples in spec/kvc.md, 4.4 and 4.6."""

TEXT_OFFSET = 52
SIZE_MAX = 2**63 - 1  # KVC-FILE-4
TEXT_BYTES_MAX = 268_435_456  # KVC-LIMIT-3
TITLE_BYTES_MAX = 65_536  # KVC-TITLE-3
TOOL_MAP_COUNT_MAX = 400_000  # KVC-TOOLMAP-3
TOOL_BLOCK_BYTES_MAX = 536_870_912  # KVC-TOOLMAP-5

PROFILE_OF_BYTE20 = {0: "ds4-abi0", 2: "ds4-abi2", 3: "ds4-abi3"}  # KVC-PROFILE-2

NUMBERS = {
    "quantisation_bits": (4, 1),
    "reason": (5, 1),
    "flags": (6, 1),
    "byte7": (7, 1),
    "tokens": (8, 4),
    "hits": (12, 4),
    "context_tokens": (16, 4),
    "byte20": (20, 1),
    "created": (24, 8),
    "last_used": (32, 8),
    "payload_bytes": (40, 8),
}
"""Offset and size of every integer of the header behind the version (spec/kvc.md, 2.1)."""

Tool = tuple[bytes, bytes]
"""An id and its block."""


def u32(value: int) -> bytes:
    """Four bytes, least significant first (KVC-FILE-1)."""
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    """Eight bytes, least significant first (KVC-FILE-1)."""
    return value.to_bytes(8, "little")


def tool_entry(tool: Tool, *, id_bytes: int | None = None, block_bytes: int | None = None) -> bytes:
    """One entry of a tool map; its lengths are those given, or the true ones."""
    id_length = len(tool[0]) if id_bytes is None else id_bytes
    block_length = len(tool[1]) if block_bytes is None else block_bytes
    return u32(id_length) + u32(block_length) + tool[0] + tool[1]


def tool_map_section(*entries: bytes, magic: bytes = b"KTM", version: int = 1, count: int | None = None) -> bytes:
    """A tool map of entries that are bytes already; its count is the one given, or the true one."""
    return magic + bytes((version,)) + u32(len(entries) if count is None else count) + b"".join(entries)


def title_section(title: bytes, *, title_bytes: int | None = None) -> bytes:
    """A title; its count is the one given, or the true one."""
    return u32(len(title) if title_bytes is None else title_bytes) + title


def text_name(text: bytes) -> bytes:
    """The name of an entry that is found by its text (KVC-NAME-1)."""
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode() + b".kv"


def session_name(title: bytes, created: int) -> bytes:
    """The name of an agent session (KVC-NAME-3)."""
    return text_name(title + u64(created))


def blob(data: bytes) -> dict[str, str]:
    """A byte string as a view has it."""
    return {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}


@dataclass(frozen=True, kw_only=True)
class File:
    """A file. By itself it is good; a field that is given holds what is given.

    `flags`, `payload_bytes` and `text_bytes` of None are the true ones. `behind` is put behind
    the sections, or in their place where the flags claim some that are not given here.
    """

    magic: bytes = b"KVC"
    version: int = 1
    quantisation_bits: int = 4
    reason: int = 1
    flags: int | None = None
    byte7: int = 0
    tokens: int = 2
    hits: int = 0
    context_tokens: int = 4096
    byte20: int = 0
    reserved: bytes = bytes(3)
    created: int = CREATED
    last_used: int = CREATED
    payload_bytes: int | None = None
    text_bytes: int | None = None
    text: bytes = b"Hello, KVC"
    payload: bytes = b"\xde\xad\xbe\xef"
    tool_map: tuple[Tool, ...] | None = None
    title: bytes | None = None
    behind: bytes = b""

    def number(self, name: str) -> int:
        """What the field of the header called `name` holds."""
        value: int | None = getattr(self, name)
        if value is not None:
            return value
        if name == "payload_bytes":
            return len(self.payload)
        return (self.tool_map is not None) + 8 * (self.title is not None)

    def holding(self, name: str, value: int) -> File:
        """The same file with another number in the field of the header called `name`."""
        changes: dict[str, Any] = {name: value}
        return replace(self, **changes)

    @property
    def head(self) -> bytes:
        """Header and text byte count."""
        numbers = {name: self.number(name).to_bytes(size, "little") for name, (_, size) in NUMBERS.items()}
        return (
            self.magic
            + bytes((self.version,))
            + b"".join(numbers[name] for name in ("quantisation_bits", "reason", "flags", "byte7"))
            + b"".join(numbers[name] for name in ("tokens", "hits", "context_tokens", "byte20"))
            + self.reserved
            + b"".join(numbers[name] for name in ("created", "last_used", "payload_bytes"))
            + u32(len(self.text) if self.text_bytes is None else self.text_bytes)
        )

    @property
    def sections(self) -> bytes:
        """What stands behind the payload."""
        tool_map = b"" if self.tool_map is None else tool_map_section(*map(tool_entry, self.tool_map))
        title = b"" if self.title is None else title_section(self.title)
        return tool_map + title + self.behind

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.head + self.text + self.payload + self.sections

    @property
    def name(self) -> bytes:
        """The name that the content calls for (KVC-NAME-1, KVC-NAME-3)."""
        return text_name(self.text) if self.title is None else session_name(self.title, self.created)

    def header_view(self) -> dict[str, str]:
        """The header as a view has it."""
        fields = {"version": str(self.version)}
        for name in NUMBERS:
            fields[name] = str(self.number(name))
            if name == "byte20":
                fields["reserved"] = self.reserved.hex()
        return fields

    def view(self, profile: str = "auto") -> dict[str, Any]:
        """The view of the file for a reader that was told `profile`; without the name, and the size of the file."""
        return {
            "profile": PROFILE_OF_BYTE20[self.byte20] if profile == "auto" else profile,
            "header": self.header_view(),
            "text": blob(self.text),
            "payload": blob(self.payload),
            "tool_map": None
            if self.tool_map is None
            else [{"id": blob(tool_id), "block": blob(block)} for tool_id, block in self.tool_map],
            "title": None if self.title is None else blob(self.title),
        }


PLAIN = File()
"""An entry that is found by its text."""

TOOLS = File(tool_map=((b"c1", b"<t/>"),))
"""The same with a tool map."""

SESSION = File(title=b"Demo", reason=6)
"""An agent session without a tool map."""

EXAMPLE = File(text=b"Hi \xc3", tool_map=((b"c1", b"<t/>"),), title=b"Demo", reason=6)
"""The complete file of spec/kvc.md, 4.6."""
