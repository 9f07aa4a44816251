"""The parts of a KVC file as values. Raw integers are kept: nothing is lost by reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag


class Reason(IntEnum):
    """Why the entry was saved (KVC-HEADER-4). Readers use a larger value as UNKNOWN."""

    UNKNOWN = 0
    COLD = 1
    CONTINUED = 2
    EVICT = 3
    SHUTDOWN = 4
    AGENT_SYSTEM = 5
    AGENT_SESSION = 6


class Extension(IntFlag):
    """Extension flag bits (KVC-HEADER-5). Bits 1 and 2 append nothing."""

    TOOL_MAP = 1
    RESPONSES_VISIBLE = 2
    THINKING_VISIBLE = 4
    SESSION_TITLE = 8


@dataclass(frozen=True, slots=True)
class Header:
    """The 48 bytes at the start, field by field in file order; `magic` and `version` are constant.

    `byte7` is the model id in ds4-abi2 and ds4-abi3 and reserved in ds4-abi0;
    `byte20` is the payload ABI in ds4-abi2 and ds4-abi3 and reserved in ds4-abi0
    (KVC-PROFILE-1). Times are Unix seconds.
    """

    quantisation_bits: int
    reason: int
    flags: int
    byte7: int
    tokens: int
    hits: int
    context_tokens: int
    byte20: int
    reserved: bytes
    created: int
    last_used: int
    payload_bytes: int

    @property
    def known_reason(self) -> Reason:
        """The reason as a reader uses it: over 6 is UNKNOWN (KVC-HEADER-4)."""
        return Reason(self.reason) if self.reason <= Reason.AGENT_SESSION else Reason.UNKNOWN

    @property
    def has_tool_map(self) -> bool:
        """Whether bit 0 says that a tool map is appended."""
        return bool(self.flags & Extension.TOOL_MAP)

    @property
    def has_title(self) -> bool:
        """Whether bit 3 says that a session title is appended; it changes the identity too (KVC-NAME-3)."""
        return bool(self.flags & Extension.SESSION_TITLE)


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """One entry of the tool map: the id of a call and the block of text it stands for."""

    id: bytes
    block: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """What a writer needs besides the payload: everything that a caller chooses.

    `tool_map` and `title` of None mean "no such section"; their flag bits are set from
    them and must not be given in `flags` (which takes bits 1 and 2). `created` and
    `last_used` of None mean "now".
    """

    text: bytes
    tokens: int
    quantisation_bits: int = 4
    reason: int = Reason.UNKNOWN
    context_tokens: int = 0
    hits: int = 0
    flags: int = 0
    profile: str = "ds4-abi0"
    model_id: int = 0
    created: int | None = None
    last_used: int | None = None
    tool_map: tuple[ToolEntry, ...] | None = field(default=None)
    title: bytes | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A named run of bytes of a file: [offset, offset + size_bytes)."""

    name: str
    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The offset of the first byte behind the region."""
        return self.offset + self.size_bytes
