"""What one name of a watched directory was, with everything about it, and whether it still is."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field

from faultinject.blackbox.state import Node, NodeKind, opened_directory, opened_file, read_whole

_NOT_KEPT = ("security.", "trusted.")
"""Extended attributes that only the system or root sets (xattr(7))."""


@dataclass(slots=True)
class Item:
    """One name as it was. `links` counts the names of its file, `first` is the item that makes it; `made`: as what."""

    name: str
    status: os.stat_result
    attributes: tuple[tuple[str, bytes], ...]
    node: Node
    links: int = 1
    first: Item | None = None
    children: dict[str, Item] = field(default_factory=dict)
    made: tuple[int, int] | None = None


def attributes_of(directory_fd: int, name: str) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes of a file in a directory that is open; of the directory itself for an empty name."""
    path = f"/proc/self/fd/{directory_fd}/{name}"
    try:
        names = os.listxattr(path, follow_symlinks=not name)
        return tuple(
            (attribute, os.getxattr(path, attribute, follow_symlinks=not name))
            for attribute in sorted(names)
            if not attribute.startswith(_NOT_KEPT)
        )
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise


def looks_kept(fd: int, directory: Item) -> bool:
    """A look at the status alone: it is cheap and finds nearly every change."""
    for name, item in directory.children.items():
        try:
            now = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        was = item.status
        if (now.st_dev, now.st_ino) != item.made or (now.st_mode, now.st_uid, now.st_gid) != (
            was.st_mode,
            was.st_uid,
            was.st_gid,
        ):
            return False
        if item.node.kind is NodeKind.DIRECTORY:
            with opened_directory(name, fd) as inner:
                if not looks_kept(inner, item):
                    return False
        elif (now.st_mtime_ns, now.st_size, now.st_nlink) != (was.st_mtime_ns, was.st_size, was.st_nlink):
            return False
    return True


def is_kept(fd: int, directory: Item) -> bool:
    """Compares contents, texts of links and attributes: a status can be forged, and clocks are coarse."""
    for name, item in directory.children.items():
        kind = item.node.kind
        if kind in (NodeKind.FILE, NodeKind.DIRECTORY) and attributes_of(fd, name) != item.attributes:
            return False
        if kind is NodeKind.FILE:
            with opened_file(name, fd) as file:
                if read_whole(file, len(item.node.data)) != item.node.data:
                    return False
        elif kind is NodeKind.SYMLINK:
            if os.fsencode(os.readlink(name, dir_fd=fd)) != item.node.data:
                return False
        elif kind is NodeKind.DIRECTORY:
            with opened_directory(name, fd) as inner:
                if not is_kept(inner, item):
                    return False
    return True
