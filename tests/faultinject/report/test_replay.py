"""A violation of a report runs again, in a directory that stays."""

from __future__ import annotations

import errno
import json
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from faultinject.cli import main
from faultinject.coverage import Run, Violation
from faultinject.execute import Executor
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ground import MemoryGround, RealGround
from faultinject.kvc import KvcTarget, Operation
from faultinject.kvc_content import Source
from faultinject.ops import Op
from faultinject.oracle import Finding, Kind, Reported
from faultinject.report.document import document
from faultinject.report.replay import Replay, ReplayError
from kvformat.temp_names import TempKind

TARGET = KvcTarget(Operation.SAVE, "direct", "old-same-size", TempKind.NAMED, Source(None, 40, 40))


def left_over() -> Fault:
    """ENOSPC at a write, and EIO at the removal of the temp file: found where they are, not by number."""
    prepared = TARGET.prepare()
    executor = Executor(prepared, MemoryGround(prepared))
    write = next(o for o in executor.record().trace if o.op is Op.PWRITE)
    first = Fault(FaultClass.ERROR, Form.ERRNO, write.index, write.op, error=errno.ENOSPC)
    unlink = next(o for o in executor.trace(first) if o.op is Op.UNLINK)
    return first.then(Fault(FaultClass.ERROR, Form.ERRNO, unlink.index, unlink.op, error=errno.EIO))


def report_of(fault: Fault, kind: Kind = Kind.TEMP_LEAKED) -> dict[str, Any]:
    """As a sweep would have written it, had the writer been wrong."""
    run = Run(TARGET)
    run.note(Violation(fault, Finding(kind, "f", "made by hand"), "#0", None, None, "by hand"))
    return document([run])


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return report_of(left_over())


def test_every_stage_leaves_the_directory_as_it_was_then(report: dict[str, Any], tmp_path: Path) -> None:
    replay = Replay.of_report(report, "V1", tmp_path / "new" / "place")
    seen = {}
    for stage in replay.run():
        assert stage.findings == ()
        seen[stage.name] = (stage.outcome, sorted(path.name for path in replay.place.iterdir()))
    assert list(seen) == ["the fault", "the recovery", "the repetition"]
    outcome, names = seen["the fault"]
    assert outcome.reported is Reported.FAILURE
    assert len(outcome.excused) == 1
    assert outcome.excused < set(names)
    assert outcome.excused.isdisjoint(seen["the recovery"][1])
    assert replay.place.is_dir()


def test_a_kill_is_a_real_one(tmp_path: Path) -> None:
    write = left_over().index
    fault = Fault(FaultClass.KILL, Form.KILL, write, Op.PWRITE, 3)
    stages = list(Replay.of_report(report_of(fault, Kind.PARTIAL_VISIBLE), "V1", tmp_path).run())
    assert stages[0].outcome.reported is Reported.NOTHING
    assert [stage.findings for stage in stages] == [(), (), ()]


def replayed(report: object, violation: str, tmp_path: Path, *more: str) -> Result:
    path = tmp_path / "report.json"
    path.write_text(report if isinstance(report, str) else json.dumps(report), "utf-8")
    result = CliRunner().invoke(main, ["replay", str(path), violation, "--dir", str(tmp_path / "place"), *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def test_what_does_not_show_again_is_exit_code_1(report: dict[str, Any], tmp_path: Path) -> None:
    result = replayed(report, "V1", tmp_path)
    assert result.exit_code == 1
    assert "does not show here" in result.stdout
    assert str(tmp_path / "place") in result.stdout


def test_what_shows_again_is_exit_code_0(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faultinject.kvc.KvcPrepared.names_left", lambda self, error: frozenset())
    result = replayed(report, "V1", tmp_path)
    assert result.exit_code == 0, result.output
    assert "temp-leaked (KVS-INV-2)" in result.stdout
    assert "shows again" in result.stdout
    # It stops there: the file can be looked at.
    assert any(path.name.startswith(".kvc-save-") for path in (tmp_path / "place" / "directory").iterdir())


def changed(report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    content = deepcopy(report)
    content["violations"][0] |= changes
    return content


def with_target(report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    content = deepcopy(report)
    content["runs"][0]["target"] |= changes
    return content


@pytest.mark.parametrize(
    "change",
    [
        lambda r: "no JSON",
        lambda r: "[]",
        lambda r: {},
        lambda r: {"violations": []},
        lambda r: changed(r, point="nonsense"),
        lambda r: changed(r, point=7),
        lambda r: changed(r, point="+".join(["error/1/pwrite/errno/EIO"] * 20_000)),
        lambda r: "[" * 100_000,
        lambda r: {**r, "runs": [{"target": "save"}]},
        lambda r: changed(r, point="error/1/pwrite/errno/ENOTHING"),
        lambda r: changed(r, point="error/5000/pwrite/errno/EIO"),
        lambda r: changed(r, point="error/0/unlink/errno/EIO"),
        lambda r: changed(r, run=7),
        lambda r: changed(r, run="x"),
        lambda r: changed(r, run=None),
        lambda r: with_target(r, operation="explode"),
        lambda r: with_target(r, temp="x"),
        lambda r: with_target(r, source={"other": 1}),
        lambda r: {**r, "runs": [{}]},
        lambda r: {"violations": None},
        lambda r: {"violations": [1]},
        lambda r: with_target(r, strategy="quantum"),
        lambda r: with_target(r, scenario="nowhere"),
        lambda r: with_target(r, source={"payload_bytes": 9, "piece_bytes": 0}),
        lambda r: {**r, "violations": [{k: v for k, v in r["violations"][0].items() if k != "kind"}]},
    ],
)
def test_a_bad_report_gets_a_clear_answer(report: dict[str, Any], tmp_path: Path, change: Any) -> None:
    result = replayed(change(report), "V1", tmp_path)
    assert result.exit_code == 2
    assert "report.json" in result.stderr


def test_an_unknown_violation_is_told_with_those_that_there_are(report: dict[str, Any], tmp_path: Path) -> None:
    result = replayed(report, "V7", tmp_path)
    assert result.exit_code == 2
    assert "it has: V1" in " ".join(result.stderr.split())


def test_a_directory_with_something_in_it_is_left_alone(report: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ReplayError, match="not empty"):
        Replay.of_report(report, "V1", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_refused_replay_leaves_no_directory(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert CliRunner().invoke(main, ["replay", str(path), "V9"]).exit_code == 2
    assert list((tmp_path / "temp").iterdir()) == []


def test_nothing_of_the_ground_is_locked_afterwards(report: dict[str, Any], tmp_path: Path) -> None:
    list(Replay.of_report(report, "V1", tmp_path).run())
    ground = RealGround(TARGET.prepare(), keep=tmp_path)
    ground.fresh()
    ground.shut()
