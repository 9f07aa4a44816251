"""The runner knows an implementation through its adapter alone, ours too: it judges no file by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import kvformat.conform
from tests.faultinject.test_architecture import imported

ROOT = Path(kvformat.conform.__file__).parent
JUDGES = (
    "reader",
    "writer",
    "store",
    "rules",
    "schema",
    "verify",
    "sections",
    "lookup",
    "listing",
    "recovery",
    "updates",
)
SPEAKS_FOR_KVFORMAT = ("adapter.py", "adapter_views.py")


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.name)
def test_no_module_of_the_runner_uses_what_it_judges(path: Path) -> None:
    used = {name.removeprefix("kvformat.") for name in imported(path) if name.startswith("kvformat.")}
    if path.name not in SPEAKS_FOR_KVFORMAT:
        assert not used.intersection(JUDGES)
        assert not [name for name in used if name.startswith("conform.adapter")]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.name)
def test_only_commands_parse_arguments(path: Path) -> None:
    assert "click" not in imported(path)
