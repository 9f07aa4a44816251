"""Loss of power for an audited program: states from its recorded run, judged as those of a kill are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from faultinject.blackbox.aftermath import Aftermath
from faultinject.blackbox.baseline import Baseline
from faultinject.blackbox.checkers import Checker
from faultinject.blackbox.state import Node, NodeKind, State
from faultinject.blackbox.tree import DIRECTORY_ID
from faultinject.faults import Fault
from faultinject.ops import Op, Operation
from faultinject.oracle import Finding, Reported
from faultinject.persistence import machine
from faultinject.persistence.survivors import Survived
from faultinject.plan import SECTOR_BYTES, Group
from faultinject.power import Left, PowerLoss, PowerRun, Right
from faultinject.repair import LEFT_OVER, repair

_KINDS = {NodeKind.FILE: machine.NodeKind.FILE, NodeKind.DIRECTORY: machine.NodeKind.DIRECTORY}


class PowerAudit:
    """Class `power` of one program from one start."""

    def __init__(
        self, baseline: Baseline, aftermath: Aftermath, checker: Checker | None, published: frozenset[int]
    ) -> None:
        self._aftermath = aftermath
        self._run = run_of(baseline, checker, published)
        self.power = PowerLoss(self._run)
        self._repairs: dict[str, str] = {}

    def groups(self, profiles: Sequence[str], *, exhaustive: bool) -> Iterator[Group]:
        """Every point under each of the profiles."""
        for profile in profiles:
            yield from self.power.groups(profile, exhaustive=exhaustive)

    def run(self, fault: Fault) -> tuple[Finding, ...]:
        """The violations of a state, each with what is missing in it."""
        left = self.power.left(fault)
        found = self._aftermath.of_power_loss(state_of(left), reported(left))
        return tuple(replace(finding, detail=f"{finding.detail} (power failed: {left.sentence})") for finding in found)

    def repair(self, profile: str) -> str:
        """The syncs that are missing; see `repair.repair`."""
        if profile not in self._repairs:
            self._repairs[profile] = repair(self._run, profile, self._holds)
        return self._repairs[profile]

    def _holds(self, left: Left) -> bool:
        found = self._aftermath.at_power_loss(state_of(left), reported(left))
        return all(finding.kind in LEFT_OVER for finding in found)


def run_of(baseline: Baseline, checker: Checker | None = None, published: frozenset[int] = frozenset()) -> PowerRun:
    """The recorded run of a program. published: inodes in whose sectors a write is whole (KVS-ATOM-1).

    What is left at a point depends on neither the checker nor on these.
    """
    acknowledged = [one.index for one in baseline.trace if one.op is Op.ACKNOWLEDGE]
    return PowerRun(
        baseline.trace,
        _start(baseline),
        partial(_right, baseline, checker),
        max((len(node.data) for node in (*baseline.old.values(), *baseline.new.values())), default=0),
        acknowledged[0] if acknowledged else len(baseline.trace),
        lambda operation: operation.inode in published and _inside_a_sector(operation),
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
        if isinstance(one.given, Node):
            return one.given
        return (
            Node(NodeKind.SYMLINK, bytes(one.given))
            if isinstance(one.given, bytes | memoryview)
            else Node(NodeKind.OTHER)
        )
    content = bytearray(one.size_bytes)
    for extent in one.extents:
        data = b"".join(extent.pieces)[: max(0, one.size_bytes - extent.offset)]
        content[extent.offset : extent.offset + len(data)] = data
    return Node(NodeKind.FILE, bytes(content))


def _right(baseline: Baseline, checker: Checker | None, path: str) -> Sequence[Right]:
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


def _start(baseline: Baseline) -> Mapping[str, machine.StartNode]:
    names, contents, by_inode = baseline.crashes.before(0).parts()
    inodes = {identity: inode for inode, identity in by_inode.items()}
    found = {}
    for path, identity in names.items():
        node = contents[identity].node()
        inode = None if identity == DIRECTORY_ID else inodes.get(identity)
        kind = _KINDS.get(node.kind, machine.NodeKind.OTHER)
        content = (node.data,) if node.kind is NodeKind.FILE and node.data else ()
        found[path] = machine.StartNode(kind, content, inode, node)
    return found


def _inside_a_sector(operation: Operation) -> bool:
    offset = operation.offset or 0
    return offset // SECTOR_BYTES == (offset + max(1, operation.result) - 1) // SECTOR_BYTES
