"""A disk in blocks is the same as a disk in one piece."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from faultinject.powercut.blocks import BLOCK_BYTES, Blocks, Overlay

SIZE = 5 * BLOCK_BYTES
offsets = st.one_of(st.integers(0, SIZE - 1), st.integers(0, 9).map(lambda half: half * BLOCK_BYTES // 2))
contents = st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 2), st.integers(0, 3 * BLOCK_BYTES))
writes = st.tuples(offsets, contents).map(lambda one: (one[0], one[1][: SIZE - one[0]]))
zeros = st.tuples(offsets, st.integers(0, SIZE)).map(lambda one: (one[0], min(one[1], SIZE - one[0])))
edits = st.lists(st.one_of(writes, zeros), max_size=8)

Edits = list[tuple[int, bytes] | tuple[int, int]]


def edit(disk: Blocks, model: bytearray, changes: Edits) -> None:
    for offset, change in changes:
        if isinstance(change, bytes):
            disk.write(offset, change)
            model[offset : offset + len(change)] = change
        else:
            disk.zero(offset, change)
            model[offset : offset + change] = bytes(change)


@given(edits, edits)
def test_base_and_overlay_read_as_what_was_written(before: Edits, after: Edits) -> None:
    base, model = Blocks(), bytearray(SIZE)
    edit(base, model, before)
    under = bytes(model)
    overlay = Overlay(base)
    edit(overlay, model, after)
    assert overlay.read(0, SIZE) == model
    assert base.read(0, SIZE) == under


@given(edits, edits, edits)
def test_digests_are_equal_where_disks_are_and_nowhere_else(before: Edits, one: Edits, other: Edits) -> None:
    base, start = Blocks(), bytearray(SIZE)
    edit(base, start, before)
    overlays, models = [Overlay(base), Overlay(base)], [bytearray(start), bytearray(start)]
    for overlay, model, changes in zip(overlays, models, (one, other), strict=True):
        edit(overlay, model, changes)
    assert (overlays[0].digest == overlays[1].digest) == (models[0] == models[1])
    assert (overlays[0].digest == 0) == (models[0] == start)


@given(edits, edits, edits)
def test_copies_are_apart_and_a_settled_overlay_is_the_base(before: Edits, one: Edits, other: Edits) -> None:
    base, model = Blocks(), bytearray(SIZE)
    edit(base, model, before)
    overlay = Overlay(base)
    edit(overlay, model, one)
    copy, copied = overlay.copy(), bytearray(model)
    assert copy.digest == overlay.digest
    edit(copy, copied, other)
    assert overlay.read(0, SIZE) == model
    assert copy.read(0, SIZE) == copied
    overlay.settle()
    assert base.read(0, SIZE) == model
    assert overlay.digest == 0


@given(offsets, st.integers(1, SIZE))
def test_any_range_can_be_read(offset: int, size_bytes: int) -> None:
    size_bytes = min(size_bytes, SIZE - offset)
    content = bytes(place * 7 % 251 for place in range(SIZE))
    disk = Blocks()
    disk.write(0, content)
    assert disk.read(offset, size_bytes) == content[offset : offset + size_bytes]


def test_zeros_take_no_memory() -> None:
    disk = Blocks()
    disk.write(0, bytes(100 * BLOCK_BYTES))
    disk.write(7, b"x")
    disk.zero(0, 1 << 40)
    assert not disk._blocks
