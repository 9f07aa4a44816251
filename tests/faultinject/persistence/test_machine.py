"""What each operation does to what is on the disk (KVS-POWER-1, KVS-POWER-4, KVS-POWER-5)."""

from __future__ import annotations

import errno
import os
import tracemalloc
from dataclasses import replace

import pytest

from faultinject.ops import Op, Operation
from faultinject.persistence.machine import (
    BLOCKS_MAX,
    Effect,
    Machine,
    NodeKind,
    NotModelledError,
    StartNode,
    block_bytes_for,
)
from faultinject.persistence.profiles import Profile, profiles
from tests.faultinject.persistence.replayed import (
    linked,
    made,
    opened,
    plain,
    renamed,
    replayed,
    synced,
    synced_directory,
    unlinked,
    wrote,
)
from tests.faultinject.persistence.small import BLOCK_BYTES, PROFILES, small

START = {"e": StartNode(NodeKind.FILE, (b"old!",), 7)}
SAVE = [opened("t", 1), wrote(1, 0, b"new!"), renamed("t", "e")]
ENTRY_OLD = {frozenset({("e", b"old!"), ("t", content)}) for content in (b"new!", b"")}


def contents_of(states: set[frozenset[tuple[str, bytes]]], name: str) -> set[bytes | None]:
    return {dict(state).get(name) for state in states}


def test_a_rename_says_nothing_of_the_data() -> None:
    found = plain(replayed(SAVE, start=START))
    assert {b"old!", b"new!", b"", bytes(4)} <= contents_of(found, "e")
    assert None not in contents_of(found, "e"), "the name itself is there, before and after"


def test_ext4_writes_the_data_before_a_rename_over_another_file() -> None:
    """ext4(5), auto_da_alloc: old or complete; but a name that is new may be empty."""
    replacing = plain(replayed(SAVE, small("ext4-ordered"), START))
    assert contents_of(replacing, "e") == {b"old!", b"new!"}
    assert b"" in contents_of(replacing, "t"), "before the rename nothing is promised"
    assert b"" in contents_of(plain(replayed(SAVE, small("ext4-ordered"))), "e")
    later = plain(replayed([*SAVE, wrote(1, 4, b"more")], small("ext4-ordered"), START))
    assert {b"new!", b"new!more"} <= contents_of(later, "e")
    assert b"" not in contents_of(later, "e")


@pytest.mark.parametrize("name", PROFILES)
def test_the_protocol_leaves_old_or_new_and_after_the_end_new(name: str) -> None:
    """KVS-DURABLE-2."""
    steps = [opened("t", 1), wrote(1, 0, b"new!"), synced(1), renamed("t", "e")]
    assert contents_of(plain(replayed(steps, small(name), START)), "e") <= {b"old!", b"new!"}
    assert plain(replayed([*steps, synced_directory()], small(name), START)) == {frozenset({("e", b"new!")})}


@pytest.mark.parametrize("name", PROFILES)
def test_a_second_fsync_after_a_failed_one_brings_nothing_back(name: str) -> None:
    """KVS-POWER-5."""
    steps = [opened("t", 1), wrote(1, 0, b"new!"), synced(1, error=errno.EIO), synced(1), renamed("t", "e")]
    found = plain(replayed([*steps, synced_directory()], small(name), START))
    assert contents_of(found, "e") > {b"new!"}


def test_below_a_directory_that_is_lost_everything_is_lost() -> None:
    steps = [made("d"), opened("d/f", 1), wrote(1, 0, b"data"), synced(1), synced_directory("d")]
    assert plain(replayed(steps)) == {frozenset(), frozenset({("d", b""), ("d/f", b"data")})}
    assert plain(replayed([*steps, synced_directory()])) == {frozenset({("d", b""), ("d/f", b"data")})}


def test_a_directory_takes_its_content_along() -> None:
    steps = [made("d"), opened("d/f", 1), synced_directory("d"), synced_directory("."), renamed("d", "m")]
    assert plain(replayed(steps)) == {
        frozenset({("d", b""), ("d/f", b"")}),
        frozenset({("m", b""), ("m/f", b"")}),
        frozenset({("d", b""), ("d/f", b""), ("m", b""), ("m/f", b"")}),
    }
    assert plain(replayed([*steps, opened("m/g", 2), synced_directory("m"), synced_directory()])) == {
        frozenset({("m", b""), ("m/f", b""), ("m/g", b"")})
    }


def test_a_sync_of_one_directory_is_none_of_another() -> None:
    steps = [made("d"), made("o"), synced_directory(), opened("d/f", 1), renamed("d/f", "o/f")]
    found = plain(replayed([*steps, synced_directory("d")]))
    assert {("o/f" in dict(state), "d/f" in dict(state)) for state in found} == {(True, False)}, "removed, so moved"
    found = plain(replayed([*steps, synced_directory("o")]))
    assert {("o/f" in dict(state), "d/f" in dict(state)) for state in found} == {(True, False), (True, True)}


def test_hard_links_are_one_file() -> None:
    steps = [opened("a", 1), synced(1), linked(1, "b"), synced_directory(), wrote(1, 0, b"data"), unlinked("a")]
    found = plain(replayed(steps))
    assert {b"data", b""} <= contents_of(found, "b")
    for state in found:
        assert dict(state).get("a") in (None, dict(state)["b"])


def test_names_of_one_file_at_the_start_are_one_file() -> None:
    start = {name: StartNode(NodeKind.FILE, (b"old!",), 7) for name in ("a", "b")}
    found = plain(replayed([wrote(7, 0, b"new!")], start=start))
    assert found == {frozenset({("a", one), ("b", one)}) for one in (b"old!", b"new!")}


def test_a_file_without_a_name_is_lost_until_it_is_linked() -> None:
    steps = [Operation(-1, Op.OPEN_UNNAMED, inode=1), wrote(1, 0, b"data")]
    assert plain(replayed(steps)) == {frozenset()}
    found = plain(replayed([*steps, linked(1, "a")]))
    assert {frozenset(), frozenset({("a", b"data")}), frozenset({("a", b"")})} <= found
    assert plain(replayed([*steps, synced(1), linked(1, "a"), synced_directory()])) == {frozenset({("a", b"data")})}


@pytest.mark.parametrize("name", PROFILES)
def test_truncated_at_opening_the_old_content_may_be_there_or_not(name: str) -> None:
    steps = [opened("e", 7, os.O_RDWR | os.O_TRUNC), wrote(7, 0, b"newer")]
    found = contents_of(plain(replayed(steps, small(name), START)), "e")
    assert {b"old!", b"newer", b""} <= found
    assert contents_of(plain(replayed([*steps, synced(7)], small(name), START)), "e") == {b"newer"}


@pytest.mark.parametrize("flags", [os.O_DSYNC, os.O_SYNC])
def test_a_synchronous_file_is_durable_after_each_write(flags: int) -> None:
    steps = [opened("t", 1, os.O_WRONLY | os.O_CREAT | flags), wrote(1, 0, b"new!")]
    assert plain(replayed([*steps, synced_directory()])) == {frozenset({("t", b"new!")})}
    assert frozenset() in plain(replayed(steps)), "the name is another matter"
    also = opened("t", 1, os.O_WRONLY)
    assert b"" in contents_of(plain(replayed([steps[0], also, steps[1]])), "t"), "by which descriptor is not known"
    store = replace(steps[1], op=Op.STORE)
    assert b"" in contents_of(plain(replayed([steps[0], store])), "t"), "stores to a mapping are not written through"


def test_a_transfer_that_was_cut_is_not_written_through() -> None:
    machine = replayed([opened("t", 1, os.O_WRONLY | os.O_CREAT | os.O_DSYNC)])
    machine.apply(wrote(1, 0, b"12345678"), 5)
    assert {b"12345", b""} <= contents_of(plain(machine), "t")


@pytest.mark.parametrize("name", PROFILES)
def test_what_syncs_names(name: str) -> None:
    """The rules sync_file, sync_directory and sync_all."""
    steps = [opened("t", 1), wrote(1, 0, b"data")]
    kept = {
        "file": None not in contents_of(plain(replayed([*steps, synced(1)], small(name))), "t"),
        "data": None not in contents_of(plain(replayed([*steps, synced(1, Op.FDATASYNC)], small(name))), "t"),
        "all": plain(replayed([*steps, Operation(-1, Op.SYNC)], small(name))) == {frozenset({("t", b"data")})},
    }
    assert kept == {"file": name != "strict", "data": False, "all": name != "strict"}
    other = [made("d"), synced_directory("d")]
    gone = frozenset() in plain(replayed(other, small(name)))
    assert gone == (profiles()[name].sync_directory == "own")


def test_msync_counts_where_it_waits_for_the_whole_file() -> None:
    def after(size_bytes: int, flags: int) -> set[bytes | None]:
        steps = [opened("t", 1), wrote(1, 0, b"data"), synced_directory()]
        sync = Operation(-1, Op.MSYNC, "t", size_bytes=size_bytes, flags=flags)
        return contents_of(plain(replayed([*steps, sync])), "t")

    assert after(4096, 4) == {b"data"}
    assert b"" in after(4096, 1), "MS_ASYNC"
    assert b"" in after(3, 4)


def test_exchanged_names_change_together() -> None:
    start = {name: StartNode(NodeKind.FILE, (name.encode(),), number) for number, name in ((8, "a"), (9, "b"))}
    found = plain(replayed([renamed("a", "b", 2)], start=start))
    assert found == {frozenset({("a", b"a"), ("b", b"b")}), frozenset({("a", b"b"), ("b", b"a")})}


def test_what_comes_from_outside_may_be_lost_and_what_goes_out_is_gone() -> None:
    comes = Operation(-1, Op.RENAME, target="e", inode=5, data=b"new!")
    found = plain(replayed([comes], start=START))
    assert {b"old!", b"new!", b""} <= contents_of(found, "e")
    goes = Operation(-1, Op.RENAME, "e", inode=7)
    assert plain(replayed([goes], start=START)) == {frozenset({("e", b"old!")}), frozenset()}
    swapped = Operation(-1, Op.RENAME, "e", inode=5, data=b"new!", flags=2)
    found = plain(replayed([swapped], start=START))
    assert {b"old!", b"new!"} <= contents_of(found, "e")
    assert None not in contents_of(found, "e")
    again = Operation(-1, Op.RENAME, target="x", inode=7, data=b"old!")
    assert b"" not in contents_of(plain(replayed([again], start=START)), "x"), "another link to what is known"


def test_a_link_that_was_opened_leads_to_the_file_behind_it() -> None:
    start = {**START, "l": StartNode(NodeKind.OTHER, inode=8)}
    steps = [opened("l", 7, os.O_WRONLY | os.O_TRUNC), wrote(7, 0, b"new!"), synced(7)]
    assert contents_of(plain(replayed(steps, start=start)), "e") == {b"new!"}


def test_copies_have_the_bytes_of_their_source() -> None:
    copy = Operation(-1, Op.COPY_RANGE, inode=1, offset=0, size_bytes=3, source_inode=7, source_offset=1, result=3)
    found = plain(replayed([opened("t", 1), copy, synced(1), synced_directory()], start=START))
    assert contents_of(found, "t") == {b"ld!"}
    clone = Operation(-1, Op.CLONE, inode=1, offset=0, data=b"ab", result=2, flags=1)
    steps = [opened("t", 1), wrote(1, 0, b"longer"), clone, synced(1), synced_directory()]
    assert contents_of(plain(replayed(steps)), "t") == {b"ab"}


@pytest.mark.parametrize(
    "operation",
    [
        Operation(-1, Op.COPY_RANGE, inode=7, offset=0, size_bytes=3, source_inode=99, source_offset=0, result=3),
        Operation(-1, Op.SPLICE, inode=7, offset=0, size_bytes=3, result=3),
        Operation(-1, Op.FALLOCATE, inode=7, offset=0, size_bytes=3, flags=0x08),
    ],
)
def test_what_is_not_known_is_said(operation: Operation) -> None:
    with pytest.raises(NotModelledError, match=str(operation.op)):
        replayed([operation], start=START)


def test_fallocate_grows_or_clears() -> None:
    def after(flags: int, offset: int, size_bytes: int) -> bytes:
        steps = [Operation(-1, Op.FALLOCATE, inode=7, offset=offset, size_bytes=size_bytes, flags=flags), synced(7)]
        (state,) = plain(replayed(steps, start=START))
        return dict(state)["e"]

    assert after(0, 2, 4) == b"old!\0\0"
    assert after(1, 2, 4) == b"old!"
    assert after(3, 1, 2) == b"o\0\0!"
    assert after(0x10, 2, 4) == b"ol\0\0\0\0"


def test_what_an_operation_does_to_what_may_be_lost() -> None:
    machine = Machine(small("strict"), START, BLOCK_BYTES)
    steps = {
        Effect.MORE: [opened("t", 1), wrote(1, 0, b"x"), linked(1, "u"), renamed("t", "e"), unlinked("u"), made("d")],
        Effect.LESS: [synced(1), synced_directory()],
        Effect.NONE: [opened("e", 1, os.O_RDONLY), replace(wrote(1, 0, b"x"), error=errno.EIO), Operation(-1, Op.CLOSE, inode=1), Operation(-1, Op.SYNC)],
    }  # fmt: skip
    assert {effect: {machine.apply(one) for one in operations} for effect, operations in steps.items()} == {
        effect: {effect} for effect in steps
    }


def profile_of(name: str) -> Profile:
    return profiles()[name]


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("largest_bytes", [0, 1, 512 * BLOCKS_MAX, 4096 * BLOCKS_MAX + 1, 1 << 40])
def test_blocks_of_large_files_are_large(name: str, largest_bytes: int) -> None:
    block_bytes = block_bytes_for(profile_of(name), [3, largest_bytes])
    assert block_bytes % profile_of(name).block_bytes == 0
    assert largest_bytes <= block_bytes * BLOCKS_MAX
    assert block_bytes == profile_of(name).block_bytes or largest_bytes > block_bytes // 2 * BLOCKS_MAX


def test_a_large_write_is_not_copied() -> None:
    data = bytes(64 << 20)
    profile = profile_of("strict")
    tracemalloc.start()
    machine = Machine(profile, {}, block_bytes_for(profile, [len(data)]))
    for operation in (opened("t", 1), wrote(1, 0, data), synced(1), renamed("t", "e")):
        machine.apply(operation)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4 << 20
