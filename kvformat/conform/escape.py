"""Names as text: what is not printable ASCII, and `%`, is `%XX` (spec/conformance.md, chapter 2)."""

from __future__ import annotations

import re

_PRINTABLE = range(0x20, 0x7F)
_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2}|[\x20-\x24\x26-\x7e])*")
_PIECE = re.compile(r"%([0-9A-Fa-f]{2})")


def escape(name: bytes) -> str:
    """The name as text."""
    return "".join(chr(byte) if byte in _PRINTABLE and byte != 0x25 else f"%{byte:02X}" for byte in name)


def unescape(text: str) -> bytes:
    """The name that `text` stands for. Raises ValueError for text that stands for none."""
    if _ESCAPED.fullmatch(text) is None:
        raise ValueError(f"{text!a} is no escaped name: write a byte that is not printable ASCII, and %, as %XX")
    return _PIECE.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")
