"""Our own adapter on the suite of this version: every case, by reader, writer and store."""

from __future__ import annotations

import io
import json

from kvformat.conform.adapter import main
from kvformat.conform.suite import load_suite
from kvformat.conform.verdict import Verdict
from tests.kvformat.conform.running import ADAPTER, run_cases


def test_kvformat_passes_every_case() -> None:
    suite = load_suite()
    assert len(suite.cases) >= 400
    # The times of the cases are for a machine that does nothing else.
    done = run_cases(suite, ADAPTER, patience=10)
    wrong = {one.case.id: one.detail for one in done.outcomes.values() if one.verdict is not Verdict.PASSED}
    behaviours = set(wrong) & {case.id for case in suite.cases.values() if case.behaviour is not None}
    assert set(wrong) == behaviours, wrong
    assert all(done.outcomes[case_id].verdict is Verdict.NOT_ASSERTED for case_id in behaviours)
    assert set(suite.behaviours) == set(done.claims.behaviours)


def test_the_end_of_the_input_ends_it() -> None:
    answers = io.BytesIO()
    main(io.BytesIO(b'{"cmd": "start", "protocol": 1, "suite": "1"}\n'), answers)
    assert json.loads(answers.getvalue())["implementation"] == "kvformat"


def test_what_it_does_not_have_is_unsupported() -> None:
    question = {
        "cmd": "run",
        "seq": 4,
        "op": "read",
        "profile": "ds4-abi9",
        "input": "/",
        "name": None,
        "arguments": {},
    }
    answers = io.BytesIO()
    main(io.BytesIO(json.dumps(question).encode() + b"\n"), answers)
    assert json.loads(answers.getvalue())["result"] == "unsupported"


def test_an_error_of_the_system_is_no_rejection() -> None:
    question = {
        "cmd": "run",
        "seq": 4,
        "op": "read",
        "profile": "auto",
        "input": "/no/such",
        "name": None,
        "arguments": {},
    }
    answers = io.BytesIO()
    main(io.BytesIO(json.dumps(question).encode() + b"\n"), answers)
    assert json.loads(answers.getvalue())["result"] == "error"
