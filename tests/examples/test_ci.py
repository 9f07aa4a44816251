"""The workflows of docs/ci.md: valid by the schemas of their hosts, and every command of them is run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

from tests.faultinject.blackbox.traced import needs_linux

CI = Path(__file__).parents[2] / "examples/ci"
JOBS = ("conformance", "audit", "sweep")
BADGES = {"conformance": r"KVC \S+: (\d+)/\1 MUST, L3", "audit": "crash safety: L3 power-safe"}
"""What they say."""

needs_tools = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("cc", "make", "bash")), reason="the example needs cc, make and bash"
)


@dataclass(frozen=True)
class Command:
    """A step that runs something; always: even where one before it has failed."""

    text: str
    always: bool = False


@dataclass(frozen=True)
class Job:
    """What a host runs, and what it shows of it."""

    commands: list[Command]
    kept: list[str]
    junit: list[str]
    environment: dict[str, str]


def loaded(name: str) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load((CI / name).read_text("utf-8"))
    return content


def github(name: str) -> Job:
    workflow = loaded("github-actions.yml")
    assert workflow["defaults"]["run"]["shell"] == "bash"
    steps = workflow["jobs"][name]["steps"]
    uploads = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
    commands = [Command(step["run"], step.get("if") == "always()") for step in steps if "run" in step]
    return Job(commands, uploads, [f"reports/{name}.xml"], {"GITHUB_STEP_SUMMARY": "summary.md"})


def gitlab(name: str) -> Job:
    pipeline = loaded("gitlab-ci.yml")
    job = pipeline[name]
    commands = [Command(text) for text in [*pipeline["default"]["before_script"], *job["script"]]]
    assert job["artifacts"]["when"] == "always"
    return Job(commands, job["artifacts"]["paths"], [job["artifacts"]["reports"]["junit"]], {})


HOSTS = {"github-actions.yml": github, "gitlab-ci.yml": gitlab}
host = pytest.mark.parametrize(
    "host", ["github-actions.yml", pytest.param("gitlab-ci.yml", marks=pytest.mark.slow)]
)  # the commands are nearly the same


def run(job: Job, project: Path) -> int:
    """The status of the job, as the host would have it: bash with errexit and pipefail for every step."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= job.environment
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PIP_NO_INDEX"] = "1"  # what it installs is there already: this project
    status = 0
    for command in job.commands:
        if status and not command.always:
            continue
        assert "${{" not in command.text, "an expression of the host, which only the host can fill in"
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command.text]
        done = subprocess.run(
            shell, cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        print(command.text, done.stdout[-2000:], done.stderr[-2000:], sep="\n")
        status = status or done.returncode
    return status


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """The example, as somebody would have it in a repository of their own."""
    copy = tmp_path / "project"
    built = shutil.ignore_patterns("build", "__pycache__", ".pytest_cache", "reports", "settings")
    shutil.copytree(CI / "project", copy, ignore=built)
    yield copy
    shutil.rmtree(copy)


@pytest.mark.parametrize(
    ("schema", "name"), [("github-workflows", "github-actions.yml"), ("gitlab-ci", "gitlab-ci.yml")]
)
def test_the_hosts_take_the_files(schema: str, name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(CI / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_would_find_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((CI / "github-actions.yml").read_text().replace("runs-on:", "run-on:"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(wrong)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 1


def test_actions_are_pinned_to_commits_and_say_which_version() -> None:
    used = re.findall(r"uses: (.*)", (CI / "github-actions.yml").read_text("utf-8"))
    assert len(used) == 9
    assert len(set(used)) == 3, "one version of each"
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_both_hosts_run_the_same_jobs() -> None:
    assert tuple(loaded("github-actions.yml")["jobs"]) == JOBS
    assert [name for name in loaded("gitlab-ci.yml") if name not in ("default", "variables")] == list(JOBS)


@needs_linux
@needs_tools
@host
@pytest.mark.parametrize("name", [pytest.param("conformance", marks=pytest.mark.slow), "audit", "sweep"])
def test_every_command_of_every_job_runs(project: Path, host: str, name: str) -> None:
    job = HOSTS[host](name)
    assert run(job, project) == 0
    assert job.kept == ["reports/"]
    for path in job.junit:
        suites = list(JUnitXml.fromfile(str(project / path)))
        assert sum(suite.tests for suite in suites) > 0
        assert not any(suite.failures or suite.errors for suite in suites)
    if name in BADGES:
        badge = ET.fromstring((project / f"reports/{name}.svg").read_bytes()).get("aria-label")
        assert badge is not None
        assert re.fullmatch(BADGES[name], badge)
        assert json.loads((project / f"reports/{name}.json").read_text())["schema"].startswith("faultinject-")
    else:
        assert len(list((project / "reports/sweep").iterdir())) == 1
    if host == "github-actions.yml":
        said = {"conformance": "crash safety: L3, held", "audit": "level: L3", "sweep": "0 violations"}
        assert said[name] in (project / "summary.md").read_text("utf-8")


WRONG = {
    "conformance": (
        "known.toml",
        '# [[known]]\n# id = "read-tokens-0"\n# reason',
        '[[known]]\nid = "read-tokens-0"\nreason',
    ),
    "audit": ("settings.c", "fsync(fileno(file))", "0"),
    "sweep": ("journal.py", "            os.fsync(file.fileno())\n", ""),
}
"""A known failure that is none any more, and a sync that was forgotten: file, what stands there, what it becomes."""


@pytest.mark.slow
@needs_linux
@needs_tools
@host
@pytest.mark.parametrize("name", JOBS)
def test_a_mistake_fails_the_job_and_the_reports_are_there(project: Path, host: str, name: str) -> None:
    file, right, wrong = WRONG[name]
    text = (project / file).read_text("utf-8")
    assert text.count(right) == 1
    (project / file).write_text(text.replace(right, wrong), "utf-8")
    job = HOSTS[host](name)
    assert run(job, project) == 1
    failures = [suite.failures for path in job.junit for suite in JUnitXml.fromfile(str(project / path))]
    assert sum(failures) > 0
    if host == "github-actions.yml":
        said = {"conformance": "STALE read-tokens-0", "audit": "partial-visible", "sweep": "partial-visible"}
        assert said[name] in (project / "summary.md").read_text("utf-8")
