"""Names that differ from run to run (random, process number, time), and the one name that stands for all of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

_CLASSES = {
    "digits": "[0-9]",
    "numbers": "[0-9]+(?:[-:_.T][0-9]+)*",
    "hex digits": "[0-9a-fA-F]",
    "letters and digits": "[0-9a-zA-Z_]",
    "letters, digits and signs": "[0-9a-zA-Z_+=~@%-]",
}
"""Of which characters a part that varies may be, the narrowest first."""

_NUMBERS_BESIDE = re.compile(r"[0-9]*(?:[-:_.T][0-9]+)*", re.ASCII)
"""Other parts of a date: they will differ as well, a little later."""

_FIELDS = (re.compile("[0-9A-Za-z_]+|[^0-9A-Za-z_]"), re.compile("[0-9A-Za-z]+|[^0-9A-Za-z]"))
"""The fields of a name such as x-PID-HEX, and what stands between them; "_" may be in a random text, or between two."""

_HEX = re.compile("[0-9a-fA-F]+")

_CHANCE_CHARACTERS = 2
"""How many characters of two random names may be equal by chance where the random part begins or ends."""


@dataclass(frozen=True, slots=True)
class Varying:
    """A part of a name that varies: of which characters it is, and how long."""

    characters: str
    shortest: int
    longest: int | None

    @property
    def expression(self) -> str:
        """It as a regular expression. A number may be any number, and one of hex digits that has shown none yet."""
        if self.characters == "numbers":
            return _CLASSES["numbers"]
        longest = "" if self.longest is None else self.longest
        sized = f"{{{self.shortest},{longest}}}"
        if self.characters == "digits" and self.longest is not None:
            return f"(?:[0-9]+|{_CLASSES['hex digits']}{sized})"
        return _CLASSES[self.characters] + sized


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name with parts that vary. `fixed`: what stands before, between and behind them, one more than they are."""

    fixed: tuple[str, ...]
    varying: tuple[Varying, ...]

    @property
    def canonical(self) -> str:
        """The name that stands for all of them."""
        return "*".join(self.fixed)

    def matches(self, name: str) -> bool:
        """Whether it is one of these names."""
        return _compiled(self).fullmatch(name) is not None


@cache
def _compiled(pattern: Pattern) -> re.Pattern[str]:
    parts = [re.escape(pattern.fixed[0])]
    for part, behind in zip(pattern.varying, pattern.fixed[1:], strict=True):
        parts += [part.expression, re.escape(behind)]
    return re.compile("".join(parts), re.ASCII)


def pattern_of(one: str, other: str) -> Pattern | None:
    """The pattern of two different names of one kind; None where they have nothing in common but chance.

    What both have in front and behind is fixed, but for characters that belong to the part that varies: all digits
    next to a number, all hex digits next to a hex number, two characters next to a random text. Where several fields
    differ and one is a number, as in x-PID-HEX, each has its own characters and length.
    """
    whole = _one_part(one, other)
    if whole is not None and whole.varying[0].characters in ("digits", "numbers", "hex digits"):
        return whole
    for fields in _FIELDS:
        found = _by_fields(fields.findall(one), fields.findall(other))
        # A random text has its signs elsewhere each time; that both have them at the same places may be chance.
        if found is not None and any(part.characters == "digits" for part in found.varying):
            return found
    return whole


def pairs(some: Collection[str], others: Collection[str]) -> Iterator[tuple[str, str, Pattern]]:
    """Pairs names of two runs that have a pattern, those with the most in common first; each name once at most."""
    found = []
    for one in some:
        for other in others:
            pattern = pattern_of(one, other)
            if pattern is not None:
                found.append((-sum(map(len, pattern.fixed)), one, other, pattern))
    used: set[tuple[int, str]] = set()
    for _, one, other, pattern in sorted(found, key=lambda item: item[:3]):
        if (0, one) not in used and (1, other) not in used:
            used |= {(0, one), (1, other)}
            yield one, other, pattern


def _by_fields(some: list[str], others: list[str]) -> Pattern | None:
    """Field by field; None where the names are not made of the same fields."""
    if len(some) != len(others):
        return None
    fixed = [""]
    varying: list[Varying] = []
    for one, other in zip(some, others, strict=True):
        if one == other:
            fixed[-1] += one
            continue
        part = _field(one, other)
        if part is None:
            return None
        fixed[-1] += part.fixed[0]
        fixed.append(part.fixed[1])
        varying += part.varying
    return Pattern(tuple(fixed), tuple(varying))


def _field(one: str, other: str) -> Pattern | None:
    """What varies in one field: of a fixed length, unless it is a number."""
    size = len(one) if len(one) == len(other) else None
    if _HEX.fullmatch(one) and _HEX.fullmatch(other):
        characters = "digits" if one.isdigit() and other.isdigit() else "hex digits"
        return Pattern(("", ""), (Varying(characters, size or 1, size),))
    if not (one + other).replace("_", "").isalnum():
        return None
    part = _one_part(one, other)
    return part if part is not None and (size or part.varying[0].characters == "digits") else None


def _one_part(one: str, other: str) -> Pattern | None:
    """One part that varies between what both names begin and end with."""
    front = _common(one, other)
    back = _common(one[front:][::-1], other[front:][::-1])
    middles = one[front : len(one) - back], other[front : len(other) - back]
    if not all(middles):
        front, back, middles = _with_neighbour(one, other, front, back)
    characters = next((name for name in _CLASSES if all(_is_of(name, middle) for middle in middles)), None)
    if characters is None:
        return None
    before, after = _beside(characters, one[:front][::-1]), _beside(characters, one[len(one) - back :])
    front, back = front - before, back - after
    sizes = sorted(len(name) - front - back for name in (one, other))
    fixed = one[:front], one[len(one) - back :]
    if characters in ("digits", "numbers"):
        varying = one[front : len(one) - back]
        return Pattern(fixed, (Varying("digits" if varying.isdigit() else "numbers", 1, None),))  # 1000 follows 999
    if sizes[0] != sizes[1] and not (front or back):
        return None
    return Pattern(fixed, (Varying(characters, sizes[0], sizes[1]),))


def _is_of(characters: str, text: str) -> bool:
    return re.fullmatch(Varying(characters, 1, None).expression, text, re.ASCII) is not None


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
        match = _HEX.match(text)
    else:
        match = re.match(_CLASSES["letters and digits"] + "*", text[:_CHANCE_CHARACTERS])
    return 0 if match is None else match.end()
