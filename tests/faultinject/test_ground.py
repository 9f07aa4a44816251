"""Memory and a real directory are the same ground, and a real kill is a SIGKILL."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from faultinject.execute import Executor
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ground import MemoryGround, RealGround
from faultinject.inject import HarnessError
from faultinject.kvc import LIVE_TEMP, KvcTarget, Operation, Scenario
from faultinject.kvc_content import Source
from faultinject.ops import Op, Trace
from faultinject.oracle import Kind
from faultinject.target import Files
from kvformat.filesystem import FileSystem
from kvformat.options import Strategy
from kvformat.temp_names import TempKind
from tests.faultinject.programs import ENTRY, LIVE, NEW, OLD, OTHER, TEMP, Act, Tiny, saver

KILL_IN_WRITE = Fault(FaultClass.KILL, Form.KILL, 1, Op.PWRITE, 5)


def contents(files: Files) -> dict[str, bytes]:
    return {name: file.read_all() for name, file in files.items()}


def test_both_begin_with_the_same_directory_every_time(tmp_path: Path) -> None:
    prepared = Tiny(saver(), live=True, stale=True)
    real, memory = RealGround(prepared, str(tmp_path)), MemoryGround(prepared)
    try:
        for _ in range(2):
            one, other = real.fresh(), memory.fresh()
            assert contents(real.files(one)) == contents(memory.files(other)) == prepared.base.contents()
            for fs in (one, other):
                assert not fs.try_lock(fs.open(LIVE, os.O_RDONLY))
                fs.unlink(ENTRY)
    finally:
        real.shut()
    assert list(tmp_path.iterdir()) == []


def test_both_leave_the_same_after_a_kill(tmp_path: Path) -> None:
    prepared = Tiny(saver())
    real, memory = RealGround(prepared, str(tmp_path)), MemoryGround(prepared)
    try:
        (one, killed), (other, fired) = real.kill(KILL_IN_WRITE), memory.kill(KILL_IN_WRITE)
        assert killed
        assert fired
        assert contents(real.files(one)) == contents(memory.files(other))
        assert contents(real.files(one))[TEMP] == NEW[:5]
        # A point past the end: the program ends by itself.
        beyond = Fault(FaultClass.KILL, Form.KILL, 99, Op.PWRITE)
        assert not real.kill(beyond)[1]
        assert not memory.kill(beyond)[1]
    finally:
        real.shut()


def test_a_real_kill_is_a_sigkill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = []
    wait = os.waitpid

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        statuses.append(wait(pid, options))
        return statuses[-1]

    monkeypatch.setattr(os, "waitpid", waitpid)
    ground = RealGround(Tiny(saver()), str(tmp_path))
    try:
        ground.kill(KILL_IN_WRITE)
    finally:
        ground.shut()
    ((pid, status),) = statuses
    assert pid != os.getpid()
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("ground", ["memory", "real"])
def test_a_program_that_fails_before_the_point_is_the_harness_s_error(ground: str, tmp_path: Path) -> None:
    def act(fs: FileSystem) -> None:
        fs.names()
        raise ValueError("too early")

    prepared = Tiny(act)
    place = MemoryGround(prepared) if ground == "memory" else RealGround(prepared, str(tmp_path))
    try:
        with pytest.raises(HarnessError):
            place.kill(Fault(FaultClass.KILL, Form.KILL, 1, Op.READDIR))
    finally:
        place.shut()


def test_a_directory_that_is_kept_stays(tmp_path: Path) -> None:
    ground = RealGround(Tiny(saver()), keep=tmp_path)
    ground.fresh()
    ground.shut()
    assert sorted(p.name for p in (tmp_path / "directory").iterdir()) == sorted([OTHER, ENTRY])


def in_place(fs: FileSystem) -> None:
    """Two writes over the old content: a kill between them leaves half of each."""
    fd = fs.open(ENTRY, os.O_RDWR)
    half = len(OLD) // 2
    fs.pwrite(fd, b"X" * half, 0)
    fs.pwrite(fd, b"X" * (len(OLD) - half), half)
    fs.close(fd)


def other_entry(fs: FileSystem) -> None:
    fd = fs.open(OTHER, os.O_RDWR)
    fs.pwrite(fd, b"A", 0)
    fs.close(fd)
    saver()(fs)


@pytest.mark.parametrize(
    "ground",
    [
        "memory",
        pytest.param("real"),
    ],
)
@pytest.mark.parametrize(
    ("act", "new", "fault", "kind"),
    [
        (in_place, b"X" * len(OLD), Fault(FaultClass.KILL, Form.KILL, 2, Op.PWRITE), Kind.PARTIAL_VISIBLE),
        (in_place, b"X" * len(OLD), Fault(FaultClass.ERROR, Form.ERRNO, 2, Op.PWRITE, error=5), Kind.PARTIAL_VISIBLE),
        (other_entry, NEW, Fault(FaultClass.ERROR, Form.ERRNO, 3, Op.OPEN, error=5), Kind.ENTRY_LOST),
    ],
)
def test_a_change_that_keeps_the_size_is_seen(
    act: Act, new: bytes, fault: Fault, kind: Kind, ground: str, tmp_path: Path
) -> None:
    prepared = Tiny(act, new=new)
    place = MemoryGround(prepared) if ground == "memory" else RealGround(prepared, str(tmp_path))
    try:
        found = Executor(prepared, place).run(fault).findings
    finally:
        place.shut()
    assert kind in {finding.kind for finding in found}


def test_what_a_run_leaks_is_closed_before_the_next(tmp_path: Path) -> None:
    prepared = Tiny(saver())
    ground = RealGround(prepared, str(tmp_path))
    executor = Executor(prepared, ground)
    fault = Fault(FaultClass.INTERRUPT, Form.RAISE_AFTER, 0, Op.OPEN, what="InjectedError")
    executor.run(fault)
    ground.fresh()
    before = set(os.listdir("/proc/self/fd"))
    try:
        for _ in range(5):
            executor.run(fault)
        ground.fresh()
        assert len(os.listdir("/proc/self/fd")) <= len(before)
    finally:
        ground.shut()
        for fd in set(os.listdir("/proc/self/fd")) - before:
            path = f"/proc/self/fd/{fd}"
            if os.path.lexists(path) and "directory" in os.readlink(path):
                os.close(int(fd))


def steps(trace: Trace) -> list[tuple[Op, int]]:
    return [(operation.op, operation.result if operation.op.transfers else 0) for operation in trace]


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
@pytest.mark.parametrize(
    "strategy",
    [
        str(strategy)
        if strategy is not Strategy.STAGED
        else pytest.param(
            "staged",
        )
        for strategy in Strategy
    ],
)
def test_memory_and_real_make_the_same_operations(strategy: str, temp: TempKind, tmp_path: Path) -> None:
    prepared = KvcTarget(Operation.SAVE, strategy, Scenario.LIVE_TEMP, temp, Source(None, 60, 20)).prepare()
    assert LIVE_TEMP in prepared.expectation.live
    real = RealGround(prepared, str(tmp_path))
    try:
        assert steps(Executor(prepared, MemoryGround(prepared)).record().trace) == steps(
            Executor(prepared, real).record().trace
        )
    finally:
        real.shut()
