"""The way of a program from its start to an operation of its recorded run, with a model of what it has done so far."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.describe import REFUSED, Describer
from faultinject.blackbox.descriptors import Identity, Kind
from faultinject.blackbox.overlay import Reference
from faultinject.blackbox.seccomp import F_DUPFD, F_DUPFD_CLOEXEC, F_LOCKS
from faultinject.blackbox.single import Single
from faultinject.blackbox.started import Program
from faultinject.blackbox.state import NodeKind, Roots
from faultinject.blackbox.tail_process import HARMLESS
from faultinject.blackbox.task import Stop, interrupted
from faultinject.blackbox.tree import ModelError, Tree
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.ops import Op, Operation, Trace

_FCNTL_OPERATIONS = frozenset({F_DUPFD, F_DUPFD_CLOEXEC, *F_LOCKS})
"""Copies of descriptors and record locks: the forms of fcntl(2) that are recorded."""


class References:
    """What the files of the recorded run hold at its end."""

    def __init__(self, trace: Trace, crashes: Crashes) -> None:
        self.operations = {one.nth: one for one in trace if one.task == "0" and one.nth >= 0}
        _, self._contents, self._inodes = crashes.end.parts()
        self._known: dict[int, Reference] = {}

    def of(self, inode: int) -> Reference | None:
        """That of the file with a recorded inode number."""
        identity = self._inodes.get(inode)
        if identity is None or self._contents[identity].kind is not NodeKind.FILE:
            return None
        if identity not in self._known:
            data = self._contents[identity].node().data
            self._known[identity] = Reference(len(self._known) + 1, data)
        return self._known[identity]


class Journey:
    """A program on its way, started in the directories as they are now. `nth`: the operation that comes next.

    Raises UnrewindableError where it cannot be followed, and LaunchError where it cannot be started.
    """

    def __init__(self, program: Program, roots: Roots, references: References) -> None:
        self._references = references
        self._twins: dict[int, int] = {}
        self.describer = Describer(roots)
        self.start = Tree.of(roots.read(), roots.inodes(), roots.limit_bytes)
        self.tree = self.start.copy()
        self.nth = 0
        self.held: tuple[Stop, Operation] | None = None
        self.process = Single(program, HARMLESS)
        self.streams: dict[Identity, Kind] = {}
        for file, kind in ((self.process.output, Kind.OUTPUT), (self.process.errors, Kind.ERRORS)):
            status = os.fstat(file.fileno())
            self.streams[status.st_dev, status.st_ino] = kind

    def close(self) -> None:
        """Ends it."""
        self.process.close()

    def reach(self, nth: int) -> tuple[Stop, Operation]:
        """Goes on to an operation, by number, and stands at its entry."""
        while True:
            if self.held is not None:
                if self.nth == nth:
                    return self.held
                self._perform(*self.held)
            self._step()

    def reference(self, identity: int) -> Reference | None:
        """What a file of the model holds at the end of the recorded run, as far as that is known."""
        _, _, inodes = self.tree.parts()
        for inode, one in inodes.items():
            if one == identity:
                twin = self._twins.get(inode)
                return None if twin is None else self._references.of(twin)
        return None

    def _step(self) -> None:
        """To the next call; it is held where it is an operation, and else has no part in this."""
        process = self.process
        stop = process.next()
        if stop is None:
            raise UnrewindableError("it has ended before it came to the operation")
        if stop.call in REFUSED:
            process.answer(-errno.ENOSYS)
            return
        if stop.call == "fcntl" and stop.args[1] & 0xFFFFFFFF not in _FCNTL_OPERATIONS:
            return
        try:
            operation = self.describer.describe(stop)
        except OSError as error:
            raise UnrewindableError(f"{stop} cannot be understood: {error}") from error
        if operation is not None:
            recorded = self._references.operations.get(self.nth)
            if recorded is None or recorded.op is not operation.op:
                raise UnrewindableError("it does not repeat itself")
            self.held = stop, replace(operation, task="0", nth=self.nth)

    def _perform(self, stop: Stop, operation: Operation) -> None:
        """The operation runs."""
        self.held = None
        if operation.op is Op.EXIT:
            raise UnrewindableError("it has ended before it came to the operation")
        result = self.process.finish()
        if interrupted(result):
            return  # the same call comes again
        self.nth += 1
        try:
            done = self.describer.completed(operation, stop, result)
            self.tree.apply(done)
        except (OSError, ModelError) as error:
            raise UnrewindableError(f"{operation} cannot be followed: {error}") from error
        recorded = self._references.operations[operation.nth]
        if done.inode is not None and recorded.inode is not None:
            self._twins[done.inode] = recorded.inode
        if operation.op is Op.MMAP and result >= 0:
            raise UnrewindableError("it maps a watched file for shared writing")
