"""Which call of its name an operation was, counted as a tool counts that does not know what is watched (strace(1))."""

from __future__ import annotations

from dataclasses import dataclass

from faultinject.blackbox.task import Stop
from faultinject.ops import Operation

_TRAPPED_IN_PART = frozenset({"fcntl", "ioctl", "mmap"})
"""Calls that are seen only where their arguments are about what a file holds, so that they cannot be counted."""


@dataclass(frozen=True, slots=True)
class Ordinal:
    """Where a call stands among all calls of that name that its task has made since it began, from 1."""

    call: str
    number: int


@dataclass(frozen=True, slots=True)
class Ordinals:
    """The calls of a recorded run, counted.

    of: for each operation of the trace its ordinal, None where it was no call or cannot be counted. totals: how many
    calls each task has made: task, name and number. processes: how many processes have made any.
    """

    of: tuple[Ordinal | None, ...] = ()
    totals: tuple[tuple[str, str, int], ...] = ()
    processes: int = 0


class Counter:
    """Counts the calls of a run under way."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], int] = {}
        self._places: dict[tuple[str, int], Ordinal] = {}
        self._processes: set[int] = set()

    def count(self, stop: Stop) -> None:
        """A call has begun, watched or not."""
        key = stop.task.name, stop.call
        self._made[key] = self._made.get(key, 0) + 1
        self._processes.add(stop.task.pid)

    def place(self, stop: Stop, operation: Operation) -> None:
        """The call just counted is this operation."""
        if stop.call not in _TRAPPED_IN_PART:
            made = self._made[stop.task.name, stop.call]
            self._places[operation.task, operation.nth] = Ordinal(stop.call, made)

    def ordinals(self, operations: list[Operation]) -> Ordinals:
        """Of these operations, and the totals."""
        return Ordinals(
            tuple(self._places.get((operation.task, operation.nth)) for operation in operations),
            tuple((task, call, made) for (task, call), made in self._made.items()),
            len(self._processes),
        )
