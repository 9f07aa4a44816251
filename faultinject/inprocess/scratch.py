"""The directory in which a function saves: brought to a state before every run, read after it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from faultinject.blackbox.copies import copy_tree
from faultinject.blackbox.place import fill, remove
from faultinject.blackbox.state import Node, NodeKind, Root, Roots, State
from faultinject.inprocess.saver import UnusableError

IN_MEMORY = "/dev/shm"
"""A file system in memory (tmpfs(5)), where there is one."""


def parent() -> str | None:
    """Where directories are made: in memory where that is allowed."""
    return IN_MEMORY if os.path.isdir(IN_MEMORY) and os.access(IN_MEMORY, os.W_OK | os.X_OK) else None


def _prefix(process: int) -> str:
    """Whose directory it is, so that what a killed process has left can be told from that of a living one."""
    return f"faultinject-{process}-"


def remove_left(process: int) -> None:
    """Removes the directories of a process that was killed."""
    for left in Path(parent() or tempfile.gettempdir()).glob(f"{_prefix(process)}*"):
        remove(left)


class Scratch:
    """A new directory; `close` removes it. See `faultinject.blackbox.aftermath.Directories`."""

    def __init__(self) -> None:
        made = tempfile.mkdtemp(prefix=_prefix(os.getpid()), dir=parent())
        self._base = Path(os.path.realpath(made))
        self.directory = str(self._base / "d")
        os.mkdir(self.directory)
        self.roots = Roots([Root(self.directory)])
        self._held: State | None = {}

    @property
    def path(self) -> Path:
        """The directory, as functions get it."""
        return Path(self.directory)

    def forget(self) -> None:
        """More than content may have changed: the next `put` makes every file anew."""
        self._held = None

    def read(self) -> State:
        """What is there now."""
        found = self.roots.read()
        if self._held is not None:
            self._held = found
        return found

    def put(self, state: State) -> None:
        """Makes the directory hold this state. Files that hold their content already are left alone."""
        held = self._held
        if held is None or any(node.kind is not NodeKind.FILE for node in (*held.values(), *state.values())):
            fill(self.roots, state)
        else:
            for key in held:
                if held[key] != state.get(key):
                    os.unlink(os.path.join(self.directory, key))
            for key, node in state.items():
                if held.get(key) != node:
                    _write(os.path.join(self.directory, key), node)
        self._held = state

    def filled(self, content: Callable[[Path], object] | dict[str, bytes]) -> State:
        """The state that a start makes. Raises UnusableError where it cannot."""
        fill(self.roots, {})
        self.forget()
        try:
            if callable(content):
                content(self.path)
            else:
                for name, data in content.items():
                    path = self.path / name
                    if not path.resolve().is_relative_to(self.path):
                        raise UnusableError(f"the start has a file outside of the directory: {name!r}")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
        except OSError as error:
            raise UnusableError(f"the start cannot be made: {error}") from error
        return self.roots.read()

    def copy(self) -> Path:
        """A copy of the directory beside it; whoever asked removes it."""
        target = Path(tempfile.mkdtemp(prefix="copy-", dir=self._base)) / "d"
        copy_tree(self.directory, target)
        return target

    def close(self) -> None:
        """Removes the directory and all copies."""
        remove(self._base)


def _write(path: str, node: Node) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(node.data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
