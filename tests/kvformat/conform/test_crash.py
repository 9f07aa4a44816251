"""Joined reports on the page: the crash-safety level stands beside the implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kvformat.conform.crash import SCHEMA, crash_words
from kvformat.conform.document import DocumentError, load

CRASH: dict[str, Any] = {
    "claimed": True,
    "reason": None,
    "level": "L0",
    "verdict": "violated",
    "living": [{"kind": "live-temp-removed"}],
    "report": {"violations": [{"kind": "partial-visible"}, {"kind": "partial-visible"}]},
}


def test_it_says_the_level_and_each_kind_once() -> None:
    assert crash_words(CRASH) == "L0: partial-visible, live-temp-removed"
    undecided = {**CRASH, "level": None, "verdict": "not-measured", "living": [], "report": {"violations": []}}
    assert crash_words(undecided) == "not decided (not-measured)"
    assert crash_words({"claimed": False, "reason": "a reader"}) == "not claimed: a reader"


@pytest.mark.parametrize("crash", [None, {}, {"claimed": True}, {**CRASH, "report": None}, {**CRASH, "living": [1]}])
def test_what_is_no_crash_safety_is_no_report(crash: object, tmp_path: Path) -> None:
    path = tmp_path / "joined.json"
    path.write_text(json.dumps({"schema": SCHEMA, "conformance": {}, "crash": crash}))
    with pytest.raises(DocumentError, match="crash safety"):
        load(path)
