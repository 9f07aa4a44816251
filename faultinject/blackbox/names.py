"""Names that differ from run to run (random, process number, time), and the one name that stands for all of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_CLASSES = (
    ("digits", re.compile(r"[0-9]+", re.ASCII)),
    ("numbers", re.compile(r"[0-9]+(?:[-:_.T][0-9]+)*", re.ASCII)),
    ("hex digits", re.compile(r"[0-9a-fA-F]+", re.ASCII)),
    ("letters and digits", re.compile(r"[0-9a-zA-Z_]+", re.ASCII)),
    ("letters, digits and signs", re.compile(r"[0-9a-zA-Z_+=~@%-]+", re.ASCII)),
)

_NUMBERS_BESIDE = re.compile(r"[0-9]*(?:[-:_.T][0-9]+)*", re.ASCII)
"""Other parts of a date: they will differ as well, a little later."""

_CHANCE_CHARACTERS = 2
"""How many characters of two random names may be equal by chance where the random part begins or ends."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name with a part that varies, between `prefix` and `suffix`: how long it is, and of which characters."""

    prefix: str
    suffix: str
    characters: str
    shortest: int
    longest: int | None

    @property
    def canonical(self) -> str:
        """The name that stands for all of them."""
        return f"{self.prefix}*{self.suffix}"

    def matches(self, name: str) -> bool:
        """Whether it is one of these names."""
        size = len(name) - len(self.prefix) - len(self.suffix)
        if size < self.shortest or (self.longest is not None and size > self.longest):
            return False
        if not name.startswith(self.prefix) or not name.endswith(self.suffix):
            return False
        middle = name[len(self.prefix) : len(self.prefix) + size]
        return dict(_CLASSES)[self.characters].fullmatch(middle) is not None


def pattern_of(one: str, other: str) -> Pattern | None:
    """The pattern of two different names of one kind; None where they have nothing in common but chance.

    What both have in front and behind is fixed, but for characters that belong to the part that varies: all digits
    next to a number, all hex digits next to a hex number, two characters next to a random text.
    """
    front = _common(one, other)
    back = _common(one[front:][::-1], other[front:][::-1])
    middles = one[front : len(one) - back], other[front : len(other) - back]
    if not all(middles):
        front, back, middles = _with_neighbour(one, other, front, back)
    characters = next((name for name, those in _CLASSES if all(those.fullmatch(middle) for middle in middles)), None)
    if characters is None:
        return None
    before, after = _beside(characters, one[:front][::-1]), _beside(characters, one[len(one) - back :])
    front, back = front - before, back - after
    sizes = sorted(len(name) - front - back for name in (one, other))
    prefix, suffix = one[:front], one[len(one) - back :]
    if characters in ("digits", "numbers"):
        varying = one[front : len(one) - back]
        return Pattern(prefix, suffix, "digits" if varying.isdigit() else "numbers", 1, None)  # 1000 follows 999
    if sizes[0] != sizes[1] and not (front or back):
        return None
    return Pattern(prefix, suffix, characters, sizes[0], sizes[1])


def pairs(some: Collection[str], others: Collection[str]) -> Iterator[tuple[str, str, Pattern]]:
    """Pairs names of two runs that have a pattern, those with the most in common first; each name once at most."""
    found = []
    for one in some:
        for other in others:
            pattern = pattern_of(one, other)
            if pattern is not None:
                found.append((-len(pattern.prefix) - len(pattern.suffix), one, other, pattern))
    used: set[tuple[int, str]] = set()
    for _, one, other, pattern in sorted(found, key=lambda item: item[:3]):
        if (0, one) not in used and (1, other) not in used:
            used |= {(0, one), (1, other)}
            yield one, other, pattern


def _common(one: str, other: str) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _with_neighbour(one: str, other: str, front: int, back: int) -> tuple[int, int, tuple[str, str]]:
    """Where one name is the other with more digits in it (1 and 11), a digit beside the difference belongs to it."""
    if front and one[front - 1].isdigit():
        front -= 1
    elif back and one[len(one) - back].isdigit():
        back -= 1
    return front, back, (one[front : len(one) - back], other[front : len(other) - back])


def _beside(characters: str, text: str) -> int:
    """How many characters at the beginning of `text` belong to the varying part that stands before it."""
    if characters in ("digits", "numbers"):
        match = _NUMBERS_BESIDE.match(text)
    elif characters == "hex digits":
        match = dict(_CLASSES)[characters].match(text)
    else:
        match = dict(_CLASSES)["letters and digits"].match(text[:_CHANCE_CHARACTERS])
    return 0 if match is None else match.end()
