"""A point of the program at which it is rewound: what all tails that begin there have in common."""

from __future__ import annotations

import os

from faultinject.blackbox.abi import Abi
from faultinject.blackbox.access import Live
from faultinject.blackbox.checkpoint import Checkpoint
from faultinject.blackbox.describe import Describer
from faultinject.blackbox.descriptors import Descriptors
from faultinject.blackbox.meetings import Meetings
from faultinject.blackbox.overlay import Base
from faultinject.blackbox.ptrace import Ptrace
from faultinject.blackbox.state import Roots
from faultinject.blackbox.task import Stop, Task
from faultinject.ops import Operation

Arguments = tuple[int, ...]
"""Of a call, unsigned, 64 bits each."""

NamedCall = tuple[str, Arguments, tuple[bytes, ...]]
"""A call on names, and the strings that it has at its addresses."""


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
        self.is_root = not os.geteuid()
        self.live = Live(abi, ptrace, stop.task, checkpoint.pages)
        self.meetings = Meetings(checkpoint)
        self.break_address = checkpoint.inject(abi.numbers["brk"], 0)
        self._named: dict[NamedCall, Operation | None] = {}
        self._homes = {"", ".", *(root.label.rstrip("/") for root in roots)}

    def knows(self, call: NamedCall) -> bool:
        """Whether `describe` need not look at the task."""
        return call in self._named

    def describe(self, call: NamedCall) -> Operation | None:
        """The operation that a call on names would be."""
        if call not in self._named:
            name, arguments, _ = call
            self._named[call] = self.describer.describe(Stop(self.task, name, self.abi.numbers[name], arguments))
        return self._named[call]

    def is_home(self, directory: str) -> bool:
        """Whether this key, without a slash at its end, is that of a watched directory itself."""
        return directory in self._homes
