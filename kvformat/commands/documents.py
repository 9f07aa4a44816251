"""The values that the JSON documents share; kvformat/schemas describes them."""

from __future__ import annotations

import base64
import os

from kvformat.display import iso_time
from kvformat.errors import CleanupFailure, Problem
from kvformat.model import Extension, Header, Region

FLAG_NAMES = {
    Extension.TOOL_MAP: "tool-map",
    Extension.RESPONSES_VISIBLE: "responses-visible",
    Extension.THINKING_VISIBLE: "thinking-visible",
    Extension.SESSION_TITLE: "session-title",
}
"""Bits 0 to 3 (KVC-HEADER-5); the others have no name."""


def schema_id(command: str) -> str:
    """What the `schema` member of a command's document says."""
    return f"kvformat-{command}/1"


def bytes_value(data: bytes) -> dict[str, object]:
    """Bytes in JSON: `utf8` where they are that, else `base64`."""
    try:
        return {"utf8": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def name_value(name: str) -> dict[str, object]:
    """A path or file name that may hold any byte."""
    return bytes_value(os.fsencode(name))


def problem_value(problem: Problem) -> dict[str, object]:
    """One broken clause."""
    return {
        "category": str(problem.category),
        "field": problem.field,
        "offset": problem.offset,
        "clause": problem.clause,
        "message": problem.message,
    }


def region_value(region: Region) -> dict[str, object]:
    """A run of bytes and its name."""
    return {"name": region.name, "offset": region.offset, "bytes": region.size_bytes}


def cleanup_value(failure: CleanupFailure) -> dict[str, object]:
    """A step of cleaning up, of a recovery or an eviction that failed."""
    return {"operation": failure.operation, "name": name_value(failure.name), "message": str(failure.error)}


def header_value(header: Header) -> dict[str, object]:
    """Every field as stored, and what it stands for where that has a name."""
    return {
        "quantisation_bits": header.quantisation_bits,
        "reason": header.reason,
        "reason_name": reason_name(header),
        "flags": header.flags,
        "flag_names": flag_names(header),
        "byte7": header.byte7,
        "tokens": header.tokens,
        "hits": header.hits,
        "context_tokens": header.context_tokens,
        "byte20": header.byte20,
        "reserved": header.reserved.hex(),
        "created": header.created,
        "created_utc": iso_time(header.created),
        "last_used": header.last_used,
        "last_used_utc": iso_time(header.last_used),
        "payload_bytes": header.payload_bytes,
    }


def reason_name(header: Header) -> str:
    """The reason as a reader uses it (KVC-HEADER-4)."""
    return header.known_reason.name.lower().replace("_", "-")


def flag_names(header: Header) -> list[str]:
    """The defined bits that are set, lowest first."""
    return [name for bit, name in FLAG_NAMES.items() if header.flags & bit]
