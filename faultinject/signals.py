"""Signals as faults: sent to this very process, and told apart from the user's own Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class InjectedInterrupt(KeyboardInterrupt):
    """A KeyboardInterrupt that a fault raised, so that a real Ctrl-C is never mistaken for it."""


class InjectedTermination(SystemExit):
    """What a program that handles SIGTERM raises, here for a SIGTERM that a fault sent."""


class RealTermination(SystemExit):
    """A SIGTERM that no fault sent: somebody wants this process to end."""


_expected: set[int] = set()


def send_signal(what: str) -> None:
    """Sends a signal to this process for a fault; `signals_raise` gives it its meaning."""
    number = getattr(signal, what)
    _expected.add(number)
    signal.raise_signal(number)


@contextmanager
def signals_raise() -> Iterator[None]:
    """While inside, SIGINT and SIGTERM raise, as in a program that handles them. Main thread only."""
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _: FrameType | None) -> None:
        injected = number in _expected
        _expected.discard(number)
        if number == signal.SIGINT:
            raise InjectedInterrupt if injected else KeyboardInterrupt
        raise InjectedTermination(143) if injected else RealTermination(143)

    try:
        for number in previous:
            signal.signal(number, on_signal)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
