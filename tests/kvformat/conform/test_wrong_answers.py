"""Adapters that answer, wrongly: each mistake is told by its name, and only where it is made."""

from __future__ import annotations

import pytest

from kvformat.conform.suite import Suite
from kvformat.conform.verdict import Verdict
from tests.kvformat.conform.running import RIGHT, run_cases, wrong

BESIDE = ("read-cut", "read-no-name")


def test_the_right_one_passes_everything(suite: Suite) -> None:
    done = run_cases(suite, RIGHT)
    assert {one.verdict for one in done.outcomes.values() if one.case.behaviour is None} == {Verdict.PASSED}
    assert done.outcomes["read-trailing-mentions"].verdict is Verdict.PASSED
    assert done.outcomes["read-trailing-ignores"].verdict is Verdict.NOT_ASSERTED
    assert not done.endings


@pytest.mark.parametrize(
    ("name", "case_id", "verdict", "said"),
    [
        ("wrong_view", "read-plain", Verdict.FAILED, f'text.sha256: "{"0" * 64}", expected "'),
        ("off_by_one", "read-plain", Verdict.FAILED, 'payload.bytes: "5", expected "4"'),
        ("forgets_a_key", "read-plain", Verdict.FAILED, 'header.tokens: missing, expected "2"'),
        ("numbers", "read-plain", Verdict.FAILED, 'header.version: 1, expected "1"'),
        ("says_error", "read-plain", Verdict.FAILED, "error"),
        ("ignores_profile", "read-told", Verdict.FAILED, "accepted, expected reject unsupported-profile"),
        ("lies_about_support", "lookup-prefix", Verdict.FAILED, "it claims lookup under auto"),
        ("lies_about_behaviour", "read-trailing-mentions", Verdict.FAILED, "trailing_bytes: missing"),
        ("wrong_category", "read-magic", Verdict.WARNED, "category truncated, expected bad-magic"),
        ("removes_live", "recover-orphan", Verdict.FAILED, "1.tmp is gone"),
        ("removes_nothing", "recover-orphan", Verdict.FAILED, "0.tmp is still there"),
        ("repairs", "read-magic", Verdict.FAILED, "the input was changed"),
        ("writes_wrong_bytes", "write-plain", Verdict.FAILED, "byte 20 of the file is 01, expected 00"),
        ("writes_nothing", "write-plain", Verdict.FAILED, "there is no output"),
        ("leaves_rejected", "write-no-tokens", Verdict.FAILED, "there is an output"),
    ],
)
def test_a_wrong_answer_is_told(suite: Suite, name: str, case_id: str, verdict: Verdict, said: str) -> None:
    done = run_cases(suite, wrong(name), *BESIDE, case_id)
    assert done.outcomes[case_id].verdict is verdict
    assert said in "; ".join(done.outcomes[case_id].detail)
    assert {done.outcomes[other].verdict for other in BESIDE} == {Verdict.PASSED}


def test_one_that_accepts_everything_fails_every_rejection(suite: Suite) -> None:
    done = run_cases(suite, wrong("always_accept"))
    rejects = [one for one in done.outcomes.values() if not one.case.expected.accept]
    assert len(rejects) > 5
    assert {one.verdict for one in rejects} == {Verdict.FAILED}


def test_one_that_rejects_everything_passes_no_accept(suite: Suite) -> None:
    done = run_cases(suite, wrong("always_reject"))
    for outcome in done.outcomes.values():
        if outcome.case.expected.accept and outcome.verdict is not Verdict.NOT_ASSERTED:
            assert outcome.verdict is Verdict.FAILED
    assert done.outcomes["read-empty"].verdict is Verdict.PASSED
    assert done.outcomes["read-magic"].verdict is Verdict.WARNED
