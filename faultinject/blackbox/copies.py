"""Copies of a directory that a program is to start with: FIFOs, sockets and device nodes are made, and never opened."""

from __future__ import annotations

import os
import shutil
import stat

from faultinject.blackbox.state import Node, NodeKind


def copy_tree(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copies a directory to one that is not there yet. Raises OSError, or shutil.Error with all that went wrong."""
    shutil.copytree(source, target, symlinks=True, copy_function=_copy)


def content_bytes(directory: str | os.PathLike[str]) -> int:
    """How much the files below a directory hold, holes included: a copy would fill them. Raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    total = 0
    for path, _, names in os.walk(directory, onerror=fail):
        statuses = (os.lstat(os.path.join(path, name)) for name in names)
        total += sum(status.st_size for status in statuses if stat.S_ISREG(status.st_mode))
    return total


def _copy(source: str, target: str) -> None:
    status = os.lstat(source)
    if stat.S_ISREG(status.st_mode):
        shutil.copy2(source, target, follow_symlinks=False)
        return
    node = Node.special(status.st_mode, status.st_rdev)
    try:
        node.make(target)
    except PermissionError as error:
        if node.kind is not NodeKind.DEVICE:
            raise
        why = "it is a device node, which only root may make: leave it out"
        raise PermissionError(error.errno, why, source) from error
    shutil.copystat(source, target, follow_symlinks=False)
