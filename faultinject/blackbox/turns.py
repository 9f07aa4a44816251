"""Whose turn it is: tasks of a program make their operations in the order of the recorded run, up to the fault.

Each task repeats itself, but which of several is faster does not. The recorded order is one that the program allows, so
that holding back who comes too early keeps nobody waiting who is needed, unless the tasks have gone another way by
then: a lock that another of them got first. Then they wait for each other, and nothing is measured.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from faultinject.blackbox import stalled
from faultinject.blackbox.task import Stop, Task
from faultinject.ops import Operation, Trace

_Place = tuple[str, int]
"""A task, and which of its operations."""


class Turns:
    """The order of the operations before index `end`, that one included, and the stops that are held for it.

    patience_seconds: so long a stop is held at most where nobody can tell whether the other tasks will go on.
    """

    def __init__(self, recorded: Trace | None, end: int, patience_seconds: float) -> None:
        operations = () if recorded is None else recorded.operations
        self._order: deque[_Place] = deque()
        if len({one.task for one in operations if one.nth >= 0}) > 1:  # a single task needs no turns
            self._order.extend((one.task, one.nth) for one in operations[: end + 1] if one.nth >= 0)
        self._held: dict[_Place, tuple[Stop, Operation]] = {}
        self._patience_seconds = patience_seconds
        self._since = 0.0
        self._suspected = False

    @property
    def active(self) -> bool:
        """Whether the order goes on: then a call has to end before the next one begins."""
        return bool(self._order)

    @property
    def held(self) -> bool:
        """Whether any stop is held."""
        return bool(self._held)

    def is_early(self, place: _Place) -> bool:
        """Whether others come before this operation."""
        return bool(self._order) and self._order[0] != place

    def hold(self, place: _Place, stop: Stop, operation: Operation) -> None:
        """Keeps a stop that is early."""
        if not self._held:
            self._since = time.monotonic()
        self._held[place] = stop, operation

    def done(self, place: _Place) -> None:
        """An operation is made now, or left out by a fault."""
        if self._order and self._order[0] == place:
            self._order.popleft()
            self._since = time.monotonic()
        self._suspected = False

    def due(self) -> Stop | None:
        """A stop that was held and whose turn it is now; after the end of the order any."""
        if not self._held:
            return None
        place = self._order[0] if self._order else next(iter(self._held))
        found = self._held.pop(place, None)
        return None if found is None else found[0]

    def stall(self, tasks: Iterable[Task]) -> str:
        """Why the order cannot be kept, asked when nothing has happened for a while; empty where it may be yet.

        tasks: all that are alive. What waits now must wait still when asked again: a task may be on its way.
        """
        early = {stop.task.tid for stop, _ in self._held.values()}
        calls = stalled.waiting(task for task in tasks if task.tid not in early)
        if calls is None:
            self._suspected = False
            seconds = time.monotonic() - self._since
            return self._told({}, f" for {seconds:.1f} s by now") if seconds > self._patience_seconds else ""
        if self._suspected or not calls:
            return self._told(calls, "")
        self._suspected = True
        return ""

    def _told(self, calls: dict[str, str], how_long: str) -> str:
        name, nth = self._order[0]
        stop, operation = next(iter(self._held.values()))
        others = "".join(f", thread {task} waits in {call}" for task, call in calls.items())
        what = " ".join([operation.call, *([] if operation.name is None else [repr(operation.name)])])
        return (
            f"the threads came in another order than recorded: thread {stop.task.name} is held at {what} until "
            f"thread {name} has made its operation {nth}{how_long}{others}"
        )
