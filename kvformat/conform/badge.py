"""A badge that says how much of the suite an implementation passes: SVG, or the JSON that shields.io draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from kvformat.conform.verdict import Verdict

_GREEN, _YELLOW, _RED = "#3a7d0a", "#8a6500", "#b3261e"
"""Dark enough for white letters (a contrast of 4.5 to 1)."""

_LETTER = 7
_PADDING = 8


def shields(document: Mapping[str, Any], crash: str = "") -> bytes:
    """The endpoint format of shields.io (schemaVersion 1). `crash`: the crash-safety level, where it is known."""
    label, message, colour = _words(document, crash)
    endpoint = {"schemaVersion": 1, "label": label, "message": message, "color": colour}
    return json.dumps(endpoint, indent=2).encode("ascii") + b"\n"


def svg(document: Mapping[str, Any], crash: str = "") -> bytes:
    """A picture of its own: no font or file from elsewhere."""
    label, message, colour = _words(document, crash)
    left, right = (_LETTER * len(text) + 2 * _PADDING for text in (label, message))
    title = escape(f"{label}: {message}")
    size = f'width="{left + right}" height="20"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">
<title>{title}</title>
<rect {size} rx="3" fill="#444"/>
<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" fill="{colour}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{left / 2:g}" y="14" textLength="{left - 2 * _PADDING}">{escape(label)}</text>
<text x="{left + right / 2:g}" y="14" textLength="{right - 2 * _PADDING}">{escape(message)}</text>
</g>
</svg>
""".encode()


def _words(document: Mapping[str, Any], crash: str) -> tuple[str, str, str]:
    """What it says, and in which colour: red where a MUST fails, known or not; green where nothing does."""
    counts: Mapping[str, int] = document["levels"]["MUST"]
    asked = {verdict: counts[verdict] for verdict in Verdict if verdict.is_pass or verdict.is_fail}
    passed = sum(count for verdict, count in asked.items() if verdict.is_pass)
    total = sum(asked.values())
    everywhere: Mapping[str, int] = document["summary"]
    failed = any(everywhere[verdict] for verdict in Verdict if verdict.is_fail)
    colour = _RED if passed < total or total == 0 else _YELLOW if failed else _GREEN
    return f"KVC {document['suite']['version']}", f"{passed}/{total} MUST" + (f", {crash}" if crash else ""), colour
