"""Which disks a loss of power may leave: crash images, chosen from a log.

Between two flushes a disk may write in any order, so that at a loss of power any of the writes since the last flush can
be missing. There are 2^n such sets for n writes. Of them are built: every prefix, all sets where n is small, else each
write alone, all but each one, and random ones; and the last write torn. Writes in another order than they came in leave
the same disk as one of the sets, with the writes missing that were overtaken.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, combinations

from faultinject.powercut.disk import Entry, Request, Survivors, Torn

_ALL_SETS_MAX = 6
"""Up to this many writes without a flush, every set of them is built."""

_SINGLE_MAX = 64
"""Up to this many writes without a flush, each is left out, and each is there alone; else as many drawn ones."""

_RANDOM_SETS = 48
"""As many random sets are built of each longer stretch without a flush."""


class Choice(StrEnum):
    """How an image was chosen."""

    PREFIX = "prefix"
    SUBSET = "subset"
    RANDOM = "random"
    TORN = "torn"


@dataclass(frozen=True, slots=True)
class Image:
    """One crash image.

    at: how much of the log had been written, at least in part, when power was lost. acknowledged: whether the program
    had reported success by then.
    """

    choice: Choice
    at: int
    survivors: Survivors
    acknowledged: bool

    def describe(self, log: Sequence[Entry]) -> str:
        """What is on the disk, for people."""
        where = f"power lost after {self.at} of {len(log)} disk requests"
        where += ", with success reported" if self.acknowledged else ""
        kept = self.survivors
        if kept.torn is not None:
            return f"{where}, the last one torn after {kept.torn.kept_bytes} of {log[kept.torn.place].size_bytes} bytes"
        missing = [
            place
            for place in range(kept.durable, self.at)
            if place not in kept.later and log[place].request is not Request.FLUSH
        ]
        if not missing:
            return where
        shown = ", ".join(map(str, missing[:8])) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        return f"{where}, without the unflushed {shown}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries between two flushes: the first and the one behind the last."""

    start: int
    end: int


def stretches(log: Sequence[Entry]) -> list[Stretch]:
    """The log between its flushes."""
    found, start = [], 0
    for place, entry in enumerate(log):
        if entry.request is Request.FLUSH:
            found.append(Stretch(start, place))
            start = place + 1
    return [*found, Stretch(start, len(log))]


def existing(log: Sequence[Entry], acknowledged_at: int, sector_bytes: int) -> int:
    """How many images the log allows: every set of unflushed entries, and their last write torn at every sector.

    The last entry of a set is in it, whole or torn, so that no set is counted twice. A disk that power can leave both
    before and after the acknowledgement counts twice, since another promise holds then.
    """
    total = 0 if acknowledged_at == 0 else 1  # nothing has reached the disk, and nobody was told of success
    told = False
    for part in stretches(log):
        if not told and acknowledged_at <= part.end:
            told = True
            total += 1 + _sets_between(log, part.start, acknowledged_at - 1, sector_bytes)
        total += _sets_between(log, part.start, part.end, sector_bytes)
    return total


def _sets_between(log: Sequence[Entry], start: int, end: int, sector_bytes: int) -> int:
    """How many sets there are with something in them."""
    return sum(_ways(log[place], sector_bytes) << (place - start) for place in range(start, end))


def _ways(entry: Entry, sector_bytes: int) -> int:
    """In how many ways it can be on the disk, at least in part."""
    return max(1, -(-entry.size_bytes // sector_bytes)) if entry.request is Request.WRITE else 1


def images(log: Sequence[Entry], acknowledged_at: int, sector_bytes: int, seed: int) -> list[Image]:
    """Images of the log: power lost at flushes, at writes, sets, torn writes, random sets; none of them twice."""
    chance = random.Random(seed)  # which sets are tried must be the same again, not hard to guess
    parts = stretches(log)
    ends = [_image(Choice.PREFIX, part.end, Survivors(part.end)) for part in parts]
    prefixes = [_image(Choice.PREFIX, at, Survivors(at)) for at in range(len(log) + 1)]
    sets = [image for part in parts for image in _sets(part, chance)]
    torn = [
        _image(Choice.TORN, place + 1, Survivors(place, torn=Torn(place, kept)))
        for part in parts
        for place in range(part.start, part.end)
        for kept in _cuts(log[place], sector_bytes)
    ]
    drawn = (image for part in parts for image in _random_sets(part, chance))
    found: dict[tuple[bool, Survivors], Image] = {}
    for image in chain(ends, prefixes, sets, torn, drawn):
        acknowledged = image.at >= acknowledged_at
        survivors = _shortest(log, image.survivors)
        found.setdefault((acknowledged, survivors), Image(image.choice, image.at, survivors, acknowledged))
    return list(found.values())


def _image(choice: Choice, at: int, survivors: Survivors) -> Image:
    return Image(choice, at, survivors, acknowledged=False)


def _shortest(log: Sequence[Entry], survivors: Survivors) -> Survivors:
    """The same disk, told in one way: as much of it as can be is durable."""
    durable, later = survivors.durable, survivors.later
    while durable < len(log):
        if later and later[0] == durable:
            later = later[1:]
        elif log[durable].request is not Request.FLUSH:
            break
        durable += 1
    return Survivors(durable, later, survivors.torn)


def chosen(listed: Sequence[Image], images_max: int, seed: int) -> list[Image]:
    """So many of the images, all kinds of them where they are too many; in the order of the list."""
    if len(listed) <= images_max:
        return list(listed)
    return [listed[place] for place in sorted(random.Random(seed).sample(range(len(listed)), images_max))]


def _sets(part: Stretch, chance: random.Random) -> Iterator[Image]:
    places = range(part.start, part.end)
    if len(places) <= _ALL_SETS_MAX:
        sets = chain.from_iterable(combinations(places, count) for count in range(len(places) + 1))
    else:
        single = places if len(places) <= _SINGLE_MAX else sorted(chance.sample(places, _SINGLE_MAX))
        without = (tuple(one for one in places if one != missing) for missing in single)
        sets = chain(without, ((one,) for one in single))
    for kept in sets:
        yield _image(Choice.SUBSET, part.end, Survivors(part.start, kept))


def _random_sets(part: Stretch, chance: random.Random) -> Iterator[Image]:
    if part.end - part.start <= _ALL_SETS_MAX:
        return
    for _ in range(_RANDOM_SETS):
        end = chance.randint(part.start + 1, part.end)
        kept = tuple(place for place in range(part.start, end) if chance.random() < 0.5)
        yield _image(Choice.RANDOM, end, Survivors(part.start, kept))


def _cuts(entry: Entry, sector_bytes: int) -> list[int]:
    """Where a write is torn: after its first sector, in the middle, before its last one."""
    sectors = entry.size_bytes // sector_bytes
    if entry.request is not Request.WRITE or sectors < 2:
        return []
    return [sectors_kept * sector_bytes for sectors_kept in sorted({1, sectors // 2, sectors - 1})]
