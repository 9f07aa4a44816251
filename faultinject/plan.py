"""Which fault points exist for a recorded run, and which faults are executed to cover them (KVS-FAULT, KVS-CLASS).

The plan of a class is a list of groups. A group of one point is covered by executing it; a larger one by executing
representatives, under a lemma of spec/saving.md whose side condition the sweep checks while it runs.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from faultinject.faults import (
    ERRNOS,
    INJECTED_ERROR,
    KEYBOARD_INTERRUPT,
    SIGNALS,
    Fault,
    FaultClass,
    Form,
)
from faultinject.ops import Operation, Trace
from faultinject.spans import inside_one_block

SECTOR_BYTES = 512
"""A write inside one aligned sector of a published file is done wholly or not at all (KVS-ATOM-1)."""

EXHAUSTIVE_BYTES = 512
"""Up to this many bytes a transfer is cut at every byte; above, representatives stand for its interior."""

REPEATS_EXHAUSTIVE = 8
"""A longer run of transfers alike is covered by its first, second, middle and last ones (KVS-CLASS-2)."""

INTERIOR = "KVS-CLASS-1"
REPEATED = "KVS-CLASS-2"


class Producing(Protocol):
    """What is known of the producer of a payload, which can be at fault as well; see `Prepared`."""

    @property
    def payload_bytes(self) -> int | None:
        """Size of the payload whose producer can be made to fail, None where there is none."""

    @property
    def payload_is_counted(self) -> bool:
        """Whether a payload of another size than predicted must fail the operation."""


class Group(NamedTuple):
    """Faults to execute, and the fault points that they cover. `lemma` is None for plain execution.

    ranges: the byte offsets of the new file at which its points cut, as (start, end). every: all its points one by
    one, for the case that the lemma's side condition does not hold.
    """

    faults: tuple[Fault, ...]
    points: int
    lemma: str | None = None
    ranges: tuple[tuple[int, int], ...] = ()
    every: Callable[[], Iterator[Fault]] | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A write or copy of the recorded run. `file_offset` is its place in the new file (None: not part of it)."""

    operation: Operation
    file_offset: int | None
    atomic: bool

    @property
    def size_bytes(self) -> int:
        """How many bytes were really transferred."""
        return self.operation.result


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run without a fault, as the planner needs it.

    entry_inode: of the file that became the new entry (None: nothing was published). staged_shift: what to add to
    an offset in a staged file to get the offset in the entry.
    """

    trace: Trace
    entry_inode: int | None
    staged: dict[int, int]
    published: frozenset[int]

    def transfers(self) -> list[Transfer]:
        """Every transfer of the run, in order."""
        return [
            self._transfer(operation) for operation in self.trace if operation.op.transfers and operation.result > 0
        ]

    def offset_of(self, fault: Fault) -> int | None:
        """The byte of the new file that a fault cuts at, None where it cuts none."""
        if not 0 <= fault.index < len(self.trace) or not self.trace[fault.index].op.transfers:
            return None
        start = self._transfer(self.trace[fault.index]).file_offset
        return None if start is None else start + (fault.byte or 0)

    def start_of(self, operation: Operation) -> tuple[tuple[int, int], ...]:
        """The byte of the new file at which a fault before `operation` cuts: the first of a transfer, else none."""
        if not operation.op.transfers or operation.result <= 0:
            return ()
        return _ranges(self._transfer(operation), 0, 1)

    def _transfer(self, operation: Operation) -> Transfer:
        offset = operation.offset or 0
        shift = 0 if operation.inode == self.entry_inode else self.staged.get(operation.inode or -1)
        atomic = operation.inode in self.published and inside_a_sector(operation)
        return Transfer(operation, None if shift is None else offset + shift, atomic)


def inside_a_sector(transfer: Operation) -> bool:
    """Whether all bytes of a transfer lie in one aligned sector (KVS-ATOM-1)."""
    return inside_one_block(transfer.offset or 0, transfer.result, SECTOR_BYTES)


_EXCEPTIONS = (INJECTED_ERROR, KEYBOARD_INTERRUPT)
_Item = TypeVar("_Item")


def plan(fault_class: FaultClass, prepared: Producing, recorded: Recorded, *, exhaustive: bool) -> Iterator[Group]:
    """The groups of one class, in the order of the run. Raises ValueError for a class that is not planned here."""
    if fault_class is FaultClass.ERROR:
        yield from _errors(prepared, recorded, exhaustive)
    elif fault_class is FaultClass.INTERRUPT:
        yield from _interrupts(prepared, recorded, exhaustive)
    elif fault_class is FaultClass.KILL:
        yield from _kills(recorded, exhaustive)
    else:
        raise ValueError(f"class {fault_class} is not swept in process")


def beyond(fault_class: FaultClass, recorded: Recorded) -> Fault | None:
    """An exception after the last operation, which must not fire (KVS-FAULT-4); None for what is computed, or empty."""
    if fault_class in (FaultClass.KILL, FaultClass.POWER) or not len(recorded.trace):
        return None
    last = recorded.trace[len(recorded.trace) - 1]
    return Fault(fault_class, Form.RAISE_BEFORE, last.index + 1, last.op, what=INJECTED_ERROR)


def _errors(prepared: Producing, recorded: Recorded, exhaustive: bool) -> Iterator[Group]:
    for operations in alike_operations(recorded, exhaustive):
        for number in ERRNOS[operations[0].op]:
            for sticky in (False, True):
                yield one_point_each(recorded, operations, partial(_errno, number=number, sticky=sticky))
    forms = (
        Fault(FaultClass.ERROR, Form.CUT, error=errno.ENOSPC),
        Fault(FaultClass.ERROR, Form.CUT, error=errno.ENOSPC, sticky=True),
        Fault(FaultClass.ERROR, Form.SHORT),
    )
    for transfers, repeats in transfer_runs(recorded.transfers(), exhaustive):
        for form in forms:
            yield from cuts(form, transfers, repeats, exhaustive)
    size_bytes = prepared.payload_bytes
    if size_bytes is not None and prepared.payload_is_counted:
        if size_bytes:
            yield from _payload(Fault(FaultClass.ERROR, Form.PAYLOAD_ENDS), range(size_bytes), exhaustive)
        yield _single(Fault(FaultClass.ERROR, Form.PAYLOAD_GOES_ON, byte=size_bytes))


def _errno(operation: Operation, *, number: int, sticky: bool = False) -> Fault:
    return Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=number, sticky=sticky)


def _raise(operation: Operation, *, fault_class: FaultClass, form: Form, what: str) -> Fault:
    return Fault(fault_class, form, operation.index, operation.op, what=what)


def _kill(operation: Operation) -> Fault:
    return Fault(FaultClass.KILL, Form.KILL, operation.index, operation.op)


def _interrupts(prepared: Producing, recorded: Recorded, exhaustive: bool) -> Iterator[Group]:
    wanted = [(Form.SIGNAL, what) for what in SIGNALS]
    wanted += [(form, what) for what in _EXCEPTIONS for form in (Form.RAISE_BEFORE, Form.RAISE_AFTER)]
    for operations in alike_operations(recorded, exhaustive):
        for form, what in wanted:
            make = partial(_raise, fault_class=FaultClass.INTERRUPT, form=form, what=what)
            yield one_point_each(recorded, operations, make)
    if prepared.payload_bytes is not None:
        for what in _EXCEPTIONS:
            fault = Fault(FaultClass.INTERRUPT, Form.PAYLOAD_RAISES, what=what)
            yield from _payload(fault, range(prepared.payload_bytes + 1), exhaustive)


def _kills(recorded: Recorded, exhaustive: bool) -> Iterator[Group]:
    """Before every operation and inside every transfer; after the last one, the run is complete."""
    for operations in alike_operations(recorded, exhaustive):
        yield one_point_each(recorded, operations, _kill)
    for transfers, repeats in transfer_runs(recorded.transfers(), exhaustive):
        yield from cuts(Fault(FaultClass.KILL, Form.KILL), transfers, repeats, exhaustive)


def alike_operations(recorded: Recorded, exhaustive: bool) -> Iterator[list[Operation]]:
    """Every operation once: alone, or with its like where a long run of equal transfers has a lemma."""
    runs = {
        transfers[0].operation.index: [transfer.operation for transfer in transfers]
        for transfers, repeats in transfer_runs(recorded.transfers(), exhaustive)
        if repeats
    }
    inside = {operation.index for operations in runs.values() for operation in operations}
    for operation in recorded.trace:
        if operation.index in runs:
            yield runs[operation.index]
        elif operation.index not in inside:
            yield [operation]


def one_point_each(recorded: Recorded, operations: list[Operation], make: Callable[[Operation], Fault]) -> Group:
    """One point at each of the operations."""
    ranges = tuple(span for operation in operations for span in recorded.start_of(operation))
    if len(operations) == 1:
        return Group((make(operations[0]),), 1, ranges=ranges)
    chosen = spread_out(operations)
    return Group(tuple(map(make, chosen)), len(operations), REPEATED, ranges, lambda: map(make, operations))


def spread_out(items: Sequence[_Item]) -> list[_Item]:
    """The first, second, middle and last of a run (KVS-CLASS-2)."""
    last = len(items) - 1
    return [items[place] for place in sorted({0, min(1, last), len(items) // 2, last})]


def _single(fault: Fault) -> Group:
    return Group((fault,), 1)


def transfer_runs(transfers: list[Transfer], exhaustive: bool) -> Iterator[tuple[list[Transfer], bool]]:
    """Transfers one by one, and long runs of equal ones together with True."""
    start = 0
    while start < len(transfers):
        end = start + 1
        while end < len(transfers) and _alike(transfers[start], transfers[end]):
            end += 1
        if exhaustive or end - start <= REPEATS_EXHAUSTIVE:
            for transfer in transfers[start:end]:
                yield [transfer], False
        else:
            yield transfers[start:end], True
        start = end


def _alike(first: Transfer, other: Transfer) -> bool:
    """Same call, same file, same size: members of one loop over a payload."""
    return (
        first.operation.op is other.operation.op
        and first.operation.inode == other.operation.inode
        and first.size_bytes == other.size_bytes
        and not first.atomic
        and not other.atomic
    )


def cuts(form: Fault, transfers: list[Transfer], repeats: bool, exhaustive: bool) -> Iterator[Group]:
    """The points inside the transfers: after 1 to n-1 bytes (0 and n are the ends of other operations).

    A short count of 0 without an error is a point of its own for `short`.
    """
    first = transfers[0]
    size_bytes = first.size_bytes
    if first.atomic:
        return
    chosen = spread_out(transfers)
    if form.form is Form.SHORT:  # a count of 0 lies not inside: most programs take it for an error
        yield Group(
            tuple(_at(form, transfer, 0) for transfer in chosen),
            len(transfers),
            REPEATED if repeats else None,
            tuple(span for transfer in transfers for span in _ranges(transfer, 0, 1)),
            lambda: (_at(form, transfer, 0) for transfer in transfers),
        )
    if size_bytes < 2:
        return
    if not repeats and (exhaustive or size_bytes <= EXHAUSTIVE_BYTES):
        for byte in range(1, size_bytes):
            yield Group((_at(form, first, byte),), 1, ranges=_ranges(first, byte, byte + 1))
        return
    representatives = sorted({1, min(2, size_bytes - 1), size_bytes // 2, size_bytes - 1})
    yield Group(
        tuple(_at(form, transfer, byte) for transfer in chosen for byte in representatives),
        (size_bytes - 1) * len(transfers),
        REPEATED if repeats else INTERIOR,
        tuple(span for transfer in transfers for span in _ranges(transfer, 1, size_bytes)),
        lambda: (_at(form, transfer, byte) for transfer in transfers for byte in range(1, size_bytes)),
    )


def _at(form: Fault, transfer: Transfer, byte: int | None) -> Fault:
    # Not dataclasses.replace: this runs once for every byte.
    operation = transfer.operation
    return Fault(form.fault_class, form.form, operation.index, operation.op, byte, form.error, form.sticky, form.what)


def _ranges(transfer: Transfer, start: int, end: int) -> tuple[tuple[int, int], ...]:
    if transfer.file_offset is None:
        return ()
    return ((transfer.file_offset + start, transfer.file_offset + end),)


def _payload(form: Fault, bytes_range: range, exhaustive: bool) -> Iterator[Group]:
    """The producer at fault after every byte. After none at all nothing was written: a case of its own."""
    first, end = bytes_range.start, bytes_range.stop
    if exhaustive or end - first <= EXHAUSTIVE_BYTES:
        for byte in bytes_range:
            yield _single(_payload_at(form, byte))
        return
    yield _single(_payload_at(form, first))
    chosen = sorted({first + 1, first + 2, end // 2, end - 2, end - 1})
    yield Group(
        tuple(_payload_at(form, byte) for byte in chosen),
        end - first - 1,
        INTERIOR,
        every=lambda: (_payload_at(form, byte) for byte in range(first + 1, end)),
    )


def _payload_at(form: Fault, byte: int) -> Fault:
    return replace(form, byte=byte)


def _every_errno(operation: Operation) -> Sequence[int]:
    return ERRNOS[operation.op]


def pairs(
    recorded: Recorded,
    trace_of: Callable[[Fault], Trace],
    *,
    exhaustive: bool,
    errnos: Callable[[Operation], Sequence[int]] = _every_errno,
) -> Iterator[Group]:
    """A failure and an interruption of every operation, each with a second fault while it is cleaned up.

    `trace_of` gives the run under the first fault alone: what comes after it is the cleaning-up. errnos: with which
    an operation may fail.
    """
    for operations in alike_operations(recorded, exhaustive):
        numbers = errnos(operations[0])
        number = next((n for n in (errno.ENOSPC, errno.EIO) if n in numbers), numbers[0])
        interrupted = partial(_raise, fault_class=FaultClass.ERROR, form=Form.RAISE_AFTER, what=KEYBOARD_INTERRUPT)
        for make in (partial(_errno, number=number), interrupted):
            firsts = [make(operation) for operation in spread_out(operations)]
            tails = [_tail(trace_of(first), first) for first in firsts]
            if len({tuple(op.op for op in tail) for tail in tails}) == 1:
                yield from _second_faults(firsts, tails, len(operations), errnos)
            else:  # they are not cleaned up alike: the class is not used (KVS-CLASS-3)
                for operation in operations:
                    first = make(operation)
                    yield from _second_faults([first], [_tail(trace_of(first), first)], 1, errnos)


def _tail(trace: Trace, first: Fault) -> list[Operation]:
    return [operation for operation in trace if operation.index > first.index]


def _second_faults(
    firsts: list[Fault],
    tails: list[list[Operation]],
    points: int,
    errnos: Callable[[Operation], Sequence[int]],
) -> Iterator[Group]:
    """Every second fault at every place of the cleaning-up, after each of the first faults."""
    raised = partial(_raise, fault_class=FaultClass.ERROR, form=Form.RAISE_BEFORE)
    for places in zip(*tails, strict=True):
        makes: list[Callable[[Operation], Fault]] = [partial(_errno, number=number) for number in errnos(places[0])]
        makes += [partial(raised, what=what) for what in _EXCEPTIONS]
        for make in makes:
            faults = tuple(first.then(make(place)) for first, place in zip(firsts, places, strict=True))
            yield Group(faults, points, None if points == 1 else REPEATED)
