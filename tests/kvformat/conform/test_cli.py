"""The command: exit codes, files, and what people read."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from tests.kvformat.cli_runner import run, validator
from tests.kvformat.conform.running import RIGHT, leaves_nothing, wrong


def conform(*args: str | Path, exit_code: int = 0) -> str:
    """What it prints, both streams."""
    with leaves_nothing():
        return run("conform", *args, exit_code=exit_code).output


def test_all_as_expected(folder: Path, tmp_path: Path) -> None:
    outputs = {name: tmp_path / name for name in ("r.json", "r.xml", "b.svg", "b.json")}
    text = conform(
        *("--suite", folder, "--jobs", "3", "--json", outputs["r.json"], "--junit", outputs["r.xml"]),
        *("--badge", outputs["b.svg"], "--", *RIGHT),
    )
    assert re.search(r"^conforms: 21 of 21 cases that count passed$", text, re.MULTILINE)
    report = json.loads(outputs["r.json"].read_bytes())
    validator("conform").validate(report)
    assert report["ok"] is True
    assert ET.fromstring(outputs["r.xml"].read_bytes()).tag == "testsuites"
    assert ET.fromstring(outputs["b.svg"].read_bytes()).get("aria-label") == "KVC 9.1: 21/21 MUST"


def test_a_failure_is_told_with_the_words_of_its_clause(folder: Path) -> None:
    text = conform("--suite", folder, "--case", "read-t*", "--", *wrong("ignores_profile"), exit_code=1)
    assert "FAILED read-told: What read-told is about." in text
    assert "KVC-PROFILE-3 MUST A reader that is told a profile applies that one and does not guess." in text
    assert "expected  reject, unsupported-profile at header.byte20" in text
    assert "got       accept" in text
    assert "DOES NOT CONFORM: 1 of 2 cases that count passed, 1 not known" in text
    repeat = re.search(r"repeat    kvformat (conform .*)$", text, re.MULTILINE)
    assert repeat is not None
    assert "FAILED read-told" in conform(*shlex.split(repeat[1])[1:], exit_code=1)


def test_json_on_standard_output_is_all_there_is(folder: Path) -> None:
    with leaves_nothing():
        result = run("conform", "--suite", folder, "--case", "read-cut", "--json", "-", "--", *RIGHT)
    validator("conform").validate(json.loads(result.stdout))


def test_known_failures(folder: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    asked = ("--suite", folder, "--case", "read-p*", "--case", "read-cut", "--known", known)
    conform(*asked, "--", *wrong("off_by_one"), exit_code=3)
    text = conform(*asked, "--fix", "--", *wrong("off_by_one"))
    assert "0 entries removed, 1 added" in text
    assert "conforms: 1 of 2 cases that count passed, 1 known failure" in text
    conform(*asked, "--", *wrong("off_by_one"))
    text = conform(*asked, "--", *RIGHT, exit_code=1)
    assert "STALE read-plain is listed as a known failure: it passed" in text
    assert "1 entry removed, 0 added" in conform(*asked, "--fix", "--", *RIGHT)
    conform(*asked, "--", *RIGHT)


def test_a_broken_adapter_is_exit_code_2(folder: Path, tmp_path: Path) -> None:
    text = conform("--suite", folder, "--json", tmp_path / "r.json", "--", *wrong("accepts_all"), exit_code=2)
    assert "the adapter is broken: asked to read a file that every reader rejects" in text
    assert not os.listdir(tmp_path)
    assert "cannot be started" in conform("--suite", folder, "--", "/no/such", exit_code=2)


def test_an_invalid_suite_is_exit_code_3(tmp_path: Path) -> None:
    text = conform("--suite", tmp_path / "odd\n", "--", *RIGHT, exit_code=3)
    assert "no suite.toml" in text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--case", "nope*", "--", "x"), "no case of the suite is called so"),
        (("--case", "read-plain", "--profile", "ds4-abi3", "--", "x"), "no case is left"),
        (("--fix", "--", "x"), "--known"),
        (("--badge", "badge.png", "--", "x"), "FILE.svg or FILE.json"),
        (("--json", "/no/such/folder/r.json", "--", "x"), "its folder does not exist"),
        (("--jobs", "0", "--", "x"), "--jobs"),
        (("--",), "ADAPTER"),
    ],
)
def test_wrong_use_is_told_before_anything_runs(folder: Path, args: tuple[str, ...], said: str) -> None:
    assert said in conform("--suite", folder, *args, exit_code=2)


def test_options_of_the_adapter_are_its_own(folder: Path) -> None:
    conform("--suite", folder, "--case", "read-cut", *RIGHT, "--json", "--case")


def test_what_an_adapter_says_steers_no_terminal(folder: Path) -> None:
    text = conform("--suite", folder, "--case", "read-plain", "--", *wrong("says_error"), exit_code=1)
    assert "I give up\\x1b[2J" in text
    assert "standard error ends: no such library\\x1b[2J" in conform(
        "--suite", folder, "--", *wrong("dead_at_start"), exit_code=2
    )


def test_the_exported_suite_is_one(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "22 cases of suite 9.1" in conform("export", "--suite", folder, out)
    assert sorted(os.listdir(out)) == ["cases", "conformance.md", "kvc.md", "saving.md", "schemas"]
    assert sorted(os.listdir(tmp_path)) == ["out"]
    conform("--suite", out / "cases", "--case", "read-cut", "--", *RIGHT)
    assert "is there already" in conform("export", "--suite", folder, out, exit_code=2)
    assert "No such file" in conform("export", "--suite", folder, tmp_path / "no" / "such", exit_code=2)


def test_two_reports_compared(folder: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    asked = ("--suite", folder, "--case", "read-plain", "--json")
    conform(*asked, good, "--", *RIGHT)
    conform(*asked, bad, "--", *wrong("wrong_view"), exit_code=1)
    assert "0 cases changed" in conform("diff", good, good)
    assert "WORSE  read-plain: passed -> failed" in conform("diff", good, bad, exit_code=1)
    assert "other  read-plain: failed -> passed" in conform("diff", bad, good)
    assert "no report of kvformat conform" in conform("diff", good, folder / "read" / "read-plain.json", exit_code=2)


def test_a_page_of_reports_of_another_suite_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("kvformat.conform.html")
    written: list[object] = []
    monkeypatch.setattr(module, "write", lambda *args: written.append(args), raising=False)
    monkeypatch.setitem(sys.modules, "kvformat.conform.html", module)
    page, good = tmp_path / "page.html", tmp_path / "good.json"
    asked = ("--suite", folder, "--case", "read-cut", "--json", good, "--html", page)
    conform(*asked, "--", *RIGHT)
    conform("html", "--suite", folder, page, good, good)
    assert len(written) == 2
    assert "read-cut is no case of this suite" in conform("html", page, good, exit_code=2)


def test_without_the_page_nothing_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kvformat.conform.html", None)
    text = conform("--suite", folder, "--html", tmp_path / "page.html", "--", "/no/such", exit_code=2)
    assert "--html is not there" in text


def test_the_group_has_its_help(folder: Path) -> None:
    text = conform("--help")
    for word in ("export", "diff", "run", "-- ./my-adapter", "Exit codes"):
        assert word in text
