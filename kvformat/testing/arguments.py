"""What the strategies take as arguments: sizes and counts that are checked where a strategy is made."""

from __future__ import annotations

from collections.abc import Iterable


def check_range(what: str, least: int, most: int, *, floor: int = 0, ceiling: int | None = None) -> None:
    """Raises ValueError unless floor <= least <= most <= ceiling. `what` names both arguments, as "text_bytes"."""
    if least < floor:
        raise ValueError(f"min_{what} is {least}, it must be at least {floor}")
    if most < least:
        raise ValueError(f"max_{what} is {most} and min_{what} is {least}: nothing lies between them")
    if ceiling is not None and most > ceiling:
        raise ValueError(f"max_{what} is {most}, the format ends at {ceiling}")


def check_known(what: str, value: str, known: Iterable[str]) -> None:
    """Raises ValueError unless `value` is one of the `known` ones."""
    listed = sorted(known)
    if value not in listed:
        raise ValueError(f"there is no {what} {value!r}; there are {', '.join(listed)}")
