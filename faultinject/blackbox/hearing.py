"""What a program prints while it runs: heard when it is said, and free of the limit on its files."""

from __future__ import annotations

import os
from typing import IO

from faultinject.blackbox.started import Running
from faultinject.blackbox.task import Stop
from faultinject.blackbox.vector import printed

_PRINTING = frozenset({"write", "writev"})


class Hearing:
    """Takes over the calls that print, where somebody waits for what they say or a limit would cut it."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._waits = bool(running.program.acknowledgement)

    def take(self, stop: Stop) -> bool:
        """Makes the call where it prints and matters; False where it is for somebody else to make."""
        if not (self._waits or self._running.limited) or stop.call not in _PRINTING:
            return False
        stream = self._running.stream(stop.task, stop.args[0])
        if stream is None:
            return False
        return self._spoken(stop, stream) if self._running.limited else self._made(stop)

    def acknowledged(self) -> bool:
        """Whether success has been reported since this was last asked."""
        if self._waits and self._running.acknowledged():
            self._waits = False
            return True
        return False

    def _made(self, stop: Stop) -> bool:
        self._running.tracer.finish(stop)
        return True

    def _spoken(self, stop: Stop, stream: IO[bytes]) -> bool:
        """We print it ourselves: RLIMIT_FSIZE is the program's."""
        try:
            said = b"".join(stop.task.read(address, length) for address, length in printed(stop))
        except OSError:
            return False  # an address of nothing: the call is about to say so
        written = 0
        while written < len(said):
            written += os.write(stream.fileno(), said[written:])
        self._running.tracer.answer(stop, written)
        return True
