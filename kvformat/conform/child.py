"""The process of an adapter: started in a group of its own, talked to without ever blocking, and ended for good."""

from __future__ import annotations

import errno
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kvformat.conform.answer import ANSWER_BYTES_MAX, Fault, NoAnswer
from kvformat.conform.memory import MEASURED, Watch
from kvformat.display import safe_lines

_TOKEN = "KVFORMAT_CONFORM_CHILD"
_TICK_SECONDS = 0.05
_MEMORY_TICK_SECONDS = 0.003
_PIECE_BYTES = 256 * 1024
_STDERR_BYTES = 4096
_KILL_SECONDS = 10.0


class Stopped(BaseException):
    """The run is over, whatever the adapter was about to say."""


class StartError(Exception):
    """The program of the adapter cannot be started."""


class Child:
    """A running adapter. `output` is what it wrote and nobody has taken yet.

    `stop` is asked again and again while it is waited for; a true answer raises Stopped.
    """

    def __init__(self, command: Sequence[str], *, stop: Callable[[], bool], wants_input: bool) -> None:
        self._stop = stop
        # Whoever leaves the group and the family still has the environment that it was started with.
        self._token = secrets.token_hex(16)
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if wants_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, _TOKEN: self._token},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            raise StartError(f"{command[0]} cannot be started: {why}") from error
        self.output = bytearray()
        self.max_rss_bytes = 0
        self._stderr = bytearray()
        self._unsent = bytearray()
        try:
            self._selector = selectors.DefaultSelector()
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    os.set_blocking(stream.fileno(), False)
                    self._selector.register(stream, selectors.EVENT_READ)
            if self._process.stdin is not None:
                os.set_blocking(self._process.stdin.fileno(), False)
            self._pidfd = _pidfd(self._process.pid)
            if self._pidfd is not None:
                self._selector.register(self._pidfd, selectors.EVENT_READ)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def send(self, line: bytes) -> None:
        """Hands a line over; it is written while the answer is waited for."""
        self._unsent += line
        stream = self._process.stdin
        if stream is not None and not stream.closed and stream not in self._selector.get_map():
            self._selector.register(stream, selectors.EVENT_WRITE)

    def watch(self, *, fresh: bool = False) -> Watch | None:
        """Its memory from now on, None where the system does not say it. `fresh`: it has just been started."""
        return Watch(self._process.pid, fresh=fresh) if MEASURED else None

    def wait_for(
        self,
        done: Callable[[], bool],
        *,
        seconds: float,
        over: Callable[[], bool] | None = None,
    ) -> NoAnswer | None:
        """Reads and writes until `done`, and says what else ended it: time, memory, too long an output, its end.

        `over` says whether it has more memory than it may have; it is asked often.
        """
        deadline = time.monotonic() + seconds
        tick = _TICK_SECONDS if over is None else _MEMORY_TICK_SECONDS
        while not done():
            if self._stop():
                raise Stopped
            if over is not None and over():
                return NoAnswer(Fault.TOO_MUCH_MEMORY, "more than the case allows; it was ended")
            if len(self.output) > ANSWER_BYTES_MAX:
                return NoAnswer(Fault.GARBAGE, f"more than {ANSWER_BYTES_MAX:,} bytes without an end")
            left = deadline - time.monotonic()
            if left <= 0:
                return NoAnswer(Fault.TIMED_OUT, f"no answer in {seconds:g} s")
            ended = self.has_ended()
            if not self._turn(0 if ended else min(left, tick)) and ended and not done():
                return NoAnswer(Fault.CRASHED, self.ending())
        return None

    def read_rest(self) -> None:
        """Reads what it has written already."""
        while self._turn(0) and len(self.output) <= ANSWER_BYTES_MAX:
            continue

    def has_ended(self) -> bool:
        """Whether the process has ended; it is not reaped, so that its number still belongs to its group."""
        if self._process.returncode is not None:
            return True
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._process.poll() is not None
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    @property
    def exit_status(self) -> int:
        """As Popen.returncode, of a process that has ended."""
        return self._reaped()

    def ending(self) -> str:
        """How it ended, for people."""
        return describe_status(self._reaped())

    def take_stderr(self) -> str:
        """The end of what it wrote to standard error since this was asked last, for people."""
        text = safe_lines(bytes(self._stderr).decode("utf-8", "backslashreplace"))
        self._stderr.clear()
        return text

    def blamed(self, why: NoAnswer) -> NoAnswer:
        """The same, with the last line of what it wrote to standard error, where mostly the reason stands."""
        lines = self.take_stderr().strip().splitlines()
        return NoAnswer(why.fault, f"{why.detail}; standard error ends: {lines[-1]}") if lines else why

    def close(self) -> None:
        """Kills what still runs of it: the process, its group, and whoever has left that. Closes its pipes."""
        self._reaped()
        _kill_marked(f"{_TOKEN}={self._token}".encode())
        self._selector.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None and not stream.closed:
                stream.close()

    def _turn(self, seconds: float) -> bool:
        """Waits for the pipes and serves them; whether anything was there to serve."""
        served = False
        for key, _ in self._selector.select(seconds):
            stream = key.fileobj
            if stream is self._process.stdin:
                self._write()
                continue
            if stream == self._pidfd:
                self._selector.unregister(stream)
                continue
            data = os.read(key.fd, _PIECE_BYTES)
            if not data:
                self._selector.unregister(stream)
                continue
            served = True
            if stream is self._process.stdout:
                self.output += data
            else:
                self._stderr = (self._stderr + data)[-_STDERR_BYTES:]
        return served

    def _write(self) -> None:
        stream = self._process.stdin
        if stream is None:
            return
        try:
            sent = os.write(stream.fileno(), self._unsent[:_PIECE_BYTES])
        except BrokenPipeError:
            # It reads no more: what it has said, or that it ended, is found by the reading side.
            sent = len(self._unsent)
        del self._unsent[:sent]
        if not self._unsent:
            self._selector.unregister(stream)

    def _reaped(self) -> int:
        """Its exit status; kills its group, and it too if it still runs.

        Before wait4(2), after which the number of the group may be another's.
        """
        if self._process.returncode is None:
            _kill_group(self._process.pid)
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self.max_rss_bytes = usage.ru_maxrss * 1024
        return self._process.returncode


def _pidfd(pid: int) -> int | None:
    """A descriptor that can be waited for like a pipe (pidfd_open(2), Linux 5.3); elsewhere its end is polled for."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def describe_status(status: int) -> str:
    """How a process ended, from its status as in Popen.returncode."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left (macOS says EPERM of a group of zombies)


def _kill_marked(mark: bytes) -> None:
    """Kills every process whose environment has `mark` (Linux): those that left the group by setsid(2)."""
    if not MEASURED:
        return
    deadline = time.monotonic() + _KILL_SECONDS
    # Again until none is found: one may have started another while the list was read.
    while found := [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _has(pid, mark)]:
        if time.monotonic() > deadline:
            raise OSError(errno.EBUSY, f"processes of the adapter cannot be killed: {found}")
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _has(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # another user's, or gone
