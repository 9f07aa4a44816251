"""What reports success: however it is cut into pieces, it is heard once it is complete, and not before."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.acknowledged import BY_EXIT, Acknowledgement

ANSWER = Acknowledgement(b"accept", in_answer=True)
SAID = b'{"implementation": "x"}\nno JSON\n{"seq": 1, "result" : "accept"}\n{"seq": 2, "result": "reject"}\n'


@given(st.lists(st.integers(1, len(SAID) - 1), max_size=6), st.sampled_from([ANSWER, Acknowledgement(b'"seq": 2')]))
def test_it_may_come_in_pieces(cuts: list[int], wanted: Acknowledgement) -> None:
    edges = sorted({0, len(SAID), *cuts})
    kept, heard = b"", False
    for start, end in pairwise(edges):
        heard = heard or wanted.is_in(kept + SAID[start:end])
        kept = wanted.unfinished(kept + SAID[start:end])
    assert heard


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"accept\n",
        b'{"result": "accept"}',
        b'{"result": "reject"}\n',
        b'{"result": "error", "message": "\\"result\\": \\"accept\\""}\n',
        b'{"view": {"result": "accept"}}\n',
        b'["result", "accept"]\n',
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_answer_of_success_is_none(said: bytes) -> None:
    assert not ANSWER.is_in(said)


def test_by_exit_nothing_is_waited_for() -> None:
    assert not BY_EXIT
    assert ANSWER
