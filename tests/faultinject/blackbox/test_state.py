"""Real directories are read as they are, and nothing outside of them."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.state import DIRECTORY, Node, NodeKind, Root, Roots, StateError
from tests.faultinject.blackbox.unprivileged import unprivileged


@pytest.fixture
def home(tmp_path: Path) -> str:
    return os.path.realpath(tmp_path)


def test_every_kind_is_read_and_links_are_not_followed(home: str) -> None:
    os.makedirs(f"{home}/d/e")
    Path(f"{home}/d/f").write_bytes(b"\0data")
    Path(f"{home}/empty").touch()
    os.symlink("/etc", f"{home}/away")
    os.symlink(b"\xff", f"{home}/dangling")
    os.mkfifo(f"{home}/fifo")
    os.chmod(f"{home}/fifo", 0o600)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{home}/sock")
    state = Roots([Root(home)]).read()
    assert state == {
        "away": Node(NodeKind.SYMLINK, b"/etc"),
        "d": DIRECTORY,
        "d/e": DIRECTORY,
        "d/f": Node(NodeKind.FILE, b"\0data"),
        "dangling": Node(NodeKind.SYMLINK, b"\xff"),
        "empty": Node(NodeKind.FILE),
        "fifo": Node(NodeKind.FIFO),
        "sock": Node(NodeKind.SOCKET),
    }
    assert state["fifo"].mode == 0o600
    assert list(state) == sorted(state)


@pytest.mark.parametrize("name", [b"n\nl", b"\xff\xfe", b"a b", b"$TMPDIR", b"*", b"\xc3\xa4", b"." * 3])
def test_odd_names_come_back(home: str, name: bytes) -> None:
    os.mkdir(f"{home}/main")
    os.mkdir(f"{home}/temp")
    roots = Roots([Root(f"{home}/main"), Root(f"{home}/temp", "$TMPDIR/")])
    path = os.path.join(os.fsencode(home), b"main", name)
    os.mkdir(path)
    Path(os.fsdecode(path + b"/" + name)).write_bytes(name)
    outer, inner = roots.read()
    assert roots.key(os.fsdecode(path)) == outer
    assert os.fsencode(roots.path(outer)) == path
    assert os.fsencode(roots.path(inner)) == path + b"/" + name
    assert roots.read()[inner].data == name


def test_a_name_like_another_label_is_not_taken_for_it(home: str) -> None:
    for directory in ("main/$TMPDIR", "temp"):
        os.makedirs(f"{home}/{directory}")
        Path(f"{home}/{directory}/x").write_text(directory)
    roots = Roots([Root(f"{home}/main"), Root(f"{home}/temp", "$TMPDIR/")])
    assert {key: node.data for key, node in roots.read().items()} == {
        "$TMPDIR/x": b"temp",
        "./$TMPDIR": b"",
        "./$TMPDIR/x": b"main/$TMPDIR",
    }
    assert roots.key(f"{home}/main/$TMPDIR/x") == "./$TMPDIR/x"
    assert roots.path("./$TMPDIR/x") == f"{home}/main/$TMPDIR/x"


parts = st.text(st.sampled_from("ab$TMPDIR.\n\udcff"), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)


@given(st.lists(parts, min_size=1, max_size=4), st.sampled_from(["main", "temp", "other"]))
def test_keys_and_paths_are_inverse(below: list[str], directory: str) -> None:
    base = os.path.realpath("/tmp")
    roots = Roots(
        [
            Root(f"{base}/x/main"),
            Root(f"{base}/x/temp", "$TMPDIR/"),
            Root(f"{base}/x/other", "/srv/other/"),
        ]
    )
    path = "/".join([base, "x", directory, *below])
    key = roots.key(path)
    assert key is not None
    assert roots.path(key) == path
    assert roots.key(f"{base}//x/./{directory}/" + "//".join(below) + "/") == key


def test_what_is_outside_has_no_key(home: str) -> None:
    os.mkdir(f"{home}/in")
    roots = Roots([Root(f"{home}/in")])
    for path in (home, f"{home}/inside", f"{home}/in/../x", "/", "//etc"):
        assert roots.key(path) is None
    assert roots.key(f"{home}/in") == "."
    assert roots.key(f"/{home}/in/x/../y") == "y"
    assert roots.path(".") == f"{home}/in"
    with pytest.raises(ValueError, match="no watched directory"):
        roots.path("/etc/passwd")
    labelled = Roots([Root(f"{home}/in", "/srv/")])
    assert (labelled.key(f"{home}/in"), labelled.path("/srv/")) == ("/srv/", f"{home}/in")


def test_directories_that_cannot_be_told_apart_are_refused(home: str) -> None:
    for directory in ("a/b", "c"):
        os.makedirs(f"{home}/{directory}")
    os.symlink("a", f"{home}/link")
    for roots, why in (
        ([], "no directory"),
        ([Root(f"{home}/a"), Root(f"{home}/a/b", "$TMPDIR/")], "lies in"),
        ([Root(f"{home}/a"), Root(f"{home}/a", "$TMPDIR/")], "lies in"),
        ([Root(f"{home}/link")], "without links"),
        ([Root("relative")], "without links"),
        ([Root(f"{home}/a"), Root(f"{home}/c")], "told apart"),
        ([Root(f"{home}/a", "x/"), Root(f"{home}/c", "x/y/")], "told apart"),
        ([Root(f"{home}/a", "x")], "does not end"),
    ):
        with pytest.raises(ValueError, match=why):
            Roots(roots)


def test_a_huge_sparse_file_is_refused_before_it_is_read(home: str) -> None:
    with open(f"{home}/huge", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(StateError, match=r"'huge' has 1099511627776 bytes.*1073741824"):
        Roots([Root(home)]).read()


def test_the_limit_is_over_all_files(home: str) -> None:
    Path(f"{home}/a").write_bytes(b"12345")
    Path(f"{home}/b").write_bytes(b"12345")
    assert len(Roots([Root(home)], limit_bytes=10).read()) == 2
    with pytest.raises(StateError, match="'b' has 5 bytes"):
        Roots([Root(home)], limit_bytes=9).read()


def test_a_runaway_nesting_is_refused(home: str) -> None:
    here = os.open(home, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("x", dir_fd=here)
        inner = os.open("x", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StateError, match="nested more than 200 deep"):
        Roots([Root(home)]).read()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_that_is_gone_is_said(home: str) -> None:
    os.mkdir(f"{home}/x")
    roots = Roots([Root(f"{home}/x")])
    os.rmdir(f"{home}/x")
    with pytest.raises(StateError, match="cannot be read"):
        roots.read()
    os.symlink("/etc", f"{home}/x")
    with pytest.raises(StateError, match="cannot be read"):
        roots.read()


def test_hard_links_share_an_inode(home: str) -> None:
    Path(f"{home}/a").touch()
    Path(f"{home}/c").touch()
    os.link(f"{home}/a", f"{home}/b")
    inodes = Roots([Root(home)]).inodes()
    assert inodes["a"] == inodes["b"] == (os.stat(home).st_dev, os.stat(f"{home}/a").st_ino)
    assert inodes["c"] != inodes["a"]


def _read_closed(home: str) -> None:
    os.mkdir(f"{home}/d")
    Path(f"{home}/d/f").write_bytes(b"secret")
    os.chmod(f"{home}/d/f", 0)
    for mode in (0, 0o400, 0o200, 0o100):
        os.chmod(f"{home}/d", mode)
        state = Roots([Root(home)]).read()
        assert state["d/f"].data == b"secret"
        assert os.stat(f"{home}/d").st_mode & 0o777 == mode
    os.chmod(f"{home}/d", 0o700)
    assert os.stat(f"{home}/d/f").st_mode & 0o777 == 0


def test_what_the_program_has_closed_is_read_without_root_and_stays_closed() -> None:
    unprivileged(_read_closed)


def test_another_system_is_told_so(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(StateError, match="only Linux"):
        Roots([Root(home)])
