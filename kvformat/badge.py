"""A badge, two words beside each other: SVG, or the JSON that shields.io draws."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape

GREEN, YELLOW, RED = "#3a7d0a", "#8a6500", "#b3261e"
"""Dark enough for white letters (a contrast of 4.5 to 1)."""

SUFFIXES = (".svg", ".json")
"""Endings of the files that a badge can be written to."""

_LETTER = 7
_PADDING = 8


@dataclass(frozen=True, slots=True)
class Badge:
    """What it says: a label, and a message on one of the colours."""

    label: str
    message: str
    colour: str

    def rendered(self, path: str) -> bytes:
        """In the form that the ending of the path asks for."""
        return self.svg() if path.endswith(".svg") else self.shields()

    def shields(self) -> bytes:
        """The endpoint format of shields.io (schemaVersion 1)."""
        endpoint = {"schemaVersion": 1, "label": self.label, "message": self.message, "color": self.colour}
        return json.dumps(endpoint, indent=2).encode("ascii") + b"\n"

    def svg(self) -> bytes:
        """A picture of its own: no font or file from elsewhere."""
        left, right = (_LETTER * len(text) + 2 * _PADDING for text in (self.label, self.message))
        title = escape(f"{self.label}: {self.message}")
        size = f'width="{left + right}" height="20"'
        edge = f"M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z"
        return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">
<title>{title}</title>
<rect {size} rx="3" fill="#444"/>
<path d="{edge}" fill="{self.colour}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{left / 2:g}" y="14" textLength="{left - 2 * _PADDING}">{escape(self.label)}</text>
<text x="{left + right / 2:g}" y="14" textLength="{right - 2 * _PADDING}">{escape(self.message)}</text>
</g>
</svg>
""".encode()
