"""The rest of a run after a fault: what it has said, opened and changed, and which of its calls fail as well."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from faultinject.blackbox.abi import Abi
from faultinject.blackbox.checkpoint import Checkpoint, UnrewindableError, write_memory
from faultinject.blackbox.describe import Describer
from faultinject.blackbox.descriptors import Descriptor, Descriptors
from faultinject.blackbox.overlay import Base, Overlay
from faultinject.blackbox.ptrace import EXIT_STOP, PTRACE_SYSCALL, WALL, Ptrace
from faultinject.blackbox.state import Roots
from faultinject.blackbox.task import Stop, Task
from faultinject.blackbox.tree import DIRECTORY_ID
from faultinject.faults import Fault
from faultinject.ops import Op, Operation

Arguments = tuple[int, ...]
"""Of a call, unsigned, 64 bits each."""

REAL = 1 << 80
"""In place of a result: the call may run, for it has no effect that lasts."""

DONE = REAL + 1
"""In place of a result: the call has run, and will be undone."""

_TRANSFER_BYTES_MAX = 1 << 26
_AT_FDCWD = 0xFFFFFF9C


def give_up(why: str) -> UnrewindableError:
    """What to raise where a tail does something that is not modelled."""
    return UnrewindableError(why)


class Point:
    """A program that stands at an operation, with all that its tails have in common."""

    def __init__(
        self,
        abi: Abi,
        ptrace: Ptrace,
        stop: Stop,
        describer: Describer,
        roots: Roots,
        checkpoint: Checkpoint,
        descriptors: Descriptors,
        base: Base,
    ) -> None:
        self.abi = abi
        self.ptrace = ptrace
        self.task: Task = stop.task
        self.stop = stop
        self.describer = describer
        self.roots = roots
        self.checkpoint = checkpoint
        self.descriptors = descriptors
        self.base = base
        self.break_address = checkpoint.inject(abi.numbers["brk"], 0)
        self._named: dict[tuple[object, ...], Operation | None] = {}
        self._homes = {"", ".", *(root.label.rstrip("/") for root in roots)}

    def describe(self, call: str, arguments: Arguments, strings: tuple[bytes, ...]) -> Operation | None:
        """The operation that a call on names would be. The strings are those that it has at its addresses."""
        known = (call, arguments, strings)
        if known not in self._named:
            stop = Stop(self.task, call, self.abi.numbers[call], arguments)
            self._named[known] = self.describer.describe(stop)
        return self._named[known]

    def is_home(self, directory: str) -> bool:
        """Whether this key, without a slash at its end, is that of a watched directory itself."""
        return directory in self._homes


class Tail:
    """One tail. `output`, `errors`: what it has written to standard output and standard error.

    undo: calls that take back what has really been done. actions: what it has said that signals are to do
    (struct sigaction of the kernel). masked: it has changed which signals are blocked. raised: a signal that it has
    sent to itself has not come yet.
    """

    __slots__ = (
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
            raise give_up(f"it transfers {size_bytes} bytes at once")
        if not size_bytes:
            return b""
        try:
            data = self.point.task.read(address, size_bytes)
        except (OSError, ValueError):
            raise give_up("it hands over memory that it does not have") from None
        if len(data) != size_bytes:
            raise give_up("it hands over memory that it does not have")
        return data

    def write(self, address: int, data: bytes) -> None:
        """Hands bytes to the program. Raises UnrewindableError where it has no room for them."""
        if data and not write_memory(self.point.task.tid, address, data):
            raise give_up("it asks for bytes where it has no memory")

    def string(self, address: int) -> bytes:
        """A path that the program hands over. Raises UnrewindableError where it cannot be resolved in the model."""
        try:
            raw = self.point.task.read_string(address)
        except (OSError, ValueError):
            raise give_up("it hands over a path that cannot be read") from None
        if raw.startswith((b"/proc/", b"/dev/fd", b"/dev/std")) or raw.endswith((b"/", b"/.", b"/..")):
            raise give_up(f"it names {os.fsdecode(raw)!r} after the fault")
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
                    raise give_up("it names a file by a directory that it has opened after the fault")
            strings.append(raw)
        return self.point.describe(call, arguments, tuple(strings))

    def key(self, directory: int | None, address: int, *, follow: bool) -> str | None:
        """What a path names, None where that is not watched. Raises UnrewindableError."""
        arguments = (_AT_FDCWD if directory is None else directory, address, 0, 0, 0, 0)
        operation = self.names("utimensat" if follow else "unlinkat", arguments, (0, 1))
        if follow and self.point.base.has_symlinks:
            raise give_up("it follows a path where there are symbolic links")
        return None if operation is None else operation.name

    def has_parent(self, name: str) -> bool:
        """Whether there is a directory for this name. Raises UnrewindableError where we cannot say what happens."""
        parent = name.rpartition("/")[0]
        if self.point.is_home(parent):
            exists = True
        else:
            identity = self.overlay.lookup(parent)
            if identity not in (None, DIRECTORY_ID):
                raise give_up(f"it takes the file {parent!r} for a directory")
            exists = identity is not None
        if exists and os.geteuid() and parent not in self.overlay.names:
            path = self.point.roots.path(parent or ".") if parent in self.point.base.names else None
            if path is not None and not os.access(path, os.W_OK | os.X_OK):
                raise give_up(f"it may not change the directory {parent!r}")
        return exists

    # Calls that really run

    def really(self, position: int = 0, value: int | None = None) -> int:
        """Lets the call run and returns its result; the task stands at its exit. Raises UnrewindableError.

        value: in place of the argument at this position, where that stands for something else in the model.
        """
        point = self.point
        ptrace, tid, place = point.ptrace, point.task.tid, point.abi.arguments[position]
        before = ptrace.registers[place]
        replaced = value is not None and value != before
        if value is not None and replaced:
            ptrace.registers[place] = value
            ptrace.store(tid)
        ptrace.resume(PTRACE_SYSCALL, tid)
        _, status = os.waitpid(tid, WALL)
        if status & 0xFF != 0x7F:
            raise ProcessLookupError(f"process {tid} has died")
        if status != EXIT_STOP:
            raise give_up("a signal came in the middle of a call")
        if replaced and place != point.abi.result:
            ptrace.load(tid)
            ptrace.registers[place] = before
            ptrace.store(tid)
        return ptrace.result(tid)


Handler = Callable[[Tail, Arguments], int]
"""Says what comes of a call: a result, a negative errno, REAL or DONE. Raises UnrewindableError."""

Table = Mapping[str, Handler]
