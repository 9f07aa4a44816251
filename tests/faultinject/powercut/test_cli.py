"""The command `faultinject powercut`: its options, wrong uses, reports, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from faultinject.cli import main
from faultinject.report.document import schema
from tests.faultinject.powercut.rooted import RIGHT, SAVER, awaited, children, left_in, needs

rooted = [pytest.mark.root, needs("ext4")]
WRITER = (sys.executable, "-S", "-c", SAVER, "{dir}")


def powercut(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["powercut", *args], catch_exceptions=False)
    assert "Traceback" not in done.output
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((), "Missing argument"),
        (("true", "/tmp"), "no argument says {dir}"),
        (("--fs", "ext4,zfs", "true", "{dir}"), "--fs: 'zfs' is none of ext4, xfs, btrfs"),
        (("--fs", "", "true", "{dir}"), "--fs: '' is none of"),
        (("--dir", "../x", "true", "{dir}"), "--dir: '../x' is no path"),
        (("--dir", "tmp", "true", "{dir}"), "--dir: the name 'tmp' is taken"),
        (("--ack", "line:", "true", "{dir}"), "it is exit, or line:"),
        (("--recover", "", "true", "{dir}"), "--recover: the command is empty"),
        (("--check", "'", "true", "{dir}"), "--check: No closing quotation"),
        (("--images", "0", "true", "{dir}"), "not in the range"),
        (("--init", "/nowhere", "true", "{dir}"), "does not exist"),
        (("--json", "-", "--junit", "-", "true", "{dir}"), "both"),
        (("--json", "/nowhere/r.json", "true", "{dir}"), "/nowhere is no directory"),
        (("--format", "xml", "true", "{dir}"), "not one of"),
    ],
)
def test_wrong_uses(args: tuple[str, ...], why: str) -> None:
    status, output = powercut(*args)
    assert status == 2
    assert why in output


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("/nowhere/program", "{dir}"), "there is no such program"),
        (("false", "{dir}"), "did not report success"),
        (("true", "{dir}"), "it changes nothing in the watched directories"),
        (("--mount-options", "nonsense", "true", "{dir}"), "cannot be mounted: Invalid argument"),
        (("--timeout", "0.5", "sh", "-c", "sleep 1000", "{dir}"), "did not end within 0.5 s (--timeout)"),
    ],
)
@pytest.mark.root
@needs("ext4")
def test_programs_that_cannot_be_judged(args: tuple[str, ...], why: str) -> None:
    status, output = powercut("--fs", "ext4", *args)
    assert status == 2, output
    assert why in " ".join(output.split())


def test_without_root_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    status, output = powercut("--json", str(tmp_path / "r"), "true", "{dir}")
    assert status == 3
    assert "not-measured: 0 of 0 fault points covered" in output
    assert "needs root" in output
    report = json.loads((tmp_path / "r").read_text())
    jsonschema.validate(report, schema())
    assert {run["classes"]["power"]["held"] for run in report["runs"]} == {0}


@pytest.mark.root
@needs("ext4")
def test_a_file_system_without_tools_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    status, output = powercut("--fs", "ext4", *WRITER, RIGHT)
    assert status == 3
    assert "mkfs.ext4 is not installed: install e2fsprogs" in " ".join(output.split())


@pytest.mark.root
@needs("ext4")
def test_a_report_of_a_wrong_writer(tmp_path: Path) -> None:
    files = tmp_path / "r.json", tmp_path / "r.xml"
    options = ("--fs", "ext4", "--images", "30", "--json", str(files[0]), "--junit", str(files[1]))
    status, output = powercut(*options, "--recover", "rm -f {dir}/final.tmp", "--", *WRITER, "")
    assert status == 1
    assert "lost-after-ack KVS-INV-7: ext4, empty" in output
    assert "level: not decided" in output
    report = json.loads(files[0].read_text())
    jsonschema.validate(report, schema())
    assert {one["clause"] for one in report["violations"]} >= {"KVS-INV-1", "KVS-INV-7"}
    count = report["runs"][0]["classes"]["power"]
    assert count["points"] == count["images"]["tried"] == count["covered"]
    assert 0 < count["images"]["distinct"] == count["executed"] <= count["images"]["tried"] <= count["images"]["exist"]
    assert ElementTree.fromstring(files[1].read_text()).findall(".//failure")
    replayed = CliRunner().invoke(main, ["replay", str(files[0]), "V1"])
    assert replayed.exit_code == 2
    assert "crash images are of one recorded run" in replayed.output


@pytest.mark.root
@needs("ext4")
def test_an_image_of_a_violation_can_be_mounted_by_everybody(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    options = ("--fs", "ext4", "--images", "30", "--keep", str(kept), "--json", str(tmp_path / "r"))
    status, _ = powercut(*options, "--", *WRITER, "")
    assert status == 1
    report = json.loads((tmp_path / "r").read_text())
    empty = next(one for one in report["violations"] if one["detail"] == "the file is empty")
    done = subprocess.run(["sh", kept / f"{empty['id']}.sh"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.endswith(" final") and line.split()[4] == "0"]
    images = list(kept.glob("*.img"))
    assert 0 < len(images) <= len(report["violations"])
    for image in images:
        assert image.stat().st_size == 64 << 20
        assert image.stat().st_blocks * 512 < 16 << 20, "holes take no room"
    status, output = powercut(*options, "--", *WRITER, "")
    assert status == 2
    assert "it is not empty" in output


CHECK = """
import os, sys
path = os.path.join(sys.argv[-1], "final")
if os.environ["FAULTINJECT_ACKNOWLEDGED"] == "1" and not os.path.exists(path):
    print("lost-after-ack: my own checker says so")
    sys.exit(1)
"""


@pytest.mark.root
@needs("ext4")
def test_a_command_judges_content(tmp_path: Path) -> None:
    checker = tmp_path / "check.py"
    checker.write_text(CHECK)
    options = ("--fs", "ext4", "--images", "12", "--check", f"{sys.executable} -S {checker}")
    status, output = powercut(*options, "--", *WRITER, "")
    assert status == 1
    assert "my own checker says so" in output
    checker.write_text("import sys; sys.exit(7)")
    status, output = powercut(*options, "--", *WRITER, "")
    assert status == 3
    assert "exit status 7; only 0 and 1 are verdicts" in " ".join(output.split())


@pytest.mark.root
@needs("ext4")
def test_a_directory_is_given(tmp_path: Path) -> None:
    (tmp_path / "given" / "odd\n\udcff").mkdir(parents=True)
    (tmp_path / "given" / "final").write_bytes(b"old")
    (tmp_path / "given" / "link").symlink_to("/nowhere")
    given = ("--fs", "ext4", "--images", "8", "--dir", "deep/er", "--init", str(tmp_path / "given"))
    status, output = powercut(*given, "--", *WRITER, RIGHT)
    assert status == 0, output
    assert "ext4, given" in output
    os.mkfifo(tmp_path / "given" / "fifo")
    status, output = powercut(*given, "--", *WRITER, RIGHT)
    assert status == 2
    assert "cannot be copied" in output


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.root
@needs("ext4")
def test_ctrl_c_is_clean(tmp_path: Path, number: signal.Signals, status: int) -> None:
    command = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from faultinject.cli import main; main()",
            "powercut",
            "--fs",
            "ext4",
            "--",
            *WRITER,
            f"{RIGHT},hang",
        ],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert awaited(lambda: "mount" in [path.name for path in tmp_path.rglob("*")])
    processes = [pid for child in children(command.pid) for pid in (child, *children(child))]
    assert len(processes) >= 2
    command.send_signal(number)
    output, _ = command.communicate(timeout=30)
    assert command.returncode == status
    assert "interrupted; nothing is left behind" in output
    assert "Traceback" not in output
    assert not left_in(tmp_path)
