"""Profiles on the command line, and sweeps, reports and replays of class `power` by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from faultinject.cli import main
from faultinject.persistence.profiles import profiles
from faultinject.profile_option import chosen_profiles
from faultinject.report.document import schema

ONE = ("--operation", "save", "--strategy", "direct", "--scenario", "old-same-size", "--temp", "named", "--jobs", "1")


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, args, env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def test_profiles_are_chosen_once_each_and_strict_by_default() -> None:
    assert chosen_profiles(()) == ("strict",)
    assert chosen_profiles(("xfs", "strict", "xfs")) == ("xfs", "strict")
    assert chosen_profiles(("xfs", "all")) == tuple(profiles())


def test_the_table_has_every_profile_and_every_rule() -> None:
    output = run("profiles").output
    for name, profile in profiles().items():
        assert name in output
        assert all(rule in output for rule, _ in profile.sources)


@pytest.mark.parametrize("name", profiles())
def test_of_one_profile_every_source_is_shown(name: str) -> None:
    words = " ".join(run("profiles", name).output.split())
    assert profiles()[name].description.split(":")[0] in words
    assert all(source.split()[0] in words for _, source in profiles()[name].sources)


def test_profiles_as_json() -> None:
    everything = json.loads(run("profiles", "--json").output)
    assert [one["name"] for one in everything] == list(profiles())
    (strict,) = json.loads(run("profiles", "strict", "--json").output)
    assert strict["sources"].keys() == {rule for rule, _ in profiles()["strict"].sources}
    assert strict["block_bytes"] == 512
    assert run("profiles", "zfs").exit_code == 2


def test_a_sweep_under_all_profiles_counts_each(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    result = run("sweep", *ONE, "--class", "power", "--profile", "all", "--json", str(path))
    assert result.exit_code == 0, result.output
    report = json.loads(path.read_text("utf-8"))
    jsonschema.validate(report, schema())
    (counted,) = report["runs"]
    power = counted["classes"]["power"]
    assert set(power["profiles"]) == set(profiles())
    assert sum(power["profiles"].values()) == power["points"] == power["held"]
    assert counted["level"] is None


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of saves that do not sync."""
    path = tmp_path_factory.mktemp("report") / "report.json"
    result = run("sweep", *ONE, "--not-durable", "--class", "power", "--profile", "all", "--json", str(path))
    assert result.exit_code == 1, result.output
    assert "repair" in result.output
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    jsonschema.validate(content, schema())
    return content


def test_what_is_not_durable_may_be_torn_but_was_never_promised(report: dict[str, Any]) -> None:
    """KVS-DURABLE-3. ext4 by default writes the data before the rename of a file over another one."""
    found = {(one["kind"], one["point"].rpartition("/")[2]) for one in report["violations"]}
    assert found == {("partial-visible", name) for name in profiles() if name != "ext4-ordered"}
    assert all(one["repair"].startswith("fdatasync '.kvc-save-") for one in report["violations"])
    assert all(one["offset"] is None and one["span"] is None for one in report["violations"]), "nothing is cut"


def test_every_violation_shows_again(report: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report), "utf-8")
    for violation in report["violations"]:
        place = tmp_path / violation["id"]
        result = run("replay", str(path), violation["id"], "--dir", str(place))
        assert result.exit_code == 0, result.output
        assert "the violation shows again" in result.output
        assert violation["name"] in [one.name for one in (place / "directory").iterdir()]


@pytest.mark.parametrize("point", ["power/0/open/power-loss#77/strict", "power/0/open/power-loss#0/zfs", "power/-1/payload/power-loss/strict"])  # fmt: skip
def test_a_point_that_does_not_exist_gets_a_clear_answer(report: dict[str, Any], point: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    changed = json.loads(json.dumps(report))
    changed["violations"][0]["point"] = point
    path.write_text(json.dumps(changed), "utf-8")
    result = run("replay", str(path), "V1", "--dir", str(tmp_path / "place"))
    assert result.exit_code == 2
    assert point in " ".join(result.output.split())
