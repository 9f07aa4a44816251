"""Recovery takes what dead writers left and nothing else (KVS-RECOVER, KVS-INV-3, KVS-INV-4)."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from kvformat.filesystem import OsFileSystem
from kvformat.listing import is_foreign_temp
from kvformat.recovery import recover
from kvformat.store import Store
from kvformat.temp_names import is_temp_name
from tests.kvformat.saving import ENTRY, NAME, NEW, OLD, PAYLOAD, Failing, Racing, descriptors, store_of

ORPHAN = f".kvc-save-{'ab' * 16}.tmp"
STAGE = f".kvc-stage-{'cd' * 16}.tmp"
FOREIGN = f"{NAME}.tmp.4711"

WRITER = """
import sys
from kvformat.model import Entry
from kvformat.store import Store
from kvformat.temp_names import TempKind
from kvformat.options import Options, Strategy
path, strategy, temp, pieces, text = sys.argv[1:]
def produce():
    for number in range(int(pieces)):
        yield bytes([number % 256]) * 4000
        if number == 2:
            print("writing", flush=True)
        if number == 2 and text == "patient":
            sys.stdin.readline()
store = Store.open(path)
store.save(Entry(text=text.encode(), tokens=1), produce(), payload_bytes=4000 * int(pieces),
           strategy=Strategy(strategy), options=Options(durable=False, temp=TempKind(temp)))
print("saved", flush=True)
"""


@contextmanager
def writer(
    path: Path, strategy: str, temp: str, pieces: int, text: str, *, prefix: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A real process in the middle of a save: it has said so when this is entered."""
    command = [*prefix, sys.executable, "-c", WRITER, str(path), strategy, temp, str(pieces), text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "writing\n"
            yield child
        finally:
            child.kill()


def temps(path: Path) -> set[str]:
    return {name for name in os.listdir(path) if is_temp_name(name)}


# What is taken and what is not.


@given(
    names=st.lists(st.integers(0, 9), unique=True),
    locked=st.sets(st.integers(0, 9)),
    others=st.lists(
        st.sampled_from([NAME, NAME[:40].upper() + ".kv", "sysprompt.kv", "README", ORPHAN + "x", FOREIGN, "\n"]),
        unique=True,
    ),
)
def test_every_orphan_goes_and_nothing_else_changes(names: list[int], locked: set[int], others: list[str]) -> None:
    """KVS-RECOVER-2, KVS-RECOVER-3, KVS-RECOVER-5: entries, sound or damaged, and other files stay."""
    fs = MemoryFileSystem()
    of = {number: f".kvc-{'save' if number % 2 else 'stage'}-{number:032x}.tmp" for number in names}
    for number, name in of.items():
        fs.put(name, b"KVC torn", locked=number in locked)
    for name in others:
        fs.put(name, b"damaged")
    report = recover(fs)
    assert set(report.reclaimed) == {name for number, name in of.items() if number not in locked}
    assert set(report.live) == {name for number, name in of.items() if number in locked}
    assert set(report.foreign) == {name for name in others if is_foreign_temp(name)}
    assert report.failed == ()
    assert set(fs.names()) == {*report.live, *others}
    assert fs.open_descriptors() == 0
    assert recover(fs) == report.__class__((), report.live, report.foreign, ())


def test_one_that_has_gone_meanwhile_does_not_end_the_recovery() -> None:
    """KVS-RECOVER-2: another recovery was quicker with the first; the second is still an orphan."""
    fs = MemoryFileSystem()
    fs.put(ORPHAN, b"KVC torn")
    fs.put(STAGE, b"KVC torn")
    racing = Racing(fs, lambda op, arguments: op is Op.OPEN and arguments[0] == ORPHAN, lambda: fs.unlink(ORPHAN))
    report = recover(racing)
    assert racing.fired == 1
    assert report == report.__class__((STAGE,), (), (), ())
    assert list(fs.names()) == []


def test_what_has_the_name_and_is_no_file_is_reported_and_left(tmp_path: Path) -> None:
    """KVS-RECOVER-4: without following the link and without hanging on the FIFO."""
    target = tmp_path / "target"
    target.write_bytes(NEW)
    names = [f".kvc-save-{number:032x}.tmp" for number in range(4)]
    (tmp_path / names[0]).mkdir()
    (tmp_path / names[1]).symlink_to(target)
    os.mkfifo(tmp_path / names[2])
    with socket.socket(socket.AF_UNIX) as end:
        here = os.open(tmp_path, os.O_RDONLY)
        end.bind(f"/proc/self/fd/{here}/{names[3]}")
        os.close(here)
    before = descriptors()
    started = time.monotonic()
    with OsFileSystem(tmp_path) as fs:
        report = recover(fs)
    assert time.monotonic() - started < 5
    assert [failure.name for failure in report.failed] == names
    assert (report.reclaimed, report.live) == ((), ())
    assert temps(tmp_path) == set(names)
    assert target.read_bytes() == NEW
    assert descriptors() == before


@pytest.mark.parametrize("op", [Op.OPEN, Op.FSTAT, Op.FLOCK, Op.STAT, Op.UNLINK, Op.CLOSE])
def test_one_that_cannot_be_reclaimed_does_not_keep_the_others(op: Op) -> None:
    """KVS-RECOVER-2: what could not be done is in the report."""
    fs = MemoryFileSystem()
    for name in (ORPHAN, STAGE):
        fs.put(name, b"KVC")
    failed: list[Op] = []

    def fail(got: Op, _: tuple[Any, ...]) -> OSError | None:
        if got is op and not failed:
            failed.append(got)
            return OSError(errno.EIO, "I/O error")
        return None

    report = recover(Failing(fs, fail))
    assert [failure.name for failure in report.failed] == [ORPHAN]
    assert report.reclaimed == (STAGE,)
    assert fs.open_descriptors() == 0
    assert set(fs.names()) == ({ORPHAN} if op is not Op.CLOSE else set())


def test_a_directory_that_cannot_be_read_is_an_error() -> None:
    def fail(op: Op, _: tuple[Any, ...]) -> OSError | None:
        return OSError(errno.EIO, "I/O error") if op is Op.READDIR else None

    with pytest.raises(OSError, match="I/O error"):
        recover(Failing(MemoryFileSystem(), fail))


@pytest.mark.parametrize("op", [Op.OPEN, Op.STAT, Op.UNLINK])
def test_a_name_that_goes_away_meanwhile_is_no_failure(op: Op) -> None:
    """Two recoveries at a time, or a writer that publishes."""
    fs = MemoryFileSystem()
    fs.put(ORPHAN, b"KVC")
    racing = Racing(fs, lambda got, _: got is op, lambda: fs.unlink(ORPHAN))
    report = recover(racing)
    assert racing.fired == 1
    assert (report.reclaimed, report.live, report.failed) == ((), (), ())


def test_a_name_that_leads_to_another_file_by_then_is_left_alone() -> None:
    """KVS-RECOVER-2: "removes the name if it got the lock and the name still leads to that file"."""
    fs = MemoryFileSystem()
    fs.put(ORPHAN, b"KVC")

    def replace() -> None:
        fs.unlink(ORPHAN)
        fs.put(ORPHAN, b"a living writer's", locked=True)

    report = recover(Racing(fs, lambda op, _: op is Op.FLOCK, replace))
    assert report.reclaimed == ()
    assert fs.content(ORPHAN) == b"a living writer's"


def test_a_file_published_between_listing_and_opening_is_not_removed(tmp_path: Path) -> None:
    """KVS-INV-6, KVS-SAVE-8: the recovery opens the temp name, and the writer renames it before the lock is tried."""
    with OsFileSystem(tmp_path) as fs:
        fd = fs.open(ORPHAN, os.O_RDWR | os.O_CREAT)
        fs.try_lock(fd)
        fs.pwrite(fd, NEW, 0)

        def publish() -> None:
            fs.rename(ORPHAN, NAME)
            fs.close(fd)

        report = recover(Racing(fs, lambda op, _: op is Op.FLOCK, publish))
        assert report.reclaimed == ()
        assert fs.names() == [NAME]
    assert (tmp_path / NAME).read_bytes() == NEW


@pytest.mark.parametrize(
    ("age", "older_than", "locked", "removed"),
    [
        (100, None, False, False),
        (100, 99, False, True),
        (100, 100, False, True),
        (100, 101, False, False),
        (100, 99, True, False),
        (0, 0, False, True),
    ],
)
def test_temp_files_of_others_go_only_by_age_and_unlocked(
    age: int, older_than: float | None, locked: bool, removed: bool
) -> None:
    """KVS-RECOVER-5."""
    fs = MemoryFileSystem()
    fs.put(FOREIGN, b"KVC", locked=locked)
    fs.put(NAME, b"damaged")  # as old, and no temp file
    report = recover(fs, foreign_older_than_seconds=older_than, now_ns=age * 10**9)
    assert report.reclaimed == ((FOREIGN,) if removed else ())
    assert report.foreign == (() if removed else (FOREIGN,))
    assert set(fs.names()) == ({NAME} if removed else {NAME, FOREIGN})


def test_age_does_not_count_for_our_own() -> None:
    """KVS-RECOVER-2: "a save of many GiB is old and alive"; an orphan of this second is dead."""
    fs = MemoryFileSystem()
    fs.put(ORPHAN, b"KVC", locked=True)
    fs.put(STAGE, b"KVC")
    report = recover(fs, foreign_older_than_seconds=10**6, now_ns=0)
    assert (report.live, report.reclaimed) == ((ORPHAN,), (STAGE,))


def test_the_stores_clock_decides_about_age(tmp_path: Path) -> None:
    """KVS-RECOVER-5, on real modification times."""
    for name, age in ((FOREIGN, 1000), (f"{NAME}.tmp", 10)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    report = Store.open(tmp_path).recover(foreign_older_than_seconds=500)
    assert (report.reclaimed, report.foreign) == ((FOREIGN,), (f"{NAME}.tmp",))


def test_recovery_asks_for_nothing_but_what_it_needs() -> None:
    """KVS-DURABLE-4, KVS-RECOVER-3: no sync, and no entry is even opened."""
    fs = MemoryFileSystem()
    for name in (NAME, ORPHAN, "README"):
        fs.put(name, b"x")
    seen: list[tuple[Op, object]] = []

    def see(op: Op, arguments: tuple[Any, ...]) -> OSError | None:
        seen.append((op, arguments[0] if arguments else None))
        return None

    recover(Failing(fs, see))
    assert {name for op, name in seen if op in (Op.OPEN, Op.UNLINK, Op.STAT)} == {ORPHAN}
    assert not {Op.FSYNC, Op.FSYNC_DIRECTORY, Op.PWRITE} & {op for op, _ in seen}


# Real processes.


@pytest.mark.parametrize("strategy", ["direct", "staged", "backpatch"])
def test_killed_writers_leave_nothing_visible_and_are_reclaimed_beside_a_living_one(
    strategy: str, tmp_path: Path
) -> None:
    """KVS-INV-1, KVS-INV-3, KVS-INV-4: SIGKILL at random moments; the living writer's save then succeeds."""
    (tmp_path / NAME).write_bytes(OLD)
    moments = random.Random(strategy)
    with writer(tmp_path, strategy, "named", 10, "patient") as patient:
        living = temps(tmp_path)
        assert len(living) == 1
        killed = 0
        for _ in range(4):
            with writer(tmp_path, strategy, "named", 10_000, "victim") as victim:
                time.sleep(moments.random() * 0.02)
                victim.send_signal(signal.SIGKILL)
                victim.wait()
                saved = bool(victim.stdout and "saved" in victim.stdout.read())
            store = store_of(OsFileSystem(tmp_path))
            assert store.scan().damaged == []
            left = temps(tmp_path) - living
            assert saved or left or len(store.entries()) == 2
            killed += bool(left)
            report = Store.open(tmp_path).recovered
            assert report is not None
            assert set(report.reclaimed) == left
            assert set(report.live) == living
            assert report.failed == ()
            assert temps(tmp_path) == living
            assert store.scan().damaged == []
        assert killed > 0
        assert patient.stdin is not None
        assert patient.stdout is not None
        patient.stdin.write("go on\n")
        patient.stdin.flush()
        assert patient.stdout.readline() == "saved\n"
        assert patient.wait(timeout=60) == 0
    assert temps(tmp_path) == set()
    assert (tmp_path / NAME).read_bytes() == OLD
    found = store_of(OsFileSystem(tmp_path)).lookup(b"patient")
    assert found is not None
    assert found.header.payload_bytes == 40_000


@pytest.mark.parametrize("strategy", ["direct", "staged", "backpatch"])
def test_an_unnamed_file_vanishes_with_its_writer(strategy: str, tmp_path: Path) -> None:
    """KVS-TEMP-5: nothing to reclaim."""
    with writer(tmp_path, strategy, "unnamed", 1000, "patient") as child:
        assert os.listdir(tmp_path) == []
        child.kill()
        child.wait()
    assert os.listdir(tmp_path) == []


def test_a_stopped_writer_is_alive(tmp_path: Path) -> None:
    """KVS-RECOVER-2: it may go on at any time."""
    with writer(tmp_path, "direct", "named", 10, "patient") as child:
        child.send_signal(signal.SIGSTOP)
        with OsFileSystem(tmp_path) as fs:
            report = recover(fs)
        assert (report.reclaimed, len(report.live)) == ((), 1)
        child.send_signal(signal.SIGCONT)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "saved\n"


def _no_pid_namespace() -> str | None:
    if os.geteuid() != 0:
        return f"unshare -p needs root, this is user {os.geteuid()}"
    if shutil.which("unshare") is None:
        return "unshare(1) is not installed"
    probe = subprocess.run(["unshare", "-pf", "true"], capture_output=True, text=True, check=False)
    return f"unshare -pf: {probe.stderr.strip()}" if probe.returncode else None


@pytest.mark.root
def test_writers_in_pid_namespaces(tmp_path: Path) -> None:
    """KVS-TEMP-3, KVS-RECOVER-2: two writers that are both process 1 of their namespace; one is killed."""
    reason = _no_pid_namespace()
    if reason is not None:
        pytest.skip(reason)
    prefix = ("unshare", "-pf", "--kill-child")
    with writer(tmp_path, "direct", "named", 10, "patient", prefix=prefix) as patient:
        living = temps(tmp_path)
        with writer(tmp_path, "direct", "named", 10, "patient", prefix=prefix) as victim:
            both = temps(tmp_path)
            assert len(living) == 1
            assert len(both) == 2
            with OsFileSystem(tmp_path) as fs:
                assert set(recover(fs).live) == both
            victim.kill()  # the namespace's first process, the writer, goes with it
            victim.wait()
        deadline = time.monotonic() + 10
        with OsFileSystem(tmp_path) as fs:
            reclaimed: set[str] = set()
            while not reclaimed and time.monotonic() < deadline:
                report = recover(fs)
                reclaimed |= set(report.reclaimed)
                assert living <= set(report.live)
        assert reclaimed == both - living
        assert patient.stdin is not None
        assert patient.stdout is not None
        patient.stdin.write("\n")
        patient.stdin.flush()
        assert patient.stdout.readline() == "saved\n"
    assert temps(tmp_path) == set()


@pytest.mark.root
def test_a_recovery_inside_a_pid_namespace_sees_the_locks_outside(tmp_path: Path) -> None:
    """KVS-RECOVER-2: locks know no namespaces."""
    reason = _no_pid_namespace()
    if reason is not None:
        pytest.skip(reason)
    (tmp_path / ORPHAN).write_bytes(b"KVC")
    with OsFileSystem(tmp_path) as fs:
        fd = fs.open(STAGE, os.O_RDWR | os.O_CREAT)
        assert fs.try_lock(fd)
        code = "import sys; from kvformat.store import Store; print(Store.open(sys.argv[1]).recovered)"
        subprocess.run(["unshare", "-pf", sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
        assert fs.names() == [STAGE]
        fs.close(fd)


def test_recoveries_at_the_same_time_agree(tmp_path: Path) -> None:
    """Each orphan is reclaimed by one of them, and none of them fails."""
    children: list[tuple[int, int]] = []
    for number in range(200):
        (tmp_path / f".kvc-save-{number:032x}.tmp").write_bytes(b"KVC")
    start_reading, start_writing = os.pipe()
    for _ in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(start_writing)
            os.read(start_reading, 1)
            report = recover(OsFileSystem(tmp_path))
            os.write(writing, b"%d %d" % (len(report.reclaimed), len(report.failed)))
            os._exit(0)
        os.close(writing)
        children.append((child, reading))
    os.close(start_reading)
    os.close(start_writing)
    taken = failed = 0
    for child, reading in children:
        os.waitpid(child, 0)
        got = os.read(reading, 100).split()
        os.close(reading)
        taken += int(got[0])
        failed += int(got[1])
    assert failed == 0
    assert taken >= 200  # an orphan that two of them have open may count for both
    assert os.listdir(tmp_path) == []


def test_a_save_heals_what_was_torn(tmp_path: Path) -> None:
    """KVS-INV-9, KVS-REPLACE-1: recovery leaves the damaged entry, the next save of its key replaces it."""
    (tmp_path / NAME).write_bytes(NEW[:50])
    (tmp_path / ORPHAN).write_bytes(NEW[:70])
    store = Store.open(tmp_path)
    assert os.listdir(tmp_path) == [NAME]
    assert [damaged.name for damaged in store.scan().damaged] == [NAME]
    store.save(ENTRY, PAYLOAD)
    assert (tmp_path / NAME).read_bytes() == NEW
    assert stat.S_IMODE(os.stat(tmp_path / NAME).st_mode) == 0o600
