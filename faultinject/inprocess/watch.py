"""What one run of a function does to its directory: every call is counted, can be recorded, and can be broken."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from faultinject.blackbox.state import Roots
from faultinject.faults import Fault
from faultinject.inject import HarnessError, Injector
from faultinject.inprocess.real import REAL
from faultinject.ops import Op, Operation, Trace

Name = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_ATTRIBUTES = frozenset({Op.CHMOD, Op.CHOWN, Op.UTIMENS, Op.SETXATTR})


@dataclass(slots=True)
class Opened:
    """A descriptor of a file in the directory. owned: a file object will close it."""

    name: str
    is_directory: bool
    inode: int | None
    owned: bool = False


class Watch(Injector):
    """A run under way. Calls on files outside of the directory never come here.

    record: whether operations are kept with their bytes. refused: names whose removal was made to fail, with the error.
    retouched: whether permissions, owners, times or attributes of a file may have changed.
    """

    __slots__ = ("_operations", "_record", "_root", "opened", "refused", "retouched", "roots")

    def __init__(
        self, roots: Roots, fault: Fault | None = None, *, record: bool = False, kill: Callable[[], None] | None = None
    ) -> None:
        super().__init__(fault, kill=kill)
        self.roots = roots
        self._root = roots.roots[0].path + "/"
        self._record = record
        self._operations: list[Operation] = []
        self.opened: dict[int, Opened] = {}
        self.refused: list[tuple[str, BaseException]] = []
        self.retouched = False

    @property
    def trace(self) -> Trace:
        """What was recorded."""
        return Trace(tuple(self._operations))

    # Names

    def key(self, path: Name, dir_fd: int | None = None, *, follow: bool = False) -> str | None:
        """The key of a path, None where it leads out of the directory. follow: the end of a link counts."""
        text = os.fsdecode(path)
        if not text:
            return None
        root = self._root
        plain = text.startswith(root) and "/" not in text[len(root) :]
        if not plain or text.endswith(("/", "/.", "/..")):
            text = self._absolute(text, dir_fd)
        if follow and os.path.islink(text):
            text = os.path.realpath(text)
        return self.roots.key(text)

    def _absolute(self, text: str, dir_fd: int | None) -> str:
        if not text.startswith("/"):
            base = os.getcwd() if dir_fd is None else self._directory(dir_fd)
            text = f"{base}/{text}"
        head, _, tail = text.rstrip("/").rpartition("/")
        if tail in ("", ".", ".."):
            return os.path.realpath(text)
        return f"{os.path.realpath(head or '/').rstrip('/')}/{tail}"

    def _directory(self, fd: int) -> str:
        known = self.opened.get(fd)
        return os.readlink(f"/proc/self/fd/{fd}") if known is None else self.roots.path(known.name)

    # Operations

    def on(self, fd: int, op: Op, method: Callable[..., Any], *arguments: Any, **fields: Any) -> Any:
        """An operation on a descriptor of the directory."""
        known = self.opened[fd]
        return self.do(op, method, *arguments, name=known.name, fd=fd, inode=known.inode, **fields)

    def do(self, op: Op, method: Callable[..., Any], *arguments: Any, path: Name | None = None, **fields: Any) -> Any:
        """An operation. `method` gets the arguments: of a transfer a number of bytes, of open the flags."""
        self.retouched = self.retouched or op in _ATTRIBUTES
        if self._record and op.transfers:
            fields.setdefault("offset", self._position(fields["fd"]))
        try:
            result = self._call(op, method, *arguments)
        except OSError as error:
            if error.filename is None and path is not None:
                error.filename = os.fspath(path)  # as the system's own errors have
            if op in (Op.UNLINK, Op.RMDIR):
                self.refused.append((fields["name"], error))
            self._keep(op, fields, error=error.errno or errno.EIO)
            raise
        except BaseException:
            self._keep(op, fields, error=errno.EINTR)
            raise
        if self._record:
            if op.transfers:
                data = fields.pop("data")
                fields["data"] = data(result) if callable(data) else bytes(memoryview(data)[:result])
            elif op in (Op.OPEN, Op.OPEN_UNNAMED):
                fields |= {"fd": result, "inode": self.opened[result].inode}
            self._keep(op, fields, result=result if isinstance(result, int) else 0)
        return result

    def _keep(self, op: Op, fields: dict[str, Any], **how: Any) -> None:
        if self._record:
            data = fields.get("data")
            if callable(data):
                fields["data"] = None
            elif isinstance(data, memoryview):
                fields["data"] = bytes(data)
            self._operations.append(Operation(len(self._operations), op, **fields, **how))

    def _position(self, fd: int) -> int:
        """Where a write goes that says no place: of a file opened to append to its end (open(2))."""
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND:
            return os.fstat(fd).st_size
        return os.lseek(fd, 0, os.SEEK_CUR)

    # Descriptors

    def open(self, path: Name, flags: int, mode: int, dir_fd: int | None, key: str) -> int:
        """open(2) of a path in the directory."""
        made: list[int] = []

        def method(wanted: int) -> int:
            fd: int = REAL["open"](path, wanted, mode, dir_fd=dir_fd)
            status = os.fstat(fd)
            self.opened[fd] = Opened(key, stat.S_ISDIR(status.st_mode), status.st_ino)
            made.append(fd)
            return fd

        unnamed = (flags & os.O_TMPFILE) == os.O_TMPFILE
        op = Op.OPEN_UNNAMED if unnamed else Op.OPEN
        try:
            fd: int = self.do(op, method, flags, path=path, name=None if unnamed else key, flags=flags)
        except BaseException:
            for fd in made:  # an exception came after the call: nobody will ever know the number
                self.forget(fd)
                REAL["close"](fd)
            raise
        return fd

    def close(self, fd: int, method: Callable[[], object]) -> None:
        """close(2) of a descriptor of the directory, by `method`."""

        def closed() -> None:
            self.forget(fd)
            method()

        self.on(fd, Op.CLOSE, closed)

    def forget(self, fd: int) -> None:
        """The number stands for no file of the directory any more."""
        self.opened.pop(fd, None)

    def close_unowned(self) -> None:
        """Closes descriptors whose numbers were lost with the run."""
        for fd, known in list(self.opened.items()):
            if not known.owned:
                self.forget(fd)
                REAL["close"](fd)

    # What Injector asks for

    def _creates(self, op: Op, arguments: tuple[Any, ...]) -> bool:
        return op is Op.OPEN and bool(arguments[0] & os.O_CREAT)

    def _shortened(self, op: Op, arguments: tuple[Any, ...], size_bytes: int) -> tuple[Any, ...]:
        if not op.transfers:
            raise HarnessError(f"{op} moves no bytes and cannot be cut")
        return (min(size_bytes, arguments[0]),)
