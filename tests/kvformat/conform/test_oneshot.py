"""The one-shot form: what a status and an output mean."""

from __future__ import annotations

import pytest

from kvformat.conform.suite import Suite
from kvformat.conform.verdict import Verdict
from tests.kvformat.conform.running import ONE_SHOT, run_cases


def test_the_right_one_passes_everything(suite: Suite) -> None:
    done = run_cases(suite, ONE_SHOT, one_shot=True, jobs=2)
    assert {one.verdict for one in done.outcomes.values() if one.case.behaviour is None} == {Verdict.PASSED}


@pytest.mark.parametrize(
    ("mistake", "verdict", "said"),
    [
        ("crash", Verdict.CRASHED, "ended by SIGABRT"),
        ("error", Verdict.CRASHED, "ended with exit status 2"),
        ("hang", Verdict.TIMED_OUT, "no answer in 2 s"),
        ("garbage", Verdict.GARBAGE, "no JSON"),
        ("two", Verdict.GARBAGE, "no JSON"),
        ("memory", Verdict.TOO_MUCH_MEMORY, "the limit is"),
        ("deny", Verdict.FAILED, "it claims read"),
    ],
)
def test_a_wrong_one_is_told(suite: Suite, mistake: str, verdict: Verdict, said: str) -> None:
    done = run_cases(suite, (*ONE_SHOT, mistake), "read-hostile", "read-plain", one_shot=True)
    assert done.outcomes["read-hostile"].verdict is verdict
    assert said in "; ".join(done.outcomes["read-hostile"].detail)
    assert done.outcomes["read-plain"].verdict is Verdict.PASSED


def test_a_program_without_start_claims_read_alone(suite: Suite) -> None:
    done = run_cases(suite, (*ONE_SHOT, "no-start"), "read-plain", "read-told", "lookup-prefix", one_shot=True)
    assert done.claims.operations == {"read"}
    assert done.claims.profiles is None
    assert done.outcomes["lookup-prefix"].verdict is Verdict.PASSED
    assert done.outcomes["read-told"].verdict is Verdict.PASSED


def test_a_grandchild_that_holds_the_output_is_not_waited_for(suite: Suite) -> None:
    done = run_cases(suite, (*ONE_SHOT, "linger"), "read-hostile", "read-plain", one_shot=True)
    assert {one.verdict for one in done.outcomes.values()} == {Verdict.PASSED}
