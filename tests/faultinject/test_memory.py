"""The in-memory file system does what the real one does (the ground of every sweep)."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from faultinject.memory import MemoryFileSystem
from faultinject.memory_file import MemoryFile
from kvformat.filesystem import CREATE_EXCLUSIVE, OsFileSystem

NAMES = st.sampled_from(["a", "b", "c.kv", ".kvc-x.tmp"])
DATA = st.binary(max_size=20)
OFFSETS = st.integers(0, 30)
FLAGS = st.sampled_from([os.O_RDONLY, os.O_RDWR, CREATE_EXCLUSIVE, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_TRUNC])


class SameAsTheRealOne(RuleBasedStateMachine):
    """Every operation is done to both file systems; results, errnos and contents must be equal."""

    fds = Bundle("fds")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.real = OsFileSystem(self.directory)
        self.memory = MemoryFileSystem()
        self.open: dict[tuple[int, int], None] = {}

    def teardown(self) -> None:
        for fd, _ in self.open:
            self.real.close(fd)
        self.real.shut()
        shutil.rmtree(self.directory)

    def both(self, method: str, real: tuple[object, ...], memory: tuple[object, ...]) -> tuple[object, object]:
        results: list[object] = []
        for fs, arguments in ((self.real, real), (self.memory, memory)):
            try:
                results.append(getattr(fs, method)(*arguments))
            except OSError as error:
                results.append(("failed", error.errno))
        return results[0], results[1]

    def same(self, method: str, real: tuple[object, ...], memory: tuple[object, ...]) -> object:
        one, other = self.both(method, real, memory)
        assert one == other, f"{method}{real}: {one} and {other}"
        return one

    @rule(target=fds, name=NAMES, flags=FLAGS)
    def open_file(self, name: str, flags: int) -> tuple[int, int] | None:
        one, other = self.both("open", (name, flags), (name, flags))
        return self.opened(one, other)

    @rule(target=fds)
    def open_unnamed(self) -> tuple[int, int] | None:
        return self.opened(*self.both("open_unnamed", (), ()))

    @rule(target=fds, pair=fds)
    def dup(self, pair: tuple[int, int] | None) -> tuple[int, int] | None:
        if pair is None or pair not in self.open:
            return None
        return self.opened(*self.both("dup", pair[:1], pair[1:]))

    def opened(self, one: object, other: object) -> tuple[int, int] | None:
        if isinstance(one, int) and isinstance(other, int):
            self.open[(one, other)] = None
            return one, other
        assert one == other
        return None

    @rule(pair=consumes(fds))
    def close(self, pair: tuple[int, int] | None) -> None:
        if pair in self.open and pair is not None:
            del self.open[pair]
            self.same("close", pair[:1], pair[1:])

    @rule(pair=fds, data=DATA, offset=OFFSETS)
    def pwrite(self, pair: tuple[int, int] | None, data: bytes, offset: int) -> None:
        if pair in self.open and pair is not None:
            self.same("pwrite", (pair[0], data, offset), (pair[1], data, offset))

    @rule(pair=fds, size_bytes=st.integers(0, 40), offset=OFFSETS)
    def pread(self, pair: tuple[int, int] | None, size_bytes: int, offset: int) -> None:
        if pair in self.open and pair is not None:
            self.same("pread", (pair[0], size_bytes, offset), (pair[1], size_bytes, offset))

    @rule(source=fds, into=fds, size_bytes=st.integers(1, 40), source_offset=OFFSETS, target_offset=OFFSETS)
    def copy_range(
        self,
        source: tuple[int, int] | None,
        into: tuple[int, int] | None,
        size_bytes: int,
        source_offset: int,
        target_offset: int,
    ) -> None:
        if source is None or into is None or source not in self.open or into not in self.open:
            return
        if self.memory.fstat(source[1]).inode == self.memory.fstat(into[1]).inode:
            return  # copying inside one file has rules of its own, and nobody here does it
        # A short count is allowed, so both are driven to the end as a caller would.
        for fs, a, b in ((self.real, source[0], into[0]), (self.memory, source[1], into[1])):
            copied = 0
            while copied < size_bytes:
                try:
                    count = fs.copy_range(a, b, size_bytes - copied, source_offset + copied, target_offset + copied)
                except OSError as error:
                    if error.errno != errno.EOPNOTSUPP:
                        assert error.errno == errno.EBADF
                        break
                    data = fs.pread(a, size_bytes - copied, source_offset + copied)
                    count = fs.pwrite(b, data, target_offset + copied)
                if not count:
                    break
                copied += count

    @rule(pair=fds, name=NAMES)
    def link_unnamed(self, pair: tuple[int, int] | None, name: str) -> None:
        if pair in self.open and pair is not None:
            self.same("link_unnamed", (pair[0], name), (pair[1], name))

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        self.same("rename", (old, new), (old, new))

    @rule(name=NAMES)
    def unlink(self, name: str) -> None:
        self.same("unlink", (name,), (name,))

    @rule(pair=fds)
    def try_lock(self, pair: tuple[int, int] | None) -> None:
        if pair in self.open and pair is not None:
            self.same("try_lock", pair[:1], pair[1:])

    @rule(pair=fds)
    def unlock(self, pair: tuple[int, int] | None) -> None:
        if pair in self.open and pair is not None:
            self.same("unlock", pair[:1], pair[1:])

    @rule(pair=fds)
    def fstat(self, pair: tuple[int, int] | None) -> None:
        if pair in self.open and pair is not None:
            real, memory = self.real.fstat(pair[0]), self.memory.fstat(pair[1])
            assert (real.size_bytes, real.links) == (memory.size_bytes, memory.links)

    @invariant()
    def same_contents(self) -> None:
        assert sorted(self.real.names()) == sorted(self.memory.names())
        for name in self.memory.names():
            real, memory = self.real.stat(name), self.memory.stat(name)
            assert (real.size_bytes, real.links) == (memory.size_bytes, memory.links)
            with open(os.path.join(self.directory, name), "rb") as stream:
                content = stream.read()
            assert content == self.memory.content(name)
            file = self.memory.files()[name]
            assert isinstance(file, MemoryFile)
            assert b"".join(file.pieces()).ljust(file.size_bytes, b"\0") == content


TestSameAsTheRealOne = SameAsTheRealOne.TestCase
TestSameAsTheRealOne.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_snapshot_keeps_names_and_loses_descriptors_and_own_locks() -> None:
    fs = MemoryFileSystem()
    fs.put("theirs", b"x", locked=True)
    fd = fs.open("mine", CREATE_EXCLUSIVE)
    fs.pwrite(fd, b"abc", 0)
    assert fs.try_lock(fd)
    after = fs.snapshot()
    assert after.contents() == {"theirs": b"x", "mine": b"abc"}
    assert after.open_descriptors() == 0
    assert after.try_lock(after.open("mine", os.O_RDONLY))
    assert not after.try_lock(after.open("theirs", os.O_RDONLY))


def test_neither_side_of_a_snapshot_sees_what_the_other_writes() -> None:
    fs = MemoryFileSystem()
    fd = fs.open("f", CREATE_EXCLUSIVE)
    fs.pwrite(fd, b"before", 0)
    other = fs.snapshot()
    fs.pwrite(fd, b"MINE", 0)
    other.pwrite(other.open("f", os.O_RDWR), b"their", 1)
    assert fs.content("f") == b"MINEre"
    assert other.content("f") == b"btheir"


def test_an_unnamed_file_is_gone_after_a_snapshot() -> None:
    fs = MemoryFileSystem()
    fs.pwrite(fs.open_unnamed(), b"lost", 0)
    assert fs.snapshot().names() == []


@pytest.mark.parametrize(("kind", "number"), [(stat.S_IFLNK, errno.ELOOP), (stat.S_IFDIR, errno.EISDIR)])
def test_special_names_are_not_opened_for_writing(kind: int, number: int) -> None:
    fs = MemoryFileSystem()
    fs.put_special("s", kind | 0o755)
    with pytest.raises(OSError) as caught:
        fs.open("s", os.O_RDWR)
    assert caught.value.errno == number


def test_large_files_are_compared_without_joining_them() -> None:
    piece = b"p" * 1_000_000
    fs = MemoryFileSystem()
    fd = fs.open("big", CREATE_EXCLUSIVE)
    for place in range(5):
        fs.pwrite(fd, piece, place * len(piece))
    fs.pwrite(fd, b"head", 0)
    file = fs.files()["big"]
    same = MemoryFile.of([b"head" + piece[4:], piece, piece, piece, piece])
    other = MemoryFile.of([b"head" + piece[4:], piece, piece, piece, piece[:-1] + b"!"])
    assert file.same_content(same)
    assert not file.same_content(other)
    assert file.read(6, 0) == b"headpp"
    assert file.read(2, 4_999_999) == b"p"


def test_a_buffer_that_its_owner_reuses_is_copied() -> None:
    fs = MemoryFileSystem()
    fd = fs.open("f", CREATE_EXCLUSIVE)
    buffer = bytearray(b"one")
    fs.pwrite(fd, memoryview(buffer), 0)
    buffer[:] = b"two"
    assert fs.content("f") == b"one"
