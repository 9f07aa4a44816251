"""The rest of a run after a fault: what it has said, opened and changed, and which of its calls fail as well."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping

from faultinject.blackbox.access import Access
from faultinject.blackbox.descriptors import Descriptor
from faultinject.blackbox.overlay import Overlay
from faultinject.blackbox.point import Arguments, Point
from faultinject.blackbox.tree import DIRECTORY_ID
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.faults import Fault
from faultinject.ops import Op, Operation

REAL = 1 << 80
"""In place of a result: the call may run, for it has no effect that lasts."""

DONE = REAL + 1
"""In place of a result: the call has run, and will be undone."""

_TRANSFER_BYTES_MAX = 1 << 26
_AT_FDCWD = 0xFFFFFF9C


class Tail:
    """One tail. `output`, `errors`: what it has written to standard output and standard error.

    access: the task at the call that is being answered. undo: calls that take back what has really been done.
    actions: what it has said that signals are to do (struct sigaction of the kernel). masked: it has changed which
    signals are blocked. raised: a signal that it has sent to itself has not come yet.
    """

    __slots__ = (
        "access",
        "actions",
        "break_address",
        "descriptors",
        "errors",
        "mappings",
        "masked",
        "output",
        "overlay",
        "pending",
        "point",
        "raised",
        "sticky",
        "undo",
    )

    def __init__(self, point: Point, fault: Fault) -> None:
        self.point = point
        self.access: Access = point.live
        self.overlay = Overlay(point.base)
        self.descriptors: dict[int, Descriptor | None] = {}
        self.output = b""
        self.errors = b""
        self.sticky = fault if fault.sticky else None
        self.pending = 0
        self.break_address = point.break_address
        self.mappings: dict[int, int] = {}
        self.undo: list[tuple[str, tuple[int, ...]]] = []
        self.actions: dict[int, bytes] = {}
        self.masked = False
        self.raised = False

    def hit(self, op: Op, *, creates: bool = False) -> int:
        """The errno with which an operation fails, 0 where it does not."""
        sticky = self.sticky
        if sticky is not None:
            if sticky.lasts_over(op, creates=creates):
                return sticky.error
        elif self.pending and op.transfers:
            error, self.pending = self.pending, 0
            return error
        return 0

    @property
    def untouched(self) -> bool:
        """Whether all that the tail has done to the task is in its registers and its memory."""
        return not (self.undo or self.masked or self.raised)

    def model(self) -> Hashable:
        """All that its further calls are answered from: equal ones are answered alike, for ever."""
        sticky = self.sticky
        first: dict[int, int] = {}
        descriptors = [
            (fd, None if found is None else (*found.key(), first.setdefault(id(found), fd)))
            for fd, found in sorted(self.descriptors.items())
        ]
        return (
            tuple(descriptors),
            self.overlay.model(),
            self.output,
            self.errors,
            self.pending,
            sticky and (sticky.op, sticky.error),
            self.break_address,
            tuple(sorted(self.mappings.items())),
            tuple(sorted(self.actions.items())),
        )

    # Descriptors

    def descriptor(self, value: int) -> Descriptor | None:
        """What a descriptor stands for, None where it is not open. Raises UnrewindableError."""
        fd = value & 0xFFFFFFFF
        if fd in self.descriptors:
            return self.descriptors[fd]
        template = self.point.descriptors.get(fd)
        found = None if template is None else template.copy()
        self.descriptors[fd] = found
        return found

    def close(self, value: int) -> None:
        """The descriptor is free again."""
        self.descriptors[value & 0xFFFFFFFF] = None

    def place(self, found: Descriptor, lowest: int = 0) -> int:
        """Gives an open file description the lowest free number."""
        fd = self.free(lowest)
        self.descriptors[fd] = found
        return fd

    def free(self, lowest: int = 0) -> int:
        """The lowest free number."""
        numbers = self.point.descriptors.numbers
        fd = lowest
        while self.descriptors[fd] is not None if fd in self.descriptors else fd in numbers:
            fd += 1
        return fd

    # Memory

    def read(self, address: int, size_bytes: int) -> bytes:
        """Bytes that the program hands over. Raises UnrewindableError where they are too many or not there."""
        if size_bytes > _TRANSFER_BYTES_MAX:
            raise UnrewindableError(f"it transfers {size_bytes} bytes at once")
        if not size_bytes:
            return b""
        try:
            data = self.access.read(address, size_bytes)
        except (OSError, ValueError):
            raise UnrewindableError("it hands over memory that it does not have") from None
        if len(data) != size_bytes:
            raise UnrewindableError("it hands over memory that it does not have")
        return data

    def write(self, address: int, data: bytes) -> None:
        """Hands bytes to the program. Raises UnrewindableError where it has no room for them."""
        if data and not self.access.write(address, data):
            raise UnrewindableError("it asks for bytes where it has no memory")

    def string(self, address: int) -> bytes:
        """A path that the program hands over. Raises UnrewindableError where it cannot be resolved in the model."""
        try:
            raw = self.access.read_string(address)
        except (OSError, ValueError):
            raise UnrewindableError("it hands over a path that cannot be read") from None
        if raw.startswith((b"/proc/", b"/dev/fd", b"/dev/std")) or raw.endswith((b"/", b"/.", b"/..")):
            raise UnrewindableError(f"it names {os.fsdecode(raw)!r} after the fault")
        return raw

    # Names

    def names(self, call: str, arguments: Arguments, *paths: tuple[int | None, int]) -> Operation | None:
        """The operation of a call on names; None where they are not watched.

        paths: which argument has the directory (None: it is relative to the working directory) and which the path.
        """
        strings = []
        for directory, path in paths:
            raw = self.string(arguments[path])
            if directory is not None and arguments[directory] & 0xFFFFFFFF != _AT_FDCWD and not raw.startswith(b"/"):
                found = self.descriptor(arguments[directory])
                if found is None or found.real != arguments[directory] & 0xFFFFFFFF:
                    raise UnrewindableError("it names a file by a directory that it has opened after the fault")
            strings.append(raw)
        known = (call, arguments, tuple(strings))
        if not self.point.knows(known):
            self.access.stand()
        return self.point.describe(known)

    def key(self, directory: int | None, address: int, *, follow: bool) -> str | None:
        """What a path names, None where that is not watched. Raises UnrewindableError."""
        arguments = (_AT_FDCWD if directory is None else directory, address, 0, 0, 0, 0)
        operation = self.names("utimensat" if follow else "unlinkat", arguments, (0, 1))
        if follow and self.point.base.has_symlinks:
            raise UnrewindableError("it follows a path where there are symbolic links")
        return None if operation is None else operation.name

    def has_parent(self, name: str) -> bool:
        """Whether there is a directory for this name. Raises UnrewindableError where we cannot say what happens."""
        parent = name.rpartition("/")[0]
        if self.point.is_home(parent):
            exists = True
        else:
            identity = self.overlay.lookup(parent)
            if identity not in (None, DIRECTORY_ID):
                raise UnrewindableError(f"it takes the file {parent!r} for a directory")
            exists = identity is not None
        if exists and not self.point.is_root and parent not in self.overlay.names:
            path = self.point.roots.path(parent or ".") if parent in self.point.base.names else None
            if path is not None and not os.access(path, os.W_OK | os.X_OK):
                raise UnrewindableError(f"it may not change the directory {parent!r}")
        return exists

    # Calls that really run

    def really(self, position: int = 0, value: int | None = None) -> int:
        """Lets the call run and returns its result; the task stands at its exit. Raises UnrewindableError.

        value: in place of the argument at this position, where that stands for something else in the model.
        """
        return self.access.really(self.point.abi.arguments[position], value)


Handler = Callable[[Tail, Arguments], int]
"""Says what comes of a call: a result, a negative errno, REAL or DONE. Raises UnrewindableError."""

Table = Mapping[str, Handler]
