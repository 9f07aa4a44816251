"""Contents after a loss of power, held against an enumeration written for this test (KVS-POWER-3, KVS-CLASS-6)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultinject.persistence import contents as module
from faultinject.persistence.blocks import STALE_BYTE, FileSpace
from faultinject.persistence.contents import Reference, content, content_classes, contents
from faultinject.persistence.profiles import Order, Size, Unwritten
from tests.faultinject.persistence.small import BLOCK_BYTES, PROFILES, made, read, small

Writes = list[tuple[int, bytes]]
WRITES = st.lists(st.tuples(st.integers(0, 9), st.binary(min_size=1, max_size=6)), min_size=1, max_size=3)
STARTS = st.binary(max_size=9)


def written(name: str, start: bytes, writes: Writes) -> FileSpace:
    space = FileSpace(small(name), BLOCK_BYTES, (start,) if start else ())
    for offset, data in writes:
        space.write(offset, data)
    return space


def by_brute_force(name: str, start: bytes, writes: Writes) -> set[bytes]:
    """Every block holds what it held at any moment; the size is any that it had, or one that ends with a block."""
    profile = small(name)
    moments = [start]
    for offset, data in writes:
        before = moments[-1].ljust(offset, b"\0")
        moments.append(before[:offset] + data + before[offset + len(data) :])
    size_bytes = len(moments[-1])
    count = -(-size_bytes // BLOCK_BYTES)
    versions: list[set[bytes]] = []
    lost: list[set[bytes]] = []
    for index in range(count):
        low, high = index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES
        found = {moments[0][low:high].ljust(BLOCK_BYTES, b"\0")}
        gone: set[bytes] = set()
        for (offset, data), moment in zip(writes, moments[1:], strict=True):
            if offset < high and offset + len(data) > low:
                found.add(moment[low:high].ljust(BLOCK_BYTES, b"\0"))
                if low >= len(start):
                    gone = {bytes(BLOCK_BYTES)}
        if gone and profile.unwritten is Unwritten.STALE:
            gone.add(STALE_BYTE * BLOCK_BYTES)
        versions.append(found | gone)
        lost.append(gone)
    sizes = {len(moment) for moment in moments}
    sizes |= {size for size in range(0, size_bytes, BLOCK_BYTES) if size > len(start)}
    result = set()
    for size in sizes:
        last = (size - 1) // BLOCK_BYTES
        held = size > len(start) and profile.size is Size.LAST_BLOCK
        choices = []
        for index in range(-(-size // BLOCK_BYTES)):
            choices.append(versions[index])
            if held and index == last and lost[index]:
                there = {
                    moment[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]
                    for moment in moments_with(writes, moments, index)
                }
                choices[-1] = {one.ljust(BLOCK_BYTES, b"\0") for one in there}
        result |= {b"".join(blocks)[:size] for blocks in product(*choices)}
    return result


def moments_with(writes: Writes, moments: list[bytes], index: int) -> list[bytes]:
    """The contents after the writes that touch a block."""
    low, high = index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES
    return [
        moment
        for (offset, data), moment in zip(writes, moments[1:], strict=True)
        if offset < high and offset + len(data) > low
    ]


@settings(max_examples=150)
@given(st.sampled_from(PROFILES), STARTS, WRITES)
def test_all_contents_and_no_others(name: str, start: bytes, writes: Writes) -> None:
    space = written(name, start, writes)
    found = {made(space, numbered.choice) for _, numbered in contents(space)}
    assert found == by_brute_force(name, start, writes)


RANGES = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)).map(lambda r: (r[0], r[0] + r[1])), max_size=1)


def equal(one: bytes, other: bytes, ranges: list[tuple[int, int]]) -> bool:
    masked = [bytearray(one), bytearray(other)]
    for content_ in masked:
        for start, end in ranges:
            content_[start:end] = bytes(max(0, min(end, len(content_)) - start))
    return len(one) == len(other) and masked[0] == masked[1]


def check_labels(space: FileSpace, references: list[bytes], ranges: list[tuple[int, int]]) -> set[bytes]:
    """Every label is that of a real comparison, and every number leads back to its content."""
    known = [Reference((one,) if one else (), BLOCK_BYTES, ranges) for one in references]
    everything = list(contents(space, known))
    seen = set()
    for place, (label, numbered) in enumerate(everything):
        whole = made(space, numbered.choice)
        seen.add(whole)
        assert [bool(label >> bit & 1) for bit in range(len(references))] == [
            equal(whole, one, ranges) for one in references
        ], (whole, references)
        assert numbered.number == place
        assert content(space, place) == numbered.choice
    classes = content_classes(space, known)
    assert sum(one.states for one in classes) == len(everything)
    for one in classes:
        assert one.states == [label for label, _ in everything].count(one.label)
        assert all(everything[sample.number] == (one.label, sample) for sample in one.samples)
    for number in (-1, len(everything)):
        with pytest.raises(IndexError):
            content(space, number)
    return seen


@settings(max_examples=150)
@given(st.sampled_from(PROFILES), STARTS, WRITES, RANGES)
def test_labels_are_those_of_a_comparison(
    name: str, start: bytes, writes: Writes, ranges: list[tuple[int, int]]
) -> None:
    space = written(name, start, writes)
    check_labels(space, [start, read(space)], ranges)


@settings(max_examples=150)
@given(st.sampled_from(PROFILES), STARTS, WRITES, st.integers(0, 12), WRITES)
def test_truncations_are_labelled_too(name: str, start: bytes, writes: Writes, size_bytes: int, more: Writes) -> None:
    space = written(name, start, writes)
    middle = read(space)
    space.resize(size_bytes)
    for offset, data in more:
        space.write(offset, data)
    found = check_labels(space, [start, middle, read(space)], [])
    if space.profile.truncation is Order.ORDERED and size_bytes < len(middle) and len(found) < 4096:
        assert by_brute_force(name, start, writes) <= found, "the truncation may be lost"


@settings(max_examples=200)
@given(st.sampled_from(PROFILES), STARTS, WRITES, st.integers(0, 12), st.booleans(), RANGES)
def test_of_too_many_some_are_left_and_they_are_right(
    name: str, start: bytes, writes: Writes, size_bytes: int, cut: bool, ranges: list[tuple[int, int]]
) -> None:
    """Above the limit: nothing that could not be, everything and nothing, and every label right (KVS-CLASS-6)."""
    space = written(name, start, writes)
    references = [start, read(space), start[:-1] + b"?"]
    if cut:
        space.resize(size_bytes)
        references.append(read(space))
    every = {made(space, numbered.choice) for _, numbered in contents(space)}
    limit, module.STATES_MAX = module.STATES_MAX, 0
    try:
        some = check_labels(space, references, ranges)
        again = [made(space, numbered.choice) for _, numbered in contents(space)]
    finally:
        module.STATES_MAX = limit
    assert some <= every
    assert again[0] == read(space)
    assert start in some


def test_the_size_may_be_ahead_of_the_data_or_not() -> None:
    """The size rule of a profile: `any` shows zeros up to the new size, `last-block` not without the last block."""
    found = {}
    for size in Size:
        space = FileSpace(small("xfs", size=size), BLOCK_BYTES)
        space.write(0, b"12345678")
        found[size] = {made(space, numbered.choice) for _, numbered in contents(space)}
    assert found[Size.ANY] - found[Size.LAST_BLOCK] == {bytes(4), bytes(8), b"1234" + bytes(4)}
    assert bytes(4) + b"5678" in found[Size.LAST_BLOCK], "blocks before the last may be holes"


def test_a_size_that_was_set_needs_no_data() -> None:
    """ftruncate(2) and fallocate(2) make a size that nothing holds back."""
    space = FileSpace(small("ext4-ordered"), BLOCK_BYTES)
    space.resize(8)
    space.write(0, b"12345678")
    assert bytes(8) in {made(space, numbered.choice) for _, numbered in contents(space)}
