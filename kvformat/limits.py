"""What a reader is willing to hold in memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, all of them the reader's choice.

    `text_bytes_max` bounds the text, and rejects (KVC-LIMIT-3). `memory_bytes_max` bounds what
    `KvcReader.tool_map` and `KvcReader.read_trailing` collect for a caller; it rejects no
    entry, the tool map can still be read one by one.
    """

    text_bytes_max: int = 256 * 1024 * 1024
    memory_bytes_max: int = 1024 * 1024 * 1024


DEFAULT_LIMITS = Limits()
"""What applies unless a caller says otherwise (KVC-LIMIT-3)."""
