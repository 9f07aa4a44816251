"""Whether two runs under one fault have left the same, apart from what differs from run to run."""

from __future__ import annotations

from typing import Protocol

from faultinject.blackbox.aftermath import Known
from faultinject.blackbox.state import Node, State


class Compared(Known, Protocol):
    """What is known of what differs from run to run; see `Baseline`."""

    @property
    def varies(self) -> bool:
        """Whether two runs without a fault write other bytes."""

    def canonical(self, name: str) -> str:
        """One name for all names that differ from run to run."""


def are_alike(baseline: Compared, one: State, other: State) -> bool:
    """Whether two states are the same under canonical names."""
    first = {baseline.canonical(key): node for key, node in one.items()}
    second = {baseline.canonical(key): node for key, node in other.items()}
    if first.keys() == second.keys():
        return all(_same(baseline, path, node, second[path]) for path, node in first.items())
    # Names that only a broken run makes vary as well: then what they hold is compared.
    ours, theirs = (sorted(nodes.values(), key=_size_and_data) for nodes in (first, second))
    return len(ours) == len(theirs) and all(_same(baseline, "", *nodes) for nodes in zip(ours, theirs, strict=True))


def _same(baseline: Compared, path: str, one: Node, other: Node) -> bool:
    """Of a temp file nobody knows where in it is what differs from run to run: then its size is compared."""
    if baseline.masks.same(path, one, other):
        return True
    temporary = path not in baseline.old and path not in baseline.new
    return temporary and baseline.varies and one.kind is other.kind and len(one.data) == len(other.data)


def _size_and_data(node: Node) -> tuple[int, bytes]:
    return len(node.data), node.data
