"""Views compared: where the one got differs from the one expected, by path (spec/conformance.md, chapter 3)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

_SHOWN = 100
DIFFERENCES_MAX = 20
"""How many are told of one view; a shifted list has thousands."""


def differences(expected: Mapping[str, object], got: Mapping[str, object]) -> list[str]:
    """One sentence for each place where `got` is not as expected; keys that only `got` has are none."""
    found: list[str] = []
    for sentence in _compare(expected, got, ""):
        if len(found) == DIFFERENCES_MAX:
            found.append("and more")
            break
        found.append(sentence)
    return found


def _compare(expected: object, got: object, path: str) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key, value in expected.items():
            inner = f"{path}.{key}" if path else str(key)
            if key in got:
                yield from _compare(value, got[key], inner)
            else:
                yield f"{inner}: missing, expected {_shown(value)}"
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{path}: {len(got)} elements, expected {len(expected)}: {_shown(expected)}, got {_shown(got)}"
            return
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _compare(one, other, f"{path}[{index}]")
    # Python takes true for 1 and 1.0 for 1; JSON does not.
    elif type(expected) is not type(got) or expected != got:
        yield f"{path}: {_shown(got)}, expected {_shown(expected)}"


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
