"""--json, --junit and --badge, as `sweep` and `audit` have them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from junitparser import JUnitXml

from faultinject.cli import main
from faultinject.report.document import schema

SWEEP = ("sweep", "--payload-bytes", "8", "--jobs", "1", "--strategy", "direct", "--scenario", "empty")
AUDIT = ("audit", "--jobs", "1")
TAIL = {SWEEP: (), AUDIT: ("--", "true", "{dir}")}


def test_a_sweep_writes_all_three(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("r.json", "r.xml", "b.svg")]
    asked = [word for pair in zip(("--json", "--junit", "--badge"), paths, strict=True) for word in pair]
    done = CliRunner().invoke(main, [*SWEEP, *asked], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads(Path(paths[0]).read_text())
    jsonschema.validate(report, schema())
    suites = list(JUnitXml.fromfile(paths[1]))
    assert len(suites) == len(report["runs"]) == len({suite.name for suite in suites}), "no two have the same name"
    assert sum(suite.tests for suite in suites) == sum(len(run["classes"]) for run in report["runs"])
    assert not any(suite.failures or suite.errors for suite in suites)
    assert ET.fromstring(Path(paths[2]).read_bytes()).get("aria-label") == "crash safety: L3 power-safe"


def test_reports_on_standard_output_stand_alone() -> None:
    done = CliRunner().invoke(main, [*SWEEP, "--class", "error", "--junit", "-"], catch_exceptions=False)
    assert ET.fromstring(done.stdout).tag == "testsuites"
    assert "held" in done.stderr


@pytest.mark.parametrize("command", [SWEEP, AUDIT], ids=["sweep", "audit"])
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--json", "-", "--junit", "-"), "both"),
        (("--json", "/nowhere/r.json"), "--json /nowhere/r.json"),
        (("--junit", "/nowhere/r.xml"), "--junit /nowhere/r.xml"),
        (("--badge", "/nowhere/b.svg"), "--badge /nowhere/b.svg"),
        (("--badge", "b.png"), "--badge writes FILE.svg or FILE.json"),
        (("--badge", "-"), "--badge writes FILE.svg or FILE.json"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_runs(
    command: tuple[str, ...], options: tuple[str, ...], why: str
) -> None:
    done = CliRunner().invoke(main, [*command, *options, *TAIL[command]], catch_exceptions=False)
    assert done.exit_code == 2
    assert why in done.output
    assert "held" not in done.output
