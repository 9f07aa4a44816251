"""The watched directories as a kill leaves them, computed from the recorded run (KVS-FAULT-5)."""

from __future__ import annotations

from faultinject.blackbox.state import State
from faultinject.blackbox.tree import Tree
from faultinject.faults import Fault
from faultinject.inject import HarnessError
from faultinject.ops import Trace


class Crashes:
    """Every state that the recorded run goes through. Raises ModelError where the model cannot follow the trace."""

    def __init__(self, start: Tree, trace: Trace) -> None:
        self._trace = trace
        self._before: list[Tree] = []
        tree = start
        for operation in trace:
            self._before.append(tree)
            tree = tree.copy()
            tree.apply(operation)
        self.end = tree

    def before(self, index: int) -> Tree:
        """The directories just before an operation; not to be changed."""
        return self._before[index]

    def state(self, fault: Fault) -> State:
        """What is there after a kill. Raises HarnessError where the recorded run has no such point."""
        if not 0 <= fault.index < len(self._before) or self._trace[fault.index].op is not fault.op:
            raise HarnessError(f"{fault.id}: the recorded run has no such operation")
        tree = self._before[fault.index]
        if fault.byte:
            tree = tree.copy()
            tree.apply(self._trace[fault.index], fault.byte)
        return tree.state()
