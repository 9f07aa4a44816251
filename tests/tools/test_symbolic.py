"""The symbolic gate fails where it should: on silence, on a lost proof, on a canary that lives."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
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
    failures = symbolic.check(symbolic.TARGETS[:1])
    assert len(failures) == len(symbolic.STEPS)
    assert all("CrossHair failed" in failure for failure in failures)


def test_a_run_that_takes_too_long_is_reported(symbolic: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolic, "SECONDS_MAX", 0.01)
    assert "took more than" in symbolic.check(symbolic.TARGETS[:1])[0]


def test_twins_have_the_same_precondition_and_promise_nothing(symbolic: ModuleType) -> None:
    twins = symbolic.emptied(_target(symbolic, "proved"), MODULE)
    assert list(symbolic.contracts(twins)) == ["emptied_proved"]
    assert "pre: number > 0" in twins
    assert [line.strip() for line in twins.splitlines() if "post" in line] == ["post: False"]


@pytest.mark.parametrize("message", [None, "info: Confirmed over all paths.", "info: Unable to meet precondition."])
def test_a_contract_of_nothing_is_a_failure(symbolic: ModuleType, message: str | None) -> None:
    target = _target(symbolic, "proved")
    twins = symbolic.emptied(target, MODULE)
    (number,) = symbolic.contracts(twins)["emptied_proved"]
    (line,) = symbolic.vacuous(target, MODULE, twins, {} if message is None else {number: message})
    assert line.startswith("kvformat/some.py: proved has a vacuous contract")
    assert list(symbolic.vacuous(target, MODULE, twins, {number: f"{symbolic.REFUTED} emptied_proved(1)"})) == []


CANARY = '''
import some


def never_four(number: int) -> int:
    """Doubles.

    pre: number > 0
    post: __return__ != 4
    """
    return some.proved(number)
'''


@pytest.fixture
def small(symbolic: ModuleType, tmp_path: Path) -> Callable[..., list[str]]:
    """The gate itself, with CrossHair, on a module and a canary of a few lines."""

    def checked(module: str = MODULE, canary: str = CANARY) -> list[str]:
        (tmp_path / "some.py").write_text(module, encoding="utf-8")
        (tmp_path / "canary.py").write_text(canary, encoding="utf-8")
        target = symbolic.Target("some.py", frozenset({"proved"}), "canary.py")
        found: list[str] = symbolic.check([target], tmp_path)
        return found

    return checked


def test_a_good_module_passes(small: Callable[..., list[str]]) -> None:
    assert small() == []


@pytest.mark.parametrize("wrong", ["number * 3", "number * 2 if number != 987654321 else 1"])
def test_a_planted_bug_is_found(small: Callable[..., list[str]], wrong: str) -> None:
    assert any(
        "proved is not confirmed: error: false when calling" in line for line in small(_mutated("number * 2", wrong))
    )


def test_a_contract_that_is_gone_is_missed(small: Callable[..., list[str]]) -> None:
    module = "\n".join(line for line in MODULE.splitlines() if "post" not in line)
    assert any("proved is listed and has no contract" in line for line in small(module))


@pytest.mark.parametrize("condition", ["False", "number > 0 and number < 0", "number * number == -1"])
def test_a_contract_that_becomes_vacuous_is_found(small: Callable[..., list[str]], condition: str) -> None:
    assert any("proved has a vacuous contract" in line for line in small(_mutated("number > 0", condition, count=1)))


def test_a_function_that_only_raises_has_a_vacuous_contract(small: Callable[..., list[str]]) -> None:
    module = _mutated("pre: number > 0", "raises: ValueError").replace("return number * 2", 'raise ValueError("never")')
    said = small(module)
    assert any("proved has a vacuous contract" in line and "Confirmed" in line for line in said)
    assert not any("proved is not confirmed" in line for line in said)


def test_a_checker_that_falls_over_is_reported(small: Callable[..., list[str]]) -> None:
    module = _mutated("pre: number > 0", "raises: ValueError").replace("return number * 2", "raise ValueError(number)")
    assert any("CrossHair failed with 1" in line and "CrossHairInternal" in line for line in small(module))


def test_contracts_of_callees_are_not_taken_for_vacuous(small: Callable[..., list[str]]) -> None:
    caller = MODULE.replace("def proved", "def proved2").replace("number * 2", "proved(number)")
    assert [line for line in small(MODULE + caller) if "not listed" not in line] == []


def test_a_canary_that_lives_is_found(small: Callable[..., list[str]]) -> None:
    (line,) = small(canary=CANARY.replace("!= 4", "!= 5"))
    assert "the canary never_four is not refuted" in line


def test_silence_of_crosshair_is_found(small: Callable[..., list[str]]) -> None:
    said = small(_mutated("    return number * 2", "    # crosshair: off\n    return number * 2"))
    assert any("proved is not confirmed: nothing was said of it" in line for line in said)


def _mutated(old: str, new: str, *, count: int = -1) -> str:
    assert old in MODULE
    return MODULE.replace(old, new, count)
