"""The fault points of a program that is not ours: limits that can be met, and errors that a kernel can give."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from faultinject.blackbox import points
from faultinject.faults import DEADLY, ERRNOS, Fault, FaultClass, Form
from faultinject.ops import Op, Operation, Trace
from faultinject.plan import Group, Recorded

_WRITES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40), st.integers(1, 20)), max_size=6)
"""Inode, offset and size of each."""


def _recorded(*operations: Operation) -> Recorded:
    return Recorded(Trace(operations), None, {}, frozenset())


def _writes(found: Iterable[tuple[int, int, int]]) -> Recorded:
    return _recorded(
        *(
            Operation(index, Op.PWRITE, "f", inode=inode, offset=offset, size_bytes=size_bytes, result=size_bytes)
            for index, (inode, offset, size_bytes) in enumerate(found)
        )
    )


def _limits(groups: Iterable[Group]) -> list[Fault]:
    return [fault for group in groups for fault in group.faults if fault.form is Form.FILE_LIMIT]


def _met(found: list[tuple[int, int, int]]) -> set[tuple[int, int]]:
    """By trying every limit: the write that meets it, and after how many bytes (setrlimit(2))."""
    met = set()
    for limit in range(100):
        for index, (_, offset, size_bytes) in enumerate(found):
            if offset + size_bytes > limit:
                if offset <= limit:  # a write that begins beyond the limit is refused as one at it is
                    met.add((index, limit - offset))
                break
    return met


@given(_WRITES)
def test_limits_are_those_that_a_file_can_meet_and_no_others(found: list[tuple[int, int, int]]) -> None:
    """KVS-AUDIT-4."""
    for groups in (
        points.errors(_writes(found), exhaustive=True, dense=False),
        points.kills(_writes(found), exhaustive=True),
    ):
        faults = [(fault.index, fault.byte or 0) for fault in _limits(groups)]
        assert sorted(faults) == sorted(_met(found))


@given(st.integers(600, 5000), st.integers(1, 5000), st.integers(0, 4000))
def test_a_limit_inside_a_large_write_is_covered_by_class(first: int, second: int, offset: int) -> None:
    found = [(1, 0, first), (2, offset, second)]
    groups = [group for group in points.kills(_writes(found), exhaustive=False) if _limits([group])]
    assert sum(group.points for group in groups) == first + max(0, offset + second - max(first, offset))
    for group in groups:
        every = {(fault.index, fault.byte) for fault in (group.every() if group.every else group.faults)}
        assert {(fault.index, fault.byte) for fault in group.faults} <= every
        assert len(every) == group.points
        assert all(fault.what == DEADLY and fault.fault_class is FaultClass.KILL for fault in group.faults)


def _failing(operation: Operation) -> list[Fault]:
    groups = points.errors(_recorded(operation), exhaustive=False, dense=False)
    return [fault for group in groups for fault in group.faults if fault.form is Form.ERRNO]


def _errnos(operation: Operation) -> set[int]:
    return {fault.error for fault in _failing(operation)}


def test_a_name_that_is_not_there_is_not_said_to_exist() -> None:
    """git takes EEXIST of link(2) for a success: the object is there already. Here it would not be (KVS-AUDIT-5)."""
    for op in (Op.LINK, Op.MKDIR, Op.SYMLINK, Op.OPEN):
        assert errno.EEXIST not in _errnos(Operation(0, op, "name", flags=os.O_CREAT | os.O_WRONLY))
        assert errno.ENOSPC in _errnos(Operation(0, op, "name", flags=os.O_CREAT | os.O_WRONLY))


def test_a_program_that_looks_for_a_free_name_is_told_once_that_it_is_taken() -> None:
    """For ever is never so, and mkstemp would look for minutes (KVS-AUDIT-5)."""
    creating = Operation(0, Op.OPEN, "name", flags=os.O_CREAT | os.O_EXCL)
    assert [fault.sticky for fault in _failing(creating) if fault.error == errno.EEXIST] == [False]


_CALLS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([Op.OPEN, Op.FSYNC, Op.CLOSE, Op.RENAME, Op.UNLINK, Op.ACKNOWLEDGE, Op.STORE, Op.SYNC]),
            st.just(0),
        ),
        st.tuples(st.sampled_from([Op.WRITE, Op.WRITEV, Op.COPY_RANGE]), st.integers(1, 12)),
    ),
    max_size=14,
)


def _run(calls: list[tuple[Op, int]]) -> Recorded:
    """One file, written from end to end."""
    operations, end = [], 0
    for index, (op, size_bytes) in enumerate(calls):
        call = "sync" if op is Op.SYNC else ""
        offset = end if op.transfers else None
        operations.append(
            Operation(index, op, "f", inode=1, offset=offset, size_bytes=size_bytes, result=size_bytes, call=call)
        )
        end += size_bytes
    return _recorded(*operations)


def _brute(calls: list[tuple[Op, int]], fault_class: FaultClass) -> set[str]:
    """The ids of every point there is, said plainly; without limits on files, which are looked at above."""
    found = []
    for index, (op, size_bytes) in enumerate(calls):
        if fault_class is FaultClass.KILL:
            found.append(Fault(fault_class, Form.KILL, index, op))
            found += [Fault(fault_class, Form.KILL, index, op, byte) for byte in range(1, size_bytes)]
        elif fault_class is FaultClass.INTERRUPT and op is not Op.ACKNOWLEDGE:
            found += [Fault(fault_class, Form.SIGNAL, index, op, what=what) for what in ("SIGINT", "SIGTERM")]
        elif fault_class is FaultClass.ERROR and op is Op.STORE:
            found.append(Fault(fault_class, Form.SIGNAL, index, op, what="SIGBUS"))
        elif fault_class is FaultClass.ERROR and op.fails and op is not Op.SYNC:
            for number in ERRNOS[op]:
                if (op, number) != (Op.OPEN, errno.EEXIST):
                    found += [
                        Fault(fault_class, Form.ERRNO, index, op, error=number, sticky=sticky)
                        for sticky in (False, True)
                    ]
            if size_bytes:
                least = int(op is Op.COPY_RANGE)  # none at all says that the other file has ended (KVS-AUDIT-5)
                found += [Fault(fault_class, Form.SHORT, index, op, byte) for byte in range(least, size_bytes)]
                for number, sticky in (
                    (errno.ENOSPC, True), (errno.ENOSPC, False), (errno.EIO, False), (errno.EDQUOT, True), (errno.EFBIG, True),
                ):  # fmt: skip
                    found += [
                        Fault(fault_class, Form.CUT, index, op, byte, number, sticky) for byte in range(1, size_bytes)
                    ]
    assert len({fault.id for fault in found}) == len(found)
    return {fault.id for fault in found}


@settings(deadline=None)
@given(
    calls=_CALLS,
    fault_class=st.sampled_from([FaultClass.ERROR, FaultClass.INTERRUPT, FaultClass.KILL]),
    dense=st.booleans(),
)
def test_every_point_is_there_once_and_classes_stand_for_all_of_them(
    calls: list[tuple[Op, int]], fault_class: FaultClass, dense: bool
) -> None:
    recorded = _run(calls)

    def groups(exhaustive: bool) -> list[Group]:
        if fault_class is FaultClass.ERROR:
            return list(points.errors(recorded, exhaustive=exhaustive, dense=dense))
        if fault_class is FaultClass.INTERRUPT:
            return list(points.interrupts(recorded, ("SIGINT", "SIGTERM"), exhaustive=exhaustive))
        return list(points.kills(recorded, exhaustive=exhaustive))

    single = groups(True)
    assert all(len(group.faults) == group.points == 1 for group in single)
    ids = [group.faults[0].id for group in single if group.faults[0].form is not Form.FILE_LIMIT]
    assert sorted(ids) == sorted(_brute(calls, fault_class))

    by_class = groups(False)
    expanded = [
        fault.id for group in by_class for fault in (group.every() if group.lemma and group.every else group.faults)
    ]
    assert sorted(expanded) == sorted(group.faults[0].id for group in single)
    assert sum(group.points for group in by_class) == len(single)
