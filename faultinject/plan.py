"""Which fault points exist for a recorded run, and which faults are executed to cover them (KVS-FAULT, KVS-CLASS).

The plan of a class is a list of groups. A group of one point is covered by executing it; a larger one by executing
representatives, under a lemma of spec/saving.md whose side condition the sweep checks while it runs.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace

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
from faultinject.target import Prepared

SECTOR_BYTES = 512
"""A write inside one aligned sector of a published file is done wholly or not at all (KVS-ATOM-1)."""

EXHAUSTIVE_BYTES = 8192
"""Up to this many bytes a transfer is cut at every byte; above, representatives stand for its interior."""

REPEATS_EXHAUSTIVE = 8
"""A longer run of transfers alike is covered by its first, second, middle and last ones (KVS-CLASS-2)."""

INTERIOR = "KVS-CLASS-1"
REPEATED = "KVS-CLASS-2"


@dataclass(frozen=True, slots=True)
class Group:
    """Faults to execute, and the fault points that they cover. `lemma` is None for plain execution.

    ranges: the byte offsets of the new file at which its points cut, as (start, end). spans: its points as a
    fault with every byte of a range, where a lemma stands for them.
    """

    faults: tuple[Fault, ...]
    points: int
    lemma: str | None = None
    ranges: tuple[tuple[int, int], ...] = ()
    spans: tuple[tuple[Fault, int, int], ...] = ()

    def every_fault(self) -> Iterator[Fault]:
        """All its points, for the case that the lemma's side condition does not hold."""
        for fault, start, end in self.spans:
            for byte in range(start, end):
                yield replace(fault, byte=byte)


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
        if fault.index < 0 or not self.trace[fault.index].op.transfers:
            return None
        start = self._transfer(self.trace[fault.index]).file_offset
        return None if start is None else start + (fault.byte or 0)

    def _transfer(self, operation: Operation) -> Transfer:
        offset = operation.offset or 0
        shift = 0 if operation.inode == self.entry_inode else self.staged.get(operation.inode or -1)
        end = offset + operation.result
        atomic = operation.inode in self.published and offset // SECTOR_BYTES == (end - 1) // SECTOR_BYTES
        return Transfer(operation, None if shift is None else offset + shift, atomic)


def plan(fault_class: FaultClass, prepared: Prepared, recorded: Recorded, *, exhaustive: bool) -> Iterator[Group]:
    """The groups of one class, in the order of the run. Raises ValueError for a class that is not planned here."""
    if fault_class is FaultClass.ERROR:
        yield from _errors(prepared, recorded, exhaustive)
    elif fault_class is FaultClass.INTERRUPT:
        yield from _interrupts(prepared, recorded, exhaustive)
    elif fault_class is FaultClass.KILL:
        yield from _kills(recorded, exhaustive)
    else:
        raise ValueError(f"class {fault_class} is not swept in process")


def _errors(prepared: Prepared, recorded: Recorded, exhaustive: bool) -> Iterator[Group]:
    starts = _starts(recorded)
    for operation in recorded.trace:
        for number in ERRNOS[operation.op]:
            for sticky in (False, True):
                yield Group((_errno(operation, number, sticky),), 1, ranges=starts.get(operation.index, ()))
    forms = (
        Fault(FaultClass.ERROR, Form.CUT, error=errno.ENOSPC),
        Fault(FaultClass.ERROR, Form.CUT, error=errno.ENOSPC, sticky=True),
        Fault(FaultClass.ERROR, Form.SHORT),
    )
    for transfers, repeats in _runs(recorded.transfers(), exhaustive):
        for form in forms:
            yield from _cut(form, transfers, repeats, exhaustive)
    size_bytes = prepared.payload_bytes
    if size_bytes and prepared.payload_is_counted:
        yield from _payload(Fault(FaultClass.ERROR, Form.PAYLOAD_ENDS), range(size_bytes), exhaustive)
        yield _single(Fault(FaultClass.ERROR, Form.PAYLOAD_GOES_ON, byte=size_bytes))


def _errno(operation: Operation, number: int, sticky: bool) -> Fault:
    return Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=number, sticky=sticky)


def _interrupts(prepared: Prepared, recorded: Recorded, exhaustive: bool) -> Iterator[Group]:
    for operation in recorded.trace:
        where = Fault(FaultClass.INTERRUPT, Form.SIGNAL, operation.index, operation.op)
        for what in SIGNALS:
            yield _single(_with(where, Form.SIGNAL, what))
        for what in (INJECTED_ERROR, KEYBOARD_INTERRUPT):
            yield _single(_with(where, Form.RAISE_BEFORE, what))
            yield _single(_with(where, Form.RAISE_AFTER, what))
    if prepared.payload_bytes is not None:
        for what in (INJECTED_ERROR, KEYBOARD_INTERRUPT):
            fault = Fault(FaultClass.INTERRUPT, Form.PAYLOAD_RAISES, what=what)
            yield from _payload(fault, range(prepared.payload_bytes + 1), exhaustive)


def _with(fault: Fault, form: Form, what: str) -> Fault:
    return Fault(fault.fault_class, form, fault.index, fault.op, what=what)


def _kills(recorded: Recorded, exhaustive: bool) -> Iterator[Group]:
    """Before every operation and inside every transfer; after the last one, the run is complete."""
    starts = _starts(recorded)
    for operation in recorded.trace:
        fault = Fault(FaultClass.KILL, Form.KILL, operation.index, operation.op)
        yield Group((fault,), 1, ranges=starts.get(operation.index, ()))
    for transfers, repeats in _runs(recorded.transfers(), exhaustive):
        yield from _cut(Fault(FaultClass.KILL, Form.KILL), transfers, repeats, exhaustive)


def _starts(recorded: Recorded) -> dict[int, tuple[tuple[int, int], ...]]:
    """A fault at the start of a transfer cuts the new file at the transfer's first byte."""
    return {transfer.operation.index: _ranges(transfer, 0, 1) for transfer in recorded.transfers()}


def _single(fault: Fault) -> Group:
    return Group((fault,), 1)


def _runs(transfers: list[Transfer], exhaustive: bool) -> Iterator[tuple[list[Transfer], bool]]:
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


def _cut(form: Fault, transfers: list[Transfer], repeats: bool, exhaustive: bool) -> Iterator[Group]:
    """The points inside the transfers: after 1 to n-1 bytes (0 and n are the ends of other operations).

    A short count of 0 without an error is a point of its own for `short`.
    """
    least = 0 if form.form is Form.SHORT else 1
    first = transfers[0]
    size_bytes = first.size_bytes
    if first.atomic or size_bytes <= least:
        return
    if not repeats and (exhaustive or size_bytes <= EXHAUSTIVE_BYTES):
        for byte in range(least, size_bytes):
            yield Group((_at(form, first, byte),), 1, ranges=_ranges(first, byte, byte + 1))
        return
    chosen = [
        transfers[i] for i in sorted({0, 1, len(transfers) // 2, len(transfers) - 1} & set(range(len(transfers))))
    ]
    representatives = _representatives(least, size_bytes)
    yield Group(
        tuple(_at(form, transfer, byte) for transfer in chosen for byte in representatives),
        (size_bytes - least) * len(transfers),
        REPEATED if repeats else INTERIOR,
        tuple(span for transfer in transfers for span in _ranges(transfer, least, size_bytes)),
        tuple((_at(form, transfer, None), least, size_bytes) for transfer in transfers),
    )


def _representatives(least: int, size_bytes: int) -> list[int]:
    return sorted({least, 1, 2, size_bytes // 2, size_bytes - 1} & set(range(least, size_bytes)))


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
        spans=((form, first + 1, end),),
    )


def _payload_at(form: Fault, byte: int) -> Fault:
    return replace(form, byte=byte)


def pairs(first: Fault, tail: Trace) -> Iterator[Group]:
    """A second fault at every operation after `first`, given the trace of the run with `first` alone."""
    for operation in tail:
        if operation.index > first.index:
            for number in ERRNOS[operation.op]:
                yield _single(first.then(_errno(operation, number, False)))
            for what in (INJECTED_ERROR, KEYBOARD_INTERRUPT):
                yield _single(
                    first.then(Fault(FaultClass.ERROR, Form.RAISE_BEFORE, operation.index, operation.op, what=what))
                )


def first_faults(recorded: Recorded) -> Iterator[Fault]:
    """The first halves of pairs: one failure and one interruption of every operation."""
    for operation in recorded.trace:
        numbers = ERRNOS[operation.op]
        number = errno.ENOSPC if errno.ENOSPC in numbers else errno.EIO if errno.EIO in numbers else numbers[0]
        yield _errno(operation, number, False)
        yield Fault(FaultClass.ERROR, Form.RAISE_AFTER, operation.index, operation.op, what=KEYBOARD_INTERRUPT)
