"""Reader and store give the answers that the conformance cases expect (spec/conformance.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvformat.conform.case import Case, Operation
from kvformat.conform.verdict import Verdict, is_asserted
from tests.spec.asked import CASES, CLAIMS, ask


@pytest.mark.parametrize("case", [case for case in CASES if is_asserted(case, CLAIMS)], ids=lambda case: case.id)
def test_case(case: Case, tmp_path: Path) -> None:
    """Category, field and clause of a rejection included, and what is on the disk (KVS-TOUCH-3, KVS-RECOVER-3)."""
    outcome, said = ask(case, tmp_path / "case")
    assert (outcome.verdict, outcome.detail) == (Verdict.PASSED, ())
    if case.operation is Operation.READ:  # a change can break several clauses, and no order of checks is prescribed
        assert said.get("clause") == case.expected.clause
    assert outcome.reply is not None
    assert outcome.reply.seconds < case.seconds
