from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultinject.blackbox.lookup import Lookup, resolved, signed
from faultinject.blackbox.state import Root, Roots
from faultinject.blackbox.task import Memory, Task
from tests.faultinject.blackbox.traced import needs_linux

pytestmark = needs_linux


def me() -> Task:
    return Task(os.getpid(), os.getpid(), "0", Memory(os.getpid()))


_NAMES = st.sampled_from(["a", "b", "c", ".", "..", "", "no"])
_PATHS = st.lists(_NAMES, max_size=6).map("/".join)


@settings(max_examples=150, deadline=None)
@given(
    links=st.lists(st.tuples(st.sampled_from(["a/a", "a/b", "b", "c"]), _PATHS, st.booleans()), max_size=4), path=_PATHS
)
def test_paths_lead_where_the_kernel_goes(links: list[tuple[str, str, bool]], path: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        base = os.path.realpath(made)
        os.makedirs(f"{base}/a/c")
        for name, target, absolute in links:
            if not os.path.lexists(f"{base}/{name}"):
                os.symlink(f"{base}/{target}" if absolute else target or ".", f"{base}/{name}")
        path = path.lstrip("/") or "."
        found = resolved(me(), base, path, follow=True)
        try:
            handle = os.open(f"{base}/{path}", os.O_PATH)
        except OSError:
            return  # where there is nothing, the call says so
        try:
            assert found == os.readlink(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)


def test_the_last_link_is_followed_only_where_the_call_does(tmp_path: Path) -> None:
    base = os.path.realpath(tmp_path)
    os.mkdir(f"{base}/d")
    os.symlink("d", f"{base}/l")
    assert resolved(me(), base, "l", follow=False) == f"{base}/l"
    for path in ("l/", "l/."):  # path_resolution(7): what comes behind a slash is in a directory
        assert resolved(me(), base, path, follow=False) == f"{base}/d"
    assert resolved(me(), "/", "..", follow=True) == "/"
    assert resolved(me(), base, "/", follow=True) == "/"


def test_links_that_go_round_end(tmp_path: Path) -> None:
    base = os.path.realpath(tmp_path)
    os.symlink("two", f"{base}/one")
    os.symlink("one", f"{base}/two")
    assert resolved(me(), base, "one/x", follow=True).startswith(base)


def test_links_in_proc_are_those_of_the_task(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        os.chdir(tmp_path)
        os.dup2(os.open(tmp_path, os.O_RDONLY), 900)
        os.kill(os.getpid(), 19)
        os._exit(0)
    try:
        os.waitpid(child, os.WUNTRACED)
        task = Task(child, child, "0", Memory(child))
        base = os.path.realpath(tmp_path)
        for path in ("/proc/self/fd/900/x", "/dev/fd/900/x", f"/proc/{child}/cwd/x", "/proc/thread-self/fd/900/x"):
            assert resolved(task, "/", path, follow=True) == f"{base}/x"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_descriptors(tmp_path: Path) -> None:
    lookup = Lookup(Roots([Root(os.path.realpath(tmp_path))]))
    (tmp_path / "x (deleted)").write_text("here")
    os.mkfifo(tmp_path / "fifo")
    with open(tmp_path / "x (deleted)", "rb") as here, open(tmp_path / "gone", "wb") as gone:
        fifo = os.open(tmp_path / "fifo", os.O_RDWR)
        try:
            os.unlink(tmp_path / "gone")
            (tmp_path / "gone (deleted)").write_text("another")
            file, lost = lookup.file(me(), here.fileno()), lookup.file(me(), gone.fileno())
            assert file is not None
            assert (file.name, file.inode) == ("x (deleted)", os.fstat(here.fileno()).st_ino)
            assert lost is not None
            assert lost.name is None
            assert lookup.file(me(), fifo) is None
            assert lookup.file(me(), 0xFFFFFFFF) is None
            assert lookup.directory(me(), here.fileno()) is not None
            assert lookup.content(me(), here.fileno(), 1, 100) == b"ere"
        finally:
            os.close(fifo)


@pytest.mark.parametrize(("value", "expected"), [(3, 3), ((1 << 64) - 100, -100), (0xFFFFFF9C, -100), (None, 0)])
def test_descriptors_are_32_bits_and_signed(value: int | None, expected: int) -> None:
    assert signed(value) == expected
