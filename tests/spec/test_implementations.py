"""Implementations that share nothing, held against the committed cases by the runner (spec/conformance.md)."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from kvformat.conform import view
from kvformat.conform.case import Kind, Operation
from kvformat.conform.escape import escape
from kvformat.conform.runner import Plan, run
from kvformat.conform.verdict import Verdict
from tests.spec.asked import ROOT, SUITE
from tests.spec.generated import Question
from tests.spec.oracles import integers_answer

TEXT_BYTES_MAX = 268_435_456
HELD_BYTES_MAX = 1 << 20
"""The oracle on integers holds a whole file; the few that are larger are left to the others."""


def conforms(command: tuple[str, ...], *, one_shot: bool = False) -> Counter[Verdict]:
    """Runs the whole suite; nothing may fail, and nothing that passes may say another category or field."""
    done = run(Plan(command, SUITE.version, list(SUITE.cases.values()), one_shot=one_shot, jobs=2, patience=4.0))
    bad = [(one.case.id, one.detail) for one in done.outcomes.values() if one.verdict.is_fail]
    assert not bad
    assert not done.endings
    counted = Counter(one.verdict for one in done.outcomes.values())
    assert not counted[Verdict.WARNED]
    return counted


def readable() -> int:
    """How many cases a reader that mentions trailing bytes is asked."""
    asked = [case for case in SUITE.cases.values() if case.operation is Operation.READ]
    return sum(case.behaviour in (None, ("trailing-bytes", "mentions")) for case in asked)


def test_the_parser_made_by_kaitai_conforms(kaitai_parser: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(kaitai_parser))
    assert conforms((sys.executable, str(ROOT / "examples/kaitai/adapter.py")))[Verdict.PASSED] == readable()


@pytest.mark.slow
def test_the_reader_in_javascript_conforms(node: str) -> None:
    assert conforms((node, str(ROOT / "examples/node-adapter/adapter.mjs")))[Verdict.PASSED] == readable()


@pytest.mark.slow
def test_the_implementation_in_c_conforms(c_adapter: str) -> None:
    """Under sanitizers where they can be had, one process a case."""
    assert conforms((c_adapter,), one_shot=True)[Verdict.PASSED] > readable()


def test_the_codec_on_integers_answers_as_the_cases_expect() -> None:
    asked = 0
    for case in SUITE.cases.values():
        node, expected = case.input.node, case.expected
        if node is None or node.kind is not Kind.REGULAR or (node.extend_to_bytes or 0) > HELD_BYTES_MAX:
            continue
        data = b"" if node.file is None else node.file.read_bytes()
        name = None if case.input.name is None else escape(case.input.name)
        limit = int(str(case.arguments.get("text_bytes_max", TEXT_BYTES_MAX)))
        data = data.ljust(node.extend_to_bytes or 0, b"\0")
        answer = integers_answer(data, Question(data, case.profile, name, limit))
        asked += 1
        if expected.accept:
            assert answer["result"] == "accept", (case.id, answer)
            assert view.differences(expected.view or {}, answer["view"]) == [], case.id
        else:
            said = (answer["result"], answer.get("category"), answer.get("field"), answer.get("clause"))
            assert said == ("reject", expected.category, expected.field, expected.clause), case.id
    assert asked > 600
