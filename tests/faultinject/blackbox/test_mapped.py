from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.describe import Describer
from faultinject.blackbox.mapped import Mapped
from faultinject.blackbox.state import Root, Roots
from faultinject.blackbox.task import Memory, Task
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation
from tests.faultinject.blackbox.recorded import Watched, only, snippet
from tests.faultinject.blackbox.traced import needs_linux

pytestmark = needs_linux


@given(before=st.binary(max_size=40), after=st.binary(max_size=40))
def test_a_store_says_what_has_changed_and_no_more(before: bytes, after: bytes) -> None:
    after = (after + before)[: len(before)]  # stores do not change the length
    file = os.memfd_create("mapped")
    try:
        os.write(file, before)
        me = Task(os.getpid(), os.getpid(), "0", Memory(os.getpid()))
        mapped = Mapped(Describer(Roots([Root(os.path.realpath("/proc"))])))
        mapped.add(me, Operation(0, Op.MMAP, "x", fd=file, inode=7))
        assert list(mapped.stores()) == []
        os.pwrite(file, after, 0)
        stores = list(mapped.stores())
        mapped.close()
    finally:
        os.close(file)
    if before == after:
        assert stores == []
        return
    (store,) = stores
    assert (store.op, store.inode, store.name) == (Op.STORE, 7, "x")
    start, data = store.offset or 0, bytes(store.data or b"")
    assert before[:start] + data + before[start + len(data) :] == after
    assert data[0] != before[start]
    assert data[-1] != before[start + len(data) - 1]


def test_stores_come_before_the_operation_that_follows_them(tmp_path: Path) -> None:
    code = (
        "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT)\nos.ftruncate(f, 1 << 20)\nm = mmap.mmap(f, 1 << 20)\nm[0] = 1\nos.fsync(f)\n"
        "m[5] = 2\nm[1000000] = 3\nos.write(f, b'zz')\nos.unlink(d + '/a')\nm[7] = 4"
    )
    ran = Watched.in_directory(tmp_path).explained(snippet(code))
    kinds = [one.op for one in ran.trace if one.op in (Op.STORE, Op.FSYNC, Op.WRITE, Op.UNLINK, Op.EXIT)]
    assert kinds == [Op.STORE, Op.FSYNC, Op.STORE, Op.WRITE, Op.UNLINK, Op.STORE, Op.EXIT]
    assert [(one.offset, one.size_bytes) for one in only(ran, Op.STORE)] == [(0, 1), (5, 999_996), (7, 1)]


def test_stores_of_a_child_that_outlives_the_program_are_seen(tmp_path: Path) -> None:
    code = (
        "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT)\nos.ftruncate(f, 4096)\nm = mmap.mmap(f, 4096)\nr, w = os.pipe()\n"
        "if not os.fork():\n    os.close(w)\n    os.read(r, 1)\n    m[9] = 9\n    os._exit(0)"
    )
    assert [one.offset for one in only(Watched.in_directory(tmp_path).explained(snippet(code)), Op.STORE)] == [9]


def test_a_huge_mapping_is_refused_before_it_is_read(tmp_path: Path) -> None:
    code = "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT)\nos.ftruncate(f, 1 << 41)\nm = mmap.mmap(f, 4096)"
    with pytest.raises(HarnessError, match="'a' is mapped and has"):
        Watched.in_directory(tmp_path).run(snippet(code))
