"""What a loss of power leaves is the base and those of the logged requests that have survived, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.powercut.disk import Disk, Request, Survivors, Torn

SIZE = 4 * 4096
sectors = st.integers(0, SIZE // 512 - 1)
writes = st.tuples(st.just(Request.WRITE), sectors, st.integers(1, 12), st.integers(1, 255))
discards = st.tuples(st.just(Request.DISCARD), sectors, st.integers(1, 12), st.just(0))
flushes = st.tuples(st.just(Request.FLUSH), st.just(0), st.just(0), st.just(0))
requests = st.lists(st.one_of(writes, discards, flushes), min_size=1, max_size=10)

Asked = list[tuple[Request, int, int, int]]


def asked(disk: Disk, request: tuple[Request, int, int, int]) -> None:
    what, sector, count, byte = request
    size_bytes = min(count * 512, SIZE - sector * 512)
    if what is Request.WRITE:
        disk.write(sector * 512, bytes([byte]) * size_bytes)
    elif what is Request.DISCARD:
        disk.discard(sector * 512, size_bytes)
    else:
        disk.flush()


def applied(model: bytearray, request: tuple[Request, int, int, int], size_max: int = SIZE) -> None:
    what, sector, count, byte = request
    size_bytes = min(count * 512, SIZE - sector * 512, size_max)
    if what is not Request.FLUSH:
        model[sector * 512 : sector * 512 + size_bytes] = bytes([byte]) * size_bytes


@given(requests, requests, st.data())
def test_an_image_is_its_survivors(before: Asked, after: Asked, data: st.DataObject) -> None:
    disk, base = Disk(SIZE), bytearray(SIZE)
    for request in before:
        asked(disk, request)
        applied(base, request)
    disk.begin()
    for request in after:
        asked(disk, request)
    assert [entry.request for entry in disk.log] == [request[0] for request in after]
    for _ in range(4):  # in any order: what one image did must not be seen in the next
        durable = data.draw(st.integers(0, len(after)))
        later = tuple(sorted(data.draw(st.sets(st.integers(durable, len(after))).map(lambda s: s - {len(after)}))))
        torn = None
        if after[-1][0] is Request.WRITE:
            torn = data.draw(st.sampled_from([None, Torn(len(after) - 1, 512)]))
        model = bytearray(base)
        for place in (*range(durable), *later):
            applied(model, after[place])
        if torn is not None:
            applied(model, after[torn.place], torn.kept_bytes)
        digest = disk.show(Survivors(durable, later, torn))
        assert disk.read(0, SIZE) == model
        disk.write(0, b"a mount writes too")
        assert disk.show(Survivors(durable, later, torn)) == digest
        assert disk.read(0, SIZE) == model


def test_only_what_comes_after_the_beginning_is_logged() -> None:
    disk = Disk(SIZE)
    disk.write(0, b"x" * 512)
    disk.flush()
    assert not disk.log
    disk.begin()
    disk.flush()
    disk.show(Survivors(0))
    disk.write(0, b"y" * 512)
    assert [entry.request for entry in disk.log] == [Request.FLUSH]


def test_ranges_beyond_the_end_are_refused_before_anything_is_allocated() -> None:
    disk = Disk(SIZE)
    with pytest.raises(ValueError, match="beyond the end"):
        disk.write(SIZE - 1, b"xx")
    with pytest.raises(ValueError, match="beyond the end"):
        disk.discard(0, 1 << 62)
    assert disk.read(SIZE, 10) == b""
    assert disk.read(SIZE + 5, 10) == b""
    assert len(disk.read(SIZE - 5, 1 << 62)) == 5
