"""How to save, and what a save that succeeded says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from kvformat.errors import CleanupFailure
from kvformat.temp_names import TempKind

MODE = 0o600
"""Permissions of a new entry: the text is a conversation (KVS-TEMP-2)."""


class Strategy(StrEnum):
    """How a payload reaches the entry (spec/saving.md, "Strategies")."""

    DIRECT = "direct"
    STAGED = "staged"
    BACKPATCH = "backpatch"


@dataclass(frozen=True, slots=True)
class Options:
    """How to save.

    durable: sync file and directory before success is reported (KVS-DURABLE-3).
    temp: whether the temp file may have a name while it is written (KVS-TEMP-5).
    on_progress: called with the count of payload bytes written so far; what it raises ends the save.
    """

    durable: bool = True
    temp: TempKind = TempKind.AUTO
    mode: int = MODE
    on_progress: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class SaveResult:
    """A save that succeeded. `durable` is False where the caller opted out: power loss may undo it."""

    name: str
    strategy: Strategy
    payload_bytes: int
    file_bytes: int
    durable: bool
    unnamed: bool
    copied_by_kernel: bool
    evicted: tuple[str, ...] = ()
    eviction_failures: tuple[CleanupFailure, ...] = ()
