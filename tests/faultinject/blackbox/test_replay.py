"""A violation of an audit runs again, for real, and a report that makes no sense gets a clear answer."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultinject.blackbox.replay import AuditReplay
from faultinject.cli import main
from faultinject.oracle import Kind, Reported
from faultinject.report.replay import ReplayError
from tests.faultinject.blackbox.audits import DIRECT, LOCKING, audit, write_program

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are traced on Linux only")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs here write no times, so that nobody has to wait for the clock to go on."""
    monkeypatch.setattr("faultinject.blackbox.baseline.APART_SECONDS", 0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs lie, and the commands run."""
    place = tmp_path_factory.mktemp("home")
    write_program(place / "direct", DIRECT)
    write_program(place / "locking", LOCKING)
    return place


@pytest.fixture(scope="module")
def report(home: Path) -> dict[str, Any]:
    """Of a program that was named relative to where it was run; for loss of power see test_power.py."""
    return audit(home, "--class", "error", "--class", "kill", "--", "./direct", "{dir}")


def by(report: dict[str, Any], fault_class: str, scenario: str = "empty") -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in report["violations"] if (one["class"], one["scenario"]) == (fault_class, scenario)
    )
    return found


def with_point(report: dict[str, Any], point: object, **changes: Any) -> dict[str, Any]:
    content = deepcopy(report)
    content["violations"][0] |= {"point": point, **changes}
    return content


def with_target(report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    content = deepcopy(report)
    content["runs"][content["violations"][0]["run"]]["target"] |= changes
    return content


def write_index(report: dict[str, Any]) -> int:
    """Of the write to the file."""
    named = [one["operation"] for one in by(report, "kill")["operations"]]
    return int(next(name for name in named if " write " in name)[1:].partition(" ")[0])


def test_every_violation_of_an_audit_shows_again(report: dict[str, Any], tmp_path: Path) -> None:
    assert len(report["violations"]) == 4
    for violation in report["violations"]:
        replay = AuditReplay(report, violation["id"], tmp_path / violation["id"])
        *_, last = replay.run()
        assert violation["name"] in [one.name for one in last.findings if one.kind == violation["kind"]]
        assert replay.place == tmp_path / violation["id"] / "directory"
        # It stays as it was when the violation showed.
        assert (replay.place / "data").read_bytes() == b""
        assert (replay.place / "another-entry").stat().st_size > 0
        assert (tmp_path / violation["id"] / "tmp").is_dir()


def test_a_kill_is_a_real_one_at_that_byte(report: dict[str, Any], tmp_path: Path) -> None:
    fault = f"kill/{write_index(report)}/write/kill@3"
    replay = AuditReplay(with_point(report, fault, run=0), "V1", tmp_path)
    (stage,) = replay.run()
    assert stage.outcome.reported is Reported.NOTHING
    assert stage.said == "died of SIGKILL"
    assert (replay.place / "data").read_bytes() == b"som"
    assert (3, "data") in replay.listing()


@pytest.mark.parametrize(
    ("form", "content", "reported"),
    [
        ("error/{}/write/cut@4/ENOSPC/sticky", b"some", Reported.FAILURE),
        ("error/{}/write/file-limit@6/ignored", b"some b", Reported.FAILURE),
        ("kill/{}/write/file-limit@7/deadly", b"some by", Reported.NOTHING),
    ],
)
def test_errors_and_limits_are_real_runs_too(
    report: dict[str, Any], tmp_path: Path, form: str, content: bytes, reported: Reported
) -> None:
    replay = AuditReplay(with_point(report, form.format(write_index(report)), run=0), "V1", tmp_path)
    (stage,) = replay.run()
    assert stage.outcome.reported is reported
    assert (replay.place / "data").read_bytes() == content
    assert [one.kind for one in stage.findings] == [Kind.PARTIAL_VISIBLE]


def test_what_does_not_show_goes_through_all_stages(report: dict[str, Any], tmp_path: Path) -> None:
    replay = AuditReplay(with_point(report, "kill/0/open/kill", run=0, kind="entry-lost"), "V1", tmp_path)
    stages = list(replay.run())
    assert [stage.name for stage in stages] == ["the fault", "the repetition"]
    assert [stage.findings for stage in stages] == [(), ()]
    assert (replay.place / "data").read_bytes() == b"some bytes"


def test_the_recovery_is_shown_between(report: dict[str, Any], home: Path, tmp_path: Path) -> None:
    recover = write_program(
        home / "recover", '#!/bin/sh\nrm -f "$1"/data.*\n[ "$2" != fails ] || { echo no; exit 3; }\n'
    )
    target = {"argv": ["./locking", "{dir}"], "recover": [str(recover), "{dir}", "fails"]}
    changed = with_target(with_point(report, "kill/1/dup/kill", run=0, kind="orphan-unreclaimed"), **target)
    stages = list(AuditReplay(changed, "V1", tmp_path / "place").run())
    assert [(stage.name, stage.outcome.reported) for stage in stages] == [
        ("the fault", Reported.NOTHING),
        ("the recovery", Reported.FAILURE),
    ]
    assert "the recovery failed" in stages[1].findings[0].detail
    changed["violations"][0]["kind"] = "never-heals"
    replay = AuditReplay(changed, "V1", tmp_path / "other")
    assert [stage.name for stage in replay.run()] == ["the fault", "the recovery", "the repetition"]
    assert (replay.place / "lock").exists()


def replayed(report: object, tmp_path: Path, violation: str = "V1") -> Result:
    path = tmp_path / "report.json"
    path.write_text(report if isinstance(report, str) else json.dumps(report), "utf-8")
    result = CliRunner().invoke(main, ["replay", str(path), violation, "--dir", str(tmp_path / "place")])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def test_a_program_that_was_repaired_shows_nothing(report: dict[str, Any], home: Path, tmp_path: Path) -> None:
    right = DIRECT.replace("exit 1", '{ rm "$1/data"; exit 1; }')
    program = write_program(tmp_path / "direct", right)
    content = deepcopy(report)
    for run in content["runs"]:
        run["target"] |= {"argv": [str(program), "{dir}"], "directory": str(home)}
    result = replayed(content, tmp_path)
    assert result.exit_code == 1, result.output
    assert "does not show here" in result.output


def test_a_program_that_does_other_things_now_is_told(report: dict[str, Any], tmp_path: Path) -> None:
    program = write_program(tmp_path / "other", '#!/bin/sh\nmkdir "$1/d"; printf x >"$1/d/f"\n')
    content = with_point(report, "kill/1/dup/kill", run=0)
    content["runs"][0]["target"]["argv"] = [str(program), "{dir}"]
    result = replayed(content, tmp_path)
    assert result.exit_code == 2
    assert "is it still the same?" in " ".join(result.output.split())
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda r: json.dumps(r)[:200],
        lambda r: "[" * 100_000,
        lambda r: with_target(r, argv=["./gone", "{dir}"]),
        lambda r: with_target(r, argv=["./direct", "/dev/null"]),
        lambda r: with_target(r, argv=["sh", "-c", "exit 5", "{dir}"]),
        lambda r: with_target(r, argv=["./direct\0", "{dir}"]),
        lambda r: with_target(r, argv=[], start="empty"),
        lambda r: with_target(r, directory="/nonexistent"),
        lambda r: with_target(r, start="given"),
        lambda r: with_target(r, given="/nonexistent"),
        lambda r: with_target(r, stdin="/nonexistent"),
        lambda r: with_target(r, timeout_seconds=-1),
        lambda r: with_target(r, directories=["relative"]),
        lambda r: with_point(r, "nonsense"),
        lambda r: with_point(r, 7),
        lambda r: with_point(r, "+".join(["error/1/dup/errno/EIO"] * 20_000)),
        lambda r: with_point(r, "error/99/dup/errno/EIO"),
        lambda r: with_point(r, "error/-1/dup/errno/EIO"),
        lambda r: with_point(r, "error/1/write/errno/EIO"),
        lambda r: with_point(r, "error/1/dup/errno"),
        lambda r: with_point(r, "error/1/dup/cut@1/ENOSPC"),
        lambda r: with_point(r, f"error/{write_index(r)}/write/cut@5000/ENOSPC"),
        lambda r: with_point(r, f"kill/{write_index(r)}/write/kill@{10**30}"),
        lambda r: with_point(r, f"error/{write_index(r)}/write/file-limit@1/sometimes"),
        lambda r: with_point(r, "error/1/dup/raise-before/KeyboardInterrupt"),
        lambda r: with_point(r, "error/1/dup/errno/EIO+error/2/dup/errno/EIO"),
        lambda r: with_point(r, "error/-1/payload/none"),
        lambda r: with_point(r, "interrupt/1/dup/signal/SIGKILL"),
        lambda r: with_point(r, "interrupt/1/dup/signal/NOSIGNAL"),
        lambda r: with_point(r, "power/1/dup/kill"),
        lambda r: {**r, "violations": [{**r["violations"][0], "kind": "unknown"}]},
        lambda r: {**r, "runs": [{"target": "argv"}]},
    ],
)
def test_a_bad_report_gets_a_clear_answer(report: dict[str, Any], tmp_path: Path, change: Any) -> None:
    result = replayed(change(report), tmp_path)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) >= 3
    assert not (tmp_path / "place").exists(), "nothing is made for it"


@pytest.fixture(scope="module")
def plain(report: dict[str, Any]) -> str:
    return json.dumps(report["runs"][0]["target"])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_report_it_is_understood_or_refused(
    report: dict[str, Any], plain: str, data: st.DataObject
) -> None:
    target = json.loads(plain)
    violation = deepcopy(report["violations"][0])
    for _ in range(data.draw(st.integers(1, 2))):
        part = data.draw(st.sampled_from([target, violation]))
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(_JSON)
    content = {"runs": [{"target": data.draw(st.just(target) | _JSON)}], "violations": [violation]}
    try:
        AuditReplay(content, "V1", None)
    except ReplayError as error:
        assert str(error)


def test_a_watched_directory_of_a_report_is_never_emptied(report: dict[str, Any], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").write_text("precious")
    result = replayed(with_target(report, directories=[str(mine)]), tmp_path)
    assert result.exit_code == 2
    assert "not empty" in result.output
    link = tmp_path / "link"
    link.symlink_to(mine)
    result = replayed(with_target(report, directories=[str(link)]), tmp_path)
    assert result.exit_code == 2
    assert (mine / "precious").read_text() == "precious"


def test_the_directory_to_work_in_must_be_empty(report: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ReplayError, match="not empty"):
        AuditReplay(report, "V1", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_nothing_but_the_directory_is_left(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    list(AuditReplay(report, "V1", tmp_path / "place").run())
    with pytest.raises(ReplayError):
        list(AuditReplay(with_point(report, "kill/99/dup/kill"), "V1", None).run())
    assert list(temporary.iterdir()) == []


def test_what_an_audit_was_given_may_lie_anywhere(home: Path, tmp_path: Path) -> None:
    (home / "given").mkdir()
    (home / "given" / "kept").write_text("kept")
    (home / "input").write_text("some input")
    command = 'cat >"$1/data" || { rm "$1/data"; exit 1; }'
    more = ("--init", "given", "--stdin", "input", "--class", "kill")
    report = audit(home, *more, "--", "sh", "-c", command, "sh", "{dir}")
    violation = by(report, "kill", "given")
    result = replayed(report, tmp_path, violation["id"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "place" / "directory" / "kept").read_text() == "kept"
    shutil.rmtree(home / "given")
    shutil.rmtree(tmp_path / "place")
    result = replayed(report, tmp_path, violation["id"])
    assert result.exit_code == 2
    assert "is not there any more" in " ".join(result.output.split())
