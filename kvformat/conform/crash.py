"""What a joined report (`faultinject conform --json`) says of crash safety, as the HTML page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA = "faultinject-conform/1"
"""Of a joined report: a report of kvformat conform under `conformance`, and `crash` beside it."""


def crash_words(crash: Mapping[str, Any]) -> str:
    """The level, and what was found. Raises KeyError, TypeError or AttributeError where it says none of that."""
    if not crash["claimed"]:
        return f"not claimed: {crash['reason']}"
    report = crash["report"]
    kinds = dict.fromkeys(str(one["kind"]) for one in (*report["violations"], *crash["living"]))
    said = crash["level"] or f"not decided ({crash['verdict']})"
    return f"{said}: {', '.join(kinds)}" if kinds else str(said)
