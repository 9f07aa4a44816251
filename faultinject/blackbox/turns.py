"""Whose turn it is: tasks of a program make their operations in the order of the recorded run, up to the fault.

Each task repeats itself, but which of several is faster does not. The recorded order is one that the program allows, so
that holding back who comes too early keeps nobody waiting who is needed.
"""

from __future__ import annotations

from collections import deque

from faultinject.blackbox.task import Stop
from faultinject.ops import Trace

_Place = tuple[str, int]
"""A task, and which of its operations."""


class Turns:
    """The order of the operations before index `end`, that one included, and the stops that are held for it."""

    def __init__(self, recorded: Trace | None, end: int) -> None:
        operations = () if recorded is None else recorded.operations
        self._order: deque[_Place] = deque()
        if len({one.task for one in operations if one.nth >= 0}) > 1:  # a single task needs no turns
            self._order.extend((one.task, one.nth) for one in operations[: end + 1] if one.nth >= 0)
        self._held: dict[_Place, Stop] = {}

    @property
    def active(self) -> bool:
        """Whether the order goes on: then a call has to end before the next one begins."""
        return bool(self._order)

    @property
    def held(self) -> int:
        """How many stops are held."""
        return len(self._held)

    def is_early(self, place: _Place) -> bool:
        """Whether others come before this operation."""
        return bool(self._order) and self._order[0] != place

    def hold(self, place: _Place, stop: Stop) -> None:
        """Keeps a stop that is early."""
        self._held[place] = stop

    def done(self, place: _Place) -> None:
        """An operation is made now, or left out by a fault."""
        if self._order and self._order[0] == place:
            self._order.popleft()

    def due(self) -> Stop | None:
        """A stop that was held and whose turn it is now; after the end of the order any."""
        if not self._held:
            return None
        place = self._order[0] if self._order else next(iter(self._held))
        return self._held.pop(place, None)

    def give_up(self) -> None:
        """The program does not repeat itself: from here on everybody may go."""
        self._order.clear()
