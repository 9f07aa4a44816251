"""Crash images keep the one promise of a disk, and are counted rightly."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from faultinject.powercut.disk import Entry, Request, Survivors, Torn
from faultinject.powercut.images import Choice, chosen, existing, images, stretches

FLUSH = Entry(Request.FLUSH)
writes = st.integers(1, 4).map(lambda count: Entry(Request.WRITE, 0, count * 512))
logs = st.lists(st.one_of(writes, st.just(FLUSH), st.just(Entry(Request.DISCARD, 0, 4096))), max_size=24)
short_logs = st.lists(st.one_of(writes, st.just(FLUSH)), max_size=7)


def effective(log: list[Entry], survivors: Survivors) -> tuple[frozenset[int], Torn | None]:
    """What of the log is on the disk; flushes change nothing."""
    kept = {*range(survivors.durable), *survivors.later}
    return frozenset(place for place in kept if log[place].request is not Request.FLUSH), survivors.torn


@given(logs, st.integers(0, 24), st.integers())
def test_what_was_flushed_before_power_was_lost_is_there(log: list[Entry], told: int, seed: int) -> None:
    for image in images(log, told, 512, seed):
        kept, torn = effective(log, image.survivors)
        flushed = max((place for place in range(image.at) if log[place].request is Request.FLUSH), default=0)
        assert kept >= {place for place in range(flushed) if log[place].request is not Request.FLUSH}
        assert all(place < image.at for place in kept)
        assert image.acknowledged is (image.at >= told)
        if torn is not None:
            assert torn.place == image.at - 1
            assert 0 < torn.kept_bytes < log[torn.place].size_bytes
            assert not torn.kept_bytes % 512


@given(logs, st.integers())
def test_every_prefix_and_every_single_write_is_tried(log: list[Entry], seed: int) -> None:
    found = images(log, 0, 512, seed)
    kept = {effective(log, image.survivors) for image in found}
    for at in range(len(log) + 1):
        assert effective(log, Survivors(at)) in kept
    for part in stretches(log):
        for place in range(part.start, part.end):
            others = tuple(one for one in range(part.start, part.end) if one != place)
            assert effective(log, Survivors(part.start, (place,))) in kept
            assert effective(log, Survivors(part.start, others)) in kept


def brute(log: list[Entry], told: int) -> set[tuple[bool, frozenset[int], Torn | None]]:
    """Every disk that any loss of power leaves, at any time, before and after the acknowledgement."""
    states = set()
    for at in range(len(log) + 1):
        flushes = [place for place in range(at) if log[place].request is Request.FLUSH]
        start = flushes[-1] + 1 if flushes else 0
        for count in range(at - start + 1):
            for kept_places in combinations(range(start, at), count):
                states.add((at >= told, *effective(log, Survivors(start, kept_places))))
                for kept in range(512, log[kept_places[-1]].size_bytes if kept_places else 0, 512):
                    torn = Survivors(start, kept_places[:-1], Torn(kept_places[-1], kept))
                    states.add((at >= told, *effective(log, torn)))
    return states


@given(short_logs, st.data(), st.integers())
def test_as_many_images_exist_as_there_are_states(log: list[Entry], data: st.DataObject, seed: int) -> None:
    told = data.draw(st.integers(0, len(log)))
    states = brute(log, told)
    assert existing(log, told, 512) == len(states)
    found = [(image.acknowledged, *effective(log, image.survivors)) for image in images(log, told, 512, seed)]
    assert len(set(found)) == len(found), "no disk is tried twice"
    assert set(found) <= states


def test_no_log_has_one_image() -> None:
    assert existing([], 0, 512) == 1
    assert [(image.survivors, image.acknowledged) for image in images([], 0, 512, 1)] == [(Survivors(0), True)]


def test_long_stretches_are_sampled_alike_for_a_seed() -> None:
    log = [Entry(Request.WRITE, 0, 4096)] * 40
    assert existing(log, 0, 4096) == 2**40
    assert images(log, 0, 4096, 7) == images(log, 0, 4096, 7)
    assert images(log, 0, 4096, 7) != images(log, 0, 4096, 8)
    assert sum(image.choice is Choice.RANDOM for image in images(log, 0, 4096, 7)) > 30
    assert not [image for image in images(log, 0, 4096, 7) if image.choice is Choice.TORN]


def test_of_too_many_images_some_of_each_kind_are_chosen() -> None:
    log = [Entry(Request.WRITE, 0, 4096)] * 2000
    listed = images(log, 0, 512, 1)
    assert len(listed) < 12_000, "sets of a long stretch are bounded"
    some = chosen(listed, 300, 7)
    assert len(some) == 300
    assert some == chosen(listed, 300, 7) != chosen(listed, 300, 8)
    assert {image.choice for image in some} >= {Choice.PREFIX, Choice.SUBSET, Choice.TORN}
    assert [listed.index(image) for image in some] == sorted(listed.index(image) for image in some)
    assert chosen(listed[:5], 300, 7) == listed[:5]


def test_images_are_described() -> None:
    log = [Entry(Request.WRITE, 0, 4096), Entry(Request.WRITE, 0, 4096), FLUSH, Entry(Request.WRITE, 0, 1024)]
    said = {image.describe(log) for image in images(log, 4, 512, 1)}
    assert "power lost after 0 of 4 disk requests" in said
    assert "power lost after 2 of 4 disk requests, without the unflushed 0" in said
    assert (
        "power lost after 4 of 4 disk requests, with success reported, the last one torn after 512 of 1024 bytes"
        in said
    )
    assert not [one for one in said if "without the unflushed 3" in one and "after 3" in one]
