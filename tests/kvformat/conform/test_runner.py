"""The run: several processes at a time, long questions, what a machine cannot hold, adapters that go away."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kvformat.conform.runner import Plan, run
from kvformat.conform.smoke import BrokenAdapterError
from kvformat.conform.suite import Suite
from kvformat.conform.verdict import Outcome, Verdict
from tests.kvformat.conform.running import PACKAGE, RIGHT, leaves_nothing, run_cases, wrong


def test_several_processes_come_to_the_same(suite: Suite) -> None:
    told: list[Outcome] = []
    plan = Plan(wrong("always_reject"), suite.version, list(suite.cases.values()), jobs=4, on_outcome=told.append)
    with leaves_nothing():
        done = run(plan)
    alone = run_cases(suite, wrong("always_reject"))
    assert list(done.outcomes) == list(alone.outcomes) == list(suite.cases)
    verdicts = [one.verdict for one in done.outcomes.values()]
    assert verdicts == [one.verdict for one in alone.outcomes.values()]
    assert sorted(one.case.id for one in told) == list(suite.cases)


def test_more_processes_than_cases_are_no_trouble(suite: Suite) -> None:
    done = run_cases(suite, RIGHT, "read-cut", jobs=3)
    assert done.outcomes["read-cut"].verdict is Verdict.PASSED
    assert not done.endings


def test_a_question_may_be_longer_than_a_pipe_holds(suite: Suite) -> None:
    case = suite.cases["lookup-prefix"]
    long = replace(case, arguments={**case.arguments, "prompt": "Hi %C3" + "x" * 2_000_000})
    with leaves_nothing():
        done = run(Plan(RIGHT, suite.version, [long]))
    assert done.outcomes[case.id].verdict is Verdict.PASSED


def test_a_question_that_is_not_taken_is_not_waited_for_for_ever(suite: Suite) -> None:
    case = suite.cases["read-told"]
    long = replace(case, arguments={"more": "x" * 2_000_000}, seconds=0.5)
    with leaves_nothing():
        done = run(Plan(wrong("deaf"), suite.version, [suite.cases["read-cut"], long]))
    assert done.outcomes[case.id].verdict is Verdict.TIMED_OUT


def test_patience_lets_a_slow_one_answer(suite: Suite) -> None:
    hasty = replace(suite.cases["read-cut"], seconds=1e-9)
    for patience, verdict in ((1.0, Verdict.TIMED_OUT), (1e10, Verdict.PASSED)):
        with leaves_nothing():
            done = run(Plan(RIGHT, suite.version, [hasty], patience=patience))
        assert done.outcomes[hasty.id].verdict is verdict


def test_what_this_machine_cannot_hold_is_not_asserted(suite: Suite) -> None:
    case = suite.cases["read-sparse"]
    node = case.input.node
    assert node is not None
    huge = replace(case, input=replace(case.input, node=replace(node, extend_to_bytes=2**63 - 1)))
    with leaves_nothing():
        done = run(Plan(RIGHT, suite.version, [huge]))
    assert done.outcomes[case.id].verdict is Verdict.NOT_ASSERTED
    assert "cannot hold the input" in done.outcomes[case.id].detail[0]


@pytest.mark.parametrize(
    ("name", "case_id", "said"),
    [
        ("takes_the_input", "read-plain", "went while it was looked at"),
        pytest.param(
            "shuts_the_folder",
            "list-mixed",
            "may not be read any more",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything"),
        ),
    ],
)
def test_an_adapter_that_takes_the_input_away_ends_no_run(suite: Suite, name: str, case_id: str, said: str) -> None:
    done = run_cases(suite, wrong(name), case_id, "read-told")
    assert done.outcomes[case_id].verdict is Verdict.FAILED
    assert said in "; ".join(done.outcomes[case_id].detail)
    assert done.outcomes["read-told"].verdict is Verdict.PASSED


def test_an_adapter_that_goes_away_is_broken(suite: Suite, tmp_path: Path) -> None:
    program = tmp_path / "adapter"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {PACKAGE}.wrong goes_away "$0"\n')
    program.chmod(0o755)
    with pytest.raises(BrokenAdapterError, match="cannot be started"):
        run_cases(suite, (str(program),), "read-cut", jobs=2)


def test_a_case_of_a_behaviour_that_is_not_declared_is_not_asked(suite: Suite) -> None:
    outcome = run_cases(suite, RIGHT, "read-trailing-ignores").outcomes["read-trailing-ignores"]
    assert outcome.reply is None
    assert outcome.detail == ("trailing-bytes is declared to be mentions; the case is about ignores",)
