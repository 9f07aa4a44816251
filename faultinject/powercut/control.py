"""How the process that mounts drives the disk that another process serves.

They are two, since the kernel asks for blocks while the one waits in mount(2), and since the one must be able to clear
up when the other has died.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from faultinject.inject import HarnessError
from faultinject.powercut.disk import Disk, Entry, Survivors
from faultinject.powercut.fuse import Server


class RemoteDisk:
    """The disk, as seen from the process that mounts it. Every call raises HarnessError where its server has died."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def mounted(self) -> None:
        """To be called once the file with the disk in it is there: before, the kernel has nobody who would ask."""
        self._ask("mounted")

    def begin(self) -> None:
        """What the disk holds now becomes the base of all images, and the log begins."""
        self._ask("begin")

    def position(self) -> int:
        """How many entries the log has."""
        place: int = self._ask("position")
        return place

    def log(self) -> list[Entry]:
        """The log so far."""
        entries: list[Entry] = self._ask("log")
        return entries

    def show(self, survivors: Survivors) -> int:
        """Makes the disk hold this and ends the log; the digest is equal for equal disks."""
        digest: int = self._ask("show", survivors)
        return digest

    def _ask(self, name: str, *arguments: object) -> Any:
        try:
            self._connection.send((name, arguments))
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise HarnessError("the process that serves the disk has ended; was it killed?") from error


def serve(disk: Disk, fuse_fd: int, connection: Connection) -> None:
    """Answers the kernel on `fuse_fd` and the other process on `connection` until that one is gone. Raises OSError."""
    server = Server(fuse_fd, disk)
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    calls: dict[str, Callable[..., Any]] = {
        "mounted": lambda: waiting.register(fuse_fd, select.POLLIN),
        "begin": disk.begin,
        "position": lambda: len(disk.log),
        "log": lambda: disk.log,
        "show": disk.show,
    }
    while True:
        for fd, _ in waiting.poll():
            if fd == fuse_fd:
                if not server.serve():
                    waiting.unregister(fuse_fd)
                continue
            try:
                name, arguments = connection.recv()
                connection.send(calls[name](*arguments))
            except (EOFError, OSError):
                return
