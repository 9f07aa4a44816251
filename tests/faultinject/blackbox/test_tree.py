"""The model of the watched directories says what a real file system does."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from faultinject.blackbox import content
from faultinject.blackbox.content import Content
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind, Root, Roots
from faultinject.blackbox.tree import CLONE_WHOLE, RENAME_EXCHANGE, RENAME_NOREPLACE, ModelError, Tree
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation

LIBC = ctypes.CDLL(None, use_errno=True)
NAMES = ["a", "b", "n\nx", "\udcff\udc80", "d", "da", "d/a", "d/b", "e", "e/d", "e/d/a"]
MODES = [
    0,
    content.KEEP_SIZE,
    content.PUNCH_HOLE | content.KEEP_SIZE,
    content.ZERO_RANGE,
    content.ZERO_RANGE | content.KEEP_SIZE,
    content.COLLAPSE_RANGE,
    content.INSERT_RANGE,
]
names = st.sampled_from(NAMES)
offsets = st.integers(0, 40) | st.sampled_from([4096, 8192, 9000])
contents = st.binary(max_size=30) | st.just(b"z" * 9000)
flags = st.sampled_from([0, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_TRUNC, os.O_CREAT | os.O_TRUNC])


def libc(name: str, *arguments: Any) -> None:
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


class SameAsTheKernel(RuleBasedStateMachine):
    """Performs each operation on a real directory and on the model. What fails really has no effect on the model."""

    def __init__(self) -> None:
        super().__init__()
        self.home = os.path.realpath(tempfile.mkdtemp())
        self.root, self.outside = f"{self.home}/in", f"{self.home}/out"
        os.mkdir(self.root)
        os.mkdir(self.outside)
        self.roots = Roots([Root(self.root)])
        self.opened: list[tuple[int, int]] = []
        self.moments: list[tuple[Tree, Any]] = []
        self.outsiders = 0

    @initialize(start=st.dictionaries(st.sampled_from(["a", "b"]), contents), linked=st.booleans())
    def begin(self, start: dict[str, bytes], linked: bool) -> None:
        os.mkdir(self.at("d"))
        for name, data in start.items():
            with open(self.at(name), "wb") as file:
                file.write(data)
        if linked and "a" in start:
            os.link(self.at("a"), self.at("d/a"))
        self.tree = Tree.of(self.roots.read(), self.roots.inodes())

    def teardown(self) -> None:
        for tree, state in self.moments:
            assert tree.state() == state
            assert tree.same(state)
        for fd, _ in self.opened:
            os.close(fd)
        shutil.rmtree(self.home)

    def at(self, name: str) -> str:
        return os.path.join(self.root, name)

    def both(self, operation: Operation, real: Callable[[], object]) -> bool:
        try:
            real()
        except OSError as error:
            self.tree.apply(replace(operation, error=error.errno or errno.EIO))
            return False
        self.tree.apply(operation)
        return True

    @invariant()
    def the_same(self) -> None:
        if hasattr(self, "tree"):
            state = self.roots.read()
            assert self.tree.state() == state
            assert self.tree.same(state)

    @rule()
    def remember(self) -> None:
        self.moments.append((self.tree.copy(), self.roots.read()))

    @rule(name=names, flag=flags)
    def open(self, name: str, flag: int) -> None:
        with suppress(OSError):
            fd = os.open(self.at(name), flag | os.O_RDWR | os.O_NOFOLLOW, 0o644)
            inode = os.fstat(fd).st_ino
            self.opened.append((fd, inode))
            self.tree.apply(Operation(0, Op.OPEN, name, inode=inode, flags=flag | os.O_RDWR, result=fd))

    @rule()
    def open_unnamed(self) -> None:
        fd = os.open(self.root, os.O_TMPFILE | os.O_RDWR, 0o600)
        self.opened.append((fd, os.fstat(fd).st_ino))
        self.tree.apply(Operation(0, Op.OPEN_UNNAMED, ".", inode=os.fstat(fd).st_ino, result=fd))

    @rule(which=st.integers(0, 9), name=names)
    def link_opened(self, which: int, name: str) -> None:
        if self.opened:
            fd, inode = self.opened[which % len(self.opened)]
            self.both(
                Operation(0, Op.LINK, name, inode=inode),
                lambda: os.link(f"/proc/self/fd/{fd}", self.at(name), src_dir_fd=0, follow_symlinks=True),
            )

    @rule(which=st.integers(0, 9), offset=offsets, data=contents, cut=st.integers(0, 30))
    def write(self, which: int, offset: int, data: bytes, cut: int) -> None:
        if not self.opened:
            return
        fd, inode = self.opened[which % len(self.opened)]
        operation = Operation(0, Op.PWRITE, inode=inode, offset=offset, size_bytes=len(data), data=data)
        cut = min(cut, len(data))
        crashed = self.tree.copy()
        crashed.apply(operation, cut)
        os.pwrite(fd, data[:cut], offset)
        assert crashed.same(self.roots.read())
        assert self.both(operation, lambda: os.pwrite(fd, data, offset))

    @rule(which=st.integers(0, 9), size_bytes=offsets, huge=st.booleans())
    def truncate(self, which: int, size_bytes: int, huge: bool) -> None:
        if self.opened:
            fd, inode = self.opened[which % len(self.opened)]
            if huge:
                os.ftruncate(fd, 2**40)
                self.tree.apply(Operation(0, Op.TRUNCATE, inode=inode, size_bytes=2**40))
            operation = Operation(0, Op.TRUNCATE, inode=inode, size_bytes=size_bytes)
            assert self.both(operation, lambda: os.ftruncate(fd, size_bytes))

    @rule(which=st.integers(0, 9), offset=offsets, size_bytes=offsets, mode=st.sampled_from(MODES))
    def fallocate(self, which: int, offset: int, size_bytes: int, mode: int) -> None:
        if self.opened:
            fd, inode = self.opened[which % len(self.opened)]
            self.both(
                Operation(0, Op.FALLOCATE, inode=inode, offset=offset, size_bytes=size_bytes, flags=mode),
                lambda: libc("fallocate", fd, mode, ctypes.c_long(offset), ctypes.c_long(size_bytes)),
            )

    @rule(name=names, other=names, flag=st.sampled_from([0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE]))
    def rename(self, name: str, other: str, flag: int) -> None:
        self.both(
            Operation(0, Op.RENAME, name, other, flags=flag),
            lambda: libc("renameat2", -100, os.fsencode(self.at(name)), -100, os.fsencode(self.at(other)), flag),
        )

    @rule(name=names)
    def rename_out(self, name: str) -> None:
        self.outsiders += 1
        self.both(
            Operation(0, Op.RENAME, name, None),
            lambda: os.rename(self.at(name), f"{self.outside}/{self.outsiders}"),
        )

    @rule(name=names, data=contents)
    def rename_in(self, name: str, data: bytes) -> None:
        self.outsiders += 1
        path = f"{self.outside}/{self.outsiders}"
        with open(path, "wb") as file:
            file.write(data)
        inode = os.stat(path).st_ino
        self.both(Operation(0, Op.RENAME, None, name, inode=inode, data=data), lambda: os.rename(path, self.at(name)))

    @rule(name=names)
    def unlink(self, name: str) -> None:
        self.both(Operation(0, Op.UNLINK, name), lambda: os.unlink(self.at(name)))

    @rule(name=names)
    def rmdir(self, name: str) -> None:
        self.both(Operation(0, Op.RMDIR, name), lambda: os.rmdir(self.at(name)))

    @rule(name=names)
    def mkdir(self, name: str) -> None:
        self.both(Operation(0, Op.MKDIR, name), lambda: os.mkdir(self.at(name)))

    @rule(name=names)
    def symlink(self, name: str) -> None:
        operation = Operation(0, Op.SYMLINK, name, data=b"nowhere/\xff")
        self.both(operation, lambda: os.symlink(b"nowhere/\xff", os.fsencode(self.at(name))))


TestSameAsTheKernel = SameAsTheKernel.TestCase
TestSameAsTheKernel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def tree(**files: bytes) -> Tree:
    state = {name: Node(NodeKind.FILE, data) for name, data in files.items()}
    return Tree.of(state, {name: (1, number) for number, name in enumerate(files, 100)})


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (Operation(3, Op.PWRITE, inode=7, offset=0, data=b"x"), "no file has the inode 7"),
        (Operation(3, Op.PWRITE, offset=0, data=b"x"), "neither an inode nor a name"),
        (Operation(3, Op.PWRITE, inode=100, data=b"x"), "where in the file"),
        (Operation(3, Op.SENDFILE, inode=100, offset=0, result=5), "not recorded"),
        (Operation(3, Op.OPEN, "x"), "there is no 'x'"),
        (Operation(3, Op.OPEN, "a", inode=100, flags=os.O_CREAT | os.O_EXCL), "which was there"),
        (Operation(3, Op.OPEN, "a", inode=101), "another file, with the inode 101"),
        (Operation(3, Op.OPEN, "x", inode=100, flags=os.O_CREAT), "still has a name"),
        (Operation(3, Op.RENAME, "x", "y"), "there is no 'x'"),
        (Operation(3, Op.RENAME, "a", "x", flags=RENAME_EXCHANGE), "there is no 'x'"),
        (Operation(3, Op.RENAME, "a", "b", flags=RENAME_NOREPLACE), "which was there"),
        (Operation(3, Op.RENAME, "a", "x", flags=4), "0x4"),
        (Operation(3, Op.RENAME, None, "x"), "brings in from outside"),
        (Operation(3, Op.LINK, "x", inode=7), "brings in from outside"),
        (Operation(3, Op.LINK, "b", inode=100), "which was there"),
        (Operation(3, Op.UNLINK, "x"), "there is no 'x'"),
        (Operation(3, Op.UNLINK, "d"), "as a file"),
        (Operation(3, Op.RMDIR, "a"), "as a directory"),
        (Operation(3, Op.RMDIR, "d"), "not empty"),
        (Operation(3, Op.RENAME, "e", "d"), "not empty"),
        (Operation(3, Op.MKDIR, "d"), "which was there"),
        (Operation(3, Op.SYMLINK, "a", data=b"t"), "which was there"),
        (Operation(3, Op.FALLOCATE, inode=100, size_bytes=1, flags=0x1000), "0x1000"),
        (Operation(3, Op.TRUNCATE, "s", size_bytes=0), "symbolic link"),
        (Operation(3, Op.OPEN, "s", flags=os.O_CREAT), "file that is not known"),
    ],
)
def test_what_the_model_cannot_explain_is_said(operation: Operation, why: str) -> None:
    model = tree(a=b"one", b=b"two", **{"d/f": b"", "s": b""})
    for made in (
        Operation(0, Op.MKDIR, "d"),
        Operation(1, Op.MKDIR, "e"),
        Operation(2, Op.UNLINK, "s"),
        Operation(2, Op.SYMLINK, "s", data=b"/etc/passwd"),
    ):
        model.apply(made)
    before = model.state()
    with pytest.raises(ModelError, match="operation #3 ") as raised:
        model.copy().apply(operation)
    assert why in str(raised.value)
    assert raised.value.operation is operation
    assert isinstance(raised.value, HarnessError)
    model.apply(replace(operation, error=errno.EIO))
    assert model.state() == before


def test_every_operation_is_known_to_the_model() -> None:
    for op in Op:
        model = tree(a=b"one", b=b"two")
        operation = Operation(0, op, "new", inode=200, offset=0, flags=os.O_CREAT, data=b"x")
        if op is Op.OPEN_UNNAMED:
            model.apply(operation)
            continue
        try:
            model.apply(operation)
        except ModelError as error:
            assert "its effect is not known" not in str(error)


@pytest.mark.parametrize("op", [Op.MMAP, Op.FSYNC, Op.CHMOD, Op.SIGNAL, Op.EXIT, Op.READ, Op.STAT, Op.CLOSE])
def test_operations_on_neither_names_nor_content_change_nothing(op: Op) -> None:
    model = tree(a=b"one")
    model.apply(Operation(0, op, "unknown", inode=99, offset=0, size_bytes=3, data=b"xyz"))
    assert model.same({"a": Node(NodeKind.FILE, b"one")})


def test_an_unlinked_file_is_written_on_and_its_inode_used_again() -> None:
    model = tree(a=b"one")
    model.apply(Operation(0, Op.UNLINK, "a"))
    model.apply(Operation(1, Op.WRITE, inode=100, offset=0, data=b"ghost"))
    assert model.state() == {}
    model.apply(Operation(2, Op.OPEN, "b", inode=100, flags=os.O_CREAT))
    assert model.state() == {"b": Node(NodeKind.FILE)}
    model.apply(Operation(3, Op.WRITE, inode=100, offset=2, data=b"new"))
    assert model.state() == {"b": Node(NodeKind.FILE, b"\0\0new")}


def test_a_whole_clone_replaces_and_a_range_does_not() -> None:
    model = tree(a=b"0123456789")
    ranged = model.copy()
    model.apply(Operation(0, Op.CLONE, inode=100, offset=0, data=b"abc", flags=CLONE_WHOLE))
    ranged.apply(Operation(0, Op.CLONE, inode=100, offset=0, data=b"abc"))
    assert model.same({"a": Node(NodeKind.FILE, b"abc")})
    assert ranged.same({"a": Node(NodeKind.FILE, b"abc3456789")})


def test_a_link_is_opened_and_its_known_end_emptied() -> None:
    model = tree(a=b"one")
    model.apply(Operation(0, Op.SYMLINK, "s", data=b"a"))
    model.apply(Operation(1, Op.OPEN, "s", inode=100, flags=os.O_TRUNC))
    assert model.state() == {"a": Node(NodeKind.FILE), "s": Node(NodeKind.SYMLINK, b"a")}


def test_two_links_to_one_file_stay_both_when_one_is_renamed_to_the_other() -> None:
    model = tree(a=b"one")
    model.apply(Operation(0, Op.LINK, "b", inode=100))
    model.apply(Operation(1, Op.RENAME, "a", "b"))
    assert list(model.state()) == ["a", "b"]
    model.apply(Operation(2, Op.WRITE, inode=100, offset=0, data=b"ONE"))
    assert {node.data for node in model.state().values()} == {b"ONE"}


def test_a_directory_moves_with_what_is_in_it_and_nothing_else() -> None:
    model = tree(**{"d/a": b"1", "d/e/f": b"2", "da": b"3", "d.x": b"4"})
    for name in ("d", "d/e"):
        model.apply(Operation(0, Op.MKDIR, name))
    model.apply(Operation(1, Op.RENAME, "d", "n"))
    assert list(model.state()) == ["d.x", "da", "n", "n/a", "n/e", "n/e/f"]


def test_another_link_that_comes_in_from_outside_is_the_same_file() -> None:
    model = tree(a=b"one")
    model.apply(Operation(0, Op.RENAME, None, "b", inode=100, data=b"one"))
    model.apply(Operation(1, Op.WRITE, inode=100, offset=0, data=b"ONE"))
    assert {name: node.data for name, node in model.state().items()} == {"a": b"ONE", "b": b"ONE"}


def test_a_copy_does_not_see_what_is_opened_later() -> None:
    model = tree(a=b"one")
    copy = model.copy()
    model.apply(Operation(0, Op.OPEN, "b", inode=7, flags=os.O_CREAT))
    with pytest.raises(ModelError, match="no file has the inode 7"):
        copy.apply(Operation(1, Op.WRITE, inode=7, offset=0, data=b"x"))
    copy.apply(Operation(1, Op.OPEN, "c", inode=7, flags=os.O_CREAT))
    model.apply(Operation(2, Op.WRITE, inode=7, offset=0, data=b"x"))
    assert (list(copy.state()), model.state()["b"].data) == (["a", "c"], b"x")


edits = st.lists(
    st.tuples(st.sampled_from(["write", "resize", "zero", "remove", "insert"]), st.integers(0, 12), st.integers(1, 12)),
    max_size=12,
)


@given(st.binary(max_size=12), edits, st.sets(st.integers(0, 12)))
def test_a_content_is_what_its_edits_make(start: bytes, steps: list[tuple[str, int, int]], looks: set[int]) -> None:
    """Against plain bytes, with a look at the content only now and then, so that runs of edits are replayed at once."""
    now, plain = Content(Node(NodeKind.FILE, start)), start
    moments = [(now, plain)]
    for number, (what, offset, size_bytes) in enumerate(steps):
        after: Content | None = now
        if what == "write":
            data = bytes(range(100 + number, 100 + number + size_bytes))
            after, plain = (
                now.write(offset, data),
                plain.ljust(offset, b"\0")[:offset] + data + plain[offset + size_bytes :],
            )
        elif what == "resize":
            after, plain = now.resize(offset), plain[:offset].ljust(offset, b"\0")
        elif what == "zero":
            after = now.allocate(content.ZERO_RANGE, offset, size_bytes)
            plain = plain.ljust(offset + size_bytes, b"\0")
            plain = plain[:offset] + bytes(size_bytes) + plain[offset + size_bytes :]
        elif what == "remove" and offset + size_bytes < len(plain):
            after, plain = (
                now.allocate(content.COLLAPSE_RANGE, offset, size_bytes),
                plain[:offset] + plain[offset + size_bytes :],
            )
        elif what == "insert" and offset < len(plain):
            after, plain = (
                now.allocate(content.INSERT_RANGE, offset, size_bytes),
                plain[:offset] + bytes(size_bytes) + plain[offset:],
            )
        assert after is not None
        now = after
        assert now.size_bytes == len(plain)
        moments.append((now, plain))
        if number in looks:
            assert now.node().data == plain
    for moment, expected in reversed(moments):
        assert moment.node().data == expected


def test_the_watched_directory_itself_is_opened() -> None:
    model = tree(a=b"one")
    for name in (".", "$TMPDIR/", "/srv/x/"):
        model.apply(Operation(0, Op.OPEN, name, flags=os.O_DIRECTORY))
    assert list(model.state()) == ["a"]


@pytest.mark.parametrize("accepted", [-1, 4])
def test_more_than_all_cannot_be_accepted(accepted: int) -> None:
    with pytest.raises(ModelError, match="cannot be accepted"):
        tree(a=b"").apply(Operation(0, Op.WRITE, inode=100, offset=0, data=b"abc"), accepted)


def test_only_transfers_can_be_cut() -> None:
    with pytest.raises(ModelError, match="cannot be cut"):
        tree(a=b"").apply(Operation(0, Op.UNLINK, "a"), 0)


def test_a_buffer_that_changes_later_does_not_change_the_past() -> None:
    model, buffer = tree(a=b""), bytearray(b"abc")
    model.apply(Operation(0, Op.WRITE, inode=100, offset=0, data=memoryview(buffer)))
    buffer[:] = b"xyz"
    assert model.same({"a": Node(NodeKind.FILE, b"abc")})


def test_equal_inodes_on_two_devices_are_refused() -> None:
    state = {"a": Node(NodeKind.FILE), "b": Node(NodeKind.FILE)}
    with pytest.raises(ModelError, match="another device"):
        Tree.of(state, {"a": (1, 5), "b": (2, 5)})
    with pytest.raises(ModelError, match="nobody knows the inode of 'b'"):
        Tree.of(state, {"a": (1, 5)})


def test_a_hole_larger_than_memory_is_never_allocated() -> None:
    model = tree(a=b"x")
    model.apply(Operation(0, Op.TRUNCATE, inode=100, size_bytes=2**60))
    with pytest.raises(ModelError, match="more than 1073741824 bytes"):
        model.state()
    assert not model.same({"a": Node(NodeKind.FILE, b"x")})
    model.apply(Operation(1, Op.TRUNCATE, inode=100, size_bytes=3))
    assert model.same({"a": Node(NodeKind.FILE, b"x\0\0")})


def test_same_tells_every_difference() -> None:
    model = tree(a=b"one")
    good = {"a": Node(NodeKind.FILE, b"one")}
    assert model.same(good)
    for other in (
        {},
        {**good, "b": DIRECTORY},
        {"a": Node(NodeKind.FILE, b"onE")},
        {"a": Node(NodeKind.FILE, b"on")},
        {"a": Node(NodeKind.SYMLINK, b"one")},
        {"b": good["a"]},
    ):
        assert not model.same(other)


def test_branches_of_one_past_do_not_see_each_other() -> None:
    start = Content(Node(NodeKind.FILE, b"ab"))
    longer = start.write(2, b"cd")
    branches = [longer.write(4, bytes([n]) * n) for n in range(1, 9)]
    for n, branch in reversed(list(enumerate(branches, 1))):
        assert branch.node().data == b"abcd" + bytes([n]) * n
        assert branch.size_bytes == 4 + n
    assert (start.node().data, longer.node().data) == (b"ab", b"abcd")
    assert longer.node() is longer.node()


def test_a_snapshot_per_operation_costs_nothing_of_the_size_of_the_file() -> None:
    """100 copies of a tree with a file of 64 MiB, each one write on; copying contents would take 6 GiB."""
    model = tree(a=bytes(64 * 1024**2))
    started = time.process_time()
    moments = []
    for n in range(100):
        model.apply(Operation(n, Op.PWRITE, inode=100, offset=n, data=b"x"))
        moments.append(model.copy())
    assert time.process_time() - started < 0.5
    assert moments[2].state()["a"].data[:5] == b"xxx\0\0"
