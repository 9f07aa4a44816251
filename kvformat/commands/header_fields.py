"""The fields of the fixed part as people read them: offset, name, raw value, meaning (spec/kvc.md, 2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvformat import layout
from kvformat.commands.documents import flag_names, reason_name
from kvformat.display import human_bytes, iso_time
from kvformat.model import Header
from kvformat.profiles import Profile


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `value` is as stored, a string where it is no number."""

    name: str
    offset: int
    size_bytes: int
    value: int | str
    meaning: str

    @property
    def shown(self) -> str:
        """The value as text; flags in hexadecimal, where bits can be seen."""
        return f"{self.value:#04x}" if self.name == "header.flags" else str(self.value)


def fixed_fields(header: Header, text_bytes: int, profile: Profile | None) -> Iterator[Field]:
    """Every field of the first 52 bytes, in file order. `profile` of None: it could not be told."""
    yield Field("header.magic", 0, 3, layout.MAGIC.decode("ascii"), "")
    yield Field("header.version", layout.VERSION_OFFSET, 1, layout.VERSION, "")
    bits = header.quantisation_bits
    yield Field("header.quantisation_bits", layout.QUANTISATION_OFFSET, 1, bits, "bits a weight of routed experts")
    yield Field("header.reason", 5, 1, header.reason, _reason(header))
    yield Field("header.flags", 6, 1, header.flags, _flags(header))
    yield Field("header.byte7", 7, 1, header.byte7, _byte7(profile))
    yield Field("header.tokens", layout.TOKENS_OFFSET, 4, header.tokens, "tokens whose state it holds")
    yield Field("header.hits", layout.HITS_OFFSET, 4, header.hits, "times used")
    yield Field("header.context_tokens", 16, 4, header.context_tokens, "context size of the session")
    yield Field("header.byte20", layout.BYTE20_OFFSET, 1, header.byte20, _byte20(profile))
    yield Field("header.reserved", 21, layout.RESERVED_BYTES, header.reserved.hex(" "), "reserved")
    yield Field("header.created", 24, 8, header.created, _time(header.created))
    yield Field("header.last_used", layout.LAST_USED_OFFSET, 8, header.last_used, _time(header.last_used))
    payload_bytes = header.payload_bytes
    yield Field("header.payload_bytes", layout.PAYLOAD_BYTES_OFFSET, 8, payload_bytes, human_bytes(payload_bytes))
    yield Field("text_bytes", layout.TEXT_BYTES_OFFSET, 4, text_bytes, human_bytes(text_bytes))


def _reason(header: Header) -> str:
    name = reason_name(header)
    return name if header.reason <= layout.REASON_MAX else f"not defined, used as {name}"


def _flags(header: Header) -> str:
    unknown = [f"bit {bit} (not defined)" for bit in range(4, 8) if header.flags >> bit & 1]
    return ", ".join([*flag_names(header), *unknown]) or "none"


def _byte7(profile: Profile | None) -> str:
    if profile is None:
        return "model id, or reserved"
    return "model id" if profile.has_model_id else "reserved"


def _byte20(profile: Profile | None) -> str:
    if profile is None:
        return "payload ABI, or reserved"
    return "payload ABI" if profile.has_payload_abi else "reserved"


def _time(seconds: int) -> str:
    return iso_time(seconds) or "beyond the year 9999"
