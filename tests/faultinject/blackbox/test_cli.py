"""The command `faultinject audit`: its options, wrong uses, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from faultinject.blackbox import baseline
from faultinject.cli import main
from faultinject.report.document import schema
from tests.faultinject.blackbox.audited import saver
from tests.faultinject.blackbox.audits import audit, faultinject
from tests.faultinject.blackbox.traced import alive, needs_linux

pytestmark = needs_linux


def wrong(*args: str) -> str:
    """What a wrong use is answered with."""
    done = CliRunner().invoke(main, ["audit", *args], catch_exceptions=False)
    assert done.exit_code == 2, done.output
    return done.output


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((), "Missing argument"),
        (("--nope", "--", "true", "{dir}"), "No such option '--nope'"),
        (("true", "/tmp"), "no argument says {dir}"),
        (("--ack", "foo", "true", "{dir}"), "it is exit, or line:"),
        (("--ack", "line:", "true", "{dir}"), "it is exit, or line:"),
        (("--recover", "", "true", "{dir}"), "--recover: the command is empty"),
        (("--check", "'", "true", "{dir}"), "--check: No closing quotation"),
        (("--exhaustive", "--budget", "3", "true", "{dir}"), "exclude each other"),
        (("--json", "-", "--junit", "-", "true", "{dir}"), "both"),
        (("--json", "/nowhere/report.json", "true", "{dir}"), "/nowhere is no directory that can be written to"),
        (("--junit", "/nowhere/report.xml", "true", "{dir}"), "--junit"),
        (("--init", "/nowhere", "true", "{dir}"), "does not exist"),
        (("--stdin", "/nowhere", "true", "{dir}"), "does not exist"),
        (("--timeout", "0", "true", "{dir}"), "not in the range"),
        (("--jobs", "0", "true", "{dir}"), "not in the range"),
        (("--class", "damage", "true", "{dir}"), "'damage' is not one of"),
        (("--profile", "zfs", "true", "{dir}"), "not one of"),
        (("--signal", "SIGKILL", "true", "{dir}"), "not one of"),
        (("--format", "xml", "true", "{dir}"), "not one of"),
        (("--cwd", "/nowhere", "true", "{dir}"), "cannot be the working directory"),
        (("--dir", "/etc", "true", "{dir}"), "it is not empty"),
        (("--dir", "/proc/nowhere", "true", "{dir}"), "--dir /proc/nowhere: "),
        (("/nowhere/program", "{dir}"), "there is no such program"),
        (("/etc", "{dir}"), "is a directory, not a program"),
        (("/etc/passwd", "{dir}"), "may not be executed"),
        (("false", "{dir}"), "did not report success (exit status 1)"),
        (("true", "{dir}"), "it changes nothing"),
        (("sh", "-c", "printf '\\033[2Jcleared' >&2; exit 1", "{dir}"), ": \\x1b[2Jcleared"),
        (("", "{dir}"), "no such program"),
    ],
)
def test_wrong_uses(args: tuple[str, ...], why: str) -> None:
    output = wrong(*args)
    assert why in output
    assert "\x1b" not in output


def test_directories_that_cannot_be_watched_together(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    for one, other in ((tmp_path / "a", tmp_path / "a"), (inner, tmp_path / "c")):
        output = wrong("--dir", str(one), "--dir", str(other), "true", "{dir}")
        assert ("name the outer one alone" in output) is (one == other)
    assert "name the outer one" in wrong(
        "--dir",
        str(tmp_path / "e" / "f"),
        "--dir",
        str(tmp_path / "g"),
        "--dir",
        str(tmp_path / "g" / "h"),
        "true",
        "{dir}",
    )


def test_the_directory_of_scratch_directories_cannot_be_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert "set TMPDIR" in wrong("--dir", str(tmp_path), "true", "{dir}")


def test_an_error_of_the_harness_is_no_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "APART_SECONDS", 0.0)
    done = CliRunner().invoke(main, ["audit", "sh", "-c", 'mkdir "$0-out" && mv "$0-out" "$0/x"', "{dir}"])
    assert done.exit_code == 3
    assert "harness error" in done.output
    assert "'x' brings in from outside" in done.output


def test_options_together(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "kept").write_text("kept")
    (tmp_path / "input").write_text("the input\n")
    (tmp_path / "save.sh").write_text(
        'test -e "$1/kept" && cat >"$1/x.tmp" && cp "$1/x.tmp" "$2/copy" && mv "$1/x.tmp" "$1/x" && rm "$2/copy" && echo saved; exit 7'
    )
    args = [
        "--init",
        "given",
        "--stdin",
        "input",
        "--cwd",
        str(tmp_path),
        "--dir",
        "beside",
        "--ack",
        "line:saved",
        "--timeout",
        "20",
    ]
    args += [
        "--recover",
        "sh -c 'rm -f {dir}/x.tmp beside/copy'",
        "--check",
        "test -d",
        "--class",
        "kill",
        "--jobs",
        "2",
    ]
    args += ["--json", "r.json", "--junit", "r.xml", "--", "sh", "save.sh", "{dir}", "beside"]
    faultinject("audit", *args, directory=tmp_path, code=0)
    report = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(report, schema())
    assert [run["scenario"] for run in report["runs"]] == ["given", "old-entry"]
    assert report["runs"][0]["regions"]["x"]["bytes"] == len("the input\n")
    assert ElementTree.fromstring((tmp_path / "r.xml").read_bytes()).tag == "testsuites"
    assert os.listdir(tmp_path / "beside") == []


def test_reports_on_standard_output_and_what_cannot_be_written(tmp_path: Path) -> None:
    kill = ["--class", "kill", "--jobs", "1"]
    done = faultinject("audit", *kill, "--json", "-", "--", *saver(), directory=tmp_path, code=0)
    jsonschema.validate(json.loads(done.stdout), schema())
    assert "held" in done.stderr
    done = faultinject("audit", *kill, "--junit", "-", "--", *saver(), directory=tmp_path, code=0)
    assert ElementTree.fromstring(done.stdout).tag == "testsuites"
    done = faultinject("audit", *kill, "--junit", "/dev/full", "--", *saver(), directory=tmp_path, code=2)
    assert "--junit /dev/full: No space left on device" in done.stderr


def test_a_limit_on_content(tmp_path: Path) -> None:
    done = faultinject("audit", "--class", "kill", "--content-limit", "100", "--", *saver(), directory=tmp_path, code=3)
    assert "raise the limit (--content-limit)" in " ".join(done.stderr.split())
    faultinject(
        "audit", "--class", "kill", "--content-limit", "1000", "--jobs", "1", "--", *saver(), directory=tmp_path, code=0
    )
    assert "--content-limit BYTES" in faultinject("audit", "--help", directory=tmp_path, code=0).stdout


def test_a_budget_chooses(tmp_path: Path) -> None:
    for budget, how, code in (("1e-6", "some points are not measured", 3), ("1e6", "every point is run", 0)):
        done = faultinject(
            "audit", "--class", "kill", "--budget", budget, "--json", "-", "--", *saver(), directory=tmp_path, code=code
        )
        (run, *_) = json.loads(done.stdout)["runs"]
        assert any(how in note for note in run["notes"])
        not_measured = run["classes"]["kill"]["not_measured"]
        assert not_measured == (run["classes"]["kill"]["points"] if code else 0)
        assert any(
            f"class kill: {not_measured} points not measured, as the time" in one for one in run["problems"]
        ) is bool(code)


def test_two_audits_at_once_do_not_meet(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from faultinject.cli import main; main()", "audit", "--jobs", "2", "--", *saver("durable")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in "12"]
    said = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said


def processes(temporary: Path) -> list[int]:
    """Those that have this directory for temporary files."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if f"TMPDIR={temporary}".encode() in environment and alive(int(pid)):
            found.append(int(pid))
    return found


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("SIGINT", 1.0), ("SIGTERM", 1.0), ("SIGTERM", 2.5), ("SIGHUP", 2.5), ("SIGINT", 3.5), ("SIGKILL", 2.5)],
)
def test_a_signal_ends_it_and_all_that_it_has_started(name: str, seconds: float, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from faultinject.cli import main; main()",
        "audit",
        "--exhaustive",
        "--jobs",
        "2",
        "--",
    ]
    # Started as the leader of a session, so that the signal reaches this process alone.
    running = subprocess.Popen(
        [*command, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo $i >>$0/x; sleep 0.05; done", "{dir}"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    time.sleep(seconds)
    number = signal.Signals[name]
    running.send_signal(number)
    said, _ = running.communicate(timeout=20)
    if number == signal.SIGKILL:
        assert running.returncode == -number
    elif running.returncode != -number:  # it had not come so far that it listens to signals
        assert running.returncode in (128 + number, 1), said
        assert b"Traceback" not in said
    for _ in range(100):
        left = processes(tmp_path)
        if not left:
            break
        time.sleep(0.05)
    assert not left
    assert number == signal.SIGKILL or not list(tmp_path.iterdir())


LEAKING = """
import os, sys
path = sys.argv[1] + "/data"
with open(path + ".tmp", "w") as file:
    file.write("some bytes")
os.replace(path + ".tmp", path)
"""


def test_a_worker_that_leaves_ctrl_c_alone_does_not_keep_it_from_the_program(tmp_path: Path) -> None:
    """Python turns SIGINT into an exception only where it was not ignored at the start: so it has to hear of it."""
    command = [sys.executable, "-I", "-S", "-c", LEAKING, "{dir}"]
    report = audit(tmp_path, "--signal", "SIGINT", "--class", "interrupt", "--", *command)
    assert {violation["kind"] for violation in report["violations"]} == {"temp-leaked"}
