"""The start of every run: makes the watched directories hold again what they held, whatever a program did to them.

A directory is left alone only where all that is in it was compared, byte for byte; else everything is made anew, in one
order, so that readdir(3) tells every run the same. Inode numbers and times of access and of change are not kept.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from faultinject.blackbox.item import Item, attributes_of, is_kept, looks_kept
from faultinject.blackbox.state import (
    HERE,
    Node,
    NodeKind,
    Root,
    Roots,
    State,
    StateError,
    entries,
    opened_directory,
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file is that gets more names."""

    directory_fd: int
    name: str


class Template:
    """What watched directories hold now, with permissions, times, owners, extended attributes and hard links.

    The directories must not be in use by another program. Raises StateError where they cannot be read, hold too much,
    or share a file with a directory that is not watched.
    """

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self.state: State = roots.read()
        self._tops: dict[Root, Item] = {}
        self._groups: dict[tuple[int, int], Item] = {}
        items: dict[str, Item] = {}
        for root in roots:
            with _failures(root), opened_directory(root.path) as fd:
                top = Item("", os.fstat(fd), attributes_of(fd, ""), Node(NodeKind.DIRECTORY))
            self._tops[root] = items[root.label or HERE] = top

        def visit(key: str, entry: os.DirEntry[str], directory_fd: int) -> None:
            node = self.state[key]
            is_plain = node.kind in (NodeKind.FILE, NodeKind.DIRECTORY)
            attributes = attributes_of(directory_fd, entry.name) if is_plain else ()
            item = Item(entry.name, entry.stat(follow_symlinks=False), attributes, node)
            items[_parent(key, items)].children[entry.name] = items[key] = item
            self._count_links(item)

        roots.walk(visit)
        for key, item in items.items():
            group = item.first or item
            if item.node.kind is not NodeKind.DIRECTORY and group.links != item.status.st_nlink:
                raise StateError(
                    f"{key!r} is a hard link to a file that also has a name outside of the watched directories, where "
                    "it cannot be restored; work on a copy (cp -r)"
                )

    def restore(self) -> None:
        """Makes the directories hold the template again. Raises StateError where the system does not allow it."""
        if all(self._settle(root, top) for root, top in self._tops.items()):
            return
        for root, top in self._tops.items():
            with self._changed(root, top) as fd:
                _wipe(fd)
        places: dict[int, _Place] = {}
        try:
            for root, top in self._tops.items():
                with self._changed(root, top) as fd:
                    _fill(fd, top, places)
                    _dress(fd, top)
        finally:
            for place in {place.directory_fd for place in places.values()}:
                os.close(place)

    def _count_links(self, item: Item) -> None:
        if item.status.st_nlink > 1 and item.node.kind is not NodeKind.DIRECTORY:
            first = self._groups.setdefault((item.status.st_dev, item.status.st_ino), item)
            if first is not item:
                item.first = first
                first.links += 1

    def _settle(self, root: Root, top: Item) -> bool:
        """Whether all is as it was made; what has come is then removed."""
        with self._changed(root, top) as fd:
            if not looks_kept(fd, top) or not is_kept(fd, top):
                return False
            _tidy(fd, top)
            _dress(fd, top)
        return True

    @contextmanager
    def _changed(self, root: Root, top: Item) -> Iterator[int]:
        """A root, open to be changed. Nothing is ever removed from another directory that has come in its place."""
        with _failures(root), opened_directory(root.path, to_change=True) as fd:
            now = os.fstat(fd)
            if (now.st_dev, now.st_ino) != (top.status.st_dev, top.status.st_ino):
                raise StateError(
                    f"the watched directory {root.path!r} was moved or replaced by the program; "
                    "watch the directory above it"
                )
            yield fd


def _parent(key: str, items: dict[str, Item]) -> str:
    above = key.rpartition("/")[0]
    if above in items:
        return above
    return f"{above}/" if f"{above}/" in items else HERE


@contextmanager
def _failures(root: Root) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"the watched directory {root.path!r} cannot be restored: {error}; "
            "remove by hand what is in it, and let no other program work in it"
        ) from error


def _tidy(fd: int, directory: Item) -> None:
    """Removes what was not there, and gives directories their times back."""
    for entry in entries(fd):
        item = directory.children.get(entry.name)
        if item is None:
            _remove(fd, entry)
        elif item.node.kind is NodeKind.DIRECTORY:
            with opened_directory(entry.name, fd, to_change=True) as inner:
                _tidy(inner, item)
                _dress(inner, item)


def _wipe(fd: int) -> None:
    for entry in entries(fd):
        _remove(fd, entry)


def _remove(fd: int, entry: os.DirEntry[str]) -> None:
    if not entry.is_dir(follow_symlinks=False):
        os.unlink(entry.name, dir_fd=fd)
        return
    with opened_directory(entry.name, fd, to_change=True) as inner:
        _wipe(inner)
    os.rmdir(entry.name, dir_fd=fd)


def _fill(fd: int, directory: Item, places: dict[int, _Place]) -> None:
    """Makes all that a directory holds. `places`: where the first name of every hard-linked file is."""
    own_fd: int | None = None
    for name, item in directory.children.items():
        if item.first is not None:
            place = places[id(item.first)]
            os.link(place.name, name, src_dir_fd=place.directory_fd, dst_dir_fd=fd, follow_symlinks=False)
            item.made = item.first.made
            continue
        _make(fd, name, item, places)
        if item.links > 1:
            own_fd = os.dup(fd) if own_fd is None else own_fd  # the names may come when `fd` is closed
            places[id(item)] = _Place(own_fd, name)


def _make(fd: int, name: str, item: Item, places: dict[int, _Place]) -> None:
    kind = item.node.kind
    if kind is NodeKind.FILE:
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
        try:
            _write_whole(file, item.node.data)
            item.made = _dress(file, item)
        finally:
            os.close(file)
    elif kind is NodeKind.DIRECTORY:
        os.mkdir(name, 0o700, dir_fd=fd)
        with opened_directory(name, fd, to_change=True) as inner:
            _fill(inner, item, places)
            item.made = _dress(inner, item)
    else:
        if kind is NodeKind.SYMLINK:
            os.symlink(os.fsdecode(item.node.data), name, dir_fd=fd)
        else:
            item.node.make(f"/proc/self/fd/{fd}/{name}")
        made = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if (made.st_uid, made.st_gid) != (item.status.st_uid, item.status.st_gid):
            os.chown(name, item.status.st_uid, item.status.st_gid, dir_fd=fd, follow_symlinks=False)
        times = item.status.st_atime_ns, item.status.st_mtime_ns
        os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False)
        item.made = made.st_dev, made.st_ino


def _dress(fd: int, item: Item) -> tuple[int, int]:
    """Owner, attributes, permissions and times, in the order in which one does not undo another."""
    was, made = item.status, os.fstat(fd)
    if (made.st_uid, made.st_gid) != (was.st_uid, was.st_gid):
        os.fchown(fd, was.st_uid, was.st_gid)
    if item.node.kind is NodeKind.DIRECTORY:  # a new file has none, but a program may have given some to a root
        for name, _ in set(attributes_of(fd, "")) - set(item.attributes):
            os.removexattr(fd, name)
    os.fchmod(fd, stat.S_IMODE(was.st_mode))
    for name, value in item.attributes:
        os.setxattr(fd, name, value)
    os.utime(fd, ns=(was.st_atime_ns, was.st_mtime_ns))
    return made.st_dev, made.st_ino


def _write_whole(fd: int, data: bytes) -> None:
    written = os.write(fd, data) if data else 0
    while written < len(data):  # write(2) transfers at most 0x7ffff000 bytes
        written += os.write(fd, memoryview(data)[written:])
