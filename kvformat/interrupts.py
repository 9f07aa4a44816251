"""Signals that Python turns into exceptions, held back while a temp file would be lost by them.

A Python signal handler runs between any two bytecodes of the main thread. One that raises
(Ctrl-C: KeyboardInterrupt) can do so after a file was created and before its name was noted,
or in the middle of cleaning up. `InterruptGate` defers such handlers and lets them run at the
places that the code chooses: at a checkpoint, or while the caller's own code runs (KVS-FAIL-4).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_DEFERRED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_Handler = Callable[[int, FrameType | None], Any]


class _Deferral:
    """The handlers of the main thread, taken over by the outermost gate."""

    __slots__ = ("active", "handlers", "open", "pending")

    def __init__(self) -> None:
        self.handlers: dict[int, _Handler] = {}
        self.pending: list[int] = []
        self.open = False
        self.active = True

    def install(self) -> None:
        try:
            for number in _DEFERRED:
                handler = signal.getsignal(number)
                if callable(handler):
                    self.handlers[number] = handler
                    signal.signal(number, self.on_signal)
        except BaseException:
            # A handler that was not deferred yet has raised: leave the process as it was found.
            self.restore()
            raise

    def restore(self) -> None:
        # From here on `on_signal` passes straight through. So if a handler raises half-way, the ones
        # that are not put back yet still reach the handler that was there before.
        self.active = False
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.active and not self.open:
            self.pending.append(number)
            return
        # Shut first: the handler may raise, and then the cleaning-up begins at once.
        self.open = False
        self.handlers[number](number, frame)

    def deliver(self) -> None:
        while self.pending:
            number = self.pending.pop(0)
            self.open = False
            self.handlers[number](number, None)


_current: _Deferral | None = None
"""Belongs to the main thread, where alone handlers run."""


class InterruptGate:
    """Context manager: SIGINT, SIGTERM and SIGHUP handlers run at `checkpoint()`, while open, or at the end.

    Gates nest: an inner one shares what the outermost has taken over, and leaves it as open as it was. Only
    handlers written in Python are deferred; a signal that kills the process still kills it (that is what recovery
    is for), an ignored one stays ignored. Outside the main thread a gate does nothing.
    """

    __slots__ = ("_deferral", "_outermost", "_was_open")

    def __init__(self) -> None:
        self._deferral: _Deferral | None = None
        self._outermost = False
        self._was_open = False

    def __enter__(self) -> Self:
        global _current
        if threading.current_thread() is not threading.main_thread():
            return self
        if _current is None:
            deferral = _Deferral()
            deferral.install()
            self._outermost = True
            _current = deferral
        self._deferral = _current
        self._was_open = _current.open
        _current.open = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _current
        deferral = self._deferral
        if deferral is None:
            return
        if not self._outermost:
            deferral.open = self._was_open
            return
        _current = None
        try:
            deferral.restore()
        finally:
            deferral.deliver()

    def open(self) -> None:
        """From here handlers run at once: for the time that the caller's own code runs."""
        deferral = self._deferral
        if deferral is not None:
            deferral.open = True
            if deferral.pending:
                deferral.deliver()

    def shut(self) -> None:
        """From here handlers wait again."""
        if self._deferral is not None:
            self._deferral.open = False

    def checkpoint(self) -> None:
        """Runs the handlers of the signals that have arrived; what they raise comes out of here."""
        if self._deferral is not None and self._deferral.pending:
            self._deferral.deliver()
