"""A program that is started with what it inherits, and what it says: its output and how it ended."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from faultinject.blackbox.acknowledged import BY_EXIT, Acknowledgement
from faultinject.blackbox.lookup import descriptor
from faultinject.blackbox.tracer import Task, Tracer
from faultinject.oracle import Reported
from faultinject.printable import printable

_PIECE_BYTES = 1 << 16
LINE_BYTES_MAX = 500
"""Of the last words of a program no more is kept."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is started. acknowledgement: what reports success on standard output; nothing where exit 0 does."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    directory: str
    acknowledgement: Acknowledgement = BY_EXIT
    stdin: str | None = None
    timeout_seconds: float = 60

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment."""
        return dict(self.environment)


@dataclass(slots=True)
class Running:
    """A program under its tracer. limited: its files have a limit, which is not to be one of what it prints."""

    program: Program
    tracer: Tracer
    output: IO[bytes]
    errors: IO[bytes]
    limited: bool
    _acknowledged: bool = False
    _heard_bytes: int = 0
    _unfinished: bytes = b""

    def acknowledged(self) -> bool:
        """Whether it has printed what reports success. What was looked at before is not read again."""
        wanted = self.program.acknowledgement
        while not self._acknowledged:
            piece = os.pread(self.output.fileno(), _PIECE_BYTES, self._heard_bytes)
            if not piece:
                return False
            said = self._unfinished + piece  # it may come in two pieces
            self._acknowledged = wanted.is_in(said)
            self._unfinished = wanted.unfinished(said)
            self._heard_bytes += len(piece)
        return True

    def stream(self, task: Task, fd: int) -> IO[bytes] | None:
        """Whether a descriptor leads to the output or to the errors, None where to neither."""
        try:
            status = os.stat(descriptor(task, fd))
        except OSError:
            return None  # the call is about to say so
        ours = (self.output, self.errors)
        return next((one for one in ours if os.path.samestat(os.fstat(one.fileno()), status)), None)

    def reported(self) -> Reported:
        """What it said of its operation, once it has ended."""
        ending = self.tracer.ending
        if self.program.acknowledgement and self.acknowledged():
            return Reported.SUCCESS
        if ending.status is None:
            return Reported.NOTHING
        return Reported.SUCCESS if ending.status == 0 and not self.program.acknowledgement else Reported.FAILURE

    def said(self) -> str:
        """The last line on standard error; where there is none, how the program ended."""
        return last_words(end_of(self.errors), self.tracer.ending.signal)


def end_of(file: IO[bytes]) -> bytes:
    """As much of the end of a file as a line may have."""
    size_bytes = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), LINE_BYTES_MAX, max(0, size_bytes - LINE_BYTES_MAX))


def last_words(errors: bytes, signal_number: int | None) -> str:
    """The last line of what was written; where there is none, of which signal the program died."""
    lines = errors.decode("utf-8", "replace").split("\n")
    line = printable(next((line.strip() for line in reversed(lines) if line.strip()), ""))
    return line or ("" if signal_number is None else f"died of {signal.Signals(signal_number).name}")


@contextmanager
def streams(program: Program) -> Iterator[tuple[int | None, IO[bytes], IO[bytes]]]:
    """Standard input as the program has it (None: /dev/null), and files for its output and its errors."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        stdin = None if program.stdin is None else os.open(program.stdin, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield stdin, out, err
        finally:
            if stdin is not None:
                os.close(stdin)
