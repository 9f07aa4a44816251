"""The symbolic gate fails where it should: on silence, on a lost proof, on a canary that lives."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULE = '''
def proved(number: int) -> int:
    """Doubles.

    pre: number > 0
    post: __return__ > number
    post[]: __return__ % 2 == 0
    """
    return number * 2


def plain(number: int) -> int:
    """Has no contract."""
    return number
'''
POSTS = [6, 7]


@pytest.fixture(scope="module")
def symbolic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("symbolic", ROOT / "tools" / "symbolic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["symbolic"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _target(symbolic: ModuleType, *functions: str) -> object:
    return symbolic.Target("kvformat/some.py", frozenset(functions), "tests/canaries/some.py")


def test_contracts_are_found_by_line(symbolic: ModuleType) -> None:
    assert symbolic.contracts(MODULE) == {"proved": POSTS}


def test_all_confirmed_is_good(symbolic: ModuleType) -> None:
    said = dict.fromkeys(POSTS, symbolic.CONFIRMED)
    assert list(symbolic.unconfirmed(_target(symbolic, "proved"), MODULE, said)) == []


@pytest.mark.parametrize("message", [None, "info: Not confirmed.", "info: Unable to meet precondition.", "error: x"])
def test_anything_else_is_a_failure(symbolic: ModuleType, message: str | None) -> None:
    said = {POSTS[0]: symbolic.CONFIRMED}
    if message is not None:
        said[POSTS[1]] = message
    (line,) = symbolic.unconfirmed(_target(symbolic, "proved"), MODULE, said)
    assert line.startswith("kvformat/some.py:7: proved is not confirmed")


def test_silence_is_a_failure(symbolic: ModuleType) -> None:
    assert len(list(symbolic.unconfirmed(_target(symbolic, "proved"), MODULE, {}))) == len(POSTS)
    assert len(list(symbolic.unrefuted("tests/canaries/some.py", MODULE, {}))) == len(POSTS)


def test_the_list_and_the_module_agree(symbolic: ModuleType) -> None:
    said = dict.fromkeys(POSTS, symbolic.CONFIRMED)
    (line,) = symbolic.unconfirmed(_target(symbolic), MODULE, said)
    assert "not listed" in line
    (line,) = symbolic.unconfirmed(_target(symbolic, "proved", "plain"), MODULE, said)
    assert "plain is listed and has no contract" in line


def test_a_canary_must_be_refuted(symbolic: ModuleType) -> None:
    refuted = dict.fromkeys(POSTS, f"{symbolic.REFUTED} proved(1)")
    assert list(symbolic.unrefuted("tests/canaries/some.py", MODULE, refuted)) == []
    confirmed = dict.fromkeys(POSTS, symbolic.CONFIRMED)
    assert len(list(symbolic.unrefuted("tests/canaries/some.py", MODULE, confirmed))) == len(POSTS)
    (line,) = symbolic.unrefuted("tests/canaries/some.py", "x = 1\n", {})
    assert "there is no canary" in line


def test_output_of_other_files_does_not_count(symbolic: ModuleType) -> None:
    output = "/b/some.py:6: info: Confirmed over all paths.\n/a/some.py:7: error: false when calling f(1)\n?\n"
    assert symbolic.verdicts(output, Path("/a/some.py")) == {7: "error: false when calling f(1)"}


def test_every_target_exists_and_is_listed_in_full(symbolic: ModuleType) -> None:
    for target in symbolic.TARGETS:
        found = symbolic.contracts((ROOT / target.path).read_text(encoding="utf-8"))
        assert set(found) == target.functions
        assert symbolic.contracts((ROOT / target.canaries).read_text(encoding="utf-8"))


def test_a_run_that_fails_is_reported(symbolic: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolic.sys, "executable", "/bin/sh")  # knows no module "crosshair": exits with 2
    failures = symbolic.check(symbolic.TARGETS[0])
    assert failures
    assert "CrossHair failed" in failures[0]
