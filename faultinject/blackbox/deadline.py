"""A deadline that acts while its caller waits in a system call, and costs a few microseconds."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import Any


class Deadline:
    """Calls `action` once, `seconds` after `arm`, unless `disarm` comes first.

    In the main thread a timer signal does it (Python runs the handler even where a call waits, and then waits on);
    a timer of somebody else's is put back as it would be. For all other threads one more thread looks at the clock.
    """

    __slots__ = ("_action", "_armed", "_began", "_clock", "_handler", "_seconds", "_timer")

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        if not seconds > 0:
            raise ValueError(f"a deadline lies in the future, not {seconds} seconds from now")
        self._seconds = seconds
        self._action = action
        self._armed = False
        self._clock: _Clock | None = None
        self._handler: Any = None
        self._timer = (0.0, 0.0)
        self._began = 0.0

    def arm(self) -> None:
        """Begins to count."""
        self._armed = True
        if threading.current_thread() is not threading.main_thread():
            self._clock = _clock()
            self._clock.add(self, time.monotonic() + self._seconds)
            return
        self._handler = signal.signal(signal.SIGALRM, self._handle)
        self._began = time.monotonic()
        self._timer = signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def disarm(self) -> None:
        """Stops counting; it may have acted by now, and does not later."""
        if not self._armed:
            return
        self._armed = False
        if self._clock is not None:
            self._clock.remove(self)
            self._clock = None
            return
        left, interval = self._timer
        signal.setitimer(signal.ITIMER_REAL, 0)
        # A handler that Python did not install is unknown to it, and cannot be put back.
        signal.signal(signal.SIGALRM, signal.SIG_DFL if self._handler is None else self._handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - self._began), 1e-6), interval)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.act()

    def act(self) -> None:
        """The time has come."""
        if self._armed:
            self._action()


class _Clock:
    """A thread that acts for deadlines of other threads. It is woken only for one that comes before all others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Deadline, float] = {}
        self._wakes = math.inf
        threading.Thread(target=self._run, name="deadlines", daemon=True).start()

    def add(self, deadline: Deadline, at: float) -> None:
        """From now on it is looked at. at: by time.monotonic."""
        with self._changed:
            self._due[deadline] = at
            if at < self._wakes:
                self._changed.notify()

    def remove(self, deadline: Deadline) -> None:
        """It does not act from now on: where it is at it, that is waited for."""
        with self._changed:
            self._due.pop(deadline, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for deadline in [one for one, at in self._due.items() if at <= now]:
                    del self._due[deadline]
                    deadline.act()
                self._wakes = min(self._due.values(), default=math.inf)
                self._changed.wait(None if math.isinf(self._wakes) else min(self._wakes - now, threading.TIMEOUT_MAX))


@cache
def _clock() -> _Clock:
    return _Clock()
