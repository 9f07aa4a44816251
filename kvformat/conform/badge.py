"""The badge that says how much of the suite an implementation passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvformat.badge import GREEN, RED, YELLOW, Badge
from kvformat.conform.verdict import Verdict


def badge(document: Mapping[str, Any], crash: str = "") -> Badge:
    """Red where a MUST fails, known or not; green where nothing does. `crash`: the level, where it is known."""
    counts: Mapping[str, int] = document["levels"]["MUST"]
    asked = {verdict: counts[verdict] for verdict in Verdict if verdict.is_pass or verdict.is_fail}
    passed = sum(count for verdict, count in asked.items() if verdict.is_pass)
    total = sum(asked.values())
    everywhere: Mapping[str, int] = document["summary"]
    failed = any(everywhere[verdict] for verdict in Verdict if verdict.is_fail)
    colour = RED if passed < total or total == 0 else YELLOW if failed else GREEN
    message = f"{passed}/{total} MUST" + (f", {crash}" if crash else "")
    return Badge(f"KVC {document['suite']['version']}", message, colour)
