from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faultinject.faults import FaultClass
from faultinject.oracle import Kind
from faultinject.selftest.manifest import PLANTED, PROGRAMS, RIGHT, SAVED_NAME, WRONG, Planted
from tests.faultinject.selftest.planted import Audit, Scratch, before, compile_shim, content, judge, new_of

COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the programs of the self test are for Linux alone")

each = pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)

STDIO = ("right_stdio", "close_ignored")
"""They write within the C library, where the shim does not reach."""

ERRORS = ("5", "17", "28", "short", "cut")
KILLS = ("kill", "kill-half")
SIGNALS = tuple(f"SIG{number:d}" for number in (signal.SIGINT, signal.SIGTERM))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every program in C, compiled without a warning."""
    directory = tmp_path_factory.mktemp("built")
    if COMPILER is not None:
        for planted in PLANTED:
            if planted.language == "c":
                done = subprocess.run(planted.compilation(directory, COMPILER), capture_output=True, text=True, check=False)
                assert (done.returncode, done.stderr) == (0, "")
    return directory


@pytest.fixture(scope="module")
def shim(built: Path) -> Path:
    if COMPILER is None:
        pytest.skip("no C compiler (cc, gcc) on PATH, which the shim needs")
    return compile_shim(built, COMPILER)


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path)


@pytest.fixture(autouse=True)
def needs_compiler(request: pytest.FixtureRequest) -> None:
    callspec = getattr(request.node, "callspec", None)
    planted = callspec.params.get("planted") if callspec is not None else None
    if isinstance(planted, Planted) and planted.language == "c" and COMPILER is None:
        pytest.skip("no C compiler (cc, gcc) on PATH")


def test_the_manifest_names_every_program_and_no_other() -> None:
    sources = {path.name for path in PROGRAMS.iterdir() if path.suffix in (".c", ".py")}
    assert sorted(sources) == sorted(planted.source for planted in PLANTED)
    assert len({planted.name for planted in PLANTED}) == len(PLANTED)


def test_right_ones_expect_nothing_and_wrong_ones_something() -> None:
    assert all(not planted.expected for planted in RIGHT)
    assert all(planted.expected for planted in WRONG)
    for planted in PLANTED:
        classes = {fault_class for fault_class, _ in planted.expected}
        assert classes <= set(planted.classes)
        assert FaultClass.INTERRUPT not in classes or planted.signals
        assert planted.explanation.endswith(".")


def test_levels_follow_from_what_is_expected() -> None:
    levels = {planted.name: planted.level for planted in PLANTED}
    assert {name for name, level in levels.items() if level == 1} == {"pid_temp_no_recovery", "never_heals"}
    assert {planted.name for planted in RIGHT if planted.level != 3} == {"right_mmap"}
    powerless = {"no_fsync", "fsync_after_rename", "no_directory_fsync", "fsync_retried"}
    powerless |= {"python_wrong_no_fsync", "python_wrong_no_dirsync"}
    assert {name for name, level in levels.items() if level == 2} == powerless
    assert levels["signal_leaves_temp"] == levels["right_mmap"] == 0


def test_only_c_is_compiled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no program in C"):
        next(planted for planted in PLANTED if planted.language == "python").compilation(tmp_path)


@each
@pytest.mark.parametrize("old", [False, True], ids=["empty", "old"])
def test_a_run_without_a_fault_saves_exactly_the_bytes(
    planted: Planted, old: bool, built: Path, scratch: Scratch
) -> None:
    scratch.restore(before(old=old))
    ended = scratch.run(planted.command(built, str(scratch.dir)))
    assert (ended.status, ended.stderr) == (0, "")
    assert scratch.files() == new_of(planted, before(old=old))


@each
@pytest.mark.parametrize(("size_bytes", "seed"), [(1, 0), (2, 7), (64, 1), (10_001, 2**64 - 1)])
def test_any_size_and_seed(planted: Planted, size_bytes: int, seed: int, built: Path, scratch: Scratch) -> None:
    ended = scratch.run([*planted.program(built), str(scratch.dir), str(size_bytes), str(seed)])
    assert (ended.status, ended.stderr) == (0, "")
    assert scratch.files() == {f"dir/{SAVED_NAME}": content(size_bytes, seed)}


WRONG_CALLS: tuple[tuple[str, ...], ...] = ((), ("{dir}",), ("{dir}", "0", "1"), ("{dir}", "-1", "1"), ("{dir}", "5x", "1"), ("{dir}", "5", ""), ("{dir}", "5", "1", "1"))


@each
def test_a_wrong_call_exits_with_2_and_touches_nothing(planted: Planted, built: Path, scratch: Scratch) -> None:
    scratch.restore(before(old=True))
    for arguments in WRONG_CALLS:
        in_directory = [argument.replace("{dir}", str(scratch.dir)) for argument in arguments]
        ended = scratch.run([*planted.program(built), *in_directory])
        assert ended.status == 2, arguments
        assert "usage" in ended.stderr
    assert scratch.files() == before(old=True)


def test_a_program_that_stages_in_tmpdir_wants_it_set(built: Path, scratch: Scratch, shim: Path) -> None:
    planted = next(planted for planted in PLANTED if planted.needs_tmpdir)
    command = planted.command(built, str(scratch.dir))
    assert subprocess.run(command, env={}, capture_output=True, check=False).returncode == 2
    assert scratch.files() == {}


def limited(size_bytes: int) -> Callable[[], None]:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    return limit


WITHOUT_ROOM = {
    # The kinds that show when the first 70 bytes are accepted and all others refused with EFBIG; {} for all others.
    "no_unlink": {Kind.TEMP_LEAKED},
    "direct_final": {Kind.ENTRY_LOST},
    "short_ignored": {Kind.PARTIAL_VISIBLE, Kind.FALSE_SUCCESS},
    "close_ignored": {Kind.PARTIAL_VISIBLE, Kind.FALSE_SUCCESS},
    "errno_ignored": {Kind.PARTIAL_VISIBLE, Kind.FALSE_SUCCESS},
    "rename_early": {Kind.PARTIAL_VISIBLE},
    "other_removed": {Kind.ENTRY_LOST},
    "temp_in_tmpdir_left": {Kind.TEMP_LEAKED},
    "python_wrong_open_w": {Kind.PARTIAL_VISIBLE},
    "python_wrong_no_unlink": {Kind.TEMP_LEAKED},
    "python_wrong_success": {Kind.FALSE_SUCCESS},
}


@each
def test_what_a_lack_of_room_shows(planted: Planted, built: Path, scratch: Scratch) -> None:
    start = before(old=True)
    scratch.restore(start)
    done = subprocess.run(
        planted.command(built, str(scratch.dir)),
        env={"TMPDIR": str(scratch.tmpdir)},
        preexec_fn=limited(70),
        restore_signals=False,
        capture_output=True,
        check=False,
    )
    expected = WITHOUT_ROOM.get(planted.name, set())
    assert judge(start, new_of(planted, start), scratch.files(), done.returncode) == expected
    assert {(FaultClass.ERROR, kind) for kind in expected} <= planted.expected
    assert (done.returncode == 0) == (Kind.FALSE_SUCCESS in expected)


@pytest.mark.parametrize("planted", [p for p in PLANTED if p.name not in STDIO], ids=lambda planted: planted.name)
def test_every_call_spoilt_shows_exactly_what_is_expected(
    planted: Planted, built: Path, shim: Path, scratch: Scratch
) -> None:
    audit = Audit(planted, built, shim, scratch)
    quick = planted.language == "c"
    whats = {
        FaultClass.ERROR: ERRORS if quick else ("5", "cut"),
        FaultClass.KILL: KILLS if quick else ("kill-half",),
        FaultClass.INTERRUPT: (SIGNALS if quick else SIGNALS[:1]) if planted.signals else (),
    }
    found = audit.found(whats, old=True)
    if quick:
        found |= audit.found(whats, old=False)
    # No shim can take the power away: that class is computed (KVS-POWER-1), and its tests are elsewhere.
    assert found == {one for one in planted.expected if one[0] is not FaultClass.POWER}


def test_recovery_spares_a_living_writers_file(built: Path, scratch: Scratch, shim: Path) -> None:
    planted = next(planted for planted in PLANTED if planted.name == "right_raw")
    recovery = planted.recovery(built, str(scratch.dir))
    assert recovery is not None
    for name in ("data.bin.tmp-dead", "data.bin.tmp-alive", "data.bin.tm", "data.bin"):
        (scratch.dir / name).write_bytes(b"x")
    os.symlink("/etc/passwd", scratch.dir / "data.bin.tmp-link")
    with (scratch.dir / "data.bin.tmp-alive").open("rb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        status = scratch.run(recovery).status
    assert sorted(os.listdir(scratch.dir)) == ["data.bin", "data.bin.tm", "data.bin.tmp-alive", "data.bin.tmp-link"]
    assert status == 1, "a symbolic link under such a name is said"
    (scratch.dir / "data.bin.tmp-link").unlink()
    assert scratch.run(recovery).status == 0
    assert sorted(os.listdir(scratch.dir)) == ["data.bin", "data.bin.tm"]


@each
def test_a_directory_that_is_not_there_fails_the_save(planted: Planted, built: Path, scratch: Scratch) -> None:
    ended = scratch.run([*planted.program(built), str(scratch.dir / "none"), "5", "1"])
    assert ended.stderr
    assert ended.status == (0 if planted.name == "python_wrong_success" else 1)
