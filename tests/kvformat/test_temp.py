"""Temp files: names, exclusive creation, locks, races with a recovery, cleaning up (KVS-TEMP, KVS-FAIL)."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from faultinject.record import RecordingFileSystem
from kvformat import identity
from kvformat.errors import SaveError
from kvformat.filesystem import Buffer, FileSystem, OsFileSystem
from kvformat.options import Options, SaveResult, Strategy
from kvformat.payload import as_payload
from kvformat.recovery import recover
from kvformat.temp import OvertakenError, TempFile
from kvformat.temp_names import Purpose, TempKind, is_temp_name, new_temp_name
from kvformat.transfer import TransferError
from kvformat.writer import save
from tests.kvformat.saving import NAME, NEW, OLD, PAYLOAD, SERIAL, Failing, Racing, descriptors, directory, options

NAMED = [(strategy, TempKind.NAMED) for strategy in Strategy]


def saved(fs: FileSystem, strategy: Strategy = Strategy.DIRECT, temp: TempKind = TempKind.NAMED) -> SaveResult:
    payload = as_payload([PAYLOAD[:60], PAYLOAD[60:]], len(PAYLOAD))
    return save(fs, SERIAL, payload, strategy=strategy, options=options(temp))


def creates(op: Op, arguments: tuple[Any, ...]) -> bool:
    return op is Op.OPEN and is_temp_name(arguments[0])


@pytest.mark.parametrize("purpose", Purpose)
def test_names_have_the_form_and_are_no_names_of_entries(purpose: Purpose) -> None:
    """KVS-TEMP-1, KVC-NAME-5."""
    for _ in range(200):
        name = new_temp_name(purpose)
        assert re.fullmatch(rf"\.kvc-{purpose}-[0-9a-f]{{32}}\.tmp", name)
        assert is_temp_name(name)
        assert not identity.is_entry_name(name)
        assert name not in identity.FIXED_NAMES


_GOOD = ".kvc-save-0123456789abcdef0123456789abcdef.tmp"


@pytest.mark.parametrize(
    "name",
    [
        _GOOD + "\n",
        "\n" + _GOOD,
        _GOOD[1:],
        _GOOD.upper(),
        _GOOD.replace("a", "A"),
        _GOOD.replace("0", "٠"),  # noqa: RUF001 - a digit of another script
        _GOOD.replace("0123", "123"),
        _GOOD.replace("0123", "00123"),
        _GOOD.replace("save", "other"),
        _GOOD + "x",
        _GOOD.replace(".tmp", "xtmp"),
        "",
        NAME,
        f"{NAME}.tmp",
    ],
)
def test_what_only_looks_like_a_temp_name_is_none(name: str) -> None:
    """KVS-RECOVER-3: recovery removes what has the form, so nothing else may have it."""
    assert not is_temp_name(name)


@given(st.text() | st.from_regex(r"\.kvc-(save|stage|x)-[0-9a-fA-F]{30,34}\.tmp.?", fullmatch=True))
def test_temp_names_are_exactly_the_form(name: str) -> None:
    """KVS-TEMP-1, against another way to say it."""
    parts = name.split("-")
    form = (
        len(parts) == 3
        and parts[0] == ".kvc"
        and parts[1] in ("save", "stage")
        and len(parts[2]) == 36
        and parts[2].endswith(".tmp")
        and all(digit in "0123456789abcdef" for digit in parts[2][:32])
    )
    assert is_temp_name(name) == form


def test_names_differ_between_threads_and_processes() -> None:
    """KVS-TEMP-1: also in children that were forked with one state of every generator."""
    names: list[str] = []

    def run() -> None:
        names.extend([new_temp_name(Purpose.SAVE) for _ in range(300)])

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipes = []
    for _ in range(4):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, " ".join(new_temp_name(Purpose.SAVE) for _ in range(300)).encode())
            os._exit(0)
        os.close(writing)
        pipes.append((child, reading))
    for child, reading in pipes:
        os.waitpid(child, 0)
        names += os.read(reading, 65536).decode().split()
        os.close(reading)
    assert len(names) == 3000
    assert len(set(names)) == 3000


def _taken_first(monkeypatch: pytest.MonkeyPatch, times: int) -> str:
    """`os.urandom` gives the same bytes `times` times; returns the temp name that they make."""
    real, left = os.urandom, [times]

    def urandom(size: int) -> bytes:
        left[0] -= 1
        return bytes(size) if left[0] >= 0 else real(size)

    monkeypatch.setattr(os, "urandom", urandom)
    return f".kvc-save-{'00' * 16}.tmp"


@pytest.mark.parametrize("kind", ["file", "symlink", "directory", "fifo"])
def test_a_name_that_exists_is_somebody_elses(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KVS-TEMP-2: another name is taken; what has the name is neither opened, nor followed, nor removed."""
    taken = tmp_path / _taken_first(monkeypatch, 3)
    elsewhere = tmp_path / "elsewhere"
    if kind == "file":
        taken.write_bytes(b"somebody else's")
    elif kind == "symlink":
        taken.symlink_to(elsewhere)
    elif kind == "directory":
        taken.mkdir()
    else:
        os.mkfifo(taken)
    before = os.lstat(taken)
    with OsFileSystem(tmp_path) as fs:
        saved(fs)
    assert sorted(os.listdir(tmp_path)) == sorted([taken.name, NAME])
    assert os.lstat(taken).st_ino == before.st_ino
    assert os.lstat(taken).st_mtime_ns == before.st_mtime_ns
    assert not elsewhere.exists()
    assert (tmp_path / NAME).read_bytes() == NEW


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
def test_no_free_name_fails_the_save_and_leaves_the_others_file(
    temp: TempKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KVS-TEMP-2, KVS-FAIL-1."""
    taken = _taken_first(monkeypatch, 10_000)
    fs = directory(**{taken: b"somebody else's"})
    before = fs.contents()
    with pytest.raises(SaveError) as caught:
        saved(fs, temp=temp)
    assert caught.value.visible is False
    assert caught.value.left_behind == ()
    assert fs.contents() == before
    assert fs.open_descriptors() == 0


def test_an_unnamed_file_takes_another_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """KVS-TEMP-2: "where the name exists, the writer takes another name"."""
    fs = directory(**{_taken_first(monkeypatch, 1): b"somebody else's"})
    saved(fs, temp=TempKind.UNNAMED)
    assert fs.content(NAME) == NEW


@pytest.mark.parametrize(("strategy", "temp"), NAMED)
def test_a_recovery_between_creation_and_lock(strategy: Strategy, temp: TempKind, tmp_path: Path) -> None:
    """KVS-TEMP-3: it takes the new file for an orphan; the writer notices and starts over with another name."""
    (tmp_path / NAME).write_bytes(OLD)
    before = descriptors()
    with OsFileSystem(tmp_path) as fs, OsFileSystem(tmp_path) as other:
        reclaimed: list[str] = []
        racing = Racing(fs, creates, lambda: reclaimed.extend(recover(other).reclaimed), after=True, times=2)
        saved(racing, strategy, temp)
        assert racing.fired == 2
        assert len(reclaimed) == 2  # the race was there, both times
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == NEW
    assert descriptors() == before


@pytest.mark.parametrize(("strategy", "temp"), NAMED)
@pytest.mark.parametrize("op", [Op.FLOCK, Op.FSTAT, Op.PWRITE, Op.DUP])
def test_a_recovery_after_the_lock(strategy: Strategy, temp: TempKind, op: Op, tmp_path: Path) -> None:
    """KVS-RECOVER-2, KVS-INV-4: from the lock on, the file is a living writer's."""
    with OsFileSystem(tmp_path) as fs, OsFileSystem(tmp_path) as other:
        reports = []
        racing = Racing(fs, lambda got, _: got is op, lambda: reports.append(recover(other)), after=True, times=9)
        saved(racing, strategy, temp)
        assert reports
        assert all(report.reclaimed == () and report.failed == () and report.live for report in reports)
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == NEW


@pytest.mark.parametrize(("strategy", "temp"), NAMED)
def test_a_recovery_that_holds_the_lock_just_then(strategy: Strategy, temp: TempKind, tmp_path: Path) -> None:
    """KVS-TEMP-3: "if the lock is held by somebody else, it gives the name up and starts over with another"."""
    with OsFileSystem(tmp_path) as fs, OsFileSystem(tmp_path) as other:
        held: list[int] = []

        def hold() -> None:
            (name,) = set(other.names()) - {NAME}
            held.append(other.open(name, os.O_RDONLY))
            assert other.try_lock(held[-1])

        saved(Racing(fs, creates, hold, after=True), strategy, temp)
        assert len(held) == 1
        assert other.fstat(held[0]).links == 0
        assert other.fstat(held[0]).size_bytes == 0  # not a byte was written to it
        other.close(held[0])
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == NEW


def test_recoveries_that_always_win_fail_the_save_cleanly(tmp_path: Path) -> None:
    """KVS-TEMP-3: no endless loop, nothing left, the old entry stands."""
    (tmp_path / NAME).write_bytes(OLD)
    before = descriptors()
    with OsFileSystem(tmp_path) as fs, OsFileSystem(tmp_path) as other:
        racing = Racing(fs, creates, lambda: recover(other), after=True, times=10_000)
        with pytest.raises(SaveError) as caught:
            saved(racing)
        assert 1 < racing.fired < 100
    assert caught.value.left_behind == ()
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == OLD
    assert descriptors() == before


def test_a_forked_child_keeps_the_file_alive_and_nothing_else(tmp_path: Path) -> None:
    """KVS-TEMP-4: too long a life, never a live file removed; with the child's end the lock is gone."""
    with OsFileSystem(tmp_path) as fs:
        temp = TempFile(fs, Purpose.SAVE)
        temp.create(TempKind.NAMED, 0o600)
        temp.write(b"half of it")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)  # until the parent lets it go
            os._exit(0)
        os.close(reading)
        temp.release()  # as the parent's death would
        assert len(recover(fs).live) == 1
        os.close(writing)
        os.waitpid(child, 0)
        report = recover(fs)
        assert (len(report.reclaimed), report.live) == (1, ())
    assert os.listdir(tmp_path) == []


def test_a_killed_writers_file_is_an_orphan(tmp_path: Path) -> None:
    """KVS-TEMP-3: the kernel drops the lock."""
    with OsFileSystem(tmp_path) as fs:
        child = os.fork()
        if child == 0:
            temp = TempFile(fs, Purpose.STAGE)
            temp.create(TempKind.NAMED, 0o600)
            temp.write(b"half of it")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert len(fs.names()) == 1
        assert len(recover(fs).reclaimed) == 1
        assert fs.names() == []


@pytest.mark.parametrize("strategy", Strategy)
def test_an_unnamed_file_has_a_name_only_for_publication(strategy: Strategy) -> None:
    """KVS-TEMP-5: what a killed writer leaves vanishes with it."""
    fs = MemoryFileSystem()
    seen: list[tuple[Op, tuple[str, ...]]] = []

    def look(op: Op, _: tuple[Any, ...]) -> bool:
        seen.append((op, tuple(fs.names())))
        return False

    result = saved(Racing(fs, look, lambda: None), strategy, TempKind.UNNAMED)
    assert result.unnamed
    at = [op for op, _ in seen].index(Op.LINK)
    assert all(names == () for _, names in seen[: at + 1])
    assert [op for op, _ in seen[at:]] == [Op.LINK, Op.RENAME, Op.CLOSE]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_without_o_tmpfile_a_named_file_is_used_unless_unnamed_was_asked_for(number: int) -> None:
    """KVS-TEMP-5."""
    fs = MemoryFileSystem()

    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(number, "no O_TMPFILE") if op is Op.OPEN_UNNAMED else None

    assert not saved(Failing(fs, fail), temp=TempKind.AUTO).unnamed
    assert fs.contents() == {NAME: NEW}
    with pytest.raises(SaveError) as caught:
        saved(Failing(fs, fail), temp=TempKind.UNNAMED)
    assert caught.value.operation == "open"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.EMFILE])
def test_an_error_that_says_something_else_is_not_taken_for_a_missing_o_tmpfile(number: int) -> None:
    """KVS-FAIL-1: a full disk is reported as such."""

    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(number, os.strerror(number)) if op is Op.OPEN_UNNAMED else None

    recorder = RecordingFileSystem(Failing(directory(), fail))
    with pytest.raises(SaveError, match=os.strerror(number)):
        saved(recorder, temp=TempKind.AUTO)
    assert [operation.op for operation in recorder.trace] == [Op.OPEN_UNNAMED]


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
@pytest.mark.parametrize("strategy", Strategy)
def test_a_volume_without_locks_fails_the_save(strategy: Strategy, temp: TempKind) -> None:
    """KVS-TEMP-6: before a byte is written."""
    fs = directory()
    before = fs.contents()

    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(errno.ENOLCK, "No locks available") if op is Op.FLOCK else None

    recorder = RecordingFileSystem(Failing(fs, fail))
    with pytest.raises(SaveError, match=r"flock .*No locks available") as caught:
        saved(recorder, strategy, temp)
    assert caught.value.operation == "flock"
    assert Op.PWRITE not in [operation.op for operation in recorder.trace]
    assert fs.contents() == before
    assert fs.open_descriptors() == 0


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
@pytest.mark.parametrize("mode", [None, 0o640])
def test_permissions(temp: TempKind, mode: int | None, tmp_path: Path) -> None:
    """KVS-TEMP-2: 0600 unless asked for, from the first moment."""
    mask = os.umask(0)
    try:
        modes: list[int] = []
        with OsFileSystem(tmp_path) as fs:

            def look() -> None:
                modes.extend(stat.S_IMODE(fs.stat(name).mode) for name in fs.names())

            racing = Racing(fs, lambda *_: True, look, after=True, times=1000)
            chosen = Options(durable=False, temp=temp) if mode is None else Options(durable=False, temp=temp, mode=mode)
            save(racing, SERIAL, as_payload(PAYLOAD), strategy=Strategy.DIRECT, options=chosen)
        assert set(modes) == {mode or 0o600}
        assert stat.S_IMODE(os.stat(tmp_path / NAME).st_mode) == (mode or 0o600)
    finally:
        os.umask(mask)


class _Short(MemoryFileSystem):
    """Accepts as many bytes as it is told, call by call."""

    __slots__ = ("accepts",)

    def __init__(self, accepts: list[int]) -> None:
        super().__init__()
        self.accepts = accepts

    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        most = self.accepts.pop(0) if self.accepts else len(data)
        return super().pwrite(fd, memoryview(data)[:most], offset)

    def copy_range(
        self, source_fd: int, target_fd: int, size_bytes: int, source_offset: int, target_offset: int
    ) -> int:
        return super().copy_range(source_fd, target_fd, min(size_bytes, 3), source_offset, target_offset)


@given(pieces=st.lists(st.binary(max_size=30), max_size=5), accepts=st.lists(st.integers(1, 9), max_size=60))
def test_short_counts_lose_nothing(pieces: list[bytes], accepts: list[int]) -> None:
    """KVS-SAVE-3, for writes, patches and copies."""
    fs = _Short(accepts)
    source = TempFile(fs, Purpose.STAGE)
    source.create(TempKind.NAMED, 0o600)
    source.skip(5)
    target = TempFile(fs, Purpose.SAVE)
    target.create(TempKind.NAMED, 0o600)
    target.write(b"12345678")
    for piece in pieces:
        source.write(piece)
    whole = b"".join(pieces)
    assert source.offset == 5 + len(whole)
    position = 5
    while position < source.offset:
        position += target.copy_some(source.fd, position, source.offset - position)
    target.patch(b"ab", 3)
    assert target.offset == 8 + len(whole)
    assert sorted(fs.contents().values()) == sorted([bytes(5) * bool(whole) + whole, b"123ab678" + whole])


def test_a_write_that_accepts_nothing_ends_the_save() -> None:
    """KVS-SAVE-3: retrying for ever hangs."""
    fs = _Short([20, 0])
    with pytest.raises(SaveError, match="accepted none") as caught:
        saved(fs)
    assert (caught.value.operation, caught.value.offset) == ("pwrite", 20)
    assert fs.contents() == {}


def _copying(fs: FileSystem, content: bytes) -> tuple[TempFile, TempFile]:
    source, target = TempFile(fs, Purpose.STAGE), TempFile(fs, Purpose.SAVE)
    for temp in (source, target):
        temp.create(TempKind.NAMED, 0o600)
    source.write(content)
    return source, target


@pytest.mark.parametrize(
    "answer", [0, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOSYS], ids=lambda number: f"{number}"
)
def test_where_the_kernel_does_not_copy_the_writer_reads_and_writes(answer: int) -> None:
    """KVS-STAGED-2; a count of 0 is what some file systems answer instead of an error."""

    class NoCopy(MemoryFileSystem):
        __slots__ = ()

        def copy_range(self, *_: int) -> int:
            if answer:
                raise OSError(answer, os.strerror(answer))
            return 0

    source, target = _copying(NoCopy(), b"0123456789")
    assert target.copy_some(source.fd, 2, 5) == 5
    assert not target.copied_by_kernel
    assert target.offset == 5


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_an_error_while_the_kernel_copies_is_an_error(number: int) -> None:
    """KVS-FAIL-1: it is not hidden by trying it another way."""

    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(number, os.strerror(number)) if op is Op.COPY_RANGE else None

    source, target = _copying(Failing(MemoryFileSystem(), fail), b"0123456789")
    with pytest.raises(OSError) as caught:
        target.copy_some(source.fd, 0, 10)
    assert caught.value.errno == number
    assert (target.step, target.offset) == ("copy_file_range", 0)


def test_a_source_that_ends_early_is_an_error() -> None:
    """KVS-SAVE-4: no hole takes the place of bytes that are not there."""
    source, target = _copying(MemoryFileSystem(), b"0123")
    assert target.copy_some(source.fd, 0, 9) == 4
    with pytest.raises(TransferError, match="5 bytes early"):
        target.copy_some(source.fd, 4, 5)


def test_fsync_is_not_called_again_after_it_has_failed() -> None:
    """KVS-SAVE-5: the second call would succeed although the data is gone."""

    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(errno.EIO, "Input/output error") if op is Op.FSYNC else None

    for strategy in Strategy:
        recorder = RecordingFileSystem(Failing(directory(), fail))
        with pytest.raises(SaveError) as caught:
            save(
                recorder, SERIAL, as_payload(PAYLOAD), strategy=strategy, options=options(TempKind.NAMED, durable=True)
            )
        assert caught.value.operation == "fsync"
        done = [operation.op for operation in recorder.trace]
        assert done.count(Op.FSYNC) == 1
        assert Op.RENAME not in done


def test_a_late_error_of_close_fails_the_save_before_publication() -> None:
    """KVS-SAVE-5: NFS and quotas report lost bytes there, with or without fsync."""
    closed: list[int] = []

    def fail(op: Op, arguments: tuple[Any, ...]) -> OSError | None:
        if op is Op.CLOSE and not closed:
            closed.append(arguments[0])
            return OSError(errno.EDQUOT, "Disk quota exceeded")
        return None

    fs = directory()
    recorder = RecordingFileSystem(Failing(fs, fail))
    with pytest.raises(SaveError, match="Disk quota exceeded") as caught:
        saved(recorder)
    assert (caught.value.operation, caught.value.visible) == ("close", False)
    assert Op.RENAME not in [operation.op for operation in recorder.trace]
    assert fs.content(NAME) == OLD


def _removal_fails(op: Op, _: tuple[Any, ...]) -> OSError | None:
    if op in (Op.UNLINK, Op.CLOSE, Op.RENAME):
        return OSError(errno.EIO, f"{op} failed")
    return None


@pytest.mark.parametrize("strategy", [Strategy.DIRECT, Strategy.BACKPATCH])
def test_every_step_of_cleaning_up_is_tried_and_reported(strategy: Strategy) -> None:
    """KVS-FAIL-2, KVS-FAIL-3: beside the first failure, the name that is left, and its lock is given up."""
    fs = directory()

    def fail(op: Op, arguments: tuple[Any, ...]) -> OSError | None:
        if op is Op.CLOSE and "rename" not in done:
            return None  # the duplicate, before publication
        done.append(str(op))
        return _removal_fails(op, arguments)

    done: list[str] = []
    with pytest.raises(SaveError) as caught:
        saved(Failing(fs, fail), strategy)
    error = caught.value
    assert error.message == "rename failed"
    assert [failure.operation for failure in error.cleanup_failures] == ["unlink", "close"]
    assert set(error.left_behind) == {name for name in fs.names() if is_temp_name(name)}
    assert len(error.left_behind) == 1
    assert error.left_behind[0] in str(error)
    assert fs.open_descriptors() == 0
    assert recover(fs).reclaimed == error.left_behind


def test_the_lock_of_what_is_left_is_given_up_even_if_a_duplicate_stays_open() -> None:
    """KVS-FAIL-3: to the next recovery it is a file of a dead writer."""
    fs = directory()
    duplicates: list[int] = []

    def fail(op: Op, arguments: tuple[Any, ...]) -> OSError | None:
        if op is Op.DUP:
            duplicates.append(fs.dup(arguments[0]))  # as a forked child would have it
        return OSError(errno.EIO, "I/O error") if op in (Op.RENAME, Op.UNLINK) else None

    with pytest.raises(SaveError) as caught:
        saved(Failing(fs, fail))
    assert recover(fs).reclaimed == caught.value.left_behind
    assert len(caught.value.left_behind) == 1


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
def test_a_file_that_never_was_is_not_reported_as_left_behind(temp: TempKind) -> None:
    """KVS-FAIL-3: Linux says EROFS before it looks whether the name exists (a file system remounted read-only)."""

    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        read_only = op in (Op.OPEN, Op.LINK, Op.UNLINK)
        return OSError(errno.EROFS, "Read-only file system") if read_only else None

    fs = directory()
    before = fs.names()
    with pytest.raises(SaveError) as caught:
        saved(Failing(fs, fail), temp=temp)
    assert fs.names() == before
    assert caught.value.left_behind == ()


def _renamed_anyway(fs: MemoryFileSystem, error: BaseException) -> FileSystem:
    """rename(2) over NFS: it was done, and the answer got lost."""

    def lose() -> None:
        raise error

    return Racing(fs, lambda op, _: op is Op.RENAME, lose, after=True)


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
@pytest.mark.parametrize("make", [lambda: OSError(errno.EIO, "I/O error"), lambda: KeyboardInterrupt()])
def test_a_rename_that_failed_and_took_place_is_told(temp: TempKind, make: Callable[[], BaseException]) -> None:
    """KVS-FAIL-1: the writer compares the file under the final name with its own."""
    fs = directory()
    with pytest.raises((SaveError, KeyboardInterrupt)) as caught:
        saved(_renamed_anyway(fs, make()), temp=temp)
    assert fs.content(NAME) == NEW
    assert "IS visible" in str(caught.value) + "".join(getattr(caught.value, "__notes__", ()))
    assert not any(map(is_temp_name, fs.names()))
    assert fs.open_descriptors() == 0


def test_if_even_that_cannot_be_found_out_it_says_so() -> None:
    """KVS-FAIL-1: "it says that it does not know"."""
    fs = directory()

    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(errno.EIO, "I/O error") if op is Op.STAT else None

    with pytest.raises(SaveError) as caught:
        saved(Failing(_renamed_anyway(fs, OSError(errno.EIO, "I/O error")), fail))
    assert caught.value.visible is None
    assert [failure.operation for failure in caught.value.cleanup_failures] == ["stat"]
    assert caught.value.left_behind == ()
    assert fs.content(NAME) == NEW


@pytest.mark.parametrize("now", ["removed", "replaced"])
def test_what_was_to_be_replaced_must_still_have_the_name(now: str) -> None:
    """KVS-TOOLMAP-1: another change has succeeded meanwhile, and is not undone."""
    fs = MemoryFileSystem()
    fs.put(NAME, OLD)
    inode = fs.stat(NAME).inode
    temp = TempFile(fs, Purpose.SAVE)
    temp.create(TempKind.NAMED, 0o600)
    fs.unlink(NAME)
    if now == "replaced":
        fs.put(NAME, NEW)
    before = {name: content for name, content in fs.contents().items() if name == NAME}
    with pytest.raises(OvertakenError, match=now):
        temp.publish(NAME, durable=False, only_over=inode)
    assert temp.step == "stat"
    assert temp.abandon() == ([], None, False)
    assert fs.contents() == before


def test_a_file_that_was_not_opened_has_no_descriptor_of_anybody_elses() -> None:
    """KVS-TEMP-2: -1 is no descriptor (open(2)), so what is closed or unlocked after a failure is nobody's."""
    temp = TempFile(MemoryFileSystem(), Purpose.SAVE)
    assert temp.fd == -1
    assert not temp.unnamed
    assert temp.abandon() == ([], None, False)


def test_what_cannot_be_removed_and_not_be_looked_for_is_taken_for_left() -> None:
    """KVS-FAIL-2, KVS-FAIL-3: each step is tried and told, the lock is given up, and the name is told."""
    fs = MemoryFileSystem()
    broken = {Op.UNLINK, Op.STAT}
    temp = TempFile(
        Failing(fs, lambda op, _: OSError(errno.EIO, f"{op} fails") if op in broken else None), Purpose.SAVE
    )
    temp.create(TempKind.NAMED, 0o600)
    (name,) = fs.names()
    failures, left, visible = temp.abandon()
    assert [(failure.operation, failure.name) for failure in failures] == [("unlink", name), ("stat", name)]
    assert [str(failure.error) for failure in failures] == [
        f"[Errno {errno.EIO}] {op} fails" for op in ("unlink", "stat")
    ]
    assert (left, visible) == (name, False)
    assert fs.open_descriptors() == 0
    assert recover(fs).reclaimed == (name,)
