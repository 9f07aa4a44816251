"""After a restore the directories are as they were, whatever was done to them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultinject.blackbox.state import Root, Roots, StateError
from faultinject.blackbox.template import Template
from tests.faultinject.blackbox.unprivileged import unprivileged


def fill(home: str) -> None:
    os.makedirs(f"{home}/d/e")
    for name, data in (("a", b"one"), ("d/b", b"two" * 1000), ("d/e/c", b""), ("\udcff\n", b"odd")):
        Path(f"{home}/{name}").write_bytes(data)
    os.link(f"{home}/a", f"{home}/d/a2")
    os.symlink("/etc/passwd", f"{home}/link")
    os.mkfifo(f"{home}/fifo", 0o640)
    os.chmod(f"{home}/d/b", 0o4751)
    os.chmod(f"{home}/d/e", 0o1777)
    os.utime(f"{home}/a", ns=(1, 1_234_567_891))
    os.utime(f"{home}/link", ns=(3, 4), follow_symlinks=False)
    os.utime(f"{home}/d", ns=(5, 6))


def full(home: str) -> dict[str, Any]:
    """Everything that a template promises."""
    found: dict[str, Any] = {}
    roots = Roots([Root(home)])
    names: dict[tuple[int, int], str] = {}
    for key, node in roots.read().items():
        path = f"{home}/{key}"
        now = os.lstat(path)
        first = names.setdefault((now.st_dev, now.st_ino), key)
        attributes = {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }
        found[key] = node, now.st_mode, now.st_uid, now.st_gid, now.st_mtime_ns, now.st_nlink, first, attributes
    found["."] = stat.S_IMODE(os.stat(home).st_mode), os.stat(home).st_mtime_ns
    return found


@pytest.fixture
def home(tmp_path: Path) -> str:
    home = os.path.realpath(tmp_path)
    fill(home)
    return home


def overwrite(path: str, data: bytes) -> None:
    """Changes content and nothing else that stat(2) shows."""
    was = os.stat(path)
    with open(path, "r+b") as file:
        file.write(data)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def append(path: str, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def swap(one: str, other: str) -> None:
    os.rename(one, f"{one}.x")
    os.rename(other, one)
    os.rename(f"{one}.x", other)


def remove_all(home: str) -> None:
    shutil.rmtree(f"{home}/d")
    os.unlink(f"{home}/a")
    os.unlink(f"{home}/link")


def add(home: str) -> None:
    os.makedirs(f"{home}/new/deep")
    Path(f"{home}/new/deep/f").touch()
    os.mkfifo(f"{home}/d/p")


def instead(path: str, make: Callable[[str], object]) -> None:
    os.unlink(path)
    make(path)


DAMAGE: dict[str, Callable[[str], object]] = {
    "nothing": os.stat,
    "forged content": lambda home: overwrite(f"{home}/d/b", b"TWO"),
    "appended": lambda home: append(f"{home}/a", b"x"),
    "emptied": lambda home: os.truncate(f"{home}/a", 0),
    "removed": lambda home: os.unlink(f"{home}/\udcff\n"),
    "all removed": remove_all,
    "extra": add,
    "replaced by a link": lambda home: instead(f"{home}/a", lambda path: os.symlink("/etc/passwd", path)),
    "replaced by a directory": lambda home: instead(f"{home}/a", lambda path: os.makedirs(f"{path}/b")),
    "link turned": lambda home: instead(f"{home}/link", lambda path: os.symlink("/etc/shadow", path)),
    "hard link cut": lambda home: instead(f"{home}/d/a2", lambda path: shutil.copy2(f"{home}/a", path)),
    "hard link more": lambda home: os.link(f"{home}/d/b", f"{home}/d/b2"),
    "mode": lambda home: os.chmod(f"{home}/d/b", 0),
    "directory mode": lambda home: os.chmod(f"{home}/d/e", 0o700),
    "root mode": lambda home: os.chmod(home, 0o500),
    "time": lambda home: os.utime(f"{home}/a"),
    "directory time": lambda home: os.utime(f"{home}/d"),
    "attribute": lambda home: os.setxattr(f"{home}/a", "user.x", b"1"),
    "directory attribute": lambda home: os.setxattr(f"{home}/d", "user.x", b"1"),
    "root attribute": lambda home: os.setxattr(home, "user.x", b"1"),
    "moved": lambda home: swap(f"{home}/a", f"{home}/d/b"),
    "fifo replaced": lambda home: instead(f"{home}/fifo", lambda path: Path(path).touch()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_whatever_was_done_is_undone(home: str, damage: Callable[[str], object]) -> None:
    expected = full(home)
    roots = Roots([Root(home)])
    template = Template(roots)
    assert full(home) == expected
    for _ in range(2):
        damage(home)
        template.restore()
        assert full(home) == expected
        assert roots.read() == template.state
        assert not os.listxattr(home)


def test_what_is_untouched_stays_the_same_file(home: str) -> None:
    template = Template(Roots([Root(home)]))
    template.restore()
    inodes = template.roots.inodes()
    Path(f"{home}/extra").touch()
    template.restore()
    assert template.roots.inodes() == inodes


def test_the_order_in_the_directory_is_the_same_every_time() -> None:
    home = os.path.realpath(tempfile.mkdtemp(dir="/dev/shm"))  # tmpfs lists names in the order in which they came
    try:
        for name in "bcad":
            Path(f"{home}/{name}").write_text(name)
        template = Template(Roots([Root(home)]))
        template.restore()
        order = os.listdir(home)
        for name in "bda":
            os.rename(f"{home}/{name}", f"{home}/x")
            Path(f"{home}/{name}").write_text(name)
            template.restore()
            assert os.listdir(home) == order
    finally:
        shutil.rmtree(home)


def test_attributes_of_the_template_come_back(home: str) -> None:
    os.setxattr(f"{home}/a", "user.mark", b"\0\xff")
    os.setxattr(home, "user.root", b"r")
    expected = full(home)
    template = Template(Roots([Root(home)]))
    os.removexattr(home, "user.root")
    os.unlink(f"{home}/a")
    template.restore()
    assert full(home) == expected
    assert os.getxattr(home, "user.root") == b"r"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away (chown(2))")
def test_owners_come_back(home: str) -> None:
    for name in ("a", "d", "link", "fifo"):
        os.chown(f"{home}/{name}", 12, 34, follow_symlinks=False)
    os.chmod(f"{home}/a", 0o6755)  # a change of the owner takes these bits away
    expected = full(home)
    template = Template(Roots([Root(home)]))
    for name in ("a", "d", "link", "fifo"):
        template.restore()
        assert full(home) == expected
        os.chown(f"{home}/{name}", 0, 0, follow_symlinks=False)
    template.restore()
    assert full(home) == expected


def test_several_roots_with_a_hard_link_between_them(tmp_path: Path) -> None:
    home = os.path.realpath(tmp_path)
    for directory in ("main", "temp"):
        os.mkdir(f"{home}/{directory}")
    Path(f"{home}/temp/b").write_text("both")
    os.link(f"{home}/temp/b", f"{home}/main/a")
    template = Template(Roots([Root(f"{home}/main"), Root(f"{home}/temp", "$TMPDIR/")]))
    os.unlink(f"{home}/main/a")
    Path(f"{home}/temp/b").write_text("changed")
    template.restore()
    assert template.roots.read() == template.state
    assert os.path.samefile(f"{home}/main/a", f"{home}/temp/b")


def test_a_file_shared_with_an_unwatched_directory_is_refused(home: str) -> None:
    os.link(f"{home}/a", f"{home}/d/e/outside")
    os.rename(f"{home}/d/e/outside", f"{home}.outside")
    try:
        with pytest.raises(StateError, match="also has a name outside"):
            Template(Roots([Root(home)]))
    finally:
        os.unlink(f"{home}.outside")


def test_another_directory_in_the_place_of_the_root_is_not_emptied(tmp_path: Path) -> None:
    home = os.path.realpath(tmp_path)
    os.makedirs(f"{home}/root")
    os.makedirs(f"{home}/precious")
    Path(f"{home}/precious/thing").touch()
    template = Template(Roots([Root(f"{home}/root")]))
    os.rename(f"{home}/root", f"{home}/gone")
    os.rename(f"{home}/precious", f"{home}/root")
    with pytest.raises(StateError, match="moved or replaced"):
        template.restore()
    assert os.path.exists(f"{home}/root/thing")
    os.rename(f"{home}/root", f"{home}/precious")
    os.symlink("precious", f"{home}/root")
    with pytest.raises(StateError, match="cannot be restored"):
        template.restore()
    assert os.path.exists(f"{home}/precious/thing")


def test_a_link_out_of_the_directory_is_removed_and_not_followed(home: str, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "precious").touch()
    template = Template(Roots([Root(home)]))
    os.symlink(other, f"{home}/way-out")
    shutil.rmtree(f"{home}/d")
    os.symlink(other, f"{home}/d")
    template.restore()
    assert os.listdir(other) == ["precious"]
    assert not os.path.lexists(f"{home}/way-out")


def _close_everything(home: str) -> None:
    fill(home)
    os.chmod(f"{home}/d/e", 0o500)
    os.chmod(f"{home}/a", 0)
    expected = full_closed(home)
    template = Template(Roots([Root(home)]))
    for mode in (0, 0o500, 0o300):
        os.makedirs(f"{home}/x/y")
        Path(f"{home}/x/y/z").touch()
        for directory in ("x/y", "x", "d/e", "d", "."):
            os.chmod(f"{home}/{directory}", mode)
        template.restore()
        assert full_closed(home) == expected


def full_closed(home: str) -> dict[str, Any]:
    state = Roots([Root(home)]).read()
    return {key: (node, os.lstat(f"{home}/{key}").st_mode) for key, node in state.items()} | {
        ".": os.stat(home).st_mode
    }


def test_an_ordinary_user_restores_what_was_closed_to_himself() -> None:
    unprivileged(_close_everything)


def test_descriptors_stay_constant(home: str) -> None:
    template = Template(Roots([Root(home)]))
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        os.unlink(f"{home}/a")
        template.restore()
    assert os.listdir("/proc/self/fd") == before


steps = st.lists(
    st.tuples(
        st.sampled_from(["write", "unlink", "mkdir", "rename", "link", "symlink", "chmod", "rmdir", "truncate"]),
        st.sampled_from(["a", "b", "d", "d/a", "d/e", "x", "x/y"]),
        st.sampled_from(["a", "b", "d", "d/a", "d/e", "x", "x/y"]),
    ),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_any_sequence_of_changes_is_undone(tmp_path: Path, changes: list[tuple[str, str, str]]) -> None:
    home = os.path.realpath(tempfile.mkdtemp(dir=tmp_path))
    fill(home)
    expected = full(home)
    template = Template(Roots([Root(home)]))
    actions: dict[str, Callable[[str, str], object]] = {
        "write": lambda one, other: Path(one).write_bytes(other.encode()),
        "unlink": lambda one, _: os.unlink(one),
        "mkdir": lambda one, _: os.mkdir(one),
        "rename": os.rename,
        "link": os.link,
        "symlink": os.symlink,
        "chmod": lambda one, _: os.chmod(one, 0o711),
        "rmdir": lambda one, _: os.rmdir(one),
        "truncate": lambda one, _: os.truncate(one, 2),
    }
    for half in (changes, changes[::-1]):
        for action, one, other in half:
            try:
                actions[action](f"{home}/{one}", f"{home}/{other}")
            except OSError:
                continue
        template.restore()
        assert full(home) == expected


def test_the_common_case_is_fast(tmp_path: Path) -> None:
    """A save into a directory of four small files is undone in far less than a millisecond (generous for slow hosts)."""
    home = os.path.realpath(tmp_path)
    for name in "abcd":
        Path(f"{home}/{name}").write_bytes(bytes(3000))
    template = Template(Roots([Root(home)]))
    times = []
    for _ in range(50):
        Path(f"{home}/t").write_bytes(b"new")
        os.rename(f"{home}/t", f"{home}/a")
        started = time.perf_counter()
        template.restore()
        times.append(time.perf_counter() - started)
    assert min(times) < 0.001
