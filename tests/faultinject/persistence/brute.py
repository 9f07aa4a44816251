"""Loss of power by brute force, written without a look at how the package does it: every subset of what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from faultinject.persistence.blocks import STALE_BYTE
from faultinject.persistence.names import Key
from tests.faultinject.persistence.small import BLOCK_BYTES

Directory = dict[Key, int]
State = frozenset[tuple[str, int, bytes]]
"""Names with the file that each leads to and its content."""


@dataclass
class Change:
    """A name leads to another node; `needs` are changes without which it is not on the disk."""

    key: Key
    node: int | None
    needs: list[Change] = field(default_factory=list)
    durable: bool = False


@dataclass
class Model:
    """Every change, in order. On the disk is any set of them in which every need is met.

    What a name led to later covers what it led to before, so that with a change all before it of that name are there.
    """

    changes: list[Change] = field(default_factory=list)

    def add(self, *changes: Change, implied: bool = False, both: bool = False) -> None:
        if implied or both:
            changes[1].needs.append(changes[0])
        if both:
            changes[0].needs.append(changes[1])
        self.changes += changes

    def now(self, key: Key) -> int | None:
        return next((change.node for change in reversed(self.changes) if change.key == key), None)

    def keep(self, key: Key) -> None:
        """All of a name is on the disk, and what it needs."""
        waiting = [change for change in self.changes if change.key == key]
        while waiting:
            change = waiting.pop()
            if not change.durable:
                change.durable = True
                waiting += change.needs
                place = [one is change for one in self.changes].index(True)
                waiting += [one for one in self.changes[:place] if one.key == change.key]

    def directories(self) -> list[Directory]:
        found: list[Directory] = []
        for chosen in product([False, True], repeat=len(self.changes)):
            there = [change for change, is_there in zip(self.changes, chosen, strict=True) if is_there]
            if all(self._sound(change, chosen) for change in there) and all(
                is_there for change, is_there in zip(self.changes, chosen, strict=True) if change.durable
            ):
                directory = {change.key: change.node for change in there}
                found.append({key: node for key, node in directory.items() if node is not None})
        return found

    def _sound(self, change: Change, chosen: tuple[bool, ...]) -> bool:
        is_there = {id(one): has for one, has in zip(self.changes, chosen, strict=True)}
        place = [one is change for one in self.changes].index(True)
        before = [one for one in self.changes[:place] if one.key == change.key]
        return all(is_there[id(one)] for one in (*change.needs, *before))


@dataclass
class File:
    """A file whose blocks are on the disk, each for itself, as they were at any moment since the last sync."""

    content: bytes = b""
    versions: dict[int, set[bytes]] = field(default_factory=dict)
    sizes: set[int] = field(default_factory=lambda: {0})
    durable: set[int] = field(default_factory=set)

    def block(self, index: int) -> bytes:
        return self.content[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES].ljust(BLOCK_BYTES, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        touched = range(offset // BLOCK_BYTES, (offset + len(data) - 1) // BLOCK_BYTES + 1)
        for index in touched:
            if index not in self.versions:
                gone = {bytes(BLOCK_BYTES), STALE_BYTE * BLOCK_BYTES}
                self.versions[index] = {self.block(index)} if index in self.durable else gone
        before = self.content.ljust(offset, b"\0")
        self.content = before[:offset] + data + before[offset + len(data) :]
        for index in touched:
            self.versions[index].add(self.block(index))
        self.sizes.add(len(self.content))

    def sync(self) -> None:
        self.durable |= set(self.versions)
        self.versions.clear()
        self.sizes = {len(self.content)}

    def contents(self) -> set[bytes]:
        ends = {size for size in range(0, max(self.sizes), BLOCK_BYTES) if size > min(self.sizes)}
        found = set()
        for size in self.sizes | ends:
            blocks = [self.versions.get(index, {self.block(index)}) for index in range(-(-size // BLOCK_BYTES))]
            found |= {b"".join(chosen)[:size] for chosen in product(*blocks)}
        return found


def states(model: Model, files: dict[int, File]) -> set[State]:
    """Every state of one directory."""
    found = set()
    for directory in model.directories():
        nodes = sorted(set(directory.values()))
        for chosen in product(*[files[node].contents() for node in nodes]):
            content = dict(zip(nodes, chosen, strict=True))
            found.add(frozenset((name, node, content[node]) for (_, name), node in directory.items()))
    return found
