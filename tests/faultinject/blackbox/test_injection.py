"""Which operations a fault changes: the one at its point, and those that the same cause makes fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.injection import Act, Injection
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace

OPS = (Op.OPEN, Op.WRITE, Op.FSYNC, Op.CLOSE, Op.RENAME)
traces = st.lists(st.tuples(st.sampled_from(["0", "0.0"]), st.sampled_from(OPS)), min_size=1, max_size=12)


def trace_of(steps: Sequence[tuple[str, Op]]) -> Trace:
    made: dict[str, int] = {}
    operations = []
    for index, (task, op) in enumerate(steps):
        operations.append(Operation(index, op, task=task, nth=made.get(task, 0)))
        made[task] = made.get(task, 0) + 1
    return Trace(tuple(operations))


def acts(injection: Injection, trace: Trace) -> list[Act | None]:
    return [injection.act_on(operation) for operation in trace]


@given(traces, st.data())
def test_one_error_hits_one_operation_in_whatever_order_the_tasks_come(
    steps: list[tuple[str, Op]], data: st.DataObject
) -> None:
    """KVS-AUDIT-2: the point is the n-th operation of a task."""
    trace = trace_of(steps)
    index = data.draw(st.integers(0, len(trace) - 1))
    injection = Injection(Fault(FaultClass.ERROR, Form.ERRNO, index, trace[index].op, error=errno.EIO), trace)
    other = [one for one in trace if one.task != trace[index].task] + [
        one for one in trace if one.task == trace[index].task
    ]
    hit = [operation.index for operation in other if injection.act_on(operation) is not None]
    assert hit == [index]
    assert injection.fired == 1


@given(traces, st.sampled_from([Form.ERRNO, Form.SIGNAL]))
def test_a_fault_past_the_end_does_not_fire_in_the_recorded_run(steps: list[tuple[str, Op]], form: Form) -> None:
    """KVS-FAULT-4."""
    trace = trace_of(steps)
    injection = Injection(Fault(FaultClass.ERROR, form, len(trace), error=errno.EIO), trace)
    assert acts(injection, trace) == [None] * len(trace)
    assert injection.fired == 0
    further = Operation(0, Op.WRITE, task=steps[0][0], nth=sum(task == steps[0][0] for task, _ in steps))
    assert injection.act_on(further) == Act(form, errno.EIO if form is Form.ERRNO else 0)
    assert injection.fired == 1


def test_a_full_disk_stays_full_and_lets_be_removed() -> None:
    trace = trace_of([("0", op) for op in (Op.WRITE, Op.WRITE, Op.OPEN, Op.UNLINK)])
    fault = Fault(FaultClass.ERROR, Form.CUT, 0, Op.WRITE, 3, errno.ENOSPC, sticky=True)
    injection = Injection(fault, trace)
    creating = Operation(2, Op.OPEN, flags=os.O_CREAT, task="0", nth=2)
    assert [injection.act_on(one) for one in (trace[0], trace[1], creating, trace[3])] == [
        Act(Form.SHORT, size_bytes=3),
        Act(Form.ERRNO, errno.ENOSPC),
        Act(Form.ERRNO, errno.ENOSPC),
        None,
    ]


def test_a_cut_fails_the_next_transfer_alone() -> None:
    trace = trace_of([("0", op) for op in (Op.WRITE, Op.FSYNC, Op.WRITE, Op.WRITE)])
    injection = Injection(Fault(FaultClass.ERROR, Form.CUT, 0, Op.WRITE, 3, errno.EIO), trace)
    assert acts(injection, trace) == [Act(Form.SHORT, size_bytes=3), None, Act(Form.ERRNO, errno.EIO), None]
    at_once = Injection(Fault(FaultClass.ERROR, Form.CUT, 0, Op.WRITE, 0, errno.EIO), trace)
    assert acts(at_once, trace) == [Act(Form.ERRNO, errno.EIO), None, None, None]


def test_another_operation_at_the_point_is_no_point() -> None:
    trace = trace_of([("0", Op.WRITE)])
    injection = Injection(Fault(FaultClass.ERROR, Form.ERRNO, 0, Op.WRITE, error=errno.EIO), trace)
    with pytest.raises(HarnessError, match="does not repeat itself"):
        injection.act_on(Operation(0, Op.FSYNC, task="0", nth=0))
    assert injection.fired == 0


def test_what_cannot_be_injected_is_said() -> None:
    trace = trace_of([("0", Op.WRITE)])
    injection = Injection(Fault(FaultClass.INTERRUPT, Form.RAISE_BEFORE, 0, Op.WRITE, what="KeyboardInterrupt"), trace)
    with pytest.raises(HarnessError, match="cannot be injected into a program that is not ours"):
        injection.act_on(trace[0])


def test_no_fault_changes_nothing() -> None:
    trace = trace_of([("0", op) for op in OPS])
    assert acts(Injection(None, trace), trace) == [None] * len(OPS)
    assert acts(Injection(None, None), trace) == [None] * len(OPS)
