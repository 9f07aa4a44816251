"""Which entries go when a directory is over its budget. Asked only after a save has succeeded (KVS-EVICT-1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kvformat import identity
from kvformat.errors import CleanupFailure, SaveError
from kvformat.options import SaveResult

if TYPE_CHECKING:
    from kvformat.store import Store

EvictionPolicy = Callable[["Store", SaveResult], Iterable[str]]
"""Names to remove after a save has succeeded, never before (KVS-EVICT-1)."""


def within_bytes(budget_bytes: int) -> EvictionPolicy:
    """Keeps the entries of a directory within `budget_bytes`: the least recently used go first.

    The entry that was just saved stays, even where it alone is over the budget.
    """

    def choose(store: Store, saved: SaveResult) -> Iterable[str]:
        entries = store.entries()
        over_bytes = sum(entry.size_bytes for entry in entries) - budget_bytes
        others = [entry for entry in entries if entry.name != saved.name]
        others.sort(key=lambda entry: (entry.header.last_used, entry.name))
        count = removals([entry.size_bytes for entry in others], over_bytes)
        return [entry.name for entry in others[:count]]

    return choose


def removals(sizes_bytes: Sequence[int], over_bytes: int) -> int:
    """How many files go, from the first one on, so that `over_bytes` are freed: all where that is not enough.

    pre: len(sizes_bytes) <= 3 and all(size >= 0 for size in sizes_bytes)
    post: 0 <= __return__ <= len(sizes_bytes)
    post: __return__ == len(sizes_bytes) or sum(sizes_bytes[:__return__]) >= over_bytes
    post: __return__ == 0 or sum(sizes_bytes[:__return__ - 1]) < over_bytes
    """
    for count, size_bytes in enumerate(sizes_bytes):
        if over_bytes <= 0:
            return count
        over_bytes -= size_bytes
    return len(sizes_bytes)


def evict(store: Store, saved: SaveResult, policy: EvictionPolicy) -> SaveResult:
    """Removes what `policy` names, but never the entry that was just saved; returns `saved` with what became of it.

    The save has succeeded and stays so (KVS-EVICT-1): whatever the policy raises or names that cannot be removed is
    reported in the result. Durable as the save was (KVS-DURABLE-3).
    """
    evicted: list[str] = []
    failures: list[CleanupFailure] = []
    kept = identity.canonical_name(saved.name)
    try:
        for victim in policy(store, saved):
            if identity.canonical_name(victim) == kept:
                continue
            try:
                store.remove(victim, durable=saved.durable)
            except (SaveError, ValueError) as error:
                failures.append(CleanupFailure("evict", victim, error))
            else:
                evicted.append(victim)
    except Exception as error:  # noqa: BLE001 - of the caller's own code; the save it comes behind is done
        failures.append(CleanupFailure("evict", "(the policy)", error))
    return replace(saved, evicted=tuple(evicted), eviction_failures=tuple(failures))
