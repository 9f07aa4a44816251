"""The names in directories as power loss sees them: which file each may lead to (KVS-POWER-4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from faultinject.persistence.profiles import Order

CHOICES_MAX = 1024
"""Up to this many combinations of lost and kept names are all gone through; above, those of KVS-CLASS-6."""

Key = tuple[int, str]
"""A name in a directory: the directory's node, and the name."""


class Version(NamedTuple):
    """What a name leads to from `time` on: a node, or nothing."""

    time: int
    node: int | None


class Implied(NamedTuple):
    """Where the change of `key` at `time` is on the disk, that of `other` at `time` is as well."""

    key: Key
    other: Key
    time: int


NameChoice = tuple[tuple[Key, int], ...]
"""For every name with a choice, which of its versions is on the disk."""


class NameSpace:
    """Every name with what it may lead to, oldest first; the first is durable, the last is the one now."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._versions: dict[Key, list[Version]] = {}
        self._implied: list[Implied] = []
        self._pending: dict[Key, None] = {}
        self.time = 0

    def start(self, key: Key, node: int) -> None:
        """A name that is there, durably, before anything happens."""
        self._versions[key] = [Version(0, node)]

    def now(self, key: Key) -> int | None:
        """What the name leads to now."""
        versions = self._versions.get(key)
        return versions[-1].node if versions else None

    def time_of(self, key: Key, choice: NameChoice) -> int:
        """Since when the name leads where it leads in a choice."""
        versions = self._versions[key]
        return versions[dict(choice).get(key, len(versions) - 1)].time

    def names_of(self, node: int) -> list[Key]:
        """Names that lead to a node now."""
        return [key for key, versions in self._versions.items() if versions[-1].node == node]

    def set(self, *changes: tuple[Key, int | None], implied: bool = False, both: bool = False) -> None:
        """One operation: names lead to something else from now on.

        implied: where the second change is on the disk, the first is, as of a rename the removal of the old name.
        both: neither is without the other.
        """
        self.time += 1
        for key, node in changes:
            self._versions.setdefault(key, [Version(0, None)]).append(Version(self.time, node))
            self._pending[key] = None
        if implied or both:
            self._implied.append(Implied(changes[1][0], changes[0][0], self.time))
        if both:
            self._implied.append(Implied(changes[0][0], changes[1][0], self.time))

    def sync(self, directory: int) -> None:
        """Every change of a name in that directory is on the disk."""
        self._settle([key for key in self._pending if key[0] == directory])

    def sync_names_of(self, node: int) -> None:
        """The names that the file has now are on the disk, and what comes with them."""
        self._settle([key for key in self._pending if self.now(key) == node])

    def sync_all(self) -> None:
        """Every change so far is on the disk."""
        self._settle(list(self._pending))

    @property
    def is_durable(self) -> bool:
        """Whether there is only one choice left."""
        return not self._pending

    def _settle(self, keys: list[Key]) -> None:
        for key in keys:
            self._drop_before(key, self._versions[key][-1].time)

    def _drop_before(self, key: Key, time: int) -> None:
        """The version of that time is on the disk, and what has to be there with it."""
        versions = self._versions[key]
        keep = max((place for place, version in enumerate(versions) if version.time <= time), default=0)
        if not keep:
            return
        reached = versions[keep].time
        del versions[:keep]
        if len(versions) == 1:
            self._pending.pop(key, None)
        for implied in self._implied:
            if implied.key == key and implied.time <= reached:
                self._drop_before(implied.other, implied.time)

    def choices(self) -> Iterator[NameChoice]:
        """Every combination of names that may be on the disk; the one now is the first, the oldest the last."""
        keys = list(self._pending)
        if self._order is Order.JOURNAL:
            yield from self._prefixes(keys)
            return
        sizes = [len(self._versions[key]) for key in keys]
        combinations = 1
        for size in sizes:
            combinations *= size
        if combinations <= CHOICES_MAX:
            picks: Iterator[tuple[int, ...]] = product(*[range(size - 1, -1, -1) for size in sizes])
        else:
            picks = self._families(keys)
        for pick in picks:
            if self._possible(keys, pick):
                yield tuple(zip(keys, pick, strict=True))

    def _prefixes(self, keys: list[Key]) -> Iterator[NameChoice]:
        times = {version.time for key in keys for version in self._versions[key][1:]}
        for time in [*sorted(times, reverse=True), 0]:
            yield tuple((key, self._at(key, time)) for key in keys)

    def _families(self, keys: list[Key]) -> Iterator[tuple[int, ...]]:
        """Prefixes in the order of the changes; each name alone lost, and each alone kept."""
        found: dict[tuple[int, ...], None] = {}
        for choice in self._prefixes(keys):
            found[tuple(place for _, place in choice)] = None
        latest, oldest = [len(self._versions[key]) - 1 for key in keys], [0] * len(keys)
        for place, last in enumerate(latest):
            for other in range(last):
                found[tuple(other if at == place else pick for at, pick in enumerate(latest))] = None
            for other in range(1, last + 1):
                found[tuple(other if at == place else pick for at, pick in enumerate(oldest))] = None
        return iter(found)

    def _at(self, key: Key, time: int) -> int:
        """The version of a name that a journal up to `time` gives; what is durable stays."""
        return max((place for place, version in enumerate(self._versions[key]) if version.time <= time), default=0)

    def _possible(self, keys: list[Key], pick: tuple[int, ...]) -> bool:
        if not self._implied:
            return True
        chosen = {key: self._versions[key][place].time for key, place in zip(keys, pick, strict=True)}
        for implied in self._implied:
            if implied.key in chosen and chosen[implied.key] >= implied.time:
                other = chosen.get(implied.other)
                if other is not None and other < implied.time:
                    return False
        return True

    def resolved(self, choice: NameChoice) -> dict[Key, int]:
        """Every name that is there in a choice, with its node."""
        found = {}
        picks = dict(choice)
        for key, versions in self._versions.items():
            node = versions[picks[key]].node if key in picks else versions[-1].node
            if node is not None:
                found[key] = node
        return found
