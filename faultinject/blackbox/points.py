"""Which fault points a recorded program has, and which faults are run to cover them (KVS-FAULT, KVS-CLASS).

The same groups and lemmas as for programs in process, in the order of the run, so that an executor that stops a
program at a point comes by each point once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain

from faultinject.faults import DEADLY, ERRNOS, IGNORED, Fault, FaultClass, Form
from faultinject.ops import Op, Operation
from faultinject.plan import (
    EXHAUSTIVE_BYTES,
    INTERIOR,
    Group,
    Recorded,
    Transfer,
    alike_operations,
    cuts,
    one_point_each,
    transfer_runs,
)

_FULL_DISK = Fault(FaultClass.ERROR, Form.CUT, error=errno.ENOSPC, sticky=True)
_SHORT = Fault(FaultClass.ERROR, Form.SHORT)
_CUTS = (
    _FULL_DISK,
    _SHORT,
    Fault(FaultClass.ERROR, Form.CUT, error=errno.ENOSPC),
    Fault(FaultClass.ERROR, Form.CUT, error=errno.EIO),
    Fault(FaultClass.ERROR, Form.CUT, error=errno.EDQUOT, sticky=True),
    Fault(FaultClass.ERROR, Form.CUT, error=errno.EFBIG, sticky=True),
)

DENSE = (_FULL_DISK, _SHORT)
"""The cuts that come after every byte where points cost little."""

_DENSE = frozenset((form.form, form.error, form.sticky) for form in DENSE)

_COPIES = frozenset({Op.COPY_RANGE, Op.SENDFILE, Op.SPLICE})
"""Calls for which a count of 0 says that what they copy from has ended (KVS-AUDIT-5)."""

_Part = tuple[int, Iterable[Group]]
"""Groups that begin at one operation, and its index."""


def errors(recorded: Recorded, *, exhaustive: bool, dense: bool, limits: bool = True) -> Iterator[Group]:
    """Class error. `dense`: points cost little, so the full disk and the short write come after every byte.

    limits: whether a file meets its limit as well; in process that would be one of the harness, too.
    """
    parts: list[_Part] = [
        (operations[0].index, _errnos(recorded, operations)) for operations in alike_operations(recorded, exhaustive)
    ]
    for form in _CUTS:
        parts += _cut_everywhere(recorded, form, exhaustive or (dense and form in DENSE))
    if limits:
        parts += _limits(recorded, FaultClass.ERROR, IGNORED, exhaustive)
    parts.sort(key=lambda part: part[0])
    return chain.from_iterable(groups for _, groups in parts)


def interrupts(recorded: Recorded, signals: tuple[str, ...], *, exhaustive: bool) -> Iterator[Group]:
    """Class interrupt: each of the signals that the program handles, at every operation."""
    for operations in alike_operations(recorded, exhaustive):
        if operations[0].op is Op.ACKNOWLEDGE:
            continue  # what it printed is no call on a watched file, at which it could be stopped
        for what in signals:
            yield one_point_each(recorded, operations, partial(_signal, what=what))


def kills(recorded: Recorded, *, exhaustive: bool, limits: bool = True) -> Iterator[Group]:
    """Class kill: before every operation and inside every transfer; and where a file meets its limit."""
    for operations in alike_operations(recorded, exhaustive):
        yield one_point_each(recorded, operations, _kill)
    form = Fault(FaultClass.KILL, Form.KILL)
    for _, groups in _cut_everywhere(recorded, form, exhaustive):
        yield from groups
    if limits:  # a program that ignores SIGXFSZ by its own choice is not killed by it
        for _, groups in _limits(recorded, FaultClass.KILL, DEADLY, exhaustive):
            yield from groups


def is_dense(fault: Fault) -> bool:
    """Whether it is one of those that come after every byte where points cost little."""
    return bool(fault.byte) and (fault.form, fault.error, fault.sticky) in _DENSE


def moved_bytes(recorded: Recorded) -> int:
    """How many bytes all transfers move."""
    return sum(transfer.size_bytes for transfer in recorded.transfers())


def true_errnos(operation: Operation) -> list[int]:
    """With which an operation may fail.

    EEXIST said of a name that is not there programs take for a success (KVS-AUDIT-5).
    """
    exclusive = operation.op is Op.OPEN and operation.flags & os.O_EXCL
    return [number for number in ERRNOS[operation.op] if number != errno.EEXIST or exclusive]


def _errnos(recorded: Recorded, operations: list[Operation]) -> Iterator[Group]:
    first = operations[0]
    if first.op is Op.STORE:
        yield one_point_each(recorded, operations, _store)
        return
    if not first.op.fails or first.call == "sync":  # sync(2) has no way to report an error
        return
    for number in true_errnos(first):
        for sticky in (False,) if number == errno.EEXIST else (False, True):
            yield one_point_each(recorded, operations, partial(_errno, number=number, sticky=sticky))


def _cut_everywhere(recorded: Recorded, form: Fault, exhaustive: bool) -> list[_Part]:
    return [
        (transfers[0].operation.index, filter(_is_true, cuts(form, transfers, repeats, exhaustive)))
        for transfers, repeats in transfer_runs(recorded.transfers(), exhaustive)
    ]


def _is_true(group: Group) -> bool:
    """Whether what the program is told could be so; groups of a count of 0 hold no others."""
    first = group.faults[0]
    return not (first.form is Form.SHORT and first.byte == 0 and first.op in _COPIES)


def _limits(recorded: Recorded, fault_class: FaultClass, what: str, exhaustive: bool) -> list[_Part]:
    """RLIMIT_FSIZE at every byte at which it can be met (KVS-AUDIT-4).

    It holds for all files of the program (setrlimit(2)): the first transfer that goes beyond it meets it, so that no
    limit hits below what an earlier transfer, to whichever file, has reached.
    """
    reached, whole = 0, []
    parts: list[_Part] = []
    form = Fault(fault_class, Form.FILE_LIMIT, what=what)
    for transfer in recorded.transfers():
        start = transfer.operation.offset or 0
        end = start + transfer.size_bytes
        if start >= reached:
            whole.append(transfer)
        elif end > reached:
            parts.append((transfer.operation.index, _limits_from(reached - start, transfer, form, exhaustive)))
        reached = max(reached, end)
    for transfers, repeats in transfer_runs(whole, exhaustive):
        operations = [transfer.operation for transfer in transfers]
        index = operations[0].index
        parts.append((index, [one_point_each(recorded, operations, partial(_limit, form=form))]))
        parts.append((index, cuts(form, transfers, repeats, exhaustive)))
    return parts


def _limits_from(least: int, transfer: Transfer, form: Fault, exhaustive: bool) -> Iterator[Group]:
    """Limits inside a transfer of which the first bytes are below what was reached before."""
    operation, bytes_range = transfer.operation, range(least, transfer.size_bytes)
    at = partial(_limit, operation, form=form)
    start = transfer.file_offset
    if exhaustive or len(bytes_range) <= EXHAUSTIVE_BYTES:
        for byte in bytes_range:
            yield Group((at(byte),), 1, ranges=() if start is None else ((start + byte, start + byte + 1),))
        return
    chosen = sorted({least, least + 1, (least + transfer.size_bytes) // 2, transfer.size_bytes - 1})
    ranges = () if start is None else ((start + least, start + transfer.size_bytes),)
    yield Group(tuple(map(at, chosen)), len(bytes_range), INTERIOR, ranges, lambda: map(at, bytes_range))


def _errno(operation: Operation, *, number: int, sticky: bool) -> Fault:
    return Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=number, sticky=sticky)


def _store(operation: Operation) -> Fault:
    return Fault(FaultClass.ERROR, Form.SIGNAL, operation.index, operation.op, what="SIGBUS")


def _signal(operation: Operation, *, what: str) -> Fault:
    return Fault(FaultClass.INTERRUPT, Form.SIGNAL, operation.index, operation.op, what=what)


def _kill(operation: Operation) -> Fault:
    return Fault(FaultClass.KILL, Form.KILL, operation.index, operation.op)


def _limit(operation: Operation, byte: int = 0, *, form: Fault) -> Fault:
    return Fault(form.fault_class, form.form, operation.index, operation.op, byte, what=form.what)
