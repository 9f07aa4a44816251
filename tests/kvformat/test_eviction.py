"""The budget: least recently used first, never the entry that was just saved (KVS-EVICT-1)."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from kvformat.errors import SaveError
from kvformat.eviction import within_bytes
from kvformat.model import Entry
from kvformat.options import Options
from kvformat.serial import serialize
from kvformat.testing import file_of
from tests.kvformat.saving import ENTRY, NAME, NEW, NOW, PAYLOAD, Failing, store_of


def put(fs: MemoryFileSystem, number: int, last_used: int, payload_bytes: int) -> tuple[str, int]:
    entry = Entry(text=b"%d" % number, tokens=1, created=NOW, last_used=last_used)
    content = file_of(entry, bytes(payload_bytes))
    name = serialize(entry, now=NOW).name
    fs.put(name, content)
    return name, len(content)


@given(kept=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 100)), max_size=8), budget=st.integers(-1000, 2000))
def test_the_least_recently_used_go_until_the_rest_fits(kept: list[tuple[int, int]], budget: int) -> None:
    """Against the definition: the shortest run of the oldest ones whose removal brings the rest within the budget."""
    fs = MemoryFileSystem()
    sizes = {}
    used = {}
    for number, (last_used, payload_bytes) in enumerate(kept):
        name, size = put(fs, number, last_used, payload_bytes)
        sizes[name], used[name] = size, last_used
    result = store_of(fs, eviction=within_bytes(budget)).save(ENTRY, PAYLOAD)
    left = {name: size for name, size in sizes.items() if name not in result.evicted}
    assert set(fs.names()) == {*left, NAME}
    assert fs.content(NAME) == NEW
    assert result.eviction_failures == ()
    # In the order of age (by name where it is equal), and not one too many.
    assert list(result.evicted) == sorted(sizes, key=lambda name: (used[name], name))[: len(result.evicted)]
    total = sum(left.values()) + len(NEW)
    assert total <= budget or not left
    if result.evicted:
        assert total + sizes[result.evicted[-1]] > budget


def test_the_entry_that_was_just_saved_stays_even_if_it_alone_is_too_much() -> None:
    """KVS-EVICT-1: although its last-used time is the oldest."""
    fs = MemoryFileSystem()
    other, _ = put(fs, 1, NOW + 100, 5)
    result = store_of(fs, eviction=within_bytes(0)).save(ENTRY, PAYLOAD)
    assert result.evicted == (other,)
    assert fs.contents() == {NAME: NEW}


def test_what_is_no_good_entry_is_neither_counted_nor_removed() -> None:
    """KVS-REMOVE-2, KVS-RECOVER-3: damaged files, temp files and files of others are not the budget's."""
    fs = MemoryFileSystem()
    others = {
        "README": bytes(10_000),
        f"{'1' * 40}.kv": b"damaged" * 1000,
        f".kvc-save-{'ab' * 16}.tmp": bytes(10_000),
        f"{NAME}.tmp.1": bytes(10_000),
    }
    for name, content in others.items():
        fs.put(name, content)
    kept, size = put(fs, 1, 0, 5)
    result = store_of(fs, eviction=within_bytes(len(NEW) + size)).save(ENTRY, PAYLOAD)
    assert result.evicted == ()
    assert set(fs.names()) == {*others, kept, NAME}


def test_no_entry_is_evicted_for_a_save_that_fails() -> None:
    """KVS-EVICT-1, KVS-INV-6."""
    fs = MemoryFileSystem()
    other, _ = put(fs, 1, 0, 50)

    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(errno.EIO, "I/O error") if op is Op.FSYNC_DIRECTORY else None

    with pytest.raises(SaveError) as caught:
        store_of(Failing(fs, fail), eviction=within_bytes(0)).save(ENTRY, PAYLOAD)
    assert caught.value.visible is True
    assert set(fs.names()) == {other, NAME}


def test_a_replaced_entry_counts_once() -> None:
    fs = MemoryFileSystem()
    fs.put(NAME, file_of(ENTRY, bytes(5000)))
    other, size = put(fs, 1, 0, 5)
    store = store_of(fs, eviction=within_bytes(len(NEW) + size))
    assert store.save(ENTRY, PAYLOAD, options=Options(durable=False)).evicted == ()
    assert set(fs.names()) == {other, NAME}
