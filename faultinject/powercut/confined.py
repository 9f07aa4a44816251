"""Work on mounted disks that leaves nothing behind, however it ends.

Three processes. The command starts one that serves the disk; that one starts the one that mounts and runs programs, the
first process of a PID namespace, with a mount namespace of its own. What the kernel then guarantees: when the first
process of a PID namespace ends, all others in it are killed; when the last process of a mount namespace ends, all its
mounts go. What each does when another has died:

- the command ends or is killed: the one that mounts sees its connection close, unmounts and ends;
- the one that mounts is killed: the kernel unmounts, and the one that serves ends when that is done;
- the one that serves is killed: the kernel answers for the disk with I/O errors, and the one that mounts ends.

The one that serves must not be in the mount namespace. As its last process it would, at its end, wait for the disk
before it gives up the descriptor whose end tells the kernel that the disk is gone: nothing could end that.

Sources: pid_namespaces(7), mount_namespaces(7).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from faultinject.blackbox.baseline import UnusableError
from faultinject.blackbox.launch import LaunchError
from faultinject.inject import HarnessError
from faultinject.powercut import fuse
from faultinject.powercut.cleaning import DISK, PREFIX, in_use, make_directory, remove
from faultinject.powercut.control import RemoteDisk, serve
from faultinject.powercut.disk import Disk
from faultinject.powercut.kernel import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    serve_disks,
    unshare,
)
from faultinject.terminal import undisturbed

_GRACE_SECONDS = 20
"""How long the work may take to give back what it has, before the kernel does it."""

_END_SECONDS = 60
"""How long both processes may take to end in all."""

_KILL_SECONDS = 0.05

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that are meant for the command."""

Message = TypeVar("Message")


class EndedError(Exception):
    """The command wants no more of this: it was interrupted, or has died."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What the process that mounts has. directory: its own; ended: no more is wanted."""

    disk: RemoteDisk
    directory: Path
    ended: threading.Event

    @property
    def file(self) -> Path:
        """The disk."""
        return self.directory / DISK / fuse.NAME

    def check(self) -> None:
        """Raises EndedError where no more is wanted."""
        if self.ended.is_set():
            raise EndedError

    def wait(self, seconds: float) -> None:
        """Lets time pass. Raises EndedError."""
        self.ended.wait(seconds)
        self.check()


Work = Callable[[Inside], Generator[Message, None, None]]
"""What is done inside; it is sent there. Closed, it gives everything back that it has taken."""


@dataclass(frozen=True, slots=True)
class _Given(Generic[Message]):
    message: Message


@dataclass(frozen=True, slots=True)
class _Failed:
    """kind: which error the command is to raise."""

    kind: type[Exception]
    why: str


class _Done:
    """The end of the work."""


@contextmanager
def confined(
    work: Work[Message], disk_bytes: int, *, grace_seconds: float = _GRACE_SECONDS
) -> Iterator[Iterator[Message]]:
    """Does work inside, and gives what it gives. When the statement ends, nothing is left of it.

    Raises HarnessError where the processes cannot be set up or end too early, and what the work raises for its user.
    """
    with undisturbed():
        directory, lock = make_directory()
    context = get_context("spawn")
    here, there = Pipe()
    living, alive = Pipe(duplex=False)
    process = context.Process(target=_serve, args=(there, alive, directory, disk_bytes, work, grace_seconds))
    try:
        process.start()
        there.close()
        alive.close()
        yield _messages(here)
    finally:
        with undisturbed():
            for connection in (here, there, alive):
                connection.close()
            try:
                _wait(process, living)
            finally:
                living.close()
                remove(directory)
                os.close(lock)


def _messages(connection: Connection) -> Iterator[Any]:
    while True:
        try:
            said = connection.recv()
        except (EOFError, OSError) as error:
            raise HarnessError("the process that mounts the disk has ended; was it killed?") from error
        if isinstance(said, _Done):
            return
        if isinstance(said, _Failed):
            raise said.kind(said.why)
        yield said.message


def _wait(process: BaseProcess, living: Connection) -> None:
    """Until both processes have ended, and so cleared up. Raises HarnessError where they do not, or cannot."""
    if process.pid is None:
        return
    if not living.poll(_END_SECONDS):
        process.kill()  # the disk has gone: what waited for it goes on, with an error
        if not living.poll(_END_SECONDS):
            raise HarnessError(f"what process {process.pid} has started does not end: the kernel has it; look at dmesg")
    process.join()
    with suppress(EOFError):
        raise HarnessError(living.recv())


def _serve(
    connection: Connection,
    alive: Connection,
    directory: Path,
    disk_bytes: int,
    work: Work[Any],
    grace_seconds: float,
) -> None:
    """The process that serves the disk, and that starts the one that mounts. alive: open as long as either lives."""
    os.setsid()  # Ctrl-C is for the command alone, which then ends this in order
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    try:
        lock = in_use(directory)
        fuse_fd = fuse.opened()
        unshare(CLONE_NEWPID)
    except OSError as error:
        _tell(connection, _Failed(HarnessError, f"a disk cannot be set up: {error}; is this root, with /dev/fuse?"))
        return
    inside, outside = Pipe()
    pid = os.fork()
    if not pid:
        outside.close()
        _mount(connection, RemoteDisk(inside), fuse_fd, directory, work, grace_seconds)
    inside.close()
    connection.close()
    try:
        serve_disks()
        serve(Disk(disk_bytes), fuse_fd, outside)
    except OSError as error:
        alive.send(f"the process that serves the disk has failed: {error}")
    finally:
        os.close(fuse_fd)  # what still waits for the disk gets an error, and can be unmounted
        outside.close()
        os.waitpid(pid, 0)
        try:
            remove(directory)
        except OSError as error:
            alive.send(f"{directory} cannot be removed: {error}")
        os.close(lock)
        alive.close()


def _mount(
    connection: Connection,
    disk: RemoteDisk,
    fuse_fd: int,
    directory: Path,
    work: Work[Any],
    grace_seconds: float,
) -> NoReturn:
    """The process that mounts: the first one of its PID namespace."""
    status = 1
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)  # for what runs here; the first process of a namespace gets none of them
    try:
        inside = Inside(disk, directory, threading.Event())
        _set_up(directory, fuse_fd)
        disk.mounted()
        threading.Thread(target=_watch, args=(connection, inside.ended, grace_seconds), daemon=True).start()
        with closing(work(inside)) as messages:
            for message in messages:
                inside.check()
                connection.send(_Given(message))
        connection.send(_Done())
        status = 0
    except (EndedError, EOFError, BrokenPipeError, ConnectionResetError):
        pass  # nobody listens any more
    except (HarnessError, LaunchError, ValueError, UnusableError) as error:
        _tell(connection, _Failed(type(error), str(error)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the command has to hear of it before this ends
        _tell(connection, _Failed(HarnessError, f"{type(error).__name__}: {error}"))
    finally:
        os._exit(status)


def _set_up(directory: Path, fuse_fd: int) -> None:
    """The namespace of its own, and in it the disk. Raises HarnessError."""
    try:
        unshare(CLONE_NEWNS)
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        (directory / DISK).mkdir()
        fuse.mount_on(fuse_fd, str(directory / DISK), PREFIX.rstrip("-"))
    except OSError as error:
        raise HarnessError(f"a disk cannot be set up: {error}; does the container allow mounts?") from error
    finally:
        os.close(fuse_fd)  # the other process has it


def _tell(connection: Connection, said: object) -> None:
    with suppress(OSError):  # nobody listens any more
        connection.send(said)


def _watch(connection: Connection, ended: threading.Event, grace_seconds: float) -> None:
    """Once the command is gone, whatever runs here is killed until the work has noticed and ends; in time, that too."""
    with suppress(EOFError, OSError):
        connection.recv()
    ended.set()
    end = time.monotonic() + grace_seconds
    while time.monotonic() < end:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        time.sleep(_KILL_SECONDS)
    os._exit(1)
