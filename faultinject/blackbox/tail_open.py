"""Opens after a fault, made on the model. Sources: open(2), creat(2), access(2)."""

from __future__ import annotations

import errno
import os
from functools import partial

from faultinject.blackbox.descriptors import Descriptor, Kind
from faultinject.blackbox.point import Arguments
from faultinject.blackbox.state import NodeKind
from faultinject.blackbox.tail import DONE, Table, Tail
from faultinject.blackbox.tree import DIRECTORY_ID
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.ops import Op


def _open(  # noqa: C901 - one after the other, as the kernel looks at them
    tail: Tail, arguments: Arguments, directory: int | None, flags: int | None
) -> int:
    how = os.O_CREAT | os.O_WRONLY | os.O_TRUNC if flags is None else arguments[flags]
    path = 0 if directory is None else 1
    call = ("creat" if flags is None else "open") if directory is None else "openat"
    operation = tail.names(call, arguments, (directory, path))
    if operation is None:
        return _open_unwatched(tail, how)
    error = tail.hit(operation.op, creates=operation.op is Op.OPEN and bool(how & os.O_CREAT))
    if error:
        return -error
    name = operation.name
    if operation.op is not Op.OPEN or name is None:
        raise UnrewindableError("it opens an unnamed file after the fault")
    if tail.point.base.has_symlinks:
        raise UnrewindableError("it opens a file where there are symbolic links")
    if tail.point.is_home(name.rstrip("/")):
        return _open_directory(tail, how)
    identity = tail.overlay.lookup(name)
    if identity is None:
        if not how & os.O_CREAT or not tail.has_parent(name):
            return -errno.ENOENT
        if how & os.O_DIRECTORY:
            raise UnrewindableError("it creates a directory by open")
        identity = tail.overlay.create(name)
    elif how & os.O_CREAT and how & os.O_EXCL:
        return -errno.EEXIST
    elif identity == DIRECTORY_ID:
        return _open_directory(tail, how)
    else:
        if tail.overlay.kind(identity) is not NodeKind.FILE or how & os.O_DIRECTORY:
            raise UnrewindableError(f"it opens {name!r}, which is no file, after the fault")
        _check_access(tail, name, identity, how)
        if how & os.O_TRUNC:
            tail.overlay.file(identity).resize(0)
    return tail.place(Descriptor(Kind.FILE, identity, how & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC), 0))


def _open_directory(tail: Tail, how: int) -> int:
    if how & os.O_ACCMODE != os.O_RDONLY or how & os.O_CREAT:
        return -errno.EISDIR
    return tail.place(Descriptor(Kind.DIRECTORY, DIRECTORY_ID, how, 0))


def _check_access(tail: Tail, name: str, identity: int, how: int) -> None:
    """Nobody may open a file here that the program could not open really."""
    if tail.point.is_root:
        return
    links = tail.point.base.links(identity)
    if identity < 0 or not links:
        raise UnrewindableError(f"nobody knows who may open {name!r}")
    wanted = {os.O_RDONLY: os.R_OK, os.O_WRONLY: os.W_OK}.get(how & os.O_ACCMODE, os.R_OK | os.W_OK)
    if not os.access(tail.point.roots.path(links[0]), wanted | (os.W_OK if how & os.O_TRUNC else 0)):
        raise UnrewindableError(f"it may not open {name!r}")


def _open_unwatched(tail: Tail, how: int) -> int:
    if how & os.O_ACCMODE != os.O_RDONLY or how & (os.O_CREAT | os.O_TRUNC):
        raise UnrewindableError("it opens a file that is not watched for writing after the fault")
    expected = tail.free()
    fd = tail.really()
    if fd < 0:
        return DONE
    tail.undo.append(("close", (fd,)))
    if fd != expected:
        raise UnrewindableError("it opens a file under a number that is free only in the model")
    found = Descriptor(Kind.OTHER, 0, how, 0, real=fd)
    found.own = True
    tail.descriptors[fd] = found
    return DONE


TABLE: Table = {
    "open": partial(_open, directory=None, flags=1),
    "creat": partial(_open, directory=None, flags=None),
    "openat": partial(_open, directory=0, flags=2),
}
"""What is done for each of these calls."""
