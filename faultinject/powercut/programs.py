"""Programs run on a mounted disk, and when they acknowledge. Sources: wait(2), pidfd_open(2), kill(2)."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from faultinject.blackbox.acknowledged import Acknowledgement
from faultinject.blackbox.launch import Command
from faultinject.blackbox.place import Plainly
from faultinject.blackbox.started import Program, end_of, last_words, streams
from faultinject.oracle import Reported

_PIECE_BYTES = 1 << 16


def run(program: Program, on_success: Callable[[], None] | None = None) -> Plainly:
    """Runs it to the end of its first process; then all that it has started is killed, as by a loss of power.

    on_success: called once, as soon as it reports success. Raises LaunchError where it cannot be started.
    """
    command = Command(program.argv, dict(program.environment), program.directory)
    path = command.path()
    with streams(program) as (stdin, _, errors):
        try:
            process = subprocess.Popen(
                program.argv,
                executable=path,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=command.variables(),
                cwd=program.directory,
                start_new_session=True,
            )
        except OSError as error:
            raise command.refused(error.errno or errno.EIO) from error
        assert process.stdout is not None
        with process.stdout as output:
            listener = _Listener(output, program.acknowledgement, on_success)
            try:
                timed_out = not listener.listen(process.pid, program.timeout_seconds)
            finally:
                process.kill()
                status = process.wait()
                end_all()
        if timed_out:
            said = f"did not end within {program.timeout_seconds:g} s (--timeout)"
            return Plainly(Reported.NOTHING, said, timed_out=True)
        reported = listener.reported(status)
        return Plainly(reported, last_words(end_of(errors), -status if status < 0 else None), timed_out=False)


class _Listener:
    """Hears what a program says on standard output."""

    def __init__(self, output: IO[bytes], wanted: Acknowledgement, on_success: Callable[[], None] | None) -> None:
        self._output = output
        self._wanted = wanted
        self._on_success = on_success
        self._end = b""
        self._acknowledged = False

    def listen(self, pid: int, seconds: float) -> bool:
        """Until the process has ended; False where it does not in time."""
        deadline = time.monotonic() + seconds
        waiting = select.poll()
        ending = os.pidfd_open(pid)
        try:
            waiting.register(ending, select.POLLIN)
            waiting.register(self._output, select.POLLIN)
            while (left := deadline - time.monotonic()) > 0:
                ready = [fd for fd, _ in waiting.poll(left * 1000)]
                if self._output.fileno() in ready and not self._hear():
                    waiting.unregister(self._output)  # closed; the process may go on
                elif ending in ready:
                    return True
        finally:
            os.close(ending)
        return False

    def reported(self, status: int) -> Reported:
        """What it has said of its operation; for that its status may count (see `Running.reported`)."""
        if not self._wanted and status == 0:
            self._succeed()
        if self._acknowledged:
            return Reported.SUCCESS
        return Reported.NOTHING if status < 0 else Reported.FAILURE

    def _hear(self) -> bool:
        piece = os.read(self._output.fileno(), _PIECE_BYTES)
        if self._wanted:
            self._end += piece  # the text may come in two pieces
            if self._wanted.is_in(self._end):
                self._succeed()
            self._end = self._wanted.unfinished(self._end)
        return bool(piece)

    def _succeed(self) -> None:
        if not self._acknowledged:
            self._acknowledged = True
            if self._on_success is not None:
                self._on_success()


def end_all() -> None:
    """Kills all processes of this PID namespace but this one, its first, and waits until none is left."""
    assert os.getpid() == 1, "anywhere else this would kill what is not ours"
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
