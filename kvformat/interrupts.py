"""Signals that Python turns into exceptions, held back while a temp file would be lost by them.

A Python signal handler runs between any two bytecodes of the main thread. One that raises
(Ctrl-C: KeyboardInterrupt) can do so after a file was created and before its name was noted,
or in the middle of cleaning up. `InterruptGate` defers such handlers and lets them run at the
places that the code chooses: at a checkpoint, or while the caller's own code runs (KVS-FAIL-4).
"""

from __future__ import annotations

import signal
import threading
from _signal import getsignal  # type: ignore[import-not-found]  # see `_Deferral.install`
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_NEVER_HANDLED = {getattr(signal, name) for name in ("SIGKILL", "SIGSTOP") if hasattr(signal, name)}

_DEFERRED = tuple(sorted(signal.valid_signals() - _NEVER_HANDLED))
"""Every signal that a program can turn into an exception: an alarm that raises TimeoutError is one as well."""

_Handler = Callable[[int, FrameType | None], Any]


class _Deferral:
    """The handlers of the main thread, taken over by the outermost gate.

    While it is `active`, signals wait in `pending`, and their handlers run in order where they may. `raised`
    is what the last handler raised, `note` says what an exception of a handler that waited has missed.
    """

    __slots__ = ("active", "handlers", "installed", "note", "open", "pending", "raised")

    def __init__(self) -> None:
        self.handlers: dict[int, _Handler] = {}
        self.installed: list[int] = []
        self.pending: list[int] = []
        self.raised: BaseException | None = None
        self.note: Callable[[], str] | None = None
        self.open = False
        self.active = True

    def install(self) -> None:
        try:
            for number in _DEFERRED:
                # The C function: that of `signal` spends ten times as long on looking for an enum member.
                handler = getsignal(number)
                if callable(handler):
                    self.handlers[number] = handler
                    # Noted before the call, as it may take effect and then be interrupted by another handler.
                    self.installed.append(number)
                    signal.signal(number, self.on_signal)
        except BaseException:
            # A handler that was not deferred yet has raised: leave the process as it was found.
            self.end()
            raise

    def end(self) -> None:
        """Puts the handlers back, then runs what has waited; whatever any of them raises, nothing is left undone."""
        try:
            self.restore()
        finally:
            self.active = False
            self.deliver_all()

    def restore(self) -> None:
        """Signals whose handler is not put back yet still wait, so that only those behind can interrupt this."""
        try:
            while self.installed:
                number = self.installed[-1]
                # What the caller's own code has installed meanwhile is not this gate's to undo.
                if getsignal(number) == self.on_signal:
                    signal.signal(number, self.handlers[number])
                self.installed.pop()
        finally:
            if self.installed:
                self.restore()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.active:
            # Whoever has asked for the handler while the gate was up, and put it back later, means the one behind it.
            self.handlers[number](number, frame)
            return
        self.pending.append(number)
        if self.open:
            self.deliver(frame)

    def deliver(self, frame: FrameType | None = None) -> None:
        """Runs the handlers of the signals that wait, up to the first that raises; the others wait on."""
        open_before = self.open
        while self.pending:
            # Shut first: the handler may raise, and then the cleaning-up begins at once.
            self.open = False
            number = self.pending.pop(0)
            try:
                self.handlers[number](number, frame)
            except BaseException as error:
                self.raised = error
                if self.note is not None:
                    error.add_note(self.note())
                raise
            self.open = open_before

    def deliver_all(self) -> None:
        """Runs all that wait. An exception of one is the context of the next one's; none is lost."""
        try:
            self.deliver()
        finally:
            if self.pending:
                self.deliver_all()


_current: _Deferral | None = None
"""Belongs to the main thread, where alone handlers run."""


class InterruptGate:
    """Context manager: signal handlers run at `checkpoint()`, while open, or at the end.

    Gates nest: an inner one shares what the outermost has taken over, and leaves it as open as it was. Only
    handlers written in Python are deferred; a signal that kills the process still kills it (that is what recovery
    is for), an ignored one stays ignored. Outside the main thread a gate does nothing.

    `note`, if set, makes the line that an exception carries whose handler runs at the end of this gate: by then
    the work is done, and who catches the exception must not think that it was not (KVS-FAIL-1).
    """

    __slots__ = ("_deferral", "_outermost", "_was_open", "note")

    def __init__(self) -> None:
        self._deferral: _Deferral | None = None
        self._outermost = False
        self._was_open = False
        self.note: Callable[[], str] | None = None

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
        if self._outermost:
            _current = None
            deferral.note = self.note
            deferral.end()
        elif self._was_open:
            # The caller's own code goes on, where handlers run at once: what has waited in here runs now.
            deferral.note = self.note
            try:
                deferral.open = True
                if deferral.pending:
                    deferral.deliver()
            finally:
                deferral.note = None

    def has_raised(self, error: BaseException) -> bool:
        """Whether `error` was the last thing that came out of a handler that ran here. To be asked once.

        The answer is forgotten with the question: an outer gate would keep the exception, and its frames, for long.
        """
        deferral = self._deferral
        if deferral is None:
            return False
        raised, deferral.raised = deferral.raised, None
        return raised is error

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
