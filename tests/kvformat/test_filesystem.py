"""The real file system behind the port: POSIX meanings, nothing followed, nothing leaked (KVC-NAME-7, KVS-TEMP-2)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvformat.filesystem import CREATE_EXCLUSIVE, OsFileSystem
from tests.kvformat.saving import descriptors


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_what_is_no_directory_is_refused_and_leaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    before = descriptors()
    for name, error in (("file", NotADirectoryError), ("missing", FileNotFoundError)):
        with pytest.raises(error):
            OsFileSystem(tmp_path / name)
    assert descriptors() == before


def test_a_directory_that_is_renamed_is_still_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with OsFileSystem(tmp_path / "a") as fs:
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").mkdir()
        fs.close(fs.open("x", CREATE_EXCLUSIVE))
        assert fs.names() == ["x"]
    assert os.listdir(tmp_path / "b") == ["x"]
    assert os.listdir(tmp_path / "a") == []


def test_the_directorys_descriptor_is_given_back_once(tmp_path: Path) -> None:
    before = descriptors()
    with OsFileSystem(tmp_path) as fs:
        assert descriptors() == before + 1
    fs.shut()
    assert descriptors() == before
    forgotten = OsFileSystem(tmp_path)
    del forgotten
    assert descriptors() == before


@pytest.mark.parametrize(
    "call",
    [
        "open",
        "names",
        "stat",
        "rename",
        "unlink",
        "sync_directory",
        "open_unnamed",
    ],
)
def test_after_shut_nothing_works_on_another_directory(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shut port must not fall back to the working directory, whose files have nothing to do with it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_bytes(b"")
    fs = OsFileSystem(tmp_path)
    fs.shut()
    arguments: dict[str, tuple[object, ...]] = {
        "open": ("x", os.O_RDONLY),
        "stat": ("x",),
        "rename": ("x", "y"),
        "unlink": ("x",),
    }
    with pytest.raises((OSError, ValueError)):
        getattr(fs, call)(*arguments.get(call, ()))
    assert os.listdir(tmp_path) == ["x"]


def test_no_descriptor_is_inherited_by_programs_that_are_started(tmp_path: Path) -> None:
    """KVS-TEMP-4: a child that keeps the descriptor keeps the lock."""
    with OsFileSystem(tmp_path) as fs:
        opened = fs.open("x", CREATE_EXCLUSIVE)
        fds = [opened, fs.dup(opened), fs.open_unnamed(), fs._dir_fd]
        assert [os.get_inheritable(fd) for fd in fds] == [False] * 4
        for fd in fds[:3]:
            fs.close(fd)


def test_creation_is_exclusive_and_does_not_follow(tmp_path: Path) -> None:
    """KVS-TEMP-2."""
    (tmp_path / "taken").write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with OsFileSystem(tmp_path) as fs:
        for name in ("taken", "dangling"):
            with pytest.raises(FileExistsError):
                fs.open(name, CREATE_EXCLUSIVE)
    assert (tmp_path / "taken").read_bytes() == b"mine"
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_is_not_opened_and_stat_says_what_the_name_is(tmp_path: Path) -> None:
    """KVC-NAME-7."""
    (tmp_path / "target").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("target")
    with OsFileSystem(tmp_path) as fs:
        with pytest.raises(OSError, match="symbolic links") as caught:
            fs.open("link", os.O_RDONLY)
        assert caught.value.errno == errno.ELOOP
        assert stat.S_ISLNK(fs.stat("link").mode)
        fs.unlink("link")
        assert fs.names() == ["target"]


def test_a_fifo_does_not_hang_whoever_opens_it(tmp_path: Path) -> None:
    """KVC-NAME-7."""
    os.mkfifo(tmp_path / "fifo")
    with OsFileSystem(tmp_path) as fs:
        started = time.monotonic()
        fd = fs.open("fifo", os.O_RDONLY)
        assert stat.S_ISFIFO(fs.fstat(fd).mode)
        fs.close(fd)
        assert time.monotonic() - started < 5


def test_permissions_are_0600_unless_asked_for(tmp_path: Path) -> None:
    """KVS-TEMP-2: the text is a conversation."""
    with umask(0), OsFileSystem(tmp_path) as fs:
        for fd in (fs.open("x", CREATE_EXCLUSIVE), fs.open_unnamed()):
            assert stat.S_IMODE(fs.fstat(fd).mode) == 0o600
            fs.close(fd)
        for fd in (fs.open("y", CREATE_EXCLUSIVE, 0o640), fs.open_unnamed(0o640)):
            assert stat.S_IMODE(fs.fstat(fd).mode) == 0o640
            fs.close(fd)


def test_an_unnamed_file_shows_nowhere_until_it_is_linked_and_never_replaces(tmp_path: Path) -> None:
    """KVS-TEMP-5."""
    (tmp_path / "taken").write_bytes(b"mine")
    with OsFileSystem(tmp_path) as fs:
        fd = fs.open_unnamed()
        fs.pwrite(fd, b"content", 0)
        assert fs.names() == ["taken"]
        assert fs.fstat(fd).links == 0
        with pytest.raises(FileExistsError):
            fs.link_unnamed(fd, "taken")
        fs.link_unnamed(fd, "new")
        assert fs.fstat(fd).links == 1
        assert fs.stat("new").inode == fs.fstat(fd).inode
        fs.close(fd)
    assert (tmp_path / "new").read_bytes() == b"content"
    assert (tmp_path / "taken").read_bytes() == b"mine"


def test_without_proc_there_are_no_unnamed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KVS-TEMP-5: such a file could never get a name; better to know before GiB are written."""
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    before = descriptors()
    with OsFileSystem(tmp_path) as fs, pytest.raises(OSError) as caught:
        fs.open_unnamed()
    assert caught.value.errno == errno.EOPNOTSUPP
    assert descriptors() == before


def test_a_lock_belongs_to_the_open_file_and_not_to_the_process(tmp_path: Path) -> None:
    """KVS-TEMP-3, KVS-TEMP-4: duplicates share it, a second open does not, unlock takes it from all."""
    (tmp_path / "x").write_bytes(b"")
    with OsFileSystem(tmp_path) as fs:
        first, second = fs.open("x", os.O_RDWR), fs.open("x", os.O_RDONLY)
        assert fs.try_lock(first)
        assert fs.try_lock(first)
        assert not fs.try_lock(second)
        duplicate = fs.dup(first)
        fs.close(first)
        assert not fs.try_lock(second)
        fs.unlock(duplicate)
        assert fs.try_lock(second)
        fs.close(duplicate)
        fs.close(second)


def test_lock_waits_for_the_holder(tmp_path: Path) -> None:
    """KVS-TOUCH-1."""
    (tmp_path / "x").write_bytes(b"")
    with OsFileSystem(tmp_path) as fs:
        holder, waiter = fs.open("x", os.O_RDWR), fs.open("x", os.O_RDWR)
        fs.lock(holder)
        got = threading.Event()

        def wait() -> None:
            fs.lock(waiter)
            got.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.2)
        fs.unlock(holder)
        assert got.wait(10)
        thread.join()
        fs.close(holder)
        fs.close(waiter)


def test_an_error_of_flock_is_not_taken_for_somebody_elses_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KVS-TEMP-6: a volume without locks fails the save; it does not look like a living writer."""

    def fail(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with OsFileSystem(tmp_path) as fs:
        fd = fs.open("x", CREATE_EXCLUSIVE)
        with pytest.raises(OSError, match="no locks"):
            fs.try_lock(fd)
        fs.close(fd)


def test_copy_range_gives_counts_and_0_at_the_end(tmp_path: Path) -> None:
    """KVS-STAGED-2."""
    (tmp_path / "source").write_bytes(b"0123456789")
    with OsFileSystem(tmp_path) as fs:
        source, target = fs.open("source", os.O_RDONLY), fs.open("target", CREATE_EXCLUSIVE)
        assert fs.copy_range(source, target, 4, 3, 2) == 4
        assert fs.copy_range(source, target, 100, 8, 6) == 2
        assert fs.copy_range(source, target, 100, 10, 8) == 0
        fs.close(source)
        fs.close(target)
    assert (tmp_path / "target").read_bytes() == b"\0\x003456" + b"89"


def test_rename_replaces_and_status_says_what_stat_says(tmp_path: Path) -> None:
    """KVS-SAVE-6."""
    (tmp_path / "old").write_bytes(b"four")
    (tmp_path / "new").write_bytes(b"")
    with OsFileSystem(tmp_path) as fs:
        before = fs.stat("old")
        fs.rename("old", "new")
        after = fs.stat("new")
        raw = os.stat(tmp_path / "new")
        assert (after.inode, after.size_bytes, after.links, after.mode, after.modified_ns) == (
            raw.st_ino,
            4,
            1,
            raw.st_mode,
            raw.st_mtime_ns,
        )
        assert before == after
        assert fs.names() == ["new"]
        fs.sync_directory()


_NAMES = st.binary(min_size=1, max_size=60).filter(lambda raw: b"/" not in raw and b"\0" not in raw and raw.strip(b"."))


@settings(max_examples=60)
@given(raw=_NAMES, content=st.binary(max_size=50), offset=st.integers(0, 100))
def test_every_name_and_content_goes_through(
    raw: bytes, content: bytes, offset: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """KVC-NAME-5: names are bytes; newlines and bytes that are no UTF-8 come back as they went in."""
    name = os.fsdecode(raw)
    with OsFileSystem(tmp_path_factory.mktemp("names")) as fs:
        fd = fs.open(name, CREATE_EXCLUSIVE)
        assert fs.pwrite(fd, memoryview(content), offset) == len(content)
        fs.sync(fd)
        fs.close(fd)
        assert fs.names() == [name]
        fd = fs.open(name, os.O_RDONLY)
        assert fs.pread(fd, len(content) + 1, offset) == content
        assert fs.pread(fd, 10, offset + len(content)) == b""
        with pytest.raises(OSError):
            fs.pwrite(fd, b"x", 0)
        fs.close(fd)
        fs.unlink(name)
        assert fs.names() == []


def test_threads_that_list_one_directory_at_a_time_each_see_all_of_it(tmp_path: Path) -> None:
    """A store is "not tied to a thread": no lookup may miss an entry, no recovery an orphan, because of another."""
    for number in range(30):
        (tmp_path / str(number)).write_bytes(b"")
    short: list[int] = []
    until = time.monotonic() + 5

    def run(fs: OsFileSystem) -> None:
        while not short and time.monotonic() < until:
            found = len(fs.names())
            if found != 30:
                short.append(found)

    with OsFileSystem(tmp_path) as fs:
        threads = [threading.Thread(target=run, args=(fs,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert short == []
