"""Calls on names after a fault, opens left out, made on the model. Sources: the man page of each call."""

from __future__ import annotations

import errno
from functools import partial

from faultinject.blackbox.point import Arguments
from faultinject.blackbox.tail import REAL, Table, Tail
from faultinject.blackbox.tail_descriptors import fstat, settle
from faultinject.blackbox.tree import DIRECTORY_ID
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.ops import Op

_AT_REMOVEDIR = 0x200
_AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_NOREPLACE = 1


def _look(tail: Tail, arguments: Arguments, directory: int | None, path: int, flags: int | None, follow: bool) -> int:
    at = 0 if flags is None else arguments[flags]
    if at & _AT_EMPTY_PATH:
        raise UnrewindableError("it looks at a descriptor in a way that is not modelled")
    follow = follow and not at & _AT_SYMLINK_NOFOLLOW
    name = tail.key(None if directory is None else arguments[directory], arguments[path], follow=follow)
    if name is None or tail.point.is_home(name.rstrip("/")):
        return REAL
    identity = tail.overlay.lookup(name)
    if name in tail.overlay.names:
        if identity is None and tail.has_parent(name):
            return -errno.ENOENT
        raise UnrewindableError(f"it looks at {name!r}, which has changed after the fault")
    if identity is not None and identity != DIRECTORY_ID and tail.overlay.touches(identity):
        raise UnrewindableError(f"it looks at {name!r}, which has changed after the fault")
    return REAL


def _fstatat(tail: Tail, arguments: Arguments) -> int:
    if arguments[3] & _AT_EMPTY_PATH:
        if tail.string(arguments[1]):
            raise UnrewindableError("it looks at a descriptor in a way that is not modelled")
        return fstat(tail, (arguments[0], arguments[2]))
    return _look(tail, arguments, directory=0, path=1, flags=3, follow=True)


def _unlink(tail: Tail, arguments: Arguments, directory: int | None) -> int:
    if directory is not None and arguments[2] & _AT_REMOVEDIR:
        return _rmdir(tail, arguments, directory)
    name = _name(tail, "unlink" if directory is None else "unlinkat", arguments, directory)
    error = tail.hit(Op.UNLINK)
    if error:
        return -error
    identity = tail.overlay.lookup(name)
    if identity is None or not tail.has_parent(name):
        return -errno.ENOENT
    if identity == DIRECTORY_ID:
        return -errno.EISDIR
    tail.overlay.names[name] = None
    return 0


def _rmdir(tail: Tail, arguments: Arguments, directory: int | None) -> int:
    name = _name(tail, "rmdir" if directory is None else "unlinkat", arguments, directory)
    error = tail.hit(Op.RMDIR)
    if error:
        return -error
    identity = tail.overlay.lookup(name)
    if identity is None or not tail.has_parent(name):
        return -errno.ENOENT
    if identity != DIRECTORY_ID:
        return -errno.ENOTDIR
    if not tail.overlay.is_empty(name):
        return -errno.ENOTEMPTY
    tail.overlay.names[name] = None
    return 0


def _mkdir(tail: Tail, arguments: Arguments, directory: int | None) -> int:
    name = _name(tail, "mkdir" if directory is None else "mkdirat", arguments, directory)
    error = tail.hit(Op.MKDIR)
    if error:
        return -error
    if tail.overlay.lookup(name) is not None:
        return -errno.EEXIST
    if not tail.has_parent(name):
        return -errno.ENOENT
    tail.overlay.names[name] = DIRECTORY_ID
    return 0


def _name(tail: Tail, call: str, arguments: Arguments, directory: int | None) -> str:
    operation = tail.names(call, arguments, (directory, 0 if directory is None else 1))
    if operation is None or operation.name is None:
        raise UnrewindableError("it changes names that are not watched after the fault")
    if tail.point.is_home(operation.name.rstrip("/")):
        raise UnrewindableError("it changes a watched directory itself")
    return operation.name


def _rename(
    tail: Tail, arguments: Arguments, call: str, old: tuple[int | None, int], new: tuple[int | None, int]
) -> int:
    flags = arguments[4] if call == "renameat2" else 0
    operation = tail.names(call, arguments, old, new)
    if operation is None:
        raise UnrewindableError("it changes names that are not watched after the fault")
    error = tail.hit(Op.RENAME)
    if error:
        return -error
    name, target = operation.name, operation.target
    if name is None or target is None or flags not in (0, _NOREPLACE):
        raise UnrewindableError("it moves a file into or out of the watched directories")
    identity, replaced = tail.overlay.lookup(name), tail.overlay.lookup(target)
    if identity is None or not tail.has_parent(name) or not tail.has_parent(target):
        return -errno.ENOENT
    if DIRECTORY_ID in (identity, replaced):
        raise UnrewindableError("it moves a directory")
    if replaced is not None and flags:
        return -errno.EEXIST
    if replaced != identity:  # two links to one file: rename(2) does nothing
        tail.overlay.names[name] = None
        tail.overlay.names[target] = identity
    return 0


def _link(tail: Tail, arguments: Arguments, call: str, old: tuple[int | None, int], new: tuple[int | None, int]) -> int:
    operation = tail.names(call, arguments, old, new)
    if operation is not None:
        error = tail.hit(Op.LINK)
        if error:
            return -error
    raise UnrewindableError("it makes a link after the fault")


def _named_only(tail: Tail, arguments: Arguments, call: str, op: Op, directory: int | None) -> int:
    """Changes of attributes, which the model does not have."""
    if directory is not None and not arguments[1]:
        return settle(tail, arguments, op)
    name = _name(tail, call, arguments, directory)
    error = tail.hit(op)
    if error:
        return -error
    if tail.point.base.has_symlinks:
        raise UnrewindableError("it follows a path where there are symbolic links")
    return 0 if tail.overlay.lookup(name) is not None else -errno.ENOENT


TABLE: Table = {
    "stat": partial(_look, directory=None, path=0, flags=None, follow=True),
    "lstat": partial(_look, directory=None, path=0, flags=None, follow=False),
    "newfstatat": _fstatat,
    "access": partial(_look, directory=None, path=0, flags=None, follow=True),
    "faccessat": partial(_look, directory=0, path=1, flags=None, follow=True),
    "faccessat2": partial(_look, directory=0, path=1, flags=3, follow=True),
    "readlink": partial(_look, directory=None, path=0, flags=None, follow=False),
    "readlinkat": partial(_look, directory=0, path=1, flags=None, follow=False),
    "unlink": partial(_unlink, directory=None),
    "unlinkat": partial(_unlink, directory=0),
    "rmdir": partial(_rmdir, directory=None),
    "mkdir": partial(_mkdir, directory=None),
    "mkdirat": partial(_mkdir, directory=0),
    "rename": partial(_rename, call="rename", old=(None, 0), new=(None, 1)),
    "renameat": partial(_rename, call="renameat", old=(0, 1), new=(2, 3)),
    "renameat2": partial(_rename, call="renameat2", old=(0, 1), new=(2, 3)),
    "link": partial(_link, call="link", old=(None, 0), new=(None, 1)),
    "linkat": partial(_link, call="linkat", old=(0, 1), new=(2, 3)),
    "chmod": partial(_named_only, call="chmod", op=Op.CHMOD, directory=None),
    "fchmodat": partial(_named_only, call="fchmodat", op=Op.CHMOD, directory=0),
    "utimensat": partial(_named_only, call="utimensat", op=Op.UTIMENS, directory=0),
}
"""What is done for each of these calls."""
