"""Which syncs a program lacks: those without any of which its recorded run does not hold (KVS-POWER-7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Kind
from faultinject.power import Left, PowerLoss, PowerRun

CANDIDATES_MAX = 40
"""More places than this are not tried: then nobody knows a repair."""

NO_REPAIR = (
    "no sync repairs it: write the new content to a temp file in the same directory, fdatasync that, rename it, "
    "and fsync the directory"
)

GIVE_UP = (
    "report failure where a sync fails, and write the content anew to retry: the pages are marked clean, and a second "
    "sync succeeds without them"
)

LEFT_OVER = frozenset({Kind.TEMP_LEAKED, Kind.ORPHAN_UNRECLAIMED})
"""What recovery has to reclaim; no sync does."""

_NAMING = frozenset({Op.OPEN, Op.UNLINK, Op.MKDIR, Op.RMDIR, Op.SYMLINK, Op.MKNOD})

Holds = Callable[[Left], bool]
"""Whether a state that a loss of power has left is as it should be."""


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync that could be added before the operation with that index. sentence: what a programmer would do."""

    before: int
    operation: Operation
    sentence: str


def repair(run: PowerRun, profile: str, holds: Holds) -> str:
    """What has to be added, in words: syncs of which none can be left out.

    `NO_REPAIR` where no sync helps; nothing where nothing is missing, or where there are too many places to try.
    """
    places = list(_candidates(run))
    if len(places) > CANDIDATES_MAX or _all_hold(run, profile, holds):
        return ""
    if not _all_hold(_with(run, places), profile, holds):
        return NO_REPAIR
    # Less is lost the more is synced, so what can be left out once can be left out: one pass finds a smallest set.
    for sync in reversed(places):
        fewer = [other for other in places if other is not sync]
        if _all_hold(_with(run, fewer), profile, holds):
            places = fewer
    return "; ".join(sync.sentence for sync in places)


def _all_hold(run: PowerRun, profile: str, holds: Holds) -> bool:
    power = PowerLoss(run)
    return all(holds(power.left(group.faults[0])) for group in power.groups(profile))


def _with(run: PowerRun, syncs: list[Sync]) -> PowerRun:
    """The run with the syncs in their places."""
    operations: list[Operation] = []
    for operation in run.trace:
        operations += [sync.operation for sync in syncs if sync.before == operation.index]
        operations.append(operation)
    operations += [sync.operation for sync in syncs if sync.before == len(run.trace)]
    at = run.acknowledged_at
    moved = None if at is None else at + sum(sync.before <= at for sync in syncs)
    trace = Trace(tuple(replace(operation, index=place) for place, operation in enumerate(operations)))
    return replace(run, trace=trace, acknowledged_at=moved)


def _candidates(run: PowerRun) -> Iterator[Sync]:
    """Before each publication the file, before success every directory and every file that was written in place."""
    end = len(run.trace) if run.acknowledged_at is None else run.acknowledged_at
    directories: dict[str, None] = {}
    written: dict[tuple[int | None, str | None], str] = {}
    for operation in run.trace:
        if operation.error:
            continue
        if operation.op in (Op.RENAME, Op.LINK):
            if operation.name is not None:
                yield _publication(operation)
            for name in (operation.target, operation.name):
                if name is not None:
                    directories[name.rpartition("/")[0]] = None
        elif operation.op in _NAMING and operation.name is not None:
            directories[operation.name.rpartition("/")[0]] = None
        if operation.op.transfers or operation.op in (Op.TRUNCATE, Op.FALLOCATE, Op.STORE, Op.CLONE):
            written[operation.inode, operation.name if operation.inode is None else None] = operation.name or _name_of(
                run, operation.inode
            )
    for (inode, name), shown in written.items():
        sync = Operation(-1, Op.FDATASYNC, name, inode=inode)
        yield Sync(end, sync, f"fdatasync {shown!r} before success is reported")
    for directory in directories:
        what = f"the directory {directory!r}" if directory else "the directory"
        yield Sync(end, Operation(-1, Op.FSYNC_DIRECTORY, directory), f"fsync {what} before success is reported")


def _publication(operation: Operation) -> Sync:
    """A sync of the file that an operation publishes: a rename knows it by its name, a link by its descriptor."""
    if operation.op is Op.LINK:
        sync = Operation(-1, Op.FDATASYNC, inode=operation.inode)
        return Sync(operation.index, sync, f"fdatasync the file before {operation}")
    sync = Operation(-1, Op.FDATASYNC, operation.name)
    return Sync(operation.index, sync, f"fdatasync {operation.name!r} before {operation}")


def _name_of(run: PowerRun, inode: int | None) -> str:
    for operation in run.trace:
        if operation.inode == inode and operation.name is not None:
            return operation.name
    return next((path for path, node in run.start.items() if node.inode == inode), "the file")
