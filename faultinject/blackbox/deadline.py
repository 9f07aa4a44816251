"""A deadline that acts while its caller waits in a system call, and costs a few microseconds."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any


class Deadline:
    """Calls `action` once, `seconds` after `arm`, unless `disarm` comes first.

    In the main thread a timer signal does it (Python runs the handler even where a call waits, and then waits on);
    a timer of somebody else's is put back as it would be. Any other thread needs a thread for it, which is slower.
    """

    __slots__ = ("_action", "_armed", "_began", "_handler", "_seconds", "_thread", "_timer")

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        if not seconds > 0:
            raise ValueError(f"a deadline lies in the future, not {seconds} seconds from now")
        self._seconds = seconds
        self._action = action
        self._armed = False
        self._thread: threading.Timer | None = None
        self._handler: Any = None
        self._timer = (0.0, 0.0)
        self._began = 0.0

    def arm(self) -> None:
        """Begins to count."""
        self._armed = True
        if threading.current_thread() is not threading.main_thread():
            self._thread = threading.Timer(self._seconds, self._act)
            self._thread.daemon = True
            self._thread.start()
            return
        self._handler = signal.signal(signal.SIGALRM, self._handle)
        self._began = time.monotonic()
        self._timer = signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def disarm(self) -> None:
        """Stops counting; it may have acted by now, and does not later."""
        if not self._armed:
            return
        self._armed = False
        if self._thread is not None:
            self._thread.cancel()
            self._thread.join()
            self._thread = None
            return
        left, interval = self._timer
        signal.setitimer(signal.ITIMER_REAL, 0)
        # A handler that Python did not install is unknown to it, and cannot be put back.
        signal.signal(signal.SIGALRM, signal.SIG_DFL if self._handler is None else self._handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - self._began), 1e-6), interval)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._act()

    def _act(self) -> None:
        if self._armed:
            self._action()
