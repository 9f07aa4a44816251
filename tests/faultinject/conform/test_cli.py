"""`faultinject conform`: each wrong adapter is caught by name, the right one is clean, both halves have a say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from junitparser import JUnitXml

from faultinject.conform.document import exit_code, schema
from faultinject.oracle import Verdict
from tests.faultinject.conform.miniature import MISTAKES

ADAPTER = (sys.executable, "-S", "-E", str(Path(__file__).with_name("miniature.py")))
CLASSES = {"leaks": "error", "always": "error", "in-place": "kill", "no-fsync": "power"}
"""The class that shows a mistake; kill where none is named."""


def conform(tmp_path: Path, *arguments: str, code: int | tuple[int, ...]) -> dict[str, Any]:
    report = tmp_path / "report.json"
    script = "from faultinject.cli import main; main()"
    command = [sys.executable, "-c", script, "conform", "--jobs", "1", "--json", str(report), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    codes = (code,) if isinstance(code, int) else code
    assert done.returncode in codes, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    loaded: dict[str, Any] = json.loads(report.read_text())
    jsonschema.Draft202012Validator(schema()).validate(loaded)
    return loaded


QUICK = ("right", "takes-living")


@pytest.mark.parametrize(
    "mode", [mode if mode in QUICK else pytest.param(mode, marks=pytest.mark.slow) for mode in MISTAKES]
)
def test_each_mistake_is_caught_by_its_name(mode: str, tmp_path: Path) -> None:
    """KVS-INV-1, KVS-INV-2, KVS-INV-3, KVS-INV-4, KVS-INV-5, KVS-INV-7."""
    fault_class, kind = CLASSES.get(mode, "kill"), MISTAKES[mode]
    budget = "4" if mode in QUICK else "40"  # so much that a busy machine comes to the point as well
    arguments = ["--class", fault_class, "--case", "recover-*", "--budget", budget, "--", *ADAPTER, mode]
    report = conform(tmp_path, *arguments, code=(0, 1, 3))
    crash = report["crash"]
    kinds = {one["kind"] for one in (*crash["report"]["violations"], *crash["living"])}
    assert kinds == set() if kind is None else kind in kinds


def test_a_reader_claims_no_crash_safety(tmp_path: Path) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text(
        "import sys\nfrom kvformat.conform import adapter\n"
        "adapter._START['operations'] = ['read']\n"
        "adapter._OPERATIONS.pop('write')\nadapter.main(sys.stdin.buffer, sys.stdout.buffer)\n"
    )
    junit = tmp_path / "report.xml"
    badge = tmp_path / "badge.json"
    outputs = ("--junit", str(junit), "--badge", str(badge))
    report = conform(tmp_path, *outputs, "--case", "read-byte-03-flip-0*", "--", sys.executable, str(reader), code=0)
    assert report["crash"]["claimed"] is False
    assert "no operation that changes entries" in report["crash"]["reason"]
    assert report["crash"]["report"] is None
    assert "crash not claimed" in json.loads(badge.read_text())["message"]
    assert any("recovery" in suite.name for suite in JUnitXml.fromfile(str(junit)))


@pytest.mark.parametrize(
    ("conforms", "crash", "code"),
    [
        (True, Verdict.HELD, 0),
        (True, None, 0),
        (False, Verdict.HELD, 1),
        (False, None, 1),
        (True, Verdict.VIOLATED, 1),
        (False, Verdict.NOT_MEASURED, 1),
        (True, Verdict.NOT_MEASURED, 3),
        (False, Verdict.HARNESS_ERROR, 3),
    ],
)
def test_the_worse_of_both_decides(conforms: bool, crash: Verdict | None, code: int) -> None:
    assert exit_code(conforms, crash) == code


def test_the_schema_needs_no_other() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate({"schema": "faultinject-conform/1"})
