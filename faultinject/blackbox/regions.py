"""What a recorded run has saved, as one row of bytes: the files of the end, and the transfers that made them."""

from __future__ import annotations

from faultinject.blackbox.aftermath import RecordedRun
from faultinject.blackbox.state import NodeKind
from faultinject.ops import Op, Operation
from faultinject.plan import Recorded


def regions_of(baseline: RecordedRun) -> dict[str, tuple[int, int]]:
    """Where each file that the program makes or changes lies, all of them laid end to end."""
    regions = {}
    start = 0
    for key, node in baseline.new.items():
        if node.kind is NodeKind.FILE and node.data and baseline.old.get(key) != node:
            regions[key] = start, start + len(node.data)
            start += len(node.data)
    return regions


def recorded_of(baseline: RecordedRun) -> Recorded:
    """The trace, with the place that each written file has among the regions at the end."""
    regions = regions_of(baseline)
    tree = baseline.crashes.end
    shifts = {}
    for key, (start, _) in regions.items():
        inode = tree.inode_of(key)
        if inode is not None:
            shifts[inode] = start
    there = {one.inode for one in baseline.trace if one.op is Op.OPEN and one.name in baseline.old}
    # Whole or not at all is only a write over bytes that are there (KVS-ATOM-1).
    grown = {one.inode for one in baseline.trace if one.op.transfers and not one.error and _grows(baseline, one)}
    published = frozenset(inode for inode in there - grown if inode is not None)
    return Recorded(baseline.trace, None, shifts, published)


def _grows(baseline: RecordedRun, transfer: Operation) -> bool:
    """Whether it writes behind the end that its file has by then."""
    _, contents, by_inode = baseline.crashes.before(transfer.index).parts()
    identity = by_inode.get(transfer.inode or -1)
    size_bytes = 0 if identity is None else contents[identity].size_bytes
    return (transfer.offset or 0) + transfer.result > size_bytes
