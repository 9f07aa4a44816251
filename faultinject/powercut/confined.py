"""Work on mounted disks that leaves nothing behind, however it ends.

Three processes. The command starts one that serves the disk, in a mount namespace of its own; that one starts the one
that mounts and runs programs, the first process of a PID namespace. What the kernel then guarantees: when the first
process of a PID namespace ends, all others in it are killed; when the last process of a mount namespace ends, all its
mounts go. Each of the three clears up when another has died:

- the command ends or is killed: the one that mounts sees its connection close and unmounts;
- the one that mounts is killed: the one that serves unmounts;
- the one that serves is killed: mounts give I/O errors, and the one that mounts unmounts.

Sources: pid_namespaces(7), mount_namespaces(7).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from faultinject.blackbox.launch import LaunchError
from faultinject.inject import HarnessError
from faultinject.powercut import fuse
from faultinject.powercut.cleaning import DISK, in_use, make_directory, remove
from faultinject.powercut.control import RemoteDisk, serve
from faultinject.powercut.disk import Disk
from faultinject.powercut.kernel import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    MNT_DETACH,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    serve_disks,
    unmount,
    unshare,
)
from faultinject.terminal import undisturbed

_END_SECONDS = 30
"""How long the processes may take to unmount before they are killed."""

_KILL_SECONDS = 0.05

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
def confined(work: Work[Message], disk_bytes: int) -> Iterator[Iterator[Message]]:
    """Does work inside, and gives what it gives. When the statement ends, nothing is left of it.

    Raises HarnessError where the processes cannot be set up or end too early, and what the work raises for its user.
    """
    with undisturbed():
        directory, lock = make_directory()
    context = get_context("spawn")
    here, there = Pipe()
    living, alive = Pipe(duplex=False)
    process = context.Process(target=_serve, args=(there, alive, directory, disk_bytes, work))
    try:
        process.start()
        there.close()
        alive.close()
        yield _messages(here)
    finally:
        with undisturbed():
            for connection in (here, there, alive):
                connection.close()
            _wait(process, living)
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
        raise HarnessError(f"the process that serves the disk has failed: {living.recv()}")


def _serve(connection: Connection, alive: Connection, directory: Path, disk_bytes: int, work: Work[Any]) -> None:
    """The process that serves the disk, and that starts the one that mounts. alive: open as long as either lives."""
    os.setsid()  # Ctrl-C is for the command alone, which then ends this in order
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    lock = in_use(directory)
    try:
        fuse_fd = _set_up(directory)
    except OSError as error:
        _tell(connection, _Failed(HarnessError, f"a disk cannot be set up: {error}; does the container allow mounts?"))
        return
    inside, outside = Pipe()
    pid = os.fork()
    if not pid:
        os.close(fuse_fd)
        outside.close()
        _mount(connection, RemoteDisk(inside), directory, work)
    inside.close()
    connection.close()
    try:
        serve_disks()
        serve(Disk(disk_bytes), fuse_fd, outside)
    except OSError as error:
        alive.send(str(error))
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


def _set_up(directory: Path) -> int:
    unshare(CLONE_NEWNS | CLONE_NEWPID)
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    (directory / DISK).mkdir()
    return fuse.mounted(str(directory / DISK), "faultinject-powercut")


def _mount(connection: Connection, disk: RemoteDisk, directory: Path, work: Work[Any]) -> NoReturn:
    """The process that mounts: the first one of its PID namespace."""
    status = 1
    try:
        inside = Inside(disk, directory, threading.Event())
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        threading.Thread(target=_watch, args=(connection, inside.ended), daemon=True).start()
        with closing(work(inside)) as messages:
            for message in messages:
                inside.check()
                connection.send(_Given(message))
        unmount(str(directory / DISK))
        connection.send(_Done())
        status = 0
    except (EndedError, EOFError, BrokenPipeError, ConnectionResetError):
        pass  # nobody listens any more
    except (HarnessError, LaunchError, ValueError) as error:
        _tell(connection, _Failed(type(error), str(error)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the command has to hear of it before this ends
        _tell(connection, _Failed(HarnessError, f"{type(error).__name__}: {error}"))
    finally:
        with suppress(OSError):  # unmounted above, unless something went wrong
            unmount(str(directory / DISK), MNT_DETACH)
        os._exit(status)


def _tell(connection: Connection, said: object) -> None:
    with suppress(OSError):  # nobody listens any more
        connection.send(said)


def _watch(connection: Connection, ended: threading.Event) -> None:
    """Once the command is gone, whatever runs here is killed until the work has noticed and ends."""
    with suppress(EOFError, OSError):
        connection.recv()
    ended.set()
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        threading.Event().wait(_KILL_SECONDS)
