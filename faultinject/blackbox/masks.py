"""What differs between two runs without a fault by its nature, and must not count: times, numbers, random names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from faultinject.blackbox.names import Pattern, pairs
from faultinject.blackbox.state import Node, NodeKind, State

Normalise = Callable[[str, bytes], bytes]
"""Sets what does not count in a file, given its key, to a fixed value; the size stays. The format's own knowledge."""

Range = tuple[int, int]
"""Offsets of bytes that are not compared: the first, and the one behind the last."""

_WORD_BYTES = 8
_CHUNK_BYTES = 64 * 1024
_MANY_WORDS = 512
"""Where more of a chunk's words differ, and most of them, all between the first and the last is one range."""

_RANGES_MAX = 4096
"""With more ranges than this all between the first and the last counts as one."""

_SHOWN = 8

_PRINTABLE = re.compile(rb"[\t\n\r -~]*")
_TOKEN = rb"[0-9A-Za-z_+/.:-]"
_TOKEN_BEFORE = re.compile(_TOKEN + rb"*(?:(?<=[0-9]) (?=[0-9]{1,2}:[0-9]{2})" + _TOKEN + rb"*)?\Z")
_TOKEN_AFTER = re.compile(_TOKEN + rb"*(?:(?<=[0-9]) (?=[0-9]{1,2}:[0-9]{2})" + _TOKEN + rb"*)?")
_TOKEN_BYTES_MAX = 256


class Masks:
    """What is not compared. Keys are canonical: the varying part of a name is `*`.

    ranges: bytes by key. varying: keys whose content differs in size, or links. unpaired: keys that were there
    after one run alone and resemble none of the other run's; whether they are there says nothing.
    """

    def __init__(self, normalise: Normalise | None = None) -> None:
        self.ranges: dict[str, tuple[Range, ...]] = {}
        self.varying: set[str] = set()
        self.unpaired: set[str] = set()
        self._patterns: dict[str, list[Pattern]] = {}
        self._fixed: dict[str, set[str]] = {}
        self._paths: dict[str, str] = {}
        self._tops: set[str] = set()
        self._normalise = normalise

    @classmethod
    def of(cls, one: State, other: State, start: State | None = None, normalise: Normalise | None = None) -> Masks:
        """What differs between two runs without a fault from the same `start`, whose names never count as varying."""
        masks = cls(normalise)
        trees = [_children(state) for state in (one, other, start or {})]
        masks._tops = {top for tree in trees for top in tree if top not in one and top not in other}
        for top in sorted(masks._tops):
            masks._compare(top, (top, top), (one, other), trees)
        return masks

    def path(self, key: str) -> str:
        """The canonical key: the same for a name that varies, whatever its varying part is."""
        if not self._patterns:
            return key
        known = self._paths.get(key)
        if known is None:
            parent, slash, name = key.rpartition("/")
            if slash and not parent:
                return key  # the first part of an absolute label
            if slash and parent not in self._tops:
                parent = self.path(parent)
            known = self._paths[key] = _joined(parent, self._name(parent, name))
        return known

    def is_judged(self, path: str) -> bool:
        """Whether a canonical key is neither one that was there after one of the runs alone, nor below one."""
        while self.unpaired and path:
            if path in self.unpaired:
                return False
            path = path.rpartition("/")[0]
        return True

    def same(self, path: str, one: Node, other: Node) -> bool:
        """Whether two nodes under a canonical key are the same, apart from what varies.

        Of content that varies as a whole only this much is compared: whether there is any.
        """
        if one is other or one == other:
            return True
        if path in self.varying:
            return one.kind is other.kind and bool(one.data) == bool(other.data)
        if one.kind is not other.kind or len(one.data) != len(other.data) or one.kind is not NodeKind.FILE:
            return False
        if self._normalise is None and path not in self.ranges:
            return False
        return self.masked(path, one.data) == self.masked(path, other.data)

    def masked(self, path: str, data: bytes) -> bytes:
        """The content with zeros where it is not compared."""
        if self._normalise is not None:
            data = self._normalise(path, data)
        ranges = self.ranges.get(path)
        if not ranges:
            return data
        pieces, position = [], 0
        for start, end in ranges:
            pieces += [data[position:start], bytes(max(0, min(end, len(data)) - start))]
            position = end
        return b"".join([*pieces, data[position:]])

    def sentences(self) -> list[str]:
        """What is not compared, for the report (KVS-AUDIT-7)."""
        found = []
        for parent in sorted(self._patterns):
            for pattern in self._patterns[parent]:
                name = f"{parent}/{pattern.canonical}" if parent else pattern.canonical
                found.append(f"{name!r} stands for a name that differs between two runs without a fault")
        for path in sorted(self.ranges):
            ranges = self.ranges[path]
            spans = ", ".join(f"{start} to {end - 1}" for start, end in ranges[:_SHOWN])
            spans += f" and {len(ranges) - _SHOWN} more ranges" if len(ranges) > _SHOWN else ""
            found.append(f"bytes {spans} of {path!r} differ between two runs without a fault and are not compared")
        found += [
            f"the content of {path!r} differs as a whole between two runs without a fault and is not compared"
            for path in sorted(self.varying)
        ]
        found += [
            f"{path!r} was there after one of two runs without a fault and not after the other: it is not judged"
            for path in sorted(self.unpaired)
        ]
        return found

    def _name(self, parent: str, name: str) -> str:
        if name not in self._fixed.get(parent, ()):
            for pattern in self._patterns.get(parent, ()):
                if pattern.matches(name):
                    return pattern.canonical
        return name

    def _compare(
        self, path: str, keys: tuple[str, str], states: tuple[State, State], trees: list[dict[str, dict[str, str]]]
    ) -> None:
        """Compares two directories, whose keys may differ, and all below them."""
        some, others = trees[0].get(keys[0], {}), trees[1].get(keys[1], {})
        fixed = (some.keys() & others.keys()) | trees[2].get(keys[0], {}).keys()
        self._fixed[path] = set(fixed)
        matched = [(name, some[name], others[name]) for name in sorted(some.keys() & others.keys())]
        left, right = some.keys() - fixed, others.keys() - fixed
        for kind in NodeKind:
            candidates = (
                [name for name in left if states[0][some[name]].kind is kind],
                [name for name in right if states[1][others[name]].kind is kind],
            )
            for one, other, pattern in pairs(*candidates):
                left, right = left - {one}, right - {other}
                if pattern not in self._patterns.setdefault(path, []):
                    self._patterns[path].append(pattern)
                matched.append((pattern.canonical, some[one], others[other]))
        only_one = (some.keys() | others.keys()) - (some.keys() & others.keys())
        self.unpaired |= {_joined(path, name) for name in (left | right | (fixed & only_one))}
        for name, one, other in matched:
            below = _joined(path, name)
            self._compare_nodes(below, states[0][one], states[1][other])
            if states[0][one].kind is NodeKind.DIRECTORY:
                self._compare(below, (one, other), states, trees)

    def _compare_nodes(self, path: str, one: Node, other: Node) -> None:
        if path in self.varying or self.same(path, one, other):
            return
        if one.kind is not NodeKind.FILE or other.kind is not NodeKind.FILE or len(one.data) != len(other.data):
            self.varying.add(path)
            return
        a, b = self.masked(path, one.data), self.masked(path, other.data)
        ranges = _merged([*self.ranges.get(path, ()), *_differences(a, b)])
        if len(ranges) > _RANGES_MAX:
            ranges = [(ranges[0][0], ranges[-1][1])]
        self.ranges[path] = tuple(ranges)


def _joined(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


def _children(state: State) -> dict[str, dict[str, str]]:
    """By key of the directory, what is in it: names with their keys."""
    found: dict[str, dict[str, str]] = {}
    for key in state:
        parent, _, name = key.rpartition("/")
        found.setdefault(parent, {})[name] = key
    return found


def _differences(one: bytes, other: bytes) -> Iterator[Range]:
    """Where two contents of one size differ, widened so that a clock that ticks on is inside.

    In text the whole word around a difference, a time of day with the date before it; else the aligned eight bytes.
    """
    done = 0
    for start in range(0, len(one), _CHUNK_BYTES):
        chunks = one[start : start + _CHUNK_BYTES], other[start : start + _CHUNK_BYTES]
        if chunks[0] == chunks[1]:
            continue
        words = list(_different_words(*chunks))
        if len(words) > max(_MANY_WORDS, len(chunks[0]) // _WORD_BYTES // 2):
            yield start + words[0], min(start + words[-1] + _WORD_BYTES, len(one))
            continue
        for word in words:
            end = min(start + word + _WORD_BYTES, len(one))
            done = max(start + word, done)
            while done < end and one[done:end] != other[done:end]:
                found = _widened(one, other, done, end)
                done = found[1]
                yield found


def _different_words(one: bytes, other: bytes) -> Iterator[int]:
    """Offsets of the words of eight bytes that differ."""
    padding = bytes(-len(one) % _WORD_BYTES)
    views = [memoryview(content + padding).cast("Q") for content in (one, other)]
    for place, (a, b) in enumerate(zip(*views, strict=True)):
        if a != b:
            yield place * _WORD_BYTES


def _widened(one: bytes, other: bytes, start: int, end: int) -> Range:
    """The range for the first difference in [start, end), which is a word or the rest of one."""
    if not all(_PRINTABLE.fullmatch(content, start, end) for content in (one, other)):
        return start, end
    first = next(place for place in range(start, end) if one[place] != other[place])
    spans = [(first, first + 1)]
    for content in (one, other):
        before = _TOKEN_BEFORE.search(content[max(0, first - _TOKEN_BYTES_MAX) : first])
        after = _TOKEN_AFTER.match(content, first, first + _TOKEN_BYTES_MAX)
        if re.match(_TOKEN, content[first : first + 1]) and before is not None and after is not None:
            spans.append((first - len(before[0]), after.end()))
    return min(span[0] for span in spans), max(span[1] for span in spans)


def _merged(ranges: list[Range]) -> list[Range]:
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
