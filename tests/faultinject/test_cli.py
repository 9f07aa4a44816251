"""The command line: exit codes, what goes where, wrong use, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from faultinject.cli import main
from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.kvc import Operation, Scenario
from faultinject.oracle import Verdict
from faultinject.report.document import schema
from faultinject.sweep import CLASSES
from faultinject.terminal import EXIT
from tests.kvformat.samples import SESSION, SESSION_NAME
from tests.mutants.harness import swept as mutant_swept
from tests.mutants.wrong import NoUnlink

SMALL = ("--payload-bytes", "8", "--jobs", "1")
ONE = (*SMALL, "--strategy", "direct", "--scenario", "empty", "--temp", "named")


def run(*args: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["sweep", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == exit_code, result.output
    return result


def process(*args: str) -> subprocess.CompletedProcess[str]:
    code = "from faultinject.cli import main; main()"
    command = [sys.executable, "-c", code, *args]
    wide = {**os.environ, "COLUMNS": "140"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=wide)


def test_a_clean_sweep() -> None:
    result = run(*ONE)
    assert "held: " in result.stdout
    assert "level: L3 (power-safe)" in result.stdout


def test_every_operation_by_default_on_two_processes() -> None:
    done = process("sweep", "--scenario", "orphans", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    for operation in ("save direct", "save staged", "save backpatch", "touch", "replace map", "remove", "recover"):
        assert operation in done.stdout
    assert "level: L3" in done.stdout


@pytest.mark.parametrize(("said", "exit_code"), [(Verdict.HELD, 0), (Verdict.VIOLATED, 1), (Verdict.HARNESS_ERROR, 3)])
def test_exit_codes_are_those_of_the_documentation(said: Verdict, exit_code: int) -> None:
    assert EXIT[said] == exit_code


def swept_instead(monkeypatch: pytest.MonkeyPatch, runs: list[Run]) -> None:
    monkeypatch.setattr("faultinject.terminal.sweep", lambda *_: runs)


def test_a_violation_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    swept_instead(monkeypatch, [mutant_swept(NoUnlink, Operation.SAVE, "direct", Scenario.EMPTY, *CLASSES)])
    result = run(*ONE, "--json", str(tmp_path / "r.json"), exit_code=1)
    assert "temp-leaked" in result.stdout
    report = json.loads((tmp_path / "r.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(report)
    assert report["violations"][0]["id"] == "V1"


def test_what_was_not_measured_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    swept_instead(monkeypatch, [])
    run(*ONE, exit_code=3)


def test_json_to_standard_output_is_alone_there() -> None:
    done = process("sweep", *ONE, "--json", "-")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    jsonschema.Draft202012Validator(schema()).validate(report)
    assert "level: L3" in done.stderr
    assert [r["level"] for r in report["runs"]] == ["L3"]


def test_json_to_a_file_keeps_the_report_for_people(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert "level: L3" in run(*ONE, "--json", str(path)).stdout
    jsonschema.Draft202012Validator(schema()).validate(json.loads(path.read_text()))


def test_a_real_file_is_saved_again(tmp_path: Path) -> None:
    path = tmp_path / SESSION_NAME
    path.write_bytes(SESSION)
    result = run("--file", str(path), "--strategy", "direct", "--jobs", "1")
    assert "L3" in result.stdout
    assert path.read_bytes() == SESSION
    assert [p.name for p in tmp_path.iterdir()] == [SESSION_NAME]


def test_some_classes_do_not_decide_the_level() -> None:
    assert "not decided" in run(*ONE, "--class", "kill").stdout
    assert "not decided" in run(*ONE, "--class", "error").stdout


@pytest.mark.parametrize(
    "args",
    [
        ("--file", __file__, "--payload-bytes", "5"),
        ("--dir", "/tmp"),
        ("--file", __file__),
        ("--file", "/nonexistent.kv"),
        ("--class", "damage"),
        ("--strategy", "quantum"),
        ("--jobs", "0"),
        ("--payload-bytes", "0"),
        ("--on", "moon"),
        ("--operation", "recover", "--scenario", "title"),
        ("--scenario",),
        ("surplus",),
    ],
)
def test_wrong_use_is_exit_code_2(args: tuple[str, ...]) -> None:
    result = run(*args, exit_code=2)
    assert result.stdout == ""
    assert "Error" in result.stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--class", "kill"), ("--strategy", "direct"), ("--temp", "named"), ("--operation", "save")]
)
def test_a_choice_given_twice_counts_once(option: str, value: str) -> None:
    args = (*ONE, "--class", "kill") if option != "--class" else ONE
    once, twice = ((run(*args, *extra).stdout) for extra in ((option, value), (option, value, option, value)))
    assert points(once) == points(twice)


def points(text: str) -> list[str]:
    return re.findall(r"of ([\d,]+) fault points", text)


def test_a_report_that_cannot_be_written_is_no_violation() -> None:
    result = CliRunner().invoke(main, ["sweep", *ONE, "--class", "kill", "--json", "/nonexistent/r.json"])
    assert result.exit_code in (2, 3)


def test_a_directory_that_cannot_be_used_gets_a_clear_answer() -> None:
    done = process("sweep", *ONE, "--class", "kill", "--on", "real", "--dir", "/proc")
    assert "Traceback" not in done.stderr
    assert done.returncode in (2, 3)


def test_a_strategy_goes_with_a_save() -> None:
    run("--operation", "touch", "--strategy", "direct", exit_code=2)


def examples(command: str) -> list[str]:
    text = CliRunner().invoke(main, [command, "--help"]).stdout
    return [
        re.split(r"\s{2,}", line.strip())[0] for line in text.splitlines() if line.strip().startswith("faultinject ")
    ]


def test_the_examples_of_the_help_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the sweep itself."""
    path = tmp_path / "X.kv"
    path.write_bytes(SESSION)
    monkeypatch.chdir(tmp_path)
    units: list[int] = []

    def counted(work: list[object], *_: object) -> list[Run]:
        units.append(len(work))
        return []

    monkeypatch.setattr("faultinject.terminal.sweep", counted)
    shown = examples("sweep")
    assert len(shown) >= 5
    for example in shown:
        words = [str(tmp_path) if word == "/mnt/xfs" else word for word in shlex.split(example)[1:]]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 3, (example, result.output)  # nothing was measured
    assert all(units)
    assert len(units) == len(shown)


@pytest.mark.parametrize("args", [(), ("sweep",), ("replay",)])
def test_help_fits_and_names_the_exit_codes(args: tuple[str, ...]) -> None:
    text = CliRunner().invoke(main, [*args, "-h"]).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert not args or "Exit codes" in text


def test_the_version_is_said() -> None:
    assert "faultinject" in CliRunner().invoke(main, ["--version"]).stdout


def members(group: int) -> list[str]:
    """Living processes of a process group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = entry.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it has just ended
        if int(pgrp) == group and state != "Z":
            found.append(entry.parent.name)
    return found


def interrupted(args: tuple[str, ...], place: Path, seconds: float) -> tuple[subprocess.Popen[str], str]:
    """A sweep in a session of its own that gets Ctrl-C under way; it is to end within so many seconds."""
    code = "from faultinject.cli import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "sweep", *args],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    try:
        time.sleep(1.5)
        assert child.poll() is None, child.communicate()
        os.killpg(child.pid, signal.SIGINT)
        out, _ = child.communicate(timeout=seconds)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    return child, out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.parametrize(
    "args",
    [
        ("--payload-bytes", "20000", "--exhaustive", "--jobs", "1", "--class", "kill"),
        ("--payload-bytes", "20000", "--exhaustive", "--jobs", "2"),
        ("--on", "real", "--jobs", "2"),
        ("--on", "real", "--jobs", "1"),
    ],
)
def test_ctrl_c_ends_everything_and_leaves_nothing(args: tuple[str, ...], tmp_path: Path) -> None:
    child, out = interrupted(args, tmp_path, 60)
    assert child.returncode == 130, out
    assert "Traceback" not in out
    assert "interrupted" in out
    deadline = time.monotonic() + 5
    while members(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert members(child.pid) == []
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("faultinject-")] == []


def test_ctrl_c_is_quick(tmp_path: Path) -> None:
    only = ("--class", "kill", "--strategy", "direct", "--scenario", "empty", "--temp", "named")
    interrupted(("--payload-bytes", "1000000", "--exhaustive", "--jobs", "2", *only), tmp_path, 2)


def test_classes_are_those_of_the_sweep() -> None:
    assert CLASSES == (FaultClass.ERROR, FaultClass.INTERRUPT, FaultClass.KILL, FaultClass.POWER)


def test_a_file_that_was_named_relative_is_found_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / SESSION_NAME).write_bytes(SESSION)
    monkeypatch.chdir(home)
    run("--file", SESSION_NAME, *ONE[2:], "--class", "kill", "--json", "report.json")
    report = json.loads((home / "report.json").read_text("utf-8"))
    # A violation made by hand, since nothing is found: what matters is that it can be run.
    report["violations"] = [{"id": "V1", "run": 0, "kind": "partial-visible", "point": "kill/0/open/kill"}]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report), "utf-8")
    monkeypatch.chdir(elsewhere)
    result = CliRunner().invoke(main, ["replay", str(path), "V1", "--dir", "place"])
    assert result.exit_code == 1, result.output
    assert (elsewhere / "place" / "directory" / SESSION_NAME).exists()
    del report["runs"][0]["target"]["source"]["directory"]
    path.write_text(json.dumps(report), "utf-8")
    result = CliRunner().invoke(main, ["replay", str(path), "V1", "--dir", "other"])
    assert result.exit_code == 2, result.output
    assert SESSION_NAME[:20] in result.output


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are traced on Linux only")
def test_replay_of_an_audit(tmp_path: Path) -> None:
    program = ["sh", "-c", 'printf text >"$1/data"', "sh", "{dir}"]
    path = tmp_path / "report.json"
    done = process("audit", "--jobs", "1", "--class", "kill", "--json", str(path), "--", *program)
    assert done.returncode == 1, done.stderr
    again = process("replay", str(path), "V1", "--dir", str(tmp_path / "place"))
    assert again.returncode == 0, again.stderr
    assert "after the fault, which reported nothing:" in again.stdout
    assert "partial-visible (KVS-INV-1): 'data': the file is empty" in again.stdout
    assert str(tmp_path / "place" / "directory") in again.stdout
    assert (tmp_path / "place" / "directory" / "data").read_bytes() == b""
    missing = process("replay", str(path), "V99")
    assert missing.returncode == 2
    assert "it has: V1" in " ".join(missing.stderr.split())
