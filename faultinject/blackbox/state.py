"""What the watched directories of a program hold: real directories read without following a link."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from faultinject.inject import HarnessError

LIMIT_BYTES = 1024**3
"""How much the watched directories may hold, unless told otherwise: all of it is kept in memory."""

_DEPTH_MAX = 200


class NodeKind(StrEnum):
    """What a name stands for. FIFOs, sockets and device nodes are never opened."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    FIFO = "FIFO"
    SOCKET = "socket"
    DEVICE = "device node"


@dataclass(frozen=True, slots=True)
class Node:
    """What is there under a name.

    data: the content of a file, the text of a symbolic link, the numbers of a device node, else empty. mode: with which
    permissions a FIFO, socket or device node is made (mknod(2)); two of them that differ in that alone are equal.
    """

    kind: NodeKind
    data: bytes = b""
    mode: int = field(default=0, compare=False)

    @classmethod
    def special(cls, mode: int, device: int) -> Node:
        """A FIFO, a socket or a device node. mode, device: as mknod(2) takes them and stat(2) gives them."""
        kind = _SPECIAL.get(stat.S_IFMT(mode), NodeKind.DEVICE)
        letter = b"b" if stat.S_ISBLK(mode) else b"c"
        numbers = b"%s %d:%d" % (letter, os.major(device), os.minor(device))
        return cls(kind, numbers if kind is NodeKind.DEVICE else b"", stat.S_IMODE(mode))

    def make(self, path: str) -> None:
        """Makes a FIFO, a socket or a device node, which only root may. Raises OSError."""
        type_, device = _TYPES.get(self.kind, stat.S_IFCHR), 0
        if self.kind is NodeKind.DEVICE:
            letter, _, numbers = self.data.partition(b" ")
            type_ = stat.S_IFBLK if letter == b"b" else stat.S_IFCHR
            device = os.makedev(*map(int, numbers.split(b":")))
        os.mknod(path, type_ | self.mode, device)
        os.chmod(path, self.mode)  # whatever the umask took away


_SPECIAL = {stat.S_IFIFO: NodeKind.FIFO, stat.S_IFSOCK: NodeKind.SOCKET}
_TYPES = {kind: type_ for type_, kind in _SPECIAL.items()}

DIRECTORY = Node(NodeKind.DIRECTORY)

State = Mapping[str, Node]
"""Everything below the watched directories by its key, in the order of the keys; the roots are not listed."""


Visitor = Callable[[str, os.DirEntry[str], int], None]
"""Gets a key, what is there, and the descriptor of the directory that it is in."""

HERE = "."
"""The key of the root without a label itself; the key of another root is its label."""


class StateError(HarnessError):
    """A watched directory cannot be read or restored; the message says where, why and what helps."""


@dataclass(frozen=True, slots=True)
class Root:
    """A watched directory. `path` is absolute and without links; keys of what is in it begin with `label`."""

    path: str
    label: str = ""


class Roots:
    """The watched directories, and the keys that name what is in them.

    A key is the root's label and the path below the root. Labels end in "/", but for the empty one. A name right in
    the root without a label that looks like another root's label gets "./" in front, so that no two paths share a key.
    """

    def __init__(self, roots: Sequence[Root], limit_bytes: int = LIMIT_BYTES) -> None:
        if sys.platform != "linux":
            raise StateError("only Linux has the calls with which other programs are watched; run this on Linux")
        self.roots = tuple(roots)
        self.limit_bytes = limit_bytes
        _check(self.roots)
        self._reserved = frozenset(root.label.partition("/")[0] for root in self.roots if root.label) - {""}

    def __iter__(self) -> Iterator[Root]:
        return iter(self.roots)

    def key(self, absolute_path: str) -> str | None:
        """The key of a path, None where it is outside of all roots.

        Works on the text alone: the caller has resolved the links in the directory part.
        """
        path = os.path.normpath(absolute_path)
        if path.startswith("//"):
            path = path[1:]  # POSIX gives two slashes in front a meaning that Linux does not have
        for root in self.roots:
            if path == root.path:
                return root.label or HERE
            if path.startswith(root.path) and path[len(root.path)] == "/":
                return self._joined(root, path[len(root.path) + 1 :])
        return None

    def path(self, key: str) -> str:
        """The absolute path of a key. Raises ValueError where no root has such keys."""
        for root in self.roots:
            if root.label and key.startswith(root.label):
                return os.path.join(root.path, key[len(root.label) :]).rstrip("/")
        for root in self.roots:
            if not root.label and not key.startswith("/"):
                return root.path if key == HERE else os.path.join(root.path, key.removeprefix("./"))
        raise ValueError(f"{key!r} belongs to no watched directory")

    def read(self) -> State:
        """All that the roots hold now. Raises StateError where it is too much or cannot be read."""
        found: dict[str, Node] = {}
        left_bytes = self.limit_bytes

        def visit(key: str, entry: os.DirEntry[str], directory_fd: int) -> None:
            nonlocal left_bytes
            if entry.is_dir(follow_symlinks=False):
                found[key] = DIRECTORY
            elif entry.is_symlink():
                found[key] = Node(NodeKind.SYMLINK, os.fsencode(os.readlink(entry.name, dir_fd=directory_fd)))
            elif entry.is_file(follow_symlinks=False):
                found[key] = node = Node(NodeKind.FILE, self._content(entry.name, directory_fd, key, left_bytes))
                left_bytes -= len(node.data)
            else:
                status = entry.stat(follow_symlinks=False)
                found[key] = Node.special(status.st_mode, status.st_rdev)

        self.walk(visit)
        return dict(sorted(found.items()))

    def inodes(self) -> dict[str, tuple[int, int]]:
        """Device and inode number of all that the roots hold, by key: hard links share them. Raises StateError."""
        found = {}

        def visit(key: str, entry: os.DirEntry[str], _: int) -> None:
            status = entry.stat(follow_symlinks=False)
            found[key] = status.st_dev, status.st_ino

        self.walk(visit)
        return found

    def _joined(self, root: Root, below: str) -> str:
        if not root.label and below.partition("/")[0] in self._reserved:
            return f"./{below}"
        return root.label + below

    def walk(self, visit: Visitor) -> None:
        """Visits all that the roots hold, directories before what is in them. Raises StateError where it cannot."""
        for root in self.roots:
            try:
                with opened_directory(root.path) as fd:
                    for entry in entries(fd):
                        self._below(self._joined(root, entry.name), entry, fd, 1, visit)
            except OSError as error:
                raise StateError(
                    f"the watched directory {root.path!r} cannot be read: {error}; "
                    "give its owner the right to read it, and let no other program work in it"
                ) from error

    def _below(self, key: str, entry: os.DirEntry[str], directory_fd: int, depth: int, visit: Visitor) -> None:
        visit(key, entry, directory_fd)
        if not entry.is_dir(follow_symlinks=False):
            return
        if depth == _DEPTH_MAX:
            raise StateError(f"{key[:200]!r}: directories are nested more than {_DEPTH_MAX} deep; watch others")
        with opened_directory(entry.name, directory_fd) as fd:
            for inner in entries(fd):
                self._below(f"{key}/{inner.name}", inner, fd, depth + 1, visit)

    def _content(self, name: str, directory_fd: int, key: str, left_bytes: int) -> bytes:
        with opened_file(name, directory_fd) as fd:
            size_bytes = os.fstat(fd).st_size  # holes count: they would be read as zeros
            if size_bytes > left_bytes:
                raise StateError(
                    f"{key!r} has {size_bytes} bytes, and with it the watched directories hold more than "
                    f"{self.limit_bytes}; watch a smaller directory or raise the limit (--content-limit)"
                )
            return read_whole(fd, size_bytes)


def read_whole(fd: int, size_bytes: int) -> bytes:
    """The first `size_bytes` bytes of a file, fewer only where it is shorter. Raises OSError."""
    data = os.read(fd, size_bytes) if size_bytes else b""
    if len(data) == size_bytes:
        return data
    pieces = [data]
    left = size_bytes - len(data)
    while left and pieces[-1]:  # read(2) transfers at most 0x7ffff000 bytes
        pieces.append(os.read(fd, left))
        left -= len(pieces[-1])
    return b"".join(pieces)


@contextmanager
def opened_directory(name: str, directory_fd: int | None = None, *, to_change: bool = False) -> Iterator[int]:
    """A directory, open, even where its mode forbids its owner to read or search it. Raises OSError.

    Its mode is the same again afterwards. `to_change`: it can be written to as well, and whoever asked sets the mode.
    """
    needed = 0o700 if to_change else 0o500
    fd = _open(name, os.O_RDONLY | os.O_DIRECTORY, directory_fd)
    try:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        closed = mode & needed != needed and os.geteuid() != 0
        if closed:
            os.fchmod(fd, mode | needed)
        try:
            yield fd
        finally:
            if closed and not to_change:
                os.fchmod(fd, mode)
    finally:
        os.close(fd)


@contextmanager
def opened_file(name: str, directory_fd: int) -> Iterator[int]:
    """A file, open for reading even where its mode forbids that to its owner. Never a link. Raises OSError."""
    fd = _open(name, os.O_RDONLY | os.O_NONBLOCK, directory_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(name: str, flags: int, directory_fd: int | None) -> int:
    flags |= os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=directory_fd)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        link = f"/proc/self/fd/{handle}"  # names exactly this file, whatever happens to its name (proc(5))
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.chmod(link, mode | 0o700)
        try:
            return os.open(link, flags)
        finally:
            os.chmod(link, mode)
    finally:
        os.close(handle)


def entries(fd: int) -> list[os.DirEntry[str]]:
    """What a directory holds, in the order of the names. Raises OSError."""
    with os.scandir(fd) as found:
        return sorted(found, key=lambda entry: entry.name)


def _check(roots: tuple[Root, ...]) -> None:
    if not roots:
        raise ValueError("there is no directory to watch")
    for root in roots:
        if root.path != os.path.realpath(root.path):
            raise ValueError(f"{root.path!r} is not an absolute path without links")
        if root.label and not root.label.endswith("/"):
            raise ValueError(f"the label {root.label!r} does not end in '/'")
    for one in roots:
        for other in roots:
            if one is other:
                continue
            if f"{other.path}/".startswith(f"{one.path.rstrip('/')}/"):
                raise ValueError(f"{other.path!r} lies in {one.path!r}: watch the outer directory alone")
            if one.label == other.label or (one.label and other.label.startswith(one.label)):
                raise ValueError(f"the labels {one.label!r} and {other.label!r} cannot be told apart")
