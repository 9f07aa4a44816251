"""Programs that are not ours under loss of power: what is found, how it is mended, and how it is shown again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from faultinject.blackbox.replay import AuditReplay
from faultinject.blackbox.subject import Format
from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.oracle import Reported
from faultinject.repair import NO_REPAIR
from faultinject.report.document import document, schema
from faultinject.report.text import verdict
from faultinject.report.told import ReplayError
from tests.faultinject.blackbox import audits
from tests.faultinject.blackbox.audited import audit, of, problems, saver

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are traced on Linux only")

POWER = [FaultClass.POWER]
EXAMPLES = Path(__file__).parents[3] / "examples" / "c"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs here write no times, so that nobody has to wait for the clock to go on."""
    monkeypatch.setattr("faultinject.blackbox.baseline.APART_SECONDS", 0)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of examples/c, built."""
    if shutil.which("make") is None or (shutil.which("cc") is None and shutil.which("gcc") is None):
        pytest.skip("examples/c needs make and a C compiler (cc, gcc), and one is missing")
    built = tmp_path_factory.mktemp("examples")
    compiler = "cc" if shutil.which("cc") else "gcc"
    wanted = [
        "kvc_tool",
        "right_stdio",
        *[f"wrong/{name}" for name in ("no_fsync", "no_dirsync", "direct_final", "rename_early")],
    ]
    command = ["make", "-s", "-C", str(EXAMPLES), f"B={built}", f"CC={compiler}", *[str(built / one) for one in wanted]]
    subprocess.run(command, check=True)
    return built


def found(runs: list[Run]) -> set[str]:
    return {str(violation.finding.kind) for run in runs for violation in run.violations}


def repairs(runs: list[Run]) -> set[str]:
    return {violation.repair for run in runs for violation in run.violations}


@pytest.mark.parametrize("format_", Format)
@pytest.mark.parametrize(
    ("program", "kinds", "repair"),
    [
        ("right_stdio", set(), ()),
        (
            "wrong/no_fsync",
            {"partial-visible", "lost-after-ack"},
            ("fdatasync '.kvc-save-", "; fsync the directory before"),
        ),
        ("wrong/no_dirsync", {"lost-after-ack"}, ("fsync the directory before",)),
        ("wrong/direct_final", {"partial-visible", "entry-lost"}, (NO_REPAIR,)),
        ("wrong/rename_early", {"partial-visible"}, (NO_REPAIR,)),
    ],
)
def test_the_c_programs_get_what_they_deserve(
    examples: Path, program: str, kinds: set[str], repair: tuple[str, ...], format_: Format, tmp_path: Path
) -> None:
    recover = (str(examples / "kvc_tool"), "recover", "{dir}")
    command = (str(examples / program), "{dir}", "name", "700")
    runs = audit(of(*command, recover=recover, format=format_), tmp_path, POWER)
    assert found(runs) == kinds, problems(runs)
    assert problems(runs) == ""
    assert all(
        run.classes[FaultClass.POWER].profiles == {"strict": run.classes[FaultClass.POWER].points} for run in runs
    )
    for said in repairs(runs):
        assert all(part in said for part in repair)
        assert said.startswith(repair[0])


def test_a_python_program_that_opens_for_writing(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1] + '/x', 'w').write('new content')"
    runs = audit(of(sys.executable, "-S", "-E", "-c", code, "{dir}"), tmp_path, POWER)
    assert found(runs) == {"partial-visible", "lost-after-ack"}
    assert repairs(runs) == {NO_REPAIR}


def test_recovery_s_work_is_no_sync_s(tmp_path: Path) -> None:
    """An orphan has no repair, whatever else is wrong."""
    runs = audit(of(*saver("random-name")), tmp_path, POWER)
    said = {(str(one.finding.kind), one.repair) for run in runs for one in run.violations}
    assert said == {
        ("orphan-unreclaimed", ""),
        ("lost-after-ack", "fsync the directory before success is reported"),
    }


def test_exhaustive_counts_the_same_points(tmp_path: Path) -> None:
    some, every = (audit(of(*saver()), tmp_path, POWER, exhaustive=one) for one in (False, True))
    for one, other in zip(some, every, strict=True):
        ours, theirs = one.classes[FaultClass.POWER], other.classes[FaultClass.POWER]
        assert (ours.points, ours.held, ours.violated) == (theirs.points, theirs.held, theirs.violated)
        assert ours.by_class > 0 == theirs.by_class


# The report, and what it says shown again


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("home")
    audits.write_program(place / "direct", audits.DIRECT)
    return place


@pytest.fixture(scope="module")
def report(home: Path) -> dict[str, Any]:
    return audits.audit(home, "--class", "power", "--profile", "all", "--", "./direct", "{dir}")


def test_the_json_is_what_the_schema_says(report: dict[str, Any], tmp_path: Path) -> None:
    jsonschema.validate(report, schema())
    profiles = {name for run in report["runs"] for name in run["classes"]["power"]["profiles"]}
    assert profiles == {"strict", "ext4-ordered", "ext4-writeback", "xfs", "btrfs"}
    assert all("repair" in violation and "script" not in violation for violation in report["violations"])
    assert verdict(audit(of(*saver("durable")), tmp_path, POWER)) == "held"
    jsonschema.validate(document(audit(of(*saver()), tmp_path, POWER)), schema())


def test_every_violation_shows_again(report: dict[str, Any], tmp_path: Path) -> None:
    assert {violation["kind"] for violation in report["violations"]} == {"partial-visible", "lost-after-ack"}
    chosen = [one for one in report["violations"] if one["point"].endswith(("/strict", "/ext4-ordered"))]
    for violation in chosen:
        replay = AuditReplay(report, violation["id"], tmp_path / violation["id"])
        *_, last = replay.run()
        assert violation["name"] in [one.name for one in last.findings if str(one.kind) == violation["kind"]]
        assert last.said.startswith("the power failed: ")
        held = (replay.place / "data").read_bytes() if (replay.place / "data").exists() else None
        assert held != b"some bytes"
        assert (replay.place / "another-entry").stat().st_size > 0


def with_point(report: dict[str, Any], point: str, **changes: Any) -> dict[str, Any]:
    content = deepcopy(report)
    content["violations"][0] |= {"point": point, "run": 0, **changes}
    return content


def test_the_program_is_repeated_on_what_is_left(report: dict[str, Any], tmp_path: Path) -> None:
    """Where the violation does not show, all stages are gone through."""
    point = next(one["point"] for one in report["violations"] if one["kind"] == "lost-after-ack")
    replay = AuditReplay(with_point(report, point, kind="never-heals"), "V1", tmp_path / "place")
    stages = list(replay.run())
    assert [(stage.name, stage.outcome.reported) for stage in stages] == [
        ("the fault", Reported.SUCCESS),
        ("the repetition", Reported.SUCCESS),
    ]
    assert (replay.place / "data").read_bytes() == b"some bytes"
    assert [str(one.kind) for one in stages[0].findings if one.kind == "lost-after-ack"]


@pytest.mark.parametrize(
    "point",
    [
        "power/0/open/power-loss#99999/strict",
        "power/999/open/power-loss#0/strict",
        "power/0/rename/power-loss#0/strict",
        "power/0/open/power-loss@1/strict",
        "power/0/open/power-loss#0/zfs",
        "power/0/open/power-loss/strict",
        "power/0/open/kill",
        "kill/0/open/power-loss#0/strict",
        "power/0/open/power-loss@1#0/strict",
    ],
)
def test_a_point_that_does_not_exist_is_refused_and_nothing_is_made(
    report: dict[str, Any], point: str, tmp_path: Path
) -> None:
    with pytest.raises(ReplayError):
        list(AuditReplay(with_point(report, point), "V1", tmp_path / "place").run())
    assert not (tmp_path / "place").exists()


def test_the_command_shows_it(report: dict[str, Any], home: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report), "utf-8")
    done = audits.faultinject("replay", path, "V1", "--dir", tmp_path / "place", directory=home, code=0)
    assert "the power failed: " in done.stdout
    assert "the violation shows again" in done.stdout
