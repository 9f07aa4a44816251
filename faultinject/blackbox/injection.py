"""Decides which operations of a run a fault changes, and how: the one at its point, and those that fail with it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from faultinject.faults import Fault, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace


@dataclass(frozen=True, slots=True)
class Act:
    """What is done to one call. form: ERRNO (it fails with `error`), SHORT, SIGNAL or KILL.

    size_bytes: how many bytes are transferred, by SHORT, or before the KILL.
    """

    form: Form
    error: int = 0
    size_bytes: int = 0


class Injection:
    """One fault in one run, or none. `fired`: how often it has been injected."""

    def __init__(self, fault: Fault | None, recorded: Trace | None) -> None:
        self.fault = fault
        self.fired = 0
        self._point = _point(fault, recorded)
        self._recorded = _lengths(fault, recorded)
        self._sticky: Fault | None = None
        self._pending: Fault | None = None

    def act_on(self, operation: Operation) -> Act | None:
        """What is to be done to the operation, None where nothing is.

        Raises HarnessError where the operation at the point is another one than recorded.
        """
        point = self._point
        if point is not None and operation.nth == point.nth and operation.task == point.task:
            return self._due(operation, point)
        if self._recorded is not None and operation.nth >= self._recorded.get(operation.task, 0):
            return self._further()
        creates = operation.op is Op.OPEN and bool(operation.flags & os.O_CREAT)
        if self._sticky is not None and operation.op.fails and self._sticky.lasts_over(operation.op, creates=creates):
            return Act(Form.ERRNO, self._sticky.error)
        if self._pending is not None and operation.op.transfers:
            error = self._pending.error
            self._pending = None
            return Act(Form.ERRNO, error)
        return None

    def _further(self) -> Act:
        """An operation beyond the recorded ones, which a fault past the end is for (KVS-FAULT-4)."""
        assert self.fault is not None
        self._recorded = None
        self.fired += 1
        return Act(Form.SIGNAL) if self.fault.form is Form.SIGNAL else Act(Form.ERRNO, self.fault.error)

    def _due(self, operation: Operation, point: Operation) -> Act:
        fault = self.fault
        assert fault is not None
        if operation.op is not point.op:
            raise HarnessError(
                f"{fault.id}: there the program has done {operation.op} and not {point.op}: it does not repeat itself"
            )
        self._point = None
        self.fired += 1
        if fault.sticky:
            self._sticky = fault
        size_bytes = fault.byte or 0
        if fault.form is Form.CUT and not fault.sticky and size_bytes:
            self._pending = fault
        if fault.form is Form.ERRNO or (fault.form is Form.CUT and not size_bytes):
            return Act(Form.ERRNO, fault.error)
        if fault.form in (Form.CUT, Form.SHORT):
            return Act(Form.SHORT, size_bytes=size_bytes)
        if fault.form in (Form.SIGNAL, Form.KILL):
            return Act(fault.form, size_bytes=size_bytes)
        raise HarnessError(f"{fault.id} cannot be injected into a program that is not ours")


def _point(fault: Fault | None, recorded: Trace | None) -> Operation | None:
    """The recorded operation that a fault is for, None where there is no fault, or none of that index."""
    if fault is None or fault.form is Form.NONE:
        return None
    assert recorded is not None, "a fault is injected into a recorded run"
    return recorded[fault.index] if 0 <= fault.index < len(recorded) else None


def _lengths(fault: Fault | None, recorded: Trace | None) -> dict[str, int] | None:
    """How many operations each task has made in the recorded run, where the fault is for one more."""
    if fault is None or recorded is None or fault.index < len(recorded):
        return None
    lengths: dict[str, int] = {}
    for operation in recorded:
        lengths[operation.task] = max(lengths.get(operation.task, 0), operation.nth + 1)
    return lengths
