"""Starts a program, traced and filtered from its first instruction on.

The child waits until it is traced, sets itself up and becomes the program; the parent follows it up to the stop of
that exec, where the program exists and has done nothing. Sources: ptrace(2), execve(2), seccomp(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from faultinject.blackbox import ptrace, seccomp
from faultinject.blackbox.abi import native
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.ptrace import EVENT_EXEC, EVENT_STOP, PTRACE_CONT, WALL, Ptrace

_REPORT_BYTES = 1 << 16
_JOB_CONTROL = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class LaunchError(Exception):
    """A program could not be started; the text says why and what to look at."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a program inherits.

    calls: the system calls to stop at (None: all), without those of `ignore`. stdin, stdout, stderr: descriptors,
    None for /dev/null.
    """

    calls: frozenset[str] | None
    ignore: frozenset[str] = frozenset()
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None

    def filter(self) -> seccomp.Filter:
        """The seccomp filter that stops the program where `calls` says."""
        return seccomp.Filter(seccomp.instructions(native(), self.calls, self.ignore))


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments, environment and working directory (None: those of this process), and its limits."""

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.argv:
            raise LaunchError("no program to start: the command is empty")
        if any("\0" in word for word in self.argv) or "\0" in (self.cwd or ""):
            raise LaunchError("a command cannot hold a NUL character")

    def variables(self) -> dict[bytes, bytes]:
        """The environment, as bytes."""
        env = os.environ if self.env is None else self.env
        variables = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
        for name, value in variables.items():
            if not name or b"=" in name or b"\0" in name + value:
                raise LaunchError(f"{os.fsdecode(name)!r} cannot be a variable of the environment")
        return variables

    def path(self) -> str:
        """Where the program is, found as execvp(3) does; relative to the working directory of the program."""
        name = self.argv[0]
        if "/" in name:
            return name
        env = os.environ if self.env is None else self.env
        denied = False
        for directory in env.get("PATH", os.defpath).split(os.pathsep):
            path = os.path.join(directory or ".", name)
            at = os.path.join(self.cwd or ".", path)
            if os.path.isfile(at):
                if os.access(at, os.X_OK):
                    return path
                denied = True
        if denied:
            raise LaunchError(f"{name}: found in PATH, but may not be executed: set its x bit (chmod +x)")
        raise LaunchError(f"{name}: no such program in PATH: give its path, or install it")

    def limit(self, pid: int) -> None:
        """Sets its limits, once it stands at the end of its exec. Raises LaunchError."""
        try:
            self.limits.impose(pid)
        except ProcessLookupError:
            raise
        except OSError as error:
            raise LaunchError(f"{self.argv[0]}: its limit cannot be set: {error.strerror}") from error

    def refused(self, error: int) -> LaunchError:
        """Why execve failed, for people."""
        name = self.path()
        path = os.path.join(self.cwd or ".", name)
        try:
            mode = os.stat(path).st_mode
        except OSError as missing:
            return LaunchError(f"{name}: {missing.strerror}: there is no such program to start")
        if stat.S_ISDIR(mode):
            return LaunchError(f"{name}: is a directory, not a program")
        if error == errno.EACCES:
            return LaunchError(f"{name}: may not be executed: set its x bit (chmod +x), or look at the mount options")
        if error == errno.ENOENT:
            return LaunchError(f"{name}: exists, but {_interpreter(path)} that runs it does not")
        if error == errno.ENOEXEC:
            return LaunchError(f"{name}: is neither a program for this machine nor a script that begins with #!")
        return LaunchError(f"{name}: cannot be started: {os.strerror(error)}")


def _interpreter(path: str) -> str:
    with suppress(OSError), open(path, "rb") as file:
        first = file.readline(256)
        if first.startswith(b"#!"):
            return f"the interpreter {os.fsdecode(first[2:].strip())!r}"
    return "the loader (ELF interpreter)"


def start(command: Command, setup: Setup, tracer: Ptrace) -> int:
    """Starts a program under `tracer`; returns its process id once it stands at the end of its exec.

    Raises LaunchError, and leaves no process behind. The caller has signals blocked (pthread_sigmask): an exception
    from a handler of Python's in here would leave the child behind.
    """
    path = command.path()
    variables = command.variables()
    filter_ = setup.filter()
    report, child_report = os.pipe2(os.O_CLOEXEC)
    child_go, go = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
        if not pid:
            os.close(go)  # so that the child sees the end of the pipe where its parent dies
            _become(path, command, variables, setup, filter_, child_go, child_report)
        os.close(child_report)
        child_report = -1
        try:
            tracer.seize(pid)
            os.write(go, b"g")
            started = _follow(tracer, pid)
            if started:
                command.limit(pid)
        except BaseException as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, WALL)
            if isinstance(error, PermissionError):
                raise LaunchError(_NOT_PERMITTED) from error
            raise
        if started:
            return pid
        raise _failure(command, os.read(report, _REPORT_BYTES))
    finally:
        for fd in (report, child_report, child_go, go):
            if fd >= 0:
                os.close(fd)


_NOT_PERMITTED = (
    "this process may not trace another one (ptrace): in a container allow the system call ptrace"
    " (--cap-add=SYS_PTRACE), and look at /proc/sys/kernel/yama/ptrace_scope, which must be below 3"
)


def _follow(tracer: Ptrace, pid: int) -> bool:
    """Waits until the child stands at the end of its exec; False where it has ended before, and is reaped."""
    while True:
        _, status = os.waitpid(pid, WALL)
        if status & 0xFF != 0x7F:
            return False
        event, number = status >> 16, status >> 8 & 0xFF
        if event == EVENT_EXEC:
            return True
        with suppress(ProcessLookupError):  # killed from outside: its end is reported next
            if event == EVENT_STOP and number in _JOB_CONTROL:
                tracer.listen(pid)
            else:
                # Calls of the child before its exec stop as well: they are ours, not the program's.
                tracer.resume(PTRACE_CONT, pid, number if not event else 0)


def _failure(command: Command, report: bytes) -> LaunchError:
    stage, _, rest = report.decode(errors="replace").partition("\n")
    error, _, text = rest.partition("\n")
    if not report:
        return LaunchError(f"{command.argv[0]}: the new process was killed before it became the program")
    if stage == "execve":
        return command.refused(int(error))
    if stage == "chdir":
        return LaunchError(f"{command.cwd}: cannot be the working directory: {os.strerror(int(error))}")
    return LaunchError(f"{command.argv[0]}: cannot be started: {stage} failed: {text}")


def _become(
    path: str,
    command: Command,
    variables: dict[bytes, bytes],
    setup: Setup,
    filter_: seccomp.Filter,
    go: int,
    report: int,
) -> NoReturn:
    """The child: becomes the program, or says why not and ends. Nothing of the parent's may run in it."""
    stage = "setup"
    try:
        # Out of the way of the three standard descriptors, which the parent may have closed.
        go = fcntl.fcntl(go, fcntl.F_DUPFD_CLOEXEC, 3)
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, 3)
        if os.read(go, 1) != b"g":
            os._exit(255)
        os.setsid()  # a Ctrl-C at the terminal is for the tracer
        _default_signals()
        if command.limits.ignore_sigxfsz:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        stage = "standard descriptors"
        _redirect(setup)
        stage = "chdir"
        if command.cwd is not None:
            os.chdir(command.cwd)
        stage = "personality"
        ptrace.fix_addresses()
        stage = "close_range"
        ptrace.close_on_exec(3)
        stage = "seccomp"
        ptrace.install_filter(filter_.program)
        stage = "execve"
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(path, command.argv, variables)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it and nobody else
        code = getattr(error, "errno", None) or 0
        os.write(report, f"{stage}\n{code}\n{type(error).__name__}: {error}".encode(errors="replace")[:_REPORT_BYTES])
    finally:
        os._exit(255)


def _default_signals() -> None:
    """Gives every signal its default action, whatever nohup, a shell in the background, a worker or Python ignores.

    An ignored signal stays ignored across execve(2), and many programs then install no handler for it.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _redirect(setup: Setup) -> None:
    sources = [os.open(os.devnull, os.O_RDWR) if fd is None else fd for fd in (setup.stdin, setup.stdout, setup.stderr)]
    # All out of the way first: one of them may be the number of another.
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in sources]
    for place, copy in enumerate(copies):
        os.dup2(copy, place, inheritable=True)
