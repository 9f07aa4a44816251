"""Loss of power for an audited program: states from its recorded run, judged as those of a kill are."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from faultinject.blackbox.aftermath import Aftermath, RecordedRun
from faultinject.blackbox.checkers import Checker
from faultinject.blackbox.state import Node, NodeKind, State
from faultinject.faults import Fault
from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Finding, Reported
from faultinject.persistence import machine
from faultinject.persistence.survivors import Survived
from faultinject.plan import Group, inside_a_sector
from faultinject.power import Left, PowerRun, PowerRuns, Right
from faultinject.repair import GIVE_UP, LEFT_OVER, repair

_KINDS = {NodeKind.FILE: machine.NodeKind.FILE, NodeKind.DIRECTORY: machine.NodeKind.DIRECTORY}


class Rerun(NamedTuple):
    """A run that was recorded: its operations, what it reported, and the inodes of what was there before it."""

    trace: Trace
    reported: Reported
    inodes: Mapping[str, int]


class PowerAudit:
    """Class `power` of one program from one start.

    published: inodes in whose sectors a write is whole (KVS-ATOM-1). rerun: records a run in which a sync fails, None
    where that was not injected.
    """

    def __init__(
        self,
        baseline: RecordedRun,
        aftermath: Aftermath,
        published: frozenset[int],
        rerun: Callable[[Fault], Rerun | None],
    ) -> None:
        self._aftermath = aftermath
        self._run_of = partial(_run_of, baseline, aftermath.checker, published)
        self._rerun = rerun
        self._runs = PowerRuns(self._run_of(_recorded(baseline)), self._after_failure)
        self._repairs: dict[str, str] = {}

    def _after_failure(self, fault: Fault) -> PowerRun | None:
        ran = self._rerun(fault)
        return None if ran is None else self._run_of(ran)

    def groups(self, profiles: Sequence[str], *, exhaustive: bool) -> Iterator[Group]:
        """Every point under each of the profiles."""
        for profile in profiles:
            yield from self._runs.groups(profile, exhaustive=exhaustive)

    def left(self, fault: Fault) -> Left:
        """What a loss of power leaves. Raises HarnessError where there is no such point."""
        return self._runs.left(fault)

    def operation(self, fault: Fault) -> str:
        """The operation at a point, for people."""
        return self._runs.operation(fault)

    def run(self, fault: Fault) -> tuple[Finding, ...]:
        """The violations of a state, each with what is missing in it."""
        left = self.left(fault)
        found = self._aftermath.of_power_loss(state_of(left), reported(left))
        return tuple(replace(finding, detail=f"{finding.detail} (power failed: {left.sentence})") for finding in found)

    def repair(self, fault: Fault) -> str:
        """The syncs that are missing; where none is, and one has failed, what to do then. See `repair.repair`."""
        profile = fault.what
        if profile not in self._repairs:
            self._repairs[profile] = repair(self._runs.run, profile, self._holds)
        return self._repairs[profile] or (GIVE_UP if fault.second is not None else "")

    def _holds(self, left: Left) -> bool:
        found = self._aftermath.at_power_loss(state_of(left), reported(left))
        return all(finding.kind in LEFT_OVER for finding in found)


def _recorded(baseline: RecordedRun) -> Rerun:
    """The run without a fault."""
    names, _, by_inode = baseline.crashes.before(0).parts()
    inodes = {identity: inode for inode, identity in by_inode.items()}
    known = {path: inodes[identity] for path, identity in names.items() if identity in inodes}
    return Rerun(baseline.trace, Reported.SUCCESS, known)


def _run_of(baseline: RecordedRun, checker: Checker | None, published: frozenset[int], ran: Rerun) -> PowerRun:
    trace = ran.trace
    at = next((one.index for one in trace if one.op is Op.ACKNOWLEDGE), len(trace))
    return PowerRun(
        trace,
        start_of(baseline.old, ran.inodes),
        partial(_right, baseline, checker),
        max((len(node.data) for node in (*baseline.old.values(), *baseline.new.values())), default=0),
        at if ran.reported is Reported.SUCCESS or at < len(trace) else None,
        lambda operation: operation.inode in published and inside_a_sector(operation),
    )


def reported(left: Left) -> Reported:
    """What the program had reported when the power failed."""
    return Reported.SUCCESS if left.acknowledged else Reported.NOTHING


def state_of(left: Left) -> State:
    """What is there after the loss of power."""
    return {path: _node(left.files[path]) for path in sorted(left.files)}


def _node(one: Survived) -> Node:
    if isinstance(one.given, Node) and not one.extents and not one.touched:
        return one.given
    if one.kind is machine.NodeKind.DIRECTORY:
        return Node(NodeKind.DIRECTORY)
    if one.kind is machine.NodeKind.OTHER:
        return one.given if isinstance(one.given, Node) else _made(one.given)
    content = bytearray(one.size_bytes)
    for extent in one.extents:
        data = b"".join(extent.pieces)[: max(0, one.size_bytes - extent.offset)]
        content[extent.offset : extent.offset + len(data)] = data
    return Node(NodeKind.FILE, bytes(content))


def _made(by: object) -> Node:
    """A symbolic link, or a special file."""
    assert isinstance(by, Operation)
    data = bytes(by.data or b"")
    if by.op is Op.SYMLINK:
        return Node(NodeKind.SYMLINK, data)
    return Node(Node.special(by.flags, 0).kind, data, stat.S_IMODE(by.flags))


def _right(baseline: RecordedRun, checker: Checker | None, path: str) -> Sequence[Right]:
    """The old and the new contents of a path; none where it is a leftover, whose content nobody asks for."""
    canonical = baseline.masks.path(path)
    ranges = [*baseline.masks.ranges.get(canonical, ())]
    ranges += checker.uncounted(path) if checker is not None else ()
    found: dict[Node, None] = {}
    for state in (baseline.old, baseline.new):
        for key, node in state.items():
            if node.kind is NodeKind.FILE and baseline.masks.path(key) == canonical:
                found[node] = None
    return [Right((node.data,), sorted(ranges)) for node in found]


def start_of(state: State, inodes: Mapping[str, int]) -> dict[str, machine.StartNode]:
    """What is there before a run, durably, for the model of what survives."""
    found = {}
    for path, node in state.items():
        kind = _KINDS.get(node.kind, machine.NodeKind.OTHER)
        content = (node.data,) if node.kind is NodeKind.FILE and node.data else ()
        inode = inodes.get(path) if kind is machine.NodeKind.FILE else None
        found[path] = machine.StartNode(kind, content, inode, node)
    return found
