"""What the descriptors of a stopped program stand for. Sources: proc(5) (fd, fdinfo), open(2)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from enum import Enum, auto

from faultinject.blackbox.describe import Describer
from faultinject.blackbox.task import Task
from faultinject.blackbox.unrewindable import UnrewindableError

Identity = tuple[int, int]
"""Device and inode number."""


class Kind(Enum):
    """What is behind a descriptor: something watched, what we read as the program's words, or neither."""

    FILE = auto()
    DIRECTORY = auto()
    OUTPUT = auto()
    ERRORS = auto()
    NULL = auto()
    OTHER = auto()


class Descriptor:
    """An open file description, and where it stands.

    identity: of a watched file, in the model. real: under which number the program really has it, -1 where it has been
    opened in the model alone. own: the tail has really opened it, so that it may really be read. shared: another
    descriptor of the program stands for the same file, perhaps with the same offset.
    """

    __slots__ = ("flags", "identity", "kind", "offset", "own", "real", "shared")

    def __init__(
        self, kind: Kind, identity: int, flags: int, offset: int, *, real: int = -1, shared: bool = False
    ) -> None:
        self.kind = kind
        self.identity = identity
        self.flags = flags
        self.offset = offset
        self.real = real
        self.own = False
        self.shared = shared

    def copy(self) -> Descriptor:
        """One that can be changed."""
        return Descriptor(self.kind, self.identity, self.flags, self.offset, real=self.real, shared=self.shared)

    def key(self) -> tuple[object, ...]:
        """Equal for descriptions that are alike."""
        return self.kind, self.identity, self.flags, self.offset, self.real, self.own, self.shared

    @property
    def watched(self) -> bool:
        """Whether calls on it are operations."""
        return self.kind is Kind.FILE or self.kind is Kind.DIRECTORY


class Descriptors:
    """Those that a task has where it stands; each is looked at when it is first asked for.

    streams: what our files are, that standard output and standard error go to. inodes: identities of watched files.
    """

    def __init__(
        self, task: Task, describer: Describer, streams: Mapping[Identity, Kind], inodes: Mapping[int, int]
    ) -> None:
        self._task = task
        self._describer = describer
        self._streams = streams
        self._inodes = inodes
        self._known: dict[int, Descriptor | None] = {}
        self._open: dict[int, Identity] | None = None

    def get(self, fd: int) -> Descriptor | None:
        """What a descriptor stands for, not to be changed; None where it is not open. Raises UnrewindableError."""
        if fd not in self._known:
            self._known[fd] = self._look(fd)
        return self._known[fd]

    @property
    def numbers(self) -> Mapping[int, Identity]:
        """All that are open, with what is behind."""
        if self._open is None:
            directory = f"/proc/{self._task.tid}/fd"
            self._open = {}
            for name in os.listdir(directory):
                status = os.stat(f"{directory}/{name}")
                self._open[int(name)] = status.st_dev, status.st_ino
        return self._open

    def _look(self, fd: int) -> Descriptor | None:
        identity = self.numbers.get(fd)
        if identity is None:
            return None
        shared = sum(one == identity for one in self.numbers.values()) > 1
        flags, offset = _position(self._task.tid, fd)
        if identity in self._streams:
            return Descriptor(self._streams[identity], 0, flags, offset, real=fd)
        status = os.stat(f"/proc/{self._task.tid}/fd/{fd}")
        inode = self._describer.file_behind(self._task, fd)
        if inode is not None:
            if stat.S_ISDIR(status.st_mode):
                return Descriptor(Kind.DIRECTORY, 0, flags, offset, real=fd, shared=shared)
            if inode not in self._inodes:
                raise UnrewindableError(f"descriptor {fd} is open on a watched file that the model does not know")
            return Descriptor(Kind.FILE, self._inodes[inode], flags, offset, real=fd, shared=shared)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3):
            return Descriptor(Kind.NULL, 0, flags, offset, real=fd)
        return Descriptor(Kind.OTHER, 0, flags, offset, real=fd)


def _position(tid: int, fd: int) -> tuple[int, int]:
    """Flags and offset."""
    with open(f"/proc/{tid}/fdinfo/{fd}", encoding="ascii", errors="replace") as info:
        fields = dict(line.split(":", 1) for line in info if ":" in line)
    return int(fields["flags"], 8), int(fields["pos"])
