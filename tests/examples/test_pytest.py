"""The examples of docs/pytest.md: each finds what is wrong, and passes what is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

EXAMPLES = Path(__file__).parents[2] / "examples/pytest"


@pytest.mark.parametrize("name", ["settings", "arrays", "kvc"])
def test_examples_find_what_is_wrong_and_pass_what_is_right(pytester: pytest.Pytester, name: str) -> None:
    if name == "arrays":
        pytest.importorskip("numpy")
    for file in (EXAMPLES / name).glob("*.py"):
        (pytester.path / file.name).write_text(file.read_text("utf-8"), "utf-8")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_*.py::test_wrong*"])
    wanted = {"settings": {"temp-leaked", "partial-visible", "lost-after-ack"}, "arrays": {"partial-visible"}}
    kinds = set(re.findall(r"^E +([a-z-]+) \(KVS-INV-\d\)", result.stdout.str(), re.MULTILINE))
    assert kinds == wanted.get(name, {"lost-after-ack", "partial-visible"})
