"""Which contents a file may have after a loss of power, and which of them are the right ones (KVS-POWER-3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, product
from math import prod
from operator import and_
from typing import Any, NamedTuple

from faultinject.persistence.blocks import FileSpace, Option, in_blocks
from faultinject.persistence.pieces import Pieces, cut, length, same
from faultinject.persistence.profiles import Size

STATES_MAX = 4096
"""Up to this many contents of a file all are gone through; of more, the families of KVS-CLASS-6."""

EVERY = -1
"""A label with every bit set: equal to whatever is right."""


class Choice(NamedTuple):
    """One content: `epoch` is a file of `FileSpace.earlier`, or the last one after them.

    Blocks below `latest_until` hold their latest option and the others their oldest, but for `picks`.
    """

    epoch: int
    size_bytes: int
    latest_until: int
    picks: tuple[tuple[int, int], ...] = ()


class Numbered(NamedTuple):
    """A content and its place in the order in which all are gone through."""

    number: int
    choice: Choice


@dataclass(slots=True)
class ContentClass:
    """Contents that are equal to the same references (the bits of `label`).

    states: how many. samples: the first and the last of each family.
    """

    label: int
    states: int = 0
    samples: list[Numbered] = field(default_factory=list)


class Reference:
    """A content that is right for a name. ranges: bytes that do not count, as (start, end)."""

    def __init__(self, pieces: Pieces, block_bytes: int, ranges: Sequence[tuple[int, int]] = ()) -> None:
        self.size_bytes = length(pieces)
        self._ranges = ranges
        self._block_bytes = block_bytes
        self._blocks = list(in_blocks(pieces, block_bytes))

    def holds(self, block: int, option: Option) -> bool:
        """Whether a block is right with this option; behind the end nothing is asked."""
        known = option.held.get(self)
        if known is None:
            known = option.held[self] = self._compare(block, option.pieces)
        return known

    def _compare(self, block: int, pieces: Pieces) -> bool:
        start = block * self._block_bytes
        size_bytes = min(self._block_bytes, self.size_bytes - start)
        if size_bytes <= 0:
            return True
        one, other = cut(pieces, 0, size_bytes), self._blocks[block]
        if same(one, other):
            return True
        ranges = [(max(a - start, 0), min(b - start, size_bytes)) for a, b in self._ranges]
        ranges = [(a, b) for a, b in ranges if a < b]
        return bool(ranges) and _blanked(one, size_bytes, ranges) == _blanked(other, size_bytes, ranges)


def _blanked(pieces: Pieces, size_bytes: int, ranges: list[tuple[int, int]]) -> bytes:
    content = bytearray(b"".join(pieces).ljust(size_bytes, b"\0"))
    for start, end in ranges:
        content[start:end] = bytes(end - start)
    return bytes(content)


def content_classes(space: FileSpace, references: Sequence[Reference]) -> list[ContentClass]:
    """All contents of a file at this moment, by which of the references they are equal to.

    Without references there is one class: nobody asks what is in a file that no name of an entry leads to.
    """
    found: dict[int, ContentClass] = {}
    number = 0
    for family in _families(space, references):
        items = family.items
        labels = [family.label(item) for item in items] if references else [0] * len(items)
        for label in dict.fromkeys(labels):
            known = found.setdefault(label, ContentClass(label))
            known.states += labels.count(label)
            first, last = labels.index(label), len(labels) - 1 - labels[::-1].index(label)
            known.samples += [Numbered(number + at, family.choice(items[at])) for at in dict.fromkeys((first, last))]
        number += len(items)
    return list(found.values())


def contents(space: FileSpace, references: Sequence[Reference] = ()) -> Iterator[tuple[int, Numbered]]:
    """Every content of a file at this moment with its label, in an order that does not depend on the references."""
    number = 0
    for family in _families(space, references):
        for item in family.items:
            yield family.label(item), Numbered(number, family.choice(item))
            number += 1


def content(space: FileSpace, number: int) -> Choice:
    """The content with that number. Raises IndexError where there are not so many."""
    if number >= 0:
        for family in _families(space, ()):
            if number < len(family.items):
                return family.choice(family.items[number])
            number -= len(family.items)
    raise IndexError(number)


def allowed_sizes(space: FileSpace) -> list[int]:
    """What the size of a file may be, the one now first."""
    block_bytes = space.block_bytes
    least, most = min(space.sizes), max(space.sizes)
    sizes = {*space.sizes, *range(-(-least // block_bytes) * block_bytes, most, block_bytes)}
    return sorted(sizes, key=lambda size: (size != space.size_bytes, -size))


def held_back_by(space: FileSpace, size_bytes: int) -> int | None:
    """The block that must have been written back for a size; None where none must."""
    if space.profile.size is Size.ANY or size_bytes <= space.sizes[0] or size_bytes in space.stated:
        return None
    last = (size_bytes - 1) // space.block_bytes
    return last if last < len(space.blocks) and space.blocks[last].pending else None


_Item = tuple[Any, ...]


class _Family(NamedTuple):
    """Contents of one kind: how to come from an item to the content, and to the references that it equals."""

    items: Sequence[_Item]
    choice: Callable[[_Item], Choice]
    label: Callable[[_Item], int]


def _families(space: FileSpace, references: Sequence[Reference]) -> Iterator[_Family]:
    """The contents of the file as it is, and then of what it was before truncations that may be lost."""
    spaces = [*space.earlier, space]
    for epoch in range(len(spaces) - 1, -1, -1):
        yield from _Epoch(epoch, spaces[epoch], references).families()


class _Epoch:
    """A file between two truncations."""

    def __init__(self, epoch: int, space: FileSpace, references: Sequence[Reference]) -> None:
        self._epoch = epoch
        self._space = space
        self._references = references
        self._pending = sorted(space.pending)
        self._sizes = allowed_sizes(space)
        self._now_bytes = space.size_bytes
        self._end = self._blocks(self._now_bytes)

    def families(self) -> Iterator[_Family]:
        """Every mixture of what blocks may hold, with every size; of too many, those of KVS-CLASS-6."""
        blocks = self._space.blocks
        if prod([len(blocks[index].options) for index in self._pending]) * len(self._sizes) <= STATES_MAX:
            yield from map(self._mixtures, self._sizes)
        else:
            yield from self._some()

    def _blocks(self, size_bytes: int) -> int:
        return min(len(self._space.blocks), -(-size_bytes // self._space.block_bytes))

    def _size_label(self, size_bytes: int) -> int:
        return sum([1 << bit for bit, one in enumerate(self._references) if one.size_bytes == size_bytes])

    def _flags(self, index: int) -> list[int]:
        """For every option of a block, the references that it agrees with."""
        return [
            sum([1 << bit for bit, reference in enumerate(self._references) if reference.holds(index, option)])
            for option in self._space.blocks[index].options
        ]

    def _mixtures(self, size_bytes: int) -> _Family:
        """Every combination of what the blocks below a size may hold."""
        held = held_back_by(self._space, size_bytes)
        fixed = self._size_label(size_bytes)
        free: list[list[tuple[int, int, int]]] = []
        for index in range(self._blocks(size_bytes)):
            flags = self._flags(index)
            options = self._space.blocks[index].options
            if len(options) == 1:
                fixed &= flags[0]
                continue
            allowed = [place for place, option in enumerate(options) if index != held or not option.is_lost]
            free.append([(index, place, flags[place]) for place in reversed(allowed)])
        return _Family(
            list(product(*free)),
            lambda item: Choice(self._epoch, size_bytes, 0, tuple([(index, place) for index, place, _ in item])),
            lambda item: reduce(and_, [flag for _, _, flag in item], fixed),
        )

    def _some(self) -> Iterator[_Family]:
        """Of too many contents: all written back, up to each size; up to each block in order; each block alone lost;
        each block alone written back; nothing written back (KVS-CLASS-6).
        """
        space, end, now = self._space, self._end, self._now_bytes
        flags = [self._flags(index) for index in range(len(space.blocks))]
        latest = _Except([flag[-1] for flag in flags[:end]])
        first = space.sizes[0]
        # Behind the end there may be more that is durable, which a truncation that is lost brings back.
        oldest = {size: _Except([flag[0] for flag in flags[: self._blocks(size)]]) for size in (now, first)}
        now_label = self._size_label(now)
        pending = [index for index in self._pending if index < end]
        held = held_back_by(self._space, now)
        yield _Family(
            [(size, 0) for size in self._sizes if size <= now],
            lambda item: Choice(self._epoch, item[0], len(space.blocks)),
            lambda item: latest.before(self._blocks(item[0])) & self._size_label(item[0]),
        )
        yield _Family(
            [
                (index, place)
                for index in pending
                for place, option in enumerate(space.blocks[index].options[:-1])
                if index != held or not option.is_lost
            ],
            lambda item: Choice(self._epoch, now, len(space.blocks), (item,)),
            lambda item: latest.without(item[0]) & flags[item[0]][item[1]] & now_label,
        )
        kept_bytes = self._kept_bytes

        def alone(item: _Item) -> int:
            """The label of a block that is written back, with all others as they were."""
            size = kept_bytes(item[0])
            others = oldest[size].without(item[0]) if size in oldest else oldest[now].before(item[0])
            return others & flags[item[0]][item[1]] & self._size_label(size)

        yield _Family(
            [(index, len(space.blocks[index].options) - 1) for index in pending],
            lambda item: Choice(self._epoch, kept_bytes(item[0]), 0, (item,)),
            alone,
        )
        if held is None:
            yield _Family(
                [(index, 0) for index in pending],
                lambda item: Choice(self._epoch, now, item[0]),
                lambda item: latest.before(item[0]) & oldest[now].after(item[0]) & now_label,
            )
        yield _Family(
            [(first, 0)],
            lambda item: Choice(self._epoch, item[0], 0),
            lambda item: oldest[first].after(0) & self._size_label(item[0]),
        )

    def _kept_bytes(self, index: int) -> int:
        """The size with which a block alone may be there: what holds the size back lets it grow to its end."""
        if self._space.profile.size is Size.ANY:
            return self._now_bytes
        end = min(self._now_bytes, (index + 1) * self._space.block_bytes)
        return max(end, min(self._space.sizes[0], self._now_bytes))


class _Except:
    """Flags of blocks, joined over all but one."""

    def __init__(self, flags: list[int]) -> None:
        self._before = list(accumulate(flags, and_, initial=EVERY))
        self._after = list(accumulate(reversed(flags), and_, initial=EVERY))[::-1]
        self._flags = flags

    def before(self, index: int) -> int:
        """Of the blocks below."""
        return self._before[min(index, len(self._flags))]

    def after(self, index: int) -> int:
        """Of the block and those behind it."""
        return self._after[min(index, len(self._flags))]

    def without(self, index: int) -> int:
        """Of all but one."""
        return self._before[index] & self.after(index + 1)
