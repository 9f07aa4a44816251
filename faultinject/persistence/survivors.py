"""The states that a loss of power may leave at one moment, in classes that are judged alike (KVS-POWER-6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import prod

from faultinject.persistence.blocks import Fate, FileSpace
from faultinject.persistence.contents import (
    Choice,
    ContentClass,
    Numbered,
    Reference,
    content,
    content_classes,
    contents,
)
from faultinject.persistence.machine import Machine, NodeKind
from faultinject.persistence.names import NameChoice
from faultinject.persistence.pieces import Pieces

COMBINATIONS_MAX = 64
"""Where several files are pending: up to this many combinations of classes; above, one file at a time (KVS-CLASS-6)."""

SAMPLES_MAX = 4
"""So many states of a class are put together and judged."""

References = Callable[[str], Sequence[Reference]]
"""For a path, the contents that are right there; none where nobody asks for its content."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """One state: which names are on the disk, and what each file has that is not all there.

    number: the place of the names among all that may be, and of each file's content among its own, as "2.17".
    """

    number: str
    names: NameChoice
    contents: tuple[tuple[int, Choice], ...]


@dataclass(frozen=True, slots=True)
class StateClass:
    """States that are judged alike: some of them, how many there are, and each of them."""

    survivors: tuple[Survivor, ...]
    states: int
    every: Callable[[], Iterator[Survivor]]


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes of a file that has survived; between extents there are zeros."""

    offset: int
    pieces: Pieces


@dataclass(frozen=True, slots=True)
class Survived:
    """A file, directory or other thing in a state. given: see `StartNode`; touched: whether it may differ from it."""

    node: int
    kind: NodeKind
    given: object
    touched: bool
    size_bytes: int = 0
    extents: tuple[Extent, ...] = ()


class _Pending:
    """A file with more than one content, where the names are as they are."""

    __slots__ = ("classes", "node", "references", "space")

    def __init__(self, node: int, space: FileSpace, references: Sequence[Reference]) -> None:
        self.node = node
        self.space = space
        self.references = references
        self.classes = content_classes(space, references)

    def every(self, label: int) -> Iterator[Numbered]:
        """Each content of a class."""
        return (numbered for other, numbered in contents(self.space, self.references) if other == label)


def state_classes(machine: Machine, references: References) -> Iterator[StateClass]:
    """Every state that a loss of power at this moment may leave, in classes; the first has everything.

    `every` of a class is good until the machine goes on.
    """
    known: dict[tuple[int, int, tuple[int, ...]], _Pending] = {}
    for place, names in enumerate(machine.names.choices()):
        pending = []
        for node, space, paths in _unsettled(machine, names):
            wanted = [reference for path in paths for reference in references(path)]
            key = node, id(space), tuple(map(id, wanted))
            if key not in known:
                known[key] = _Pending(node, space, wanted)
            pending.append(known[key])
        for combination in _combinations([one.classes for one in pending]):
            yield _state_class(place, names, pending, combination)


def _unsettled(machine: Machine, names: NameChoice) -> Iterator[tuple[int, FileSpace, list[str]]]:
    """The files with more than one content, where names are as in a choice; with their paths, in a fixed order."""
    paths_of: dict[int, list[str]] = {}
    for path, node in machine.paths(names).items():
        paths_of.setdefault(node, []).append(path)
    for node in sorted(paths_of):
        space = machine.space_in(node, names)
        if space is not None and not space.is_durable:
            yield node, space, paths_of[node]


def _combinations(classes: list[list[ContentClass]]) -> Iterator[tuple[ContentClass, ...]]:
    if prod([len(found) for found in classes]) <= COMBINATIONS_MAX:
        yield from product(*classes)
        return
    first = tuple(found[0] for found in classes)
    yield first
    for place, found in enumerate(classes):
        for other in found[1:]:
            yield (*first[:place], other, *first[place + 1 :])
    last = tuple(found[-1] for found in classes)
    if sum(one is not other for one, other in zip(first, last, strict=True)) > 1:
        yield last


def _state_class(
    place: int, names: NameChoice, pending: list[_Pending], combination: tuple[ContentClass, ...]
) -> StateClass:
    def survivor(numbered: Sequence[Numbered]) -> Survivor:
        number = ".".join(map(str, [place, *[one.number for one in numbered]]))
        chosen = tuple((file.node, one.choice) for file, one in zip(pending, numbered, strict=True))
        return Survivor(number, names, chosen)

    def every() -> Iterator[Survivor]:
        streams = [file.every(found.label) for file, found in zip(pending, combination, strict=True)]
        return map(survivor, product(*streams))

    samples = [_spread(found.samples) for found in combination]
    longest = max((len(of) for of in samples), default=1)
    survivors = [survivor([of[at % len(of)] for of in samples]) for at in range(longest)]
    return StateClass(tuple(survivors), prod([found.states for found in combination]), every)


def _spread(samples: list[Numbered]) -> list[Numbered]:
    """Some of them, from the first to the last."""
    if len(samples) <= SAMPLES_MAX:
        return samples
    return [samples[place * (len(samples) - 1) // (SAMPLES_MAX - 1)] for place in range(SAMPLES_MAX)]


def survivor_numbered(machine: Machine, number: str) -> Survivor:
    """The state with that number at this moment. Raises IndexError where there is none, ValueError for no number."""
    place, *rest = map(int, number.split("."))
    names = next(islice(machine.names.choices(), place, None), None)
    if names is None:
        raise IndexError(number)
    files = list(_unsettled(machine, names))
    if len(files) != len(rest):
        raise IndexError(number)
    chosen = [(node, content(space, which)) for (node, space, _), which in zip(files, rest, strict=True)]
    return Survivor(number, names, tuple(chosen))


def survived(machine: Machine, survivor: Survivor, changing: int | None = None) -> Mapping[str, Survived]:
    """The directories in a state: every path with what is there. changing: a node that is about to be touched."""
    contents = dict(survivor.contents)
    found = {}
    for path, number in machine.paths(survivor.names).items():
        node = machine.nodes[number]
        space = machine.space_in(number, survivor.names)
        if space is None or not (node.touched or number == changing):
            found[path] = Survived(number, node.kind, node.given, node.touched)
            continue
        choice = contents.get(number) or Choice(len(space.earlier), space.size_bytes, len(space.blocks))
        found[path] = Survived(number, node.kind, node.given, True, choice.size_bytes, _extents(space, choice))
    return found


def _extents(space: FileSpace, choice: Choice) -> tuple[Extent, ...]:
    space = [*space.earlier, space][choice.epoch]
    block_bytes = space.block_bytes
    picks = dict(choice.picks)
    found = []
    for index in range(min(len(space.blocks), -(-choice.size_bytes // block_bytes))):
        options = space.blocks[index].options
        option = options[picks.get(index, len(options) - 1 if index < choice.latest_until else 0)]
        if option.pieces:
            found.append(Extent(index * block_bytes, option.pieces))
    return tuple(found)


def described(machine: Machine, survivor: Survivor) -> str:
    """What of the recorded changes is missing in a state, in words."""
    now = machine.paths(_latest(machine))
    there = machine.paths(survivor.names)
    lost = [f"the name {path!r} is not there" for path in now if path not in there]
    lost += [f"{path!r} is still there" for path in there if path not in now]
    lost += [f"{path!r} is still the old file" for path in there if path in now and now[path] != there[path]]
    for number, choice in survivor.contents:
        space = machine.space_in(number, survivor.names)
        names = [path for path, other in there.items() if other == number]
        if space is not None and names:
            what = _missing(space, choice)
            lost += [f"of {names[0]!r} {what}"] if what else []
    return "; ".join(lost) or "all that was done so far is on the disk"


def _latest(machine: Machine) -> NameChoice:
    return next(machine.names.choices())


def _missing(space: FileSpace, choice: Choice) -> str:
    epoch = [*space.earlier, space][choice.epoch]
    if epoch is not space:
        return "a truncation and all after it are lost"
    picks = dict(choice.picks)
    block_bytes = space.block_bytes
    runs: list[tuple[int, int, Fate]] = []
    for index in range(min(len(space.blocks), -(-choice.size_bytes // block_bytes))):
        options = space.blocks[index].options
        place = picks.get(index, len(options) - 1 if index < choice.latest_until else 0)
        if place % len(options) == len(options) - 1:
            continue
        fate = options[place].fate
        if runs and runs[-1][1] == index and runs[-1][2] is fate:
            runs[-1] = runs[-1][0], index + 1, fate
        else:
            runs.append((index, index + 1, fate))
    what = [] if choice.size_bytes == space.size_bytes else [f"only {choice.size_bytes} of {space.size_bytes} bytes"]
    for start, end, fate in runs[:3]:
        last = min(end * block_bytes, choice.size_bytes) - 1
        reads = "an earlier content" if fate in (Fate.WRITTEN, Fate.DURABLE) else str(fate)
        what.append(f"bytes {start * block_bytes} to {last} are {reads}")
    if len(runs) > 3:
        what.append("and more")
    return ", ".join(what)
