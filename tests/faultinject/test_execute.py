"""One fault: what is judged, what is not measured, and the stages that a replay shows."""

from __future__ import annotations

import errno
import os

import pytest

from faultinject.execute import Executor
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ground import MemoryGround
from faultinject.inject import HarnessError
from faultinject.ops import Op
from faultinject.oracle import Kind, Reported
from faultinject.swept import UnsoundRunError
from kvformat.filesystem import FileSystem
from tests.faultinject.programs import ENTRY, LIVE, TEMP, Tiny, saver

WRITE_FAILS = Fault(FaultClass.ERROR, Form.ERRNO, 1, Op.PWRITE, error=errno.ENOSPC)
KILL_IN_WRITE = Fault(FaultClass.KILL, Form.KILL, 1, Op.PWRITE, 5)


def executor(prepared: Tiny) -> Executor:
    return Executor(prepared, MemoryGround(prepared))


def test_the_run_without_a_fault_is_recorded() -> None:
    recorded = executor(Tiny(saver())).record()
    assert [operation.op for operation in recorded.trace] == [
        Op.OPEN,
        Op.PWRITE,
        Op.FSYNC,
        Op.CLOSE,
        Op.RENAME,
        Op.FSYNC_DIRECTORY,
    ]
    assert recorded.offset_of(KILL_IN_WRITE) == 5
    assert recorded.entry_inode == recorded.trace[0].inode


def test_a_run_that_fails_without_a_fault_is_the_harness_s_error() -> None:
    def act(fs: FileSystem) -> None:
        raise ValueError("always")

    with pytest.raises(HarnessError, match="always"):
        executor(Tiny(act)).record()


def test_a_run_that_does_nothing_is_unsound() -> None:
    with pytest.raises(UnsoundRunError) as caught:
        executor(Tiny(lambda fs: None)).record()
    assert [finding.kind for finding in caught.value.findings] == [Kind.FALSE_SUCCESS]


@pytest.mark.parametrize("fault", [WRITE_FAILS, KILL_IN_WRITE])
def test_a_right_writer_is_clean(fault: Fault) -> None:
    assert executor(Tiny(saver(), live=True)).run(fault) == executor(Tiny(saver(), live=True)).run(fault)
    assert executor(Tiny(saver(), live=True)).run(fault).findings == ()


def test_what_does_not_fire_is_not_measured() -> None:
    result = executor(Tiny(saver())).run(Fault(FaultClass.ERROR, Form.ERRNO, 50, Op.PWRITE, error=errno.EIO))
    assert result.reason is not None
    pair = WRITE_FAILS.then(Fault(FaultClass.ERROR, Form.ERRNO, 50, Op.UNLINK, error=errno.EIO))
    assert executor(Tiny(saver())).run(pair).reason is not None


def test_a_pair_whose_left_over_is_named_is_held() -> None:
    pair = WRITE_FAILS.then(Fault(FaultClass.ERROR, Form.ERRNO, 3, Op.UNLINK, error=errno.EIO))
    stages = list(executor(Tiny(saver())).stages(pair))
    assert [(stage.name, stage.findings) for stage in stages] == [
        ("the fault", ()),
        ("the recovery", ()),
        ("the repetition", ()),
    ]
    assert stages[0].outcome.excused == {TEMP}
    assert executor(Tiny(saver())).run(pair).findings == ()


def test_the_stages_of_a_kill() -> None:
    stages = list(executor(Tiny(saver())).stages(KILL_IN_WRITE))
    assert [stage.outcome.reported for stage in stages] == [Reported.NOTHING, Reported.SUCCESS, Reported.SUCCESS]


def test_stages_of_a_fault_that_does_not_fire() -> None:
    with pytest.raises(HarnessError, match="not reached"):
        list(executor(Tiny(saver())).stages(Fault(FaultClass.ERROR, Form.ERRNO, 50, Op.PWRITE, error=errno.EIO)))


@pytest.mark.parametrize(
    "fault_class",
    [
        FaultClass.ERROR,
        FaultClass.INTERRUPT,
        FaultClass.KILL,
        FaultClass.POWER,
    ],
)
def test_what_is_wrong_without_a_fault_shows_in_the_stages(fault_class: FaultClass) -> None:
    first = next(executor(Tiny(lambda fs: None)).stages(Fault(fault_class, Form.NONE)))
    assert [finding.kind for finding in first.findings] == [Kind.FALSE_SUCCESS]


def test_a_program_that_does_not_heal_is_found() -> None:
    def act(fs: FileSystem) -> None:
        if "mark.note" in fs.names():
            raise ValueError("broken for ever")
        try:
            saver()(fs)
        except OSError:
            fs.close(fs.open("mark.note", os.O_RDWR | os.O_CREAT))
            raise

    found = executor(Tiny(act)).run(Fault(FaultClass.ERROR, Form.ERRNO, 2, Op.PWRITE, error=errno.EIO)).findings
    assert Kind.NEVER_HEALS in {finding.kind for finding in found}


def recovery_that_takes_all(fs: FileSystem) -> None:
    for name in fs.names():
        if name.startswith(".tmp-"):
            fs.unlink(name)


@pytest.mark.parametrize(
    ("recovery", "kind"),
    [
        (lambda fs: None, Kind.ORPHAN_UNRECLAIMED),
        (recovery_that_takes_all, Kind.LIVE_TEMP_REMOVED),
        (lambda fs: fs.unlink(ENTRY), Kind.ENTRY_LOST),
    ],
)
def test_a_wrong_recovery_is_found(recovery: object, kind: Kind) -> None:
    assert callable(recovery)
    prepared = Tiny(saver(), live=True, recovery=recovery)
    assert LIVE in prepared.expectation.live
    assert kind in {finding.kind for finding in executor(prepared).run(KILL_IN_WRITE).findings}


@pytest.mark.parametrize("ground", ["run", "stages"])
def test_a_recovery_that_raises_is_a_violation(ground: str) -> None:
    def raises(fs: FileSystem) -> None:
        raise OSError(errno.EIO, "recovery is broken")

    under_test = executor(Tiny(saver(), recovery=raises))
    try:
        if ground == "run":
            found = under_test.run(KILL_IN_WRITE).findings
        else:
            found = tuple(finding for stage in under_test.stages(KILL_IN_WRITE) for finding in stage.findings)
    except OSError:
        pytest.fail("it escapes")
    assert found


def test_a_computed_kill_is_what_an_execution_leaves() -> None:
    under_test = executor(Tiny(saver(), stale=True))
    recorded = under_test.record()
    for operation in recorded.trace:
        for byte in [None, *range(1, operation.result if operation.op.transfers else 0)]:
            under_test.confirm(Fault(FaultClass.KILL, Form.KILL, operation.index, operation.op, byte))


def test_a_program_that_differs_from_run_to_run_does_not_confirm() -> None:
    runs = 0

    def act(fs: FileSystem) -> None:
        nonlocal runs
        runs += 1
        saver(write=lambda fs, fd, data: [fs.pwrite(fd, bytes([runs + i]), i) for i in range(3)] and None)(fs)  # type: ignore[arg-type]  # the result is not used

    with pytest.raises(HarnessError, match="differs"):
        executor(Tiny(act)).confirm(Fault(FaultClass.KILL, Form.KILL, 3, Op.PWRITE))
