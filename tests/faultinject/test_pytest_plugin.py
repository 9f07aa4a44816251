"""The pytest plugin, in projects of its own (pytester)."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import jsonschema
import pytest

from faultinject.report.document import schema

pytest_plugins = ["pytester"]

SAVERS = """
import json, os
def no_unlink(d):
    with open(d / "s.tmp", "w") as f:
        json.dump({"a": 1}, f); f.flush(); os.fsync(f.fileno())
    os.replace(d / "s.tmp", d / "s.json")
def right(d):
    temp = d / "s.tmp"
    try:
        with open(temp, "w") as f:
            json.dump({"a": 1}, f); f.flush(); os.fsync(f.fileno())
        os.replace(temp, d / "s.json")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fd = os.open(d, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(savers=SAVERS)
    # No function here writes a clock.
    pytester.makeconftest("from faultinject.inprocess import baseline\nbaseline.APART_SECONDS = 0\n")
    return pytester


def made(project: pytest.Pytester, test: str) -> None:
    project.makepyfile(test_it="import pytest\nfrom savers import *\n" + test)


def test_a_violation_fails_the_test_and_says_everything(project: pytest.Pytester) -> None:
    made(project, "def test_it(fault_sweep):\n    fault_sweep(no_unlink, classes=['error'])\n")
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*fault_sweep(no_unlink*",
            "*temp-leaked (KVS-INV-2), start empty and old-entry, * points",
            "*at     #1 write 's.tmp' 8 bytes at 0*",
            "*fault  error/1/write/errno/EIO",
            "*found  's.tmp': a file of 8 bytes is left*",
            "*left *'another-entry': 136 bytes, as before",
            "* 's.tmp': 8 bytes: '{\"a\": 1}'",
            "*replay*only='empty:error/1/write/errno/EIO'*",
            "faultinject: * fault points covered in 1 test, 1 violation",
        ]
    )
    result.stdout.no_fnmatch_line("*inprocess/sweep.py*")


def test_a_right_saver_passes_and_the_result_says_what_was_covered(project: pytest.Pytester) -> None:
    made(
        project,
        "def test_it(fault_sweep):\n    swept = fault_sweep(right)\n"
        "    assert swept.level == 3 and swept.covered == swept.points > 500 and not swept.violations\n",
    )
    project.runpytest().assert_outcomes(passed=1)


def test_one_fault_is_replayed(project: pytest.Pytester) -> None:
    made(
        project,
        "def test_it(fault_sweep):\n    fault_sweep(no_unlink)\n"
        "def test_only(fault_sweep):\n    fault_sweep(right, only='empty:error/1/write/errno/EIO')\n",
    )
    result = project.runpytest("--fault-replay", "empty:error/1/write/errno/EIO")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*1 of 1 fault points covered, 1 violation,*"])
    wrong = project.runpytest("--fault-replay", "empty:error/77/write/errno/EIO", "-k", "test_it")
    wrong.stdout.fnmatch_lines(["*not-measured: 1 points (allow_not_measured=True accepts that)*"])


def test_markers_give_defaults_and_the_closest_decides(project: pytest.Pytester) -> None:
    made(
        project,
        "pytestmark = pytest.mark.fault_sweep(level=1)\n"
        "def test_one(fault_sweep):\n    assert list(fault_sweep(right).runs[0].classes) == ['error', 'interrupt']\n"
        "@pytest.mark.fault_sweep(level=2)\n"
        "def test_two(fault_sweep):\n    assert list(fault_sweep(right).runs[0].classes)[-1] == 'kill'\n"
        "def test_given(fault_sweep):\n    assert fault_sweep(right, level=3).level == 3\n"
        "@pytest.mark.fault_sweep(levels=2)\n"
        "def test_wrong(fault_sweep):\n    fault_sweep(right)\n",
    )
    result = project.runpytest("--strict-markers")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*takes start, oracle, *by name, and not*levels*"])


def test_a_level_that_is_not_reached_by_the_classes_fails(project: pytest.Pytester) -> None:
    made(project, "def test_it(fault_sweep):\n    fault_sweep(right, level=2, classes=['kill'])\n")
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*level L2 was asked for, and is not reached by the classes that were swept"])


def test_what_cannot_be_seen_is_a_harness_error_with_its_words(project: pytest.Pytester) -> None:
    made(
        project,
        "import subprocess\n"
        "def test_it(fault_sweep):\n    fault_sweep(lambda d: subprocess.run(['cp', '/etc/hostname', d / 'x']))\n",
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*harness-error: *'x'*faultinject audit*"])
    result.stdout.no_fnmatch_line("*During handling*")


def test_reports_are_written_by_the_schema_also_by_workers(project: pytest.Pytester) -> None:
    made(
        project,
        "@pytest.mark.parametrize('n', ['/../../x', 'a' * 200, '\\n'])\n"
        "def test_it(fault_sweep, n):\n    fault_sweep(right, level=2)\n"
        "def test_two(fault_sweep):\n    fault_sweep(no_unlink, level=2)\n",
    )
    result = project.runpytest_subprocess("-n", "2", "--fault-report", "reports", "--junitxml", "junit.xml")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["faultinject: * fault points covered in 4 tests, * violations"])
    reports = list((project.path / "reports").iterdir())
    assert len(reports) == 4
    for report in reports:
        jsonschema.validate(json.loads(report.read_text("utf-8")), schema())
    assert "fault_points_covered" in (project.path / "junit.xml").read_text("utf-8")


def test_a_large_save_is_swept_in_a_pool_of_processes(project: pytest.Pytester) -> None:
    project.makepyfile(
        big="def save(d):\n    (d / 'x').write_bytes(bytes(range(256)))\n    for n in range(8):\n        (d / f'x{n}').write_bytes(bytes(range(256)))\n"
    )
    made(
        project,
        "import big\n"
        "def test_it(fault_sweep):\n    swept = fault_sweep(big.save, classes=['kill'], start={'x': b'old'})\n",
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*partial-visible*"])


def test_a_program_is_audited(project: pytest.Pytester) -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("audits run on Linux on x86-64")
    made(
        project,
        "def test_wrong(fault_audit):\n    fault_audit(['cp', 'savers.py', '{dir}/copy'], level=1)\n"
        "def test_none(fault_audit):\n    fault_audit(['true', '{dir}'], level=1)\n",
    )
    result = project.runpytest()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*partial-visible (KVS-INV-1), start empty*", "*it cannot be audited: *"])


@pytest.mark.parametrize(
    ("system", "machine", "why"), [("darwin", "x86_64", "Linux; this is darwin"), ("linux", "aarch64", "aarch64")]
)
def test_an_audit_is_skipped_elsewhere_and_says_why(
    project: pytest.Pytester, system: str, machine: str, why: str
) -> None:
    made(
        project,
        "import platform, sys\n"
        f"def test_it(fault_audit, monkeypatch):\n    monkeypatch.setattr(sys, 'platform', {system!r})\n"
        f"    monkeypatch.setattr(platform, 'machine', lambda: {machine!r})\n    fault_audit(['true'])\n",
    )
    result = project.runpytest("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED*{why}*"])


def test_the_plugin_imports_nothing_of_the_sweeps() -> None:
    code = (
        "import sys, pytest, json; before = set(sys.modules); import faultinject.pytest_plugin; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    found = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert {name for name in found if name.startswith(("faultinject", "kvformat", "hypothesis", "construct"))} == {
        "faultinject",
        "faultinject.pytest_plugin",
    }


def test_help_has_examples(project: pytest.Pytester) -> None:
    text = project.runpytest("--help").stdout.str()
    assert "--fault-replay" in text
    assert "old-entry:error/3/rename" in text
    fixtures = project.runpytest("--fixtures", "-v").stdout.str()
    assert "fault_sweep(lambda directory" in fixtures
