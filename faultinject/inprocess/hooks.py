"""Functions that stand in for those of `os` and `fcntl`: calls on the directory go through the watch, others through.

Each takes what the function takes whose place it has, and does the same where no run is under way.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from faultinject.inprocess.real import NAMES, REAL, REAL_FLOCK, REAL_LOCKF
from faultinject.inprocess.watch import Name, Watch
from faultinject.ops import Op

Hook = Callable[..., Any]


class Current:
    """The run that is under way in this process; there is one at most."""

    watch: Watch | None = None


def _open(path: Name, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    watch = Current.watch
    key = None if watch is None else watch.key(path, dir_fd, follow=not flags & os.O_NOFOLLOW)
    if watch is None or key is None:
        fd: int = REAL["open"](path, flags, mode, dir_fd=dir_fd)
        return fd
    return watch.open(path, flags, mode, dir_fd, key)


def _close(fd: int) -> None:
    watch = Current.watch
    if watch is None or fd not in watch.opened:
        REAL["close"](fd)
    else:
        watch.close(fd, partial(REAL["close"], fd))


def _dup(fd: int) -> int:
    watch = Current.watch
    copy: int
    if watch is None or fd not in watch.opened:
        copy = REAL["dup"](fd)
        return copy
    copy = watch.on(fd, Op.DUP, partial(REAL["dup"], fd))
    watch.opened[copy] = watch.opened[fd]
    return copy


def _dup2(fd: int, fd2: int, inheritable: bool = True) -> int:
    watch = Current.watch
    method = partial(REAL["dup2"], fd, fd2, inheritable)
    copy: int
    if watch is None or fd not in watch.opened:
        copy = method()
        if watch is not None:
            watch.forget(fd2)
        return copy
    copy = watch.on(fd, Op.DUP, method)
    watch.opened[copy] = watch.opened[fd]
    return copy


def _write(fd: int, data: Any, /) -> int:
    watch = Current.watch
    written: int
    if watch is None or fd not in watch.opened:
        written = REAL["write"](fd, data)
        return written
    view = memoryview(data).cast("B")
    written = watch.on(fd, Op.WRITE, lambda n: REAL["write"](fd, view[:n]), len(view), size_bytes=len(view), data=view)
    return written


def _pwrite(fd: int, data: Any, offset: int, /) -> int:
    watch = Current.watch
    written: int
    if watch is None or fd not in watch.opened:
        written = REAL["pwrite"](fd, data, offset)
        return written
    view = memoryview(data).cast("B")
    size_bytes = len(view)
    method = lambda n: REAL["pwrite"](fd, view[:n], offset)  # noqa: E731 - it has to know the arguments
    written = watch.on(fd, Op.PWRITE, method, size_bytes, size_bytes=size_bytes, data=view, offset=offset)
    return written


def _joined(buffers: Sequence[Any]) -> memoryview:
    return memoryview(b"".join(bytes(memoryview(buffer).cast("B")) for buffer in buffers))


def _writev(fd: int, buffers: Sequence[Any], /) -> int:
    watch = Current.watch
    written: int
    if watch is None or fd not in watch.opened:
        written = REAL["writev"](fd, buffers)
        return written
    view = _joined(buffers)
    size_bytes = len(view)
    method = lambda n: REAL["writev"](fd, [view[:n]])  # noqa: E731 - it has to know the arguments
    written = watch.on(fd, Op.WRITEV, method, size_bytes, size_bytes=size_bytes, data=view)
    return written


def _pwritev(fd: int, buffers: Sequence[Any], offset: int, flags: int = 0, /) -> int:
    watch = Current.watch
    written: int
    if watch is None or fd not in watch.opened:
        written = REAL["pwritev"](fd, buffers, offset, flags)
        return written
    view = _joined(buffers)
    size_bytes = len(view)
    method = lambda n: REAL["pwritev"](fd, [view[:n]], offset, flags)  # noqa: E731 - it has to know the arguments
    written = watch.on(fd, Op.PWRITEV, method, size_bytes, size_bytes=size_bytes, data=view, offset=offset)
    return written


def _sendfile(out_fd: int, in_fd: int, offset: int | None, count: int) -> int:
    watch = Current.watch
    sent: int
    if watch is None or out_fd not in watch.opened:
        sent = REAL["sendfile"](out_fd, in_fd, offset, count)
        return sent
    start = os.lseek(in_fd, 0, os.SEEK_CUR) if offset is None else offset
    method = lambda n: REAL["sendfile"](out_fd, in_fd, offset, n)  # noqa: E731 - it has to know the arguments
    data = lambda n: REAL["pread"](in_fd, n, start)  # noqa: E731 - the same
    sent = watch.on(out_fd, Op.SENDFILE, method, count, size_bytes=count, data=data)
    return sent


def _copy_file_range(
    src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
) -> int:
    watch = Current.watch
    copied: int
    if watch is None or dst not in watch.opened:
        copied = REAL["copy_file_range"](src, dst, count, offset_src, offset_dst)
        return copied
    start = os.lseek(src, 0, os.SEEK_CUR) if offset_src is None else offset_src
    method = lambda n: REAL["copy_file_range"](src, dst, n, offset_src, offset_dst)  # noqa: E731 - see above
    data = lambda n: REAL["pread"](src, n, start)  # noqa: E731 - the same
    where = {} if offset_dst is None else {"offset": offset_dst}
    copied = watch.on(dst, Op.COPY_RANGE, method, count, size_bytes=count, data=data, **where)
    return copied


def _on_fd(name: str, op: Op, real: Callable[..., Any] | None = None, **places: int) -> Hook:
    """A call on a descriptor. places: which argument after it is which field of the operation."""
    call = real or REAL[name]

    def hook(fd: Any, *arguments: Any, **named: Any) -> Any:
        watch = Current.watch
        number = fd if isinstance(fd, int) or watch is None else fd.fileno()
        if watch is None or number not in watch.opened:
            return call(fd, *arguments, **named)
        done = Op.FSYNC_DIRECTORY if op is Op.FSYNC and watch.opened[number].is_directory else op
        fields = {field: arguments[place] for field, place in places.items() if place < len(arguments)}
        return watch.on(number, done, lambda: call(fd, *arguments, **named), **fields)

    return hook


def _on_path(name: str, op: Op, *, follow: bool = False, size: int | None = None) -> Hook:
    """A call on a path, or on a descriptor where the function takes one. size: which argument after it is one."""

    def hook(path: Any, *arguments: Any, dir_fd: int | None = None, **named: Any) -> Any:
        watch = Current.watch
        call = REAL[name]
        given = {**named, "dir_fd": dir_fd} if dir_fd is not None else named
        if watch is None:
            return call(path, *arguments, **given)
        fields = {} if size is None else {"size_bytes": arguments[size]}
        if isinstance(path, int):
            if path not in watch.opened:
                return call(path, *arguments, **given)
            return watch.on(path, op, lambda: call(path, *arguments, **given), **fields)
        key = watch.key(path, dir_fd, follow=follow and named.get("follow_symlinks", True))
        if key is None:
            return call(path, *arguments, **given)
        return watch.do(op, lambda: call(path, *arguments, **given), path=path, name=key, **fields)

    return hook


def _sync() -> None:
    watch = Current.watch
    if watch is None:
        REAL["sync"]()
    else:
        watch.do(Op.SYNC, REAL["sync"], call="sync")


def _renaming(name: str) -> Hook:
    def hook(src: Name, dst: Name, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        watch = Current.watch
        method = partial(REAL[name], src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        if watch is None:
            method()
            return
        source, target = watch.key(src, src_dir_fd), watch.key(dst, dst_dir_fd)
        if source is None and target is None:
            method()
            return
        brought = _brought_in(src, src_dir_fd) if source is None else {}
        watch.do(Op.RENAME, method, path=src, name=source, target=target, **brought)

    return hook


def _brought_in(path: Name, dir_fd: int | None) -> dict[str, Any]:
    """What a rename from outside brings: where it is no regular file, or is not there, the model will say so."""
    try:
        fd = REAL["open"](path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError:
        return {}  # the call itself is about to say so
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return {}
        pieces = []
        while piece := REAL["read"](fd, 1 << 20):
            pieces.append(piece)
        return {"inode": status.st_ino, "data": b"".join(pieces)}
    finally:
        REAL["close"](fd)


def _link(
    src: Name,
    dst: Name,
    *,
    src_dir_fd: int | None = None,
    dst_dir_fd: int | None = None,
    follow_symlinks: bool = True,
) -> None:
    watch = Current.watch
    method = partial(
        REAL["link"], src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks
    )
    key = None if watch is None else watch.key(dst, dst_dir_fd)
    if watch is None or key is None:
        method()
        return
    try:
        inode = os.stat(src, dir_fd=src_dir_fd, follow_symlinks=follow_symlinks).st_ino
    except OSError:
        inode = None  # the call itself is about to say so
    watch.do(Op.LINK, method, path=dst, name=key, inode=inode)


def _symlink(src: Name, dst: Name, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
    watch = Current.watch
    method = partial(REAL["symlink"], src, dst, target_is_directory, dir_fd=dir_fd)
    key = None if watch is None else watch.key(dst, dir_fd)
    if watch is None or key is None:
        method()
        return
    watch.do(Op.SYMLINK, method, path=dst, name=key, data=os.fsencode(src))


def _making(name: str, default: int) -> Hook:
    def hook(path: Name, mode: int = default, *arguments: Any, dir_fd: int | None = None) -> None:
        watch = Current.watch
        method = partial(REAL[name], path, mode, *arguments, dir_fd=dir_fd)
        key = None if watch is None else watch.key(path, dir_fd)
        if watch is None or key is None:
            method()
            return
        kind = stat.S_IFIFO if name == "mkfifo" else stat.S_IFMT(mode)
        watch.do(Op.MKNOD, method, path=path, name=key, flags=kind | stat.S_IMODE(mode))

    return hook


HOOKS: dict[str, Hook] = {
    "open": _open,
    "close": _close,
    "dup": _dup,
    "dup2": _dup2,
    "read": _on_fd("read", Op.READ, size_bytes=0),
    "pread": _on_fd("pread", Op.PREAD, size_bytes=0, offset=1),
    "readv": _on_fd("readv", Op.READ),
    "preadv": _on_fd("preadv", Op.PREAD),
    "write": _write,
    "pwrite": _pwrite,
    "writev": _writev,
    "pwritev": _pwritev,
    "sendfile": _sendfile,
    "copy_file_range": _copy_file_range,
    "truncate": _on_path("truncate", Op.TRUNCATE, follow=True, size=0),
    "ftruncate": _on_fd("ftruncate", Op.TRUNCATE, size_bytes=0),
    "posix_fallocate": _on_fd("posix_fallocate", Op.FALLOCATE, offset=0, size_bytes=1),
    "fsync": _on_fd("fsync", Op.FSYNC),
    "fdatasync": _on_fd("fdatasync", Op.FDATASYNC),
    "sync": _sync,
    "rename": _renaming("rename"),
    "replace": _renaming("replace"),
    "link": _link,
    "symlink": _symlink,
    "unlink": _on_path("unlink", Op.UNLINK),
    "remove": _on_path("remove", Op.UNLINK),
    "mkdir": _on_path("mkdir", Op.MKDIR),
    "rmdir": _on_path("rmdir", Op.RMDIR),
    "mkfifo": _making("mkfifo", 0o666),
    "mknod": _making("mknod", 0o600),
    "chmod": _on_path("chmod", Op.CHMOD, follow=True),
    "fchmod": _on_fd("fchmod", Op.CHMOD),
    "chown": _on_path("chown", Op.CHOWN, follow=True),
    "fchown": _on_fd("fchown", Op.CHOWN),
    "lchown": _on_path("lchown", Op.CHOWN),
    "utime": _on_path("utime", Op.UTIMENS, follow=True),
    "setxattr": _on_path("setxattr", Op.SETXATTR, follow=True),
    "removexattr": _on_path("removexattr", Op.SETXATTR, follow=True),
    "lockf": _on_fd("lockf", Op.LOCK),
}
"""By the name of the function of `os` whose place they take."""

assert HOOKS.keys() == set(NAMES), "each watched function has a hook"

FLOCK = _on_fd("flock", Op.FLOCK, REAL_FLOCK)
LOCKF = _on_fd("lockf", Op.LOCK, REAL_LOCKF)

PAIRS: list[tuple[Any, Any]] = [
    *((REAL[name], HOOKS[name]) for name in NAMES),
    (fcntl.flock, FLOCK),
    (fcntl.lockf, LOCKF),
]
"""Functions, each with what takes its place."""
