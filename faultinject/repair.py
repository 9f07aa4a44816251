"""Which syncs a program lacks: the fewest that make its recorded run hold under a persistence profile (KVS-POWER-7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from faultinject.ops import Op, Operation, Trace
from faultinject.power import Left, PowerLoss, PowerRun

TOGETHER_MAX = 3
"""So many syncs are tried together."""

CANDIDATES_MAX = 40
"""More places than this are not tried: a repair of so many is a redesign."""

NO_REPAIR = (
    "no sync repairs it: write the new content to a temp file in the same directory, fdatasync that, rename it, "
    "and fsync the directory"
)

GIVE_UP = (
    "report failure where a sync fails, and write the content anew to retry: the pages are marked clean, and a second "
    "sync succeeds without them"
)

Holds = Callable[[Left], bool]
"""Whether a state that a loss of power has left is as it should be."""


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync that could be added before the operation with that index. sentence: what a programmer would do."""

    before: int
    operation: Operation
    sentence: str


def repair(run: PowerRun, profile: str, holds: Holds) -> str:
    """What has to be added, in words; `NO_REPAIR` where no sync helps, and nothing where nothing is missing."""
    if _all_hold(run, profile, holds):
        return ""
    places = list(_candidates(run))
    if len(places) > CANDIDATES_MAX or not _all_hold(_with(run, places), profile, holds):
        return NO_REPAIR
    for size in range(1, TOGETHER_MAX + 1):
        for chosen in combinations(places, size):
            if _all_hold(_with(run, chosen), profile, holds):
                return "; ".join(sync.sentence for sync in chosen)
    return "; ".join(sync.sentence for sync in places)


def _all_hold(run: PowerRun, profile: str, holds: Holds) -> bool:
    power = PowerLoss(run)
    return all(holds(power.left(group.faults[0])) for group in power.groups(profile))


def _with(run: PowerRun, syncs: list[Sync] | tuple[Sync, ...]) -> PowerRun:
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
        elif operation.op in (Op.OPEN, Op.UNLINK, Op.MKDIR, Op.RMDIR, Op.SYMLINK, Op.MKNOD) and operation.name is not None:
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
