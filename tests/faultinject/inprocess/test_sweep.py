"""Functions swept in process: each mistake is found by its name, and right functions stay clean (KVS-INV)."""

from __future__ import annotations

import io
import json
import mmap
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from faultinject.faults import FaultClass
from faultinject.inject import HarnessError
from faultinject.inprocess import baseline as baseline_module
from faultinject.inprocess.patches import NestedError, is_patched, patched
from faultinject.inprocess.saver import UnusableError
from faultinject.inprocess.scratch import parent
from faultinject.inprocess.sweep import FunctionSweep, sweep_function
from faultinject.oracle import Verdict
from tests.faultinject.inprocess import savers

Save = Callable[[Path], object]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No function here writes a clock."""
    monkeypatch.setattr(baseline_module, "APART_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Neither directories nor patches nor descriptors (KVS-AUDIT-1)."""
    place, own = Path(parent() or "/tmp"), f"faultinject-{os.getpid()}-*"  # other tests run beside this one
    yield
    assert not is_patched()
    assert not list(place.glob(own))
    descriptors = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    assert not [link for link in descriptors if link.is_symlink() and "faultinject-" in os.readlink(link)]


def kinds(swept: FunctionSweep, *classes: FaultClass) -> set[str]:
    return {str(one.finding.kind) for one in swept.violations if not classes or one.fault.fault_class in classes}


@pytest.mark.parametrize("save", [savers.right, savers.no_directory_sync])
def test_a_right_saver_reaches_its_level(save: Save) -> None:
    swept = sweep_function(save, jobs=1)
    if save is savers.right:
        assert swept.verdict is Verdict.HELD
        assert swept.level == 3
    else:
        assert kinds(swept) == {"lost-after-ack"}
        assert swept.level == 2
    assert swept.covered == swept.points > 500
    assert swept.problems == []


@pytest.mark.parametrize(
    ("save", "fault_class", "kind"),
    [
        (savers.no_unlink, FaultClass.ERROR, "temp-leaked"),
        (savers.no_unlink, FaultClass.INTERRUPT, "temp-leaked"),
        (savers.in_place, FaultClass.ERROR, "partial-visible"),
        (savers.in_place, FaultClass.KILL, "partial-visible"),
        (savers.no_sync, FaultClass.POWER, "partial-visible"),
        (savers.no_sync, FaultClass.POWER, "lost-after-ack"),
        (savers.no_directory_sync, FaultClass.POWER, "lost-after-ack"),
        (savers.swallows, FaultClass.ERROR, "false-success"),
        (savers.removes_first, FaultClass.ERROR, "entry-lost"),
        (savers.removes_first, FaultClass.KILL, "entry-lost"),
        (savers.exclusive, FaultClass.KILL, "never-heals"),
        (savers.right_random, FaultClass.KILL, "orphan-unreclaimed"),
    ],
)
def test_a_mistake_is_found_by_its_name_and_the_right_saver_has_none(
    save: Save, fault_class: FaultClass, kind: str
) -> None:
    assert kind in kinds(sweep_function(save, classes=[fault_class], jobs=1))
    assert not kinds(sweep_function(savers.right, classes=[fault_class], jobs=1))


def test_a_recovery_reclaims_what_a_kill_leaves() -> None:
    swept = sweep_function(savers.right_random, recover=savers.reclaim, classes=["kill", "error"], jobs=1)
    assert swept.verdict is Verdict.HELD, swept.violations
    failing = sweep_function(savers.right_random, recover=lambda _: 1 / 0, classes=["kill"], jobs=1)
    assert kinds(failing) == {"orphan-unreclaimed"}
    assert any("division by zero" in one.finding.detail for one in failing.violations)


def test_the_repair_is_named() -> None:
    swept = sweep_function(savers.no_directory_sync, classes=["power"], jobs=1)
    assert {one.repair for one in swept.violations} == {"fsync the directory before success is reported"}


def test_one_fault_is_run_again_alone() -> None:
    all_ = sweep_function(savers.no_unlink, classes=["error"], jobs=1)
    first = all_.shown[0]
    assert first.id.startswith("empty:error/")
    again = sweep_function(savers.no_unlink, only=first.id)
    assert again.points == 1
    assert [one.id for one in again.shown] == [first.id]
    assert any("s.json.tmp" in line for line in again.shown[0].left)


@pytest.mark.parametrize("only", ["error/1/write/errno/EIO", "empty:nonsense", "other:kill/0/open/kill"])
def test_a_fault_that_is_none_is_refused(only: str) -> None:
    with pytest.raises(UnusableError):
        sweep_function(savers.right, only=only)


def test_a_fault_that_does_not_fire_is_not_measured() -> None:
    swept = sweep_function(savers.right, only="empty:error/99/write/errno/EIO")
    assert swept.verdict is Verdict.NOT_MEASURED


# Starts and oracles


def test_starts_are_given_in_every_way() -> None:
    content = {"s.json": b'{"theme": "light"}', "sub/other": b"kept"}
    by_name = sweep_function(savers.right, start={"new": {}, "there": content}, classes=["kill"], jobs=1)
    assert [run.target.scenario for run in by_name.runs] == ["new", "there"]
    mapping = sweep_function(savers.right, start=content, classes=["kill"], jobs=1)
    filled = sweep_function(savers.right, start=lambda d: (d / "s.json").touch(), classes=["error"], jobs=1)
    assert mapping.verdict is filled.verdict is by_name.verdict is Verdict.HELD


@pytest.mark.parametrize("start", [{"../out": b""}, 3, {"a": 3}])
def test_a_start_that_is_none_is_refused(start: Any, tmp_path: Path) -> None:
    with pytest.raises(UnusableError):
        sweep_function(savers.right, start=start)


def test_a_save_that_needs_what_is_there_is_not_run_on_nonsense() -> None:
    def counts(directory: Path) -> None:
        path = directory / "n.json"
        n = json.loads(path.read_text()) if path.exists() else 0
        (directory / "n.tmp").write_text(str(n + 1))
        os.replace(directory / "n.tmp", path)

    swept = sweep_function(counts, classes=["kill"], jobs=1)
    assert swept.verdict is Verdict.HELD
    assert [note for note in swept.notes if "not run from the start old-entry" in note]


def test_an_oracle_that_is_told_decides_in_place_of_the_bytes() -> None:
    seen: list[bool] = []

    def any_json(directory: Path, acknowledged: bool) -> None:
        seen.append(acknowledged)
        path = directory / "s.json"
        if acknowledged or path.exists():
            json.loads(path.read_text())
        for name in directory.iterdir():
            name.unlink()  # it is a copy

    start = {"s.json": b"{}"}
    assert sweep_function(savers.right, start=start, oracle=any_json, jobs=1).level == 3
    assert set(seen) == {True, False}
    swept = sweep_function(savers.in_place, start=start, oracle=any_json, classes=["kill"], jobs=1)
    assert kinds(swept) == {"partial-visible"}
    assert all("Expecting value" in one.finding.detail or "char" in one.finding.detail for one in swept.violations)
    lost = sweep_function(savers.swallows, oracle=any_json, classes=["error"], jobs=1)
    assert "false-success" in kinds(lost)


def test_an_oracle_that_is_not_told_cannot_hide_a_false_success() -> None:
    swept = sweep_function(savers.swallows, oracle=lambda directory: None, classes=["error"], jobs=1)
    assert "false-success" in kinds(swept)


def test_an_oracle_names_the_violation() -> None:
    def complains(directory: Path, acknowledged: bool) -> None:
        raise AssertionError("entry-lost: the index is gone")

    swept = sweep_function(savers.right, oracle=complains, classes=["kill"], jobs=1)
    assert kinds(swept) == {"entry-lost"}  # it is wrong even without a fault, and that is said
    assert {one.operation for one in swept.violations} == {"without any fault"}


# Completeness: what cannot be seen is never a pass


def by_mmap(directory: Path) -> None:
    with open(directory / "m", "wb+") as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096) as mapped:
            mapped[:4] = b"text"


def by_subprocess(directory: Path) -> None:
    subprocess.run([sys.executable, "-c", f"open({str(directory / 'x')!r}, 'w').write('x')"], check=True)


def by_sqlite(directory: Path) -> None:
    with sqlite3.connect(directory / "db") as connection:
        connection.execute("create table if not exists t(x)")
    connection.close()


def by_numpy(directory: Path) -> None:
    numpy = pytest.importorskip("numpy")
    numpy.arange(10).tofile(directory / "a.bin")


@pytest.mark.parametrize("save", [by_mmap, by_subprocess, by_sqlite, by_numpy])
def test_bytes_that_no_call_shows_end_the_sweep(save: Save) -> None:
    with pytest.raises(HarnessError, match=r"'(m|x|db|a\.bin)'.*faultinject audit"):
        sweep_function(save, jobs=1)


def test_a_name_that_was_imported_is_seen() -> None:
    module: dict[str, Any] = {}
    source = "from os import replace as swap\ndef save(d):\n (d/'t').write_bytes(b'x')\n swap(d/'t', d/'x')\n"
    module_type = type(sys)("a_module_of_a_test")
    exec(compile(source, "a_module", "exec"), module_type.__dict__)
    sys.modules["a_module_of_a_test"] = module_type
    try:
        swept = sweep_function(module_type.save, classes=["kill"], jobs=1)
    finally:
        del sys.modules["a_module_of_a_test"]
    assert not module
    assert swept.verdict is Verdict.HELD


def many_calls(directory: Path) -> None:
    """Calls of every family, in one save."""
    os.makedirs(directory / "sub/below", exist_ok=True)
    with zipfile.ZipFile(directory / "z.tmp", "w") as archive:
        archive.writestr(zipfile.ZipInfo("one"), b"1" * 100)
    shutil.copyfile(directory / "z.tmp", directory / "sub/z")
    shutil.move(directory / "z.tmp", directory / "z.zip")
    fd = os.open(directory / "raw", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, b"abc", 5)
    os.writev(fd, [b"12", b"3"])
    os.ftruncate(fd, 7)
    os.close(os.dup(fd))
    os.close(fd)
    with open(directory / "log", "ab") as log:
        log.write(b"line\n")
    with open(directory / "log", "r+b", buffering=0) as raw:
        raw.seek(2)
        raw.write(b"NE")
        raw.truncate(4)
    if not os.path.lexists(directory / "link"):
        os.symlink("raw", directory / "link")
        os.link(directory / "raw", directory / "hard")
    os.chmod(directory / "raw", 0o640)
    for name in (directory / "sub/below", directory / "sub/z"):
        name.rmdir() if name.is_dir() else name.unlink()


def test_every_family_of_calls_is_explained_and_its_kills_are_as_computed() -> None:
    swept = sweep_function(many_calls, start={}, classes=["kill"], jobs=1)
    assert swept.problems == []
    assert swept.covered == swept.points > 100


def test_random_names_and_content_are_not_compared_and_listed() -> None:
    def save(directory: Path) -> None:
        content = b"id=" + os.urandom(8).hex().encode() + b";" + b"x" * 30
        (directory / "f.tmp").write_bytes(content)
        os.replace(directory / "f.tmp", directory / "f")

    swept = sweep_function(save, classes=["kill", "error"], jobs=1)
    assert [note for note in swept.notes if "not compared" in note]
    assert swept.problems == []


def test_a_function_that_fails_or_does_nothing_cannot_be_swept() -> None:
    with pytest.raises(UnusableError, match="fails without any fault: ZeroDivisionError"):
        sweep_function(lambda _: 1 / 0)
    with pytest.raises(UnusableError, match="as it was"):
        sweep_function(lambda _: None)


# Patches


def test_sweeps_are_not_nested() -> None:
    def nests(directory: Path) -> None:
        sweep_function(savers.right)

    with patched(), pytest.raises(NestedError, match="one function after the other"):
        nests(Path())


def test_a_ctrl_c_ends_the_sweep_and_takes_the_patches_out() -> None:
    calls = 0

    def save(directory: Path) -> None:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise KeyboardInterrupt
        savers.right(directory)

    with pytest.raises(KeyboardInterrupt):
        sweep_function(save, classes=["error"], jobs=1)


def test_another_thread_is_left_alone(tmp_path: Path) -> None:
    stop, problems, done = threading.Event(), list[BaseException](), 0

    def other() -> None:
        nonlocal done
        while not stop.is_set():
            try:
                (tmp_path / "mine").write_bytes(b"x" * 100)
                os.replace(tmp_path / "mine", tmp_path / "mine2")
                done += 1
            except OSError as error:
                problems.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert sweep_function(savers.right, classes=["error", "interrupt"], jobs=1).verdict is Verdict.HELD
    finally:
        stop.set()
        thread.join()
    assert not problems
    assert done


@contextmanager
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as pool:
        yield pool


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), processes])
def test_any_executor_comes_to_the_same(make: Callable[[], Any]) -> None:
    alone = sweep_function(savers.no_unlink, jobs=1)
    with make() as pool:
        pooled = sweep_function(savers.no_unlink, executor=pool, jobs=2)
    assert pooled.points == alone.points
    assert [one.id for one in pooled.shown] == [one.id for one in alone.shown]


def test_a_dask_client_is_an_executor() -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.Client(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None) as client,
        client.get_executor() as pool,
    ):
        swept = sweep_function(savers.right, executor=pool, jobs=1)
    assert swept.verdict is Verdict.HELD
    assert swept.level == 3


@pytest.mark.filterwarnings("ignore:line buffering:RuntimeWarning")
def test_open_refuses_what_the_real_one_refuses(tmp_path: Path) -> None:
    """The same errors, whatever the arguments (io.open)."""
    from faultinject.blackbox.state import Root, Roots
    from faultinject.inprocess.files import watched_open
    from faultinject.inprocess.patches import watching
    from faultinject.inprocess.watch import Watch

    (tmp_path / "f").write_bytes(b"a\r\nb\n")
    cases: list[dict[str, Any]] = [
        {"mode": mode, **more}
        for mode in ("r", "rb", "r+", "w+b", "a", "ab", "x", "", "rw", "rbt", "q", "U", "rr")
        for more in ({}, {"buffering": 0}, {"buffering": 1}, {"newline": ""}, {"encoding": "latin-1"}, {"errors": "x"})
    ]
    watch = Watch(Roots([Root(os.path.realpath(tmp_path))]))
    for case in cases:
        answers = []
        for function in (io.open, watched_open):
            (tmp_path / "f").write_bytes(b"a\r\nb\n")
            with watching(watch) if function is watched_open else open(os.devnull):
                try:
                    with function(tmp_path / "f", **case) as file:
                        answers.append((type(file).__name__.replace("WatchedFile", "FileIO"), file.mode, _text(file)))
                except (OSError, ValueError, LookupError) as error:
                    answers.append((type(error).__name__, str(error), ""))
        assert answers[0] == answers[1], case


def _text(file: Any) -> Any:
    return file.read() if file.readable() else None


# Hostile directories


def test_names_that_are_no_text_and_special_files_are_no_trouble() -> None:
    odd = os.fsdecode(b"new\nline \xff")

    def fill(directory: Path) -> None:
        os.mkfifo(directory / "pipe")
        os.symlink("/nowhere", directory / "dangling")
        with open(directory / "sparse", "wb") as sparse:
            sparse.truncate(1 << 20)

    def save(directory: Path) -> None:
        temp = directory / f"{odd}.tmp"
        try:
            temp.write_bytes(b"new")
            os.replace(temp, directory / odd)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise

    swept = sweep_function(save, start=fill, classes=["error", "kill"], jobs=1)
    assert swept.verdict is Verdict.HELD, swept.problems


def test_a_start_that_is_too_large_is_refused() -> None:
    def fill(directory: Path) -> None:
        with open(directory / "sparse", "wb") as sparse:
            sparse.truncate(1 << 40)

    with pytest.raises(HarnessError, match=r"1099511627776 bytes"):
        sweep_function(savers.right, start=fill, jobs=1)


def test_a_directory_that_is_worked_in_by_relative_names_is_seen() -> None:
    def save(directory: Path) -> None:
        before = os.getcwd()
        os.chdir(directory)
        try:
            Path("x.tmp").write_bytes(b"text")
            os.replace("x.tmp", "./x")
        finally:
            os.chdir(before)

    assert sweep_function(save, classes=["kill"], jobs=1).verdict is Verdict.HELD


def test_a_file_that_comes_from_outside_is_seen(tmp_path: Path) -> None:
    def save(directory: Path) -> None:
        outside = Path(parent() or "/tmp") / "plugin-test-outside"
        outside.write_bytes(b"made elsewhere")
        try:
            os.rename(outside, directory / "x")
        finally:
            outside.unlink(missing_ok=True)

    assert sweep_function(save, classes=["error", "kill"], jobs=1).verdict is Verdict.HELD


def test_descriptors_that_a_save_forgets_are_closed() -> None:
    def save(directory: Path) -> None:
        fd = os.open(directory / "x.tmp", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"text")
        os.replace(directory / "x.tmp", directory / "x")

    before = len(os.listdir("/proc/self/fd"))
    sweep_function(save, classes=["error", "interrupt"], jobs=1)
    assert len(os.listdir("/proc/self/fd")) == before
