"""Starts the programs of one place, one after the other, each by a nursery that is kept for the next one.

A nursery hands on the open files that it has itself: between two programs these are made as if they had just been
opened. Standard input that cannot be brought back to its beginning (a FIFO, a terminal) has to be opened anew for each
program, so that such a program is forked. Sources: open(2) (open file description), fcntl(2), flock(2).
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import IO, NamedTuple, Self

from faultinject.blackbox.limits import Limits
from faultinject.blackbox.nursery import Nursery, NurseryGoneError
from faultinject.blackbox.started import Program, Running, streams
from faultinject.blackbox.tracer import Tracer

_FILE_MODE = 0o600

Calls = frozenset[str]
"""The system calls at which a program stops."""


class Launcher:
    """Starts programs; use it in a `with` statement or `close` it, in the thread that starts them.

    A nursery is made for each set of calls and each standard input, when the first program comes that needs it.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Calls, str | None], _Kept] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the nurseries and gives descriptors back."""
        while self._kept:
            self._kept.popitem()[1].close()

    @contextmanager
    def started(self, program: Program, calls: Calls, limits: Limits | None = None) -> Iterator[Running]:
        """Starts it; nothing of it is left when the statement ends. Raises LaunchError where it cannot be started."""
        with ExitStack() as stack:
            if _is_plain(program.stdin):
                running = self._born(stack, program, calls, limits)
            else:
                opened = _Streams(*stack.enter_context(streams(program)))
                running = _entered(stack, program, calls, limits, opened)
            yield running

    def _born(self, stack: ExitStack, program: Program, calls: Calls, limits: Limits | None) -> Running:
        key = calls, program.stdin
        known = self._kept.get(key)
        if known is not None:
            known.refresh()
            try:
                return _entered(stack, program, calls, limits, known.streams, known.nursery)
            except NurseryGoneError:
                del self._kept[key]
                known.close()
        made = self._kept[key] = _Kept(program, calls)
        return _entered(stack, program, calls, limits, made.streams, made.nursery)


class _Streams(NamedTuple):
    """Standard input (None: /dev/null), output and errors."""

    stdin: int | None
    output: IO[bytes]
    errors: IO[bytes]


def _entered(
    stack: ExitStack,
    program: Program,
    calls: Calls,
    limits: Limits | None,
    opened: _Streams,
    nursery: Nursery | None = None,
) -> Running:
    tracer = Tracer(
        program.argv,
        calls=calls,
        env=program.variables,
        cwd=program.directory,
        stdin=opened.stdin,
        stdout=opened.output.fileno(),
        stderr=opened.errors.fileno(),
        timeout_seconds=program.timeout_seconds,
        limits=limits,
        nursery=nursery,
    )
    stack.enter_context(tracer)
    is_limited = limits is not None and limits.file_bytes is not None
    return Running(program, tracer, opened.output, opened.errors, is_limited)


class _Kept:
    """A nursery with the open files that its programs share."""

    def __init__(self, program: Program, calls: Calls) -> None:
        with ExitStack() as stack:
            stdin, *outputs = stack.enter_context(streams(program))
            if stdin is None:
                stdin = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
                stack.callback(os.close, stdin)
            self.streams = _Streams(stdin, *outputs)
            stdout, stderr = (file.fileno() for file in outputs)
            self._flags = {fd: fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (stdin, stdout, stderr)}
            self.nursery = stack.enter_context(Nursery(calls=calls, stdin=stdin, stdout=stdout, stderr=stderr))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Ends the nursery."""
        self._stack.close()

    def refresh(self) -> None:
        """Makes the open files as they were for the first program."""
        for file in self.streams[1:]:
            status = os.fstat(file.fileno())
            if status.st_size:
                os.ftruncate(file.fileno(), 0)
            if stat.S_IMODE(status.st_mode) != _FILE_MODE:
                os.fchmod(file.fileno(), _FILE_MODE)
        for fd, flags in self._flags.items():
            os.lseek(fd, 0, os.SEEK_SET)
            fcntl.fcntl(fd, fcntl.F_SETFL, flags)
            fcntl.flock(fd, fcntl.LOCK_UN)


def _is_plain(stdin: str | None) -> bool:
    """Whether standard input is nothing, or a file that can be read from its beginning again."""
    if stdin is None:
        return True
    try:
        return stat.S_ISREG(os.stat(stdin).st_mode)
    except OSError:
        return False  # to open it is about to say so
