"""The inputs of a case, in a folder of its own while the case runs (spec/conformance.md, chapter 2)."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kvformat.conform.case import Case, Kind, Node

_CANNOT_HOLD = frozenset({errno.EFBIG, errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG, errno.EEXIST})
"""How file systems refuse sizes and names that others take: EEXIST is one that folds case, EILSEQ one of UTF-8."""


class CannotHoldError(Exception):
    """The file system of the scratch folder cannot hold what a case needs: the case cannot be asked here."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where the input stands, and where a `write` puts its file."""

    input: Path
    output: Path


@contextmanager
def prepared(case: Case, folder: Path) -> Iterator[Prepared]:
    """Makes the input of `case` in the new folder `folder` and removes it afterwards.

    Raises CannotHoldError, and OSError where the system fails otherwise.
    """
    folder.mkdir()
    locks: list[int] = []
    try:
        ready = Prepared(folder / "input", folder / "output")
        try:
            _make_input(case, ready.input, locks)
        except OSError as error:
            if error.errno in _CANNOT_HOLD:
                raise CannotHoldError(f"{folder.parent}: its file system cannot hold the input: {error}") from error
            raise
        yield ready
    finally:
        for fd in locks:
            os.close(fd)
        # What an adapter still puts there is removed with the whole scratch folder, after the adapter has ended.
        remove_tree(folder, ignore_errors=True)


def remove_tree(path: Path, *, ignore_errors: bool = False) -> None:
    """Removes a folder with all in it, whatever permissions an adapter has left there. Raises OSError."""
    for folder, inner, _ in os.walk(path):
        for name in inner:
            place = os.path.join(folder, name)
            if not os.path.islink(place):
                os.chmod(place, 0o700)
    shutil.rmtree(path, ignore_errors=ignore_errors)


def _make_input(case: Case, path: Path, locks: list[int]) -> None:
    given = case.input
    if given.node is not None:
        _make_node(os.fsencode(path), given.node, locks)
        return
    path.mkdir()
    for name, node in given.directory or ():
        _make_node(os.path.join(os.fsencode(path), name), node, locks)
    if given.view is not None:
        shutil.copyfile(given.view, path / "view.json")
        _make_node(os.fsencode(path / "payload"), Node(file=given.payload), locks)


def _make_node(path: bytes, node: Node, locks: list[int]) -> None:
    if node.kind is Kind.SYMLINK:
        os.symlink(node.target or b"", path)
    elif node.kind is Kind.FIFO:
        os.mkfifo(path)
    elif node.kind is Kind.DIRECTORY:
        os.mkdir(path)
    else:
        _make_file(path, node, locks)


def _make_file(path: bytes, node: Node, locks: list[int]) -> None:
    data = b"" if node.file is None else node.file.read_bytes()
    # O_EXCL: on a file system that folds case, a second name must not overwrite the first.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb", closefd=False) as stream:
            stream.write(data)
        if node.extend_to_bytes is not None:
            os.ftruncate(fd, node.extend_to_bytes)
        if node.locked:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locks.append(os.dup(fd))
    finally:
        os.close(fd)
