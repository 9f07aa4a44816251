"""What the names and descriptors of a stopped task stand for, found in its own view and not in ours.

Sources: path_resolution(7), proc(5) (cwd, fd, fdinfo), open(2).
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from dataclasses import dataclass

from faultinject.blackbox.state import Roots
from faultinject.blackbox.task import Task

AT_FDCWD = -100

_LINKS_MAX = 40
"""The kernel follows no more links in one path."""

_GONE = " (deleted)"
"""What proc(5) puts behind the path of an open file that has lost this name."""

_MAGIC = re.compile(r"/proc/[0-9]+/(task/[0-9]+/)?(fd/[0-9]+|cwd|root|exe)")


@dataclass(frozen=True, slots=True)
class File:
    """A watched file or directory behind a descriptor. name: None where it has lost the one it was opened by."""

    name: str | None
    inode: int
    is_directory: bool


class Lookup:
    """Finds what is in the watched directories. Methods raise OSError where the memory or the task is not there."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots

    def path(self, task: Task, directory: int, address: int, *, follow: bool) -> str | None:
        """The absolute path that an argument names; None where the call is about to say that there is none.

        follow: whether a link as the last component is followed, too.
        """
        raw = os.fsdecode(task.read_string(address))
        if not raw:
            return None
        base = "" if raw.startswith("/") else self.directory(task, directory)
        return None if base is None else resolved(task, base, raw, follow=follow)

    def directory(self, task: Task, fd: int) -> str | None:
        """Where a relative path begins, None where there is no such descriptor or it is open on no directory."""
        link = f"/proc/{task.tid}/cwd" if signed(fd) == AT_FDCWD else descriptor(task, fd)
        try:
            path = os.readlink(link)
        except OSError:
            return None
        return path if path.startswith("/") else None

    def file(self, task: Task, fd: int | None) -> File | None:
        """The watched file or directory behind a descriptor, None where there is none: a FIFO is none."""
        link = descriptor(task, fd)
        try:
            path = os.readlink(link)
            if not path.startswith("/") or self.roots.key(path) is None:
                return None
            status = os.stat(link)
        except OSError:
            return None  # no such descriptor: the call is about to say so
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            return None
        return File(self._name(path, status), status.st_ino, stat.S_ISDIR(status.st_mode))

    def position(self, task: Task, fd: int) -> tuple[int, int]:
        """Flags and offset of an open file."""
        with open(f"/proc/{task.tid}/fdinfo/{signed(fd)}", encoding="ascii") as info:
            fields = dict(line.split(":", 1) for line in info if ":" in line)
        return int(fields["flags"], 8), int(fields["pos"])

    def content(self, task: Task, fd: int | None, offset: int, size_bytes: int) -> bytes:
        """Bytes of an open file, fewer only where it is shorter."""
        file = os.open(descriptor(task, fd), os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while size_bytes > 0:
                part = os.pread(file, size_bytes, offset)
                if not part:
                    break
                parts.append(part)
                offset += len(part)
                size_bytes -= len(part)
        finally:
            os.close(file)
        return b"".join(parts)

    def mapped_name(self, task: Task, address: int) -> str | None:
        """The watched file that is mapped at an address, None where none is."""
        with open(f"/proc/{task.pid}/maps", "rb") as maps:
            for line in maps:
                fields = line.rstrip(b"\n").split(None, 5)
                start, _, end = fields[0].partition(b"-")
                if int(start, 16) <= address < int(end, 16) and len(fields) == 6:
                    path = os.fsdecode(fields[5].replace(rb"\012", b"\n"))  # a newline is all that is escaped
                    return self.roots.key(path.removesuffix(_GONE))
        return None

    def _name(self, path: str, status: os.stat_result) -> str | None:
        """The key of an open file; a file that is really called so may end like one that is gone."""
        if path.endswith(_GONE):
            try:
                there = os.lstat(path)
            except OSError:
                return None
            if (there.st_dev, there.st_ino) != (status.st_dev, status.st_ino):
                return None
        return self.roots.key(path)


def resolved(task: Task, base: str, path: str, *, follow: bool) -> str:
    """The absolute path of a file without links and dots. `base`: where a relative one begins, free of them already.

    What does not exist is taken as it is written: the call will say so.
    """
    done = "" if path.startswith("/") or base == "/" else base
    left = path.split("/")[::-1]
    links = 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{done}/{name}"
        if not left and not follow:
            return here
        target = _link(task, here)
        if target is None:
            done = here
            continue
        links += 1
        if links > _LINKS_MAX:
            return here  # the call is about to say ELOOP
        if _MAGIC.fullmatch(here):
            # Not a text but the file itself: it is not looked up again. A pipe has no path at all.
            if not target.startswith("/"):
                return here
            done = target if target != "/" else ""
            continue
        if target.startswith("/"):
            done = ""
        left += target.split("/")[::-1]
    return done or "/"


def _link(task: Task, path: str) -> str | None:
    """What a symbolic link says to this task, None where there is no link."""
    if path == "/proc/self":
        return str(task.pid)
    if path == "/proc/thread-self":
        return f"{task.pid}/task/{task.tid}"
    try:
        # Most are no links, and an exception costs more than a look.
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            return None
        return os.readlink(path)
    except OSError:
        return None


def signed(value: int | None) -> int:
    """A descriptor as the kernel takes it from a register: its lower 32 bits, signed."""
    low = (value or 0) & 0xFFFFFFFF
    return low - (1 << 32) if low & 0x80000000 else low


def descriptor(task: Task, fd: int | None) -> str:
    """The link to an open file of a task."""
    return f"/proc/{task.tid}/fd/{signed(fd)}"


def unpacked(layout: str, task: Task, address: int) -> tuple[int, ...]:
    """Numbers from the memory of a task."""
    size_bytes = struct.calcsize(layout)
    data = task.read(address, size_bytes)
    if len(data) < size_bytes:
        raise OSError(errno.EFAULT, f"no memory for {size_bytes} bytes at {address:#x}")
    return struct.unpack(layout, data)
