"""The fault points of class `power`: every state that a loss of power may leave, at every moment of a recorded run."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace
from faultinject.persistence.contents import Reference
from faultinject.persistence.machine import Effect, Machine, NotModelledError, StartNode, block_bytes_for
from faultinject.persistence.pieces import Pieces
from faultinject.persistence.profiles import profiles
from faultinject.persistence.survivors import (
    Extent,
    StateClass,
    Survived,
    Survivor,
    described,
    state_classes,
    survived,
    survivor_numbered,
)
from faultinject.plan import Group

ALIKE = "KVS-CLASS-5"
"""States with the same names, whose contents equal the same right ones, are judged alike."""


class Right(NamedTuple):
    """A content that is right for a path. ranges: bytes of it that do not count."""

    pieces: Pieces
    ranges: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class PowerRun:
    """A recorded run as class `power` needs it.

    start: what was there, durably. right: the contents that are right under a path; none where nobody asks.
    acknowledged_at: index of the operation with which success was reported, the number of operations for the end,
    None where it never was, or is not meant for a loss of power. atomic: whether a transfer is done wholly or not at
    all (KVS-ATOM-1).
    """

    trace: Trace
    start: Mapping[str, StartNode]
    right: Callable[[str], Sequence[Right]]
    largest_bytes: int
    acknowledged_at: int | None
    atomic: Callable[[Operation], bool]


@dataclass(frozen=True, slots=True)
class Left:
    """What a loss of power has left. sentence: what is missing, for people."""

    files: Mapping[str, Survived]
    acknowledged: bool
    sentence: str


class _Moment:
    """The machine of a run at one moment, which goes forward. Raises HarnessError for a profile that there is not."""

    def __init__(self, run: PowerRun, profile: str) -> None:
        known = profiles().get(profile)
        if known is None:
            raise HarnessError(f"there is no persistence profile {profile!r}; there are {', '.join(profiles())}")
        self.profile = profile
        self.done = 0
        self.machine = Machine(known, run.start, block_bytes_for(known, [run.largest_bytes]))
        self._run = run
        self._references: dict[str, tuple[Reference, ...]] = {}

    def advance(self) -> Effect:
        """Performs the next operation. Raises HarnessError where nobody knows what it does to the disk."""
        operation = self._run.trace[self.done]
        try:
            effect = self.machine.apply(operation)
        except NotModelledError as error:
            raise HarnessError(str(error)) from error
        self.done += 1
        return effect

    def right(self, path: str) -> tuple[Reference, ...]:
        """The contents that are right under a path."""
        found = self._references.get(path)
        if found is None:
            block_bytes = self.machine.block_bytes
            found = tuple(Reference(right.pieces, block_bytes, right.ranges) for right in self._run.right(path))
            self._references[path] = found
        return found


class PowerLoss:
    """The points of one run. Points are best asked for in their order: each moment follows from the one before."""

    def __init__(self, run: PowerRun) -> None:
        self._run = run
        self._planned: _Moment | None = None
        self._asked: _Moment | None = None

    def groups(self, profile: str, *, exhaustive: bool = False) -> Iterator[Group]:
        """Every point under a profile, those that are judged alike together, or each alone. Raises HarnessError."""
        run = self._run
        self._planned = moment = _Moment(run, profile)
        for operation in run.trace:
            if operation.op.transfers and operation.result > 1 and not operation.error and not run.atomic(operation):
                group = self._inside(operation, profile)
                yield from _apart(group) if exhaustive else [group]
            effect = moment.advance()
            if effect is Effect.MORE or operation.index == run.acknowledged_at:
                yield from self._after(moment, operation.index, operation.op, exhaustive=exhaustive)
        yield from self._after(moment, len(run.trace), Op.ACKNOWLEDGE, exhaustive=exhaustive)

    def _inside(self, operation: Operation, profile: str) -> Group:
        """Between two bytes of a transfer, all before on the disk: as a kill there leaves it (KVS-CLASS-1)."""
        size_bytes = operation.result
        fault = Fault(FaultClass.POWER, Form.POWER_LOSS, operation.index, operation.op, what=profile)
        some = dict.fromkeys((1, size_bytes // 2, size_bytes - 1))
        return Group(
            tuple(replace(fault, byte=byte) for byte in some),
            size_bytes - 1,
            "KVS-CLASS-1",
            every=lambda: (replace(fault, byte=byte) for byte in range(1, size_bytes)),
        )

    def _after(self, moment: _Moment, index: int, op: Op, *, exhaustive: bool) -> Iterator[Group]:
        fault = Fault(FaultClass.POWER, Form.POWER_LOSS, index, op, what=moment.profile)
        for found in state_classes(moment.machine, moment.right):
            group = _group(fault, found)
            yield from _apart(group) if exhaustive else [group]

    def left(self, fault: Fault) -> Left:
        """What is there after a loss of power at a point. Raises HarnessError where there is no such point."""
        run = self._run
        operation = self._operation(fault)
        machine = self._at(fault.what, fault.index if fault.byte is not None or operation is None else fault.index + 1)
        acknowledged = run.acknowledged_at is not None and fault.index >= run.acknowledged_at
        if fault.byte is not None:
            assert operation is not None
            files = self._cut(machine, operation, fault.byte)
            return Left(files, acknowledged, f"everything up to byte {fault.byte} of it is on the disk")
        try:
            survivor = survivor_numbered(machine, fault.state or "")
        except (IndexError, ValueError) as error:
            raise HarnessError(f"{fault.id}: there is no such state at this point") from error
        return Left(survived(machine, survivor), acknowledged, described(machine, survivor))

    def _operation(self, fault: Fault) -> Operation | None:
        """The operation at a point, None behind the last one. Raises HarnessError where the run has no such point."""
        trace = self._run.trace
        if fault.index == len(trace) and fault.op is Op.ACKNOWLEDGE and fault.byte is None:
            return None
        if not 0 <= fault.index < len(trace) or trace[fault.index].op is not fault.op:
            raise HarnessError(f"{fault.id}: the recorded run has no such operation")
        operation = trace[fault.index]
        if fault.byte is not None and not (operation.op.transfers and 0 < fault.byte < operation.result):
            raise HarnessError(f"{fault.id}: {operation} cannot be cut there")
        return operation

    def _at(self, profile: str, done: int) -> Machine:
        """The machine after so many operations: that of the points which are just gone through, or one beside it."""
        planned, asked = self._planned, self._asked
        if planned is not None and planned.profile == profile and planned.done == done:
            return planned.machine
        if asked is None or asked.profile != profile or asked.done > done:
            self._asked = asked = _Moment(self._run, profile)
        while asked.done < done:
            asked.advance()
        return asked.machine

    def _cut(self, machine: Machine, operation: Operation, accepted_bytes: int) -> dict[str, Survived]:
        """Everything is on the disk, and of the next transfer the first bytes."""
        number = machine.node_of(operation)
        files = dict(survived(machine, Survivor("", next(machine.names.choices()), ()), number))
        offset = operation.offset or 0
        try:
            data = machine.source_of(operation, accepted_bytes)
        except NotModelledError as error:
            raise HarnessError(str(error)) from error
        for path, file in files.items():
            if file.node == number:
                files[path] = replace(
                    file,
                    size_bytes=max(file.size_bytes, offset + accepted_bytes),
                    extents=(*file.extents, Extent(offset, data)),
                )
        return files


class PowerRuns:
    """A recorded run, and for each of its syncs the run in which that sync fails (KVS-POWER-5).

    after: records the run under such a fault; None where it was not injected. A point of that run has the failed sync
    as its second fault.
    """

    def __init__(self, run: PowerRun, after: Callable[[Fault], PowerRun | None]) -> None:
        self.run = run
        self._after = after
        self._known: dict[Fault | None, tuple[PowerRun, PowerLoss] | None] = {None: (run, PowerLoss(run))}

    def groups(self, profile: str, *, exhaustive: bool) -> Iterator[Group]:
        """See `PowerLoss.groups`; of a run with a failed sync, the points behind it."""
        yield from self._of(None).groups(profile, exhaustive=exhaustive)
        for failure in sync_failures(self.run.trace):
            for group in self._of(failure).groups(profile, exhaustive=exhaustive):
                if group.faults[0].index > failure.index:
                    yield _behind(group, failure)

    def left(self, fault: Fault) -> Left:
        """See `PowerLoss.left`."""
        return self._of(fault.second).left(replace(fault, second=None))

    def operation(self, fault: Fault) -> str:
        """The operation at a point, for people."""
        trace = self._run(fault.second)[0].trace
        where = str(trace[fault.index]) if fault.index < len(trace) else "after the end"
        return where if fault.second is None else f"{where}, {self.run.trace[fault.second.index]} having failed"

    def _of(self, failure: Fault | None) -> PowerLoss:
        return self._run(failure)[1]

    def _run(self, failure: Fault | None) -> tuple[PowerRun, PowerLoss]:
        if failure not in self._known:
            run = self._after(failure) if failure is not None else None
            self._known[failure] = None if run is None else (run, PowerLoss(run))
        known = self._known[failure]
        if known is None:
            raise HarnessError(f"{failure.id if failure else ''}: the sync that was to fail was not reached again")
        return known


def sync_failures(trace: Trace) -> Iterator[Fault]:
    """Each sync of a run, failing once."""
    for operation in trace:
        if operation.op in (Op.FSYNC, Op.FDATASYNC, Op.FSYNC_DIRECTORY) and not operation.error:
            yield Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=errno.EIO)


def _behind(group: Group, failure: Fault) -> Group:
    every = group.every

    def behind() -> Iterator[Fault]:
        assert every is not None
        return (fault.then(failure) for fault in every())

    return group._replace(
        faults=tuple(fault.then(failure) for fault in group.faults), every=None if every is None else behind
    )


def _group(fault: Fault, found: StateClass) -> Group:
    def every() -> Iterator[Fault]:
        return (replace(fault, state=survivor.number) for survivor in found.every())

    faults = tuple(replace(fault, state=survivor.number) for survivor in found.survivors)
    return Group(faults, found.states, ALIKE if found.states > 1 else None, every=every)


def _apart(group: Group) -> Iterator[Group]:
    """Each point of a group alone."""
    assert group.every is not None
    return (Group((fault,), 1) for fault in group.every())
