"""`kvformat prove` as people and machines use it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import z3

from kvformat.proofs import theorems
from kvformat.proofs.mistakes import MISTAKES
from kvformat.proofs.system import Obligation
from kvformat.proofs.theorems import THEOREMS, Theorem
from tests.kvformat.cli_runner import run, validator


def test_the_list_has_every_theorem() -> None:
    shown = run("prove", "--list").stdout.splitlines()
    assert [line.partition(":")[0] for line in shown] == [theorem.name for theorem in THEOREMS]


def test_every_obligation_is_printed_and_the_document_is_valid(tmp_path: Path) -> None:
    out = tmp_path / "proofs.json"
    shown = run("prove", "--theorem", "remove", "--theorem", "recover", "--json", out).stdout
    document = json.loads(out.read_text())
    validator("prove").validate(document)
    assert [theorem["name"] for theorem in document["theorems"]] == ["remove", "recover"]
    for theorem in document["theorems"]:
        for obligation in theorem["obligations"]:
            assert f"  proved   {obligation['name']}\n" in shown
    assert [one["id"] for one in document["mistakes"]] == [
        "remove/no-directory-sync",
        "recover/lock-ignored",
        "recover/no-unlink",
    ]
    assert "SIGKILL" not in shown.splitlines()[-1]


def test_the_document_goes_to_standard_output_alone() -> None:
    document = json.loads(run("prove", "--theorem", "remove", "--json", "-").stdout)
    validator("prove").validate(document)


def test_quiet_shows_no_obligation_that_is_proved() -> None:
    shown = run("prove", "--theorem", "remove", "--quiet", "--no-mistakes").stdout
    assert "keeps the invariant" not in shown
    assert "obligations proved" in shown


def test_what_is_not_proved_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    a = z3.Int("a")
    wrong = Theorem("wrong", "One is two", ("KVS-INV-1",), lambda: [Obligation("wrong", "a is 1", (a > 0,), a == 1)])
    monkeypatch.setattr(theorems, "THEOREMS", (wrong,))
    shown = run("prove", "--no-mistakes", "--quiet", exit_code=1).stdout
    assert "refuted  a is 1" in shown
    assert "1 failures" in shown


def test_a_mistake_that_is_not_found_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    right = replace(next(one for one in MISTAKES if one.operation == "remove"), name="none at all")
    monkeypatch.setattr("kvformat.proofs.mistakes.MISTAKES", (right,))
    shown = run("prove", "--theorem", "remove", "--quiet", exit_code=1).stdout
    assert "NOT FOUND remove/none at all" in shown


def test_wrong_use_is_told(tmp_path: Path) -> None:
    assert "there are: save-direct" in run("prove", "--theorem", "save-everything", exit_code=2).stderr
    missing = run("prove", "--theorem", "remove", "--json", tmp_path / "no" / "proofs.json", exit_code=2)
    assert "No such file or directory" in missing.stderr


def test_without_the_solver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    assert "kvformat[proofs]" in run("prove", "--list", exit_code=2).stderr
