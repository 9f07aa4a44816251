"""Which entries go when a directory is over its budget. Asked only after a save has succeeded (KVS-EVICT-1)."""

from __future__ import annotations

from collections.abc import Iterable

from kvformat.store import EvictionPolicy, Store
from kvformat.writer import SaveResult


def within_bytes(budget_bytes: int) -> EvictionPolicy:
    """Keeps the entries of a directory within `budget_bytes`: the least recently used go first.

    The entry that was just saved stays, even where it alone is over the budget.
    """

    def choose(store: Store, saved: SaveResult) -> Iterable[str]:
        entries = store.entries()
        over_bytes = sum(entry.size_bytes for entry in entries) - budget_bytes
        for entry in sorted(entries, key=lambda entry: (entry.header.last_used, entry.name)):
            if over_bytes <= 0:
                return
            if entry.name != saved.name:
                over_bytes -= entry.size_bytes
                yield entry.name

    return choose
