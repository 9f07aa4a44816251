"""A file in blocks reads as a file, whatever may have been lost of it (KVS-POWER-3)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.persistence.blocks import STALE_BYTE, VERSIONS_MAX, Fate, FileSpace, in_blocks
from faultinject.persistence.contents import contents
from tests.faultinject.persistence.small import BLOCK_BYTES, PROFILES, made, read, small

Step = tuple[Callable[[FileSpace], None], Callable[[bytearray], None]]


def write(offset: int, data: bytes) -> Step:
    def model(content: bytearray) -> None:
        if data:
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data

    return lambda space: space.write(offset, data), model


def resize(size_bytes: int) -> Step:
    def model(content: bytearray) -> None:
        del content[size_bytes:]
        content.extend(bytes(size_bytes - len(content)))

    return lambda space: space.resize(size_bytes), model


def zero(offset: int, size_bytes: int) -> Step:
    def model(content: bytearray) -> None:
        end = min(offset + size_bytes, len(content))
        content[offset:end] = bytes(max(0, end - offset))

    return lambda space: space.zero(offset, size_bytes), model


OFFSETS = st.integers(0, 20)
STEPS = st.lists(
    st.builds(write, OFFSETS, st.binary(max_size=10))
    | st.builds(resize, OFFSETS)
    | st.builds(zero, OFFSETS, OFFSETS)
    | st.just((FileSpace.sync, lambda content: None))
    | st.just((FileSpace.fail_sync, lambda content: None)),
    max_size=8,
)


@given(st.sampled_from(PROFILES), st.binary(max_size=10), STEPS, OFFSETS, OFFSETS)
def test_programs_read_what_was_written(
    name: str, start: bytes, steps: list[Step], offset: int, size_bytes: int
) -> None:
    space, content = FileSpace(small(name), BLOCK_BYTES, (start,)), bytearray(start)
    for step, model in steps:
        step(space)
        model(content)
        assert space.size_bytes == len(content)
        assert read(space) == content
        assert b"".join(space.read(offset, size_bytes)) == content[offset : offset + size_bytes]


@given(st.sampled_from(PROFILES), STEPS)
def test_after_a_sync_one_content_is_left(name: str, steps: list[Step]) -> None:
    space = FileSpace(small(name), BLOCK_BYTES)
    for step, _ in steps:
        if step is not FileSpace.fail_sync:
            step(space)
    space.sync()
    assert space.is_durable
    assert {made(space, numbered.choice) for _, numbered in contents(space)} == {read(space)}


@given(st.sampled_from(PROFILES), STEPS, STEPS)
def test_a_copy_is_independent(name: str, steps: list[Step], more: list[Step]) -> None:
    space = FileSpace(small(name), BLOCK_BYTES, (b"at first",))
    for step, _ in steps:
        step(space)
    other = space.copy()
    before = {made(space, numbered.choice) for _, numbered in contents(space)}
    assert before == {made(other, numbered.choice) for _, numbered in contents(other)}
    for step, _ in more:
        step(other)
    assert {made(space, numbered.choice) for _, numbered in contents(space)} == before


@pytest.mark.parametrize("name", PROFILES)
def test_a_failed_sync_gives_the_blocks_up_until_they_are_written_again(name: str) -> None:
    """KVS-POWER-5: the second fsync succeeds, and the data is gone."""
    space = FileSpace(small(name), BLOCK_BYTES)
    space.write(0, b"lost")
    space.fail_sync()
    space.write(4, b"kept")
    space.sync()
    found = {made(space, numbered.choice) for _, numbered in contents(space)}
    assert bytes(4) + b"kept" in found
    assert b"lostkept" in found
    assert {content[4:] for content in found} == {b"kept"}
    space.write(0, b"soon")
    space.sync()
    assert space.is_durable


def test_what_was_never_written_back_may_be_what_the_device_held() -> None:
    space = FileSpace(small("strict"), BLOCK_BYTES, (b"old!",))
    space.write(0, b"new!")
    assert Fate.STALE not in [option.fate for option in space.blocks[0].options], "it is there on the disk"
    space.resize(0)
    space.write(0, b"more")
    fates = [option.fate for option in space.blocks[0].options]
    assert fates == [Fate.DURABLE, Fate.WRITTEN, Fate.ZEROS, Fate.STALE, Fate.WRITTEN], "freed and taken again"


def test_a_truncation_in_order_takes_nothing_that_it_keeps_to_the_disk() -> None:
    """The size is on the disk with the transaction; the bytes below it need not be."""
    space = FileSpace(small("ext4-ordered"), BLOCK_BYTES)
    space.write(0, b"abcdef")
    space.resize(2)
    found = {made(space, numbered.choice) for _, numbered in contents(space)}
    assert {b"ab", bytes(2), b"", b"abcdef"} <= found
    assert b"ab" + bytes(4) not in found, "what was cut off is not half there"


def test_of_many_versions_the_first_and_the_last_stay() -> None:
    space = FileSpace(small("strict"), BLOCK_BYTES, (b"0000",))
    for number in range(100):
        space.write(0, b"%04d" % number)
    options = space.blocks[0].options
    assert len(options) == VERSIONS_MAX
    assert (options[0].pieces, options[-1].pieces) == ((b"0000",), (b"0099",))


def test_shared_buffers_are_not_copied() -> None:
    data = bytes(1 << 20) * 64
    tracemalloc.start()
    space = FileSpace(small("strict"), 1 << 15)
    space.write(0, data)
    space.write(0, data)
    assert len(list(in_blocks((data,), 1 << 15))) == len(space.blocks) == 2048
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 << 20
    assert space.blocks[5].options[1].pieces == (STALE_BYTE * (1 << 15),)
