"""Fault ids: what is printed can be replayed."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.faults import ERRNOS, INJECTED_ERROR, KEYBOARD_INTERRUPT, SIGNALS, Fault, FaultClass, Form, parse_fault
from faultinject.ops import Op

NUMBERS = sorted({number for numbers in ERRNOS.values() for number in numbers})


@st.composite
def faults(draw: st.DrawFn, depth: int = 1) -> Fault:
    return Fault(
        draw(st.sampled_from(FaultClass)),
        draw(st.sampled_from(Form)),
        draw(st.integers(-1, 10**6)),
        draw(st.none() | st.sampled_from(Op)),
        draw(st.none() | st.integers(0, 2**40)),
        draw(st.just(0) | st.sampled_from(NUMBERS)),
        draw(st.booleans()),
        draw(st.sampled_from(["", INJECTED_ERROR, KEYBOARD_INTERRUPT, *SIGNALS])),
        draw(st.none() | faults(depth - 1)) if depth else None,
    )


@given(faults())
def test_every_id_is_read_back(fault: Fault) -> None:
    assert parse_fault(fault.id) == fault


@given(faults(), faults())
def test_ids_tell_faults_apart(one: Fault, other: Fault) -> None:
    assert (one.id == other.id) == (one == other)


@given(st.text(max_size=60) | faults().map(lambda f: f.id[:-1]) | faults().map(lambda f: f.id + "/x/y"))
def test_other_text_is_a_value_error_or_another_fault(text: str) -> None:
    try:
        parse_fault(text)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nonsense", "is not the id"),
        ("error/1/pwrite/errno/ENOTHING", "no errno of this system"),
        ("errors/1/pwrite/errno/EIO", "errors"),
        ("error/1/scribble/errno/EIO", "scribble"),
        ("error/1/pwrite/break/EIO", "break"),
        ("error/1/pwrite/errno/EIO+", "is not the id"),
    ],
)
def test_the_part_that_is_not_understood_is_named(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse_fault(text)


def test_the_documented_example() -> None:
    fault = Fault(FaultClass.ERROR, Form.CUT, 5, Op.PWRITE, 123, errno.ENOSPC, True)
    assert fault.id == "error/5/pwrite/cut@123/ENOSPC/sticky"
    second = Fault(FaultClass.ERROR, Form.ERRNO, 9, Op.UNLINK, error=errno.EIO)
    assert fault.then(second).id == "error/5/pwrite/cut@123/ENOSPC/sticky+error/9/unlink/errno/EIO"


def test_every_operation_has_errnos_and_none_twice() -> None:
    assert set(ERRNOS) == {op for op in Op if op.fails}
    for numbers in ERRNOS.values():
        assert numbers
        assert len(set(numbers)) == len(numbers)
        assert errno.EINTR not in numbers
