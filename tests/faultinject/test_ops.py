"""Operations and traces."""

from __future__ import annotations

import errno

import pytest

from faultinject.ops import Op, Operation, Trace


def test_only_write_and_copy_move_bytes() -> None:
    written = {Op.WRITE, Op.PWRITE, Op.WRITEV, Op.PWRITEV}
    assert {op for op in Op if op.transfers} == {*written, Op.COPY_RANGE, Op.SENDFILE, Op.SPLICE}


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (Operation(0, Op.FSYNC_DIRECTORY), "#0 fsync(directory)"),
        (Operation(3, Op.RENAME, "a", "b"), "#3 rename 'a' 'b'"),
        (Operation(7, Op.PWRITE, offset=0, size_bytes=9), "#7 pwrite 9 bytes at 0"),
    ],
)
def test_an_operation_says_what_it_is(operation: Operation, text: str) -> None:
    assert str(operation) == text


def test_the_shape_ignores_sizes_and_repeats_and_sees_failures() -> None:
    def written(*results: int, error: int = 0) -> Trace:
        writes = [Operation(i, Op.PWRITE, result=result) for i, result in enumerate(results)]
        return Trace((*writes, Operation(len(results), Op.CLOSE, error=error)))

    assert written(1, 2, 3).shape() == written(6).shape() == ((Op.PWRITE, 0), (Op.CLOSE, 0))
    assert written(6).shape() != written(6, error=errno.EIO).shape()
    assert written(1, 2).shape(2) == ((Op.CLOSE, 0),)


def test_a_trace_is_a_sequence() -> None:
    operations = (Operation(0, Op.DUP), Operation(1, Op.CLOSE))
    trace = Trace(operations)
    assert (len(trace), tuple(trace), trace[1]) == (2, operations, operations[1])
