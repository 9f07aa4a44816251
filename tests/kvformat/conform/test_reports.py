"""The report in its forms: JSON, JUnit, badge; and two reports compared."""

from __future__ import annotations

import json
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from kvformat.badge import GREEN, RED, YELLOW
from kvformat.conform import difference, document
from kvformat.conform.answer import Accept, Answer, Claims, Fault, NoAnswer, Reject, Reply, Trouble, Unsupported
from kvformat.conform.badge import badge
from kvformat.conform.junit import junit
from kvformat.conform.runner import Run
from kvformat.conform.suite import Suite
from kvformat.conform.verdict import Outcome, Verdict, judge
from tests.kvformat.cli_runner import validator

CLAIMS = Claims("tool\x1b[2J", frozenset({"read", "touch"}), behaviours={"trailing-bytes": "mentions"})
ANSWERS: dict[str, Answer | NoAnswer] = {
    "read-plain": Accept({"huge": "x" * 100_000}),
    "read-magic": Reject("truncated", None, "\x1b[2J<&>"),
    "read-cut": Reject("truncated", "payload"),
    "read-empty": Trouble("no"),
    "lookup-prefix": Unsupported("no"),
    "read-hostile": NoAnswer(Fault.CRASHED, "ended by SIGSEGV"),
    "read-sparse": NoAnswer(Fault.TIMED_OUT, "no answer in 2 s"),
}


@pytest.fixture
def done(suite: Suite) -> Run:
    outcomes = {
        case_id: judge(suite.cases[case_id], Reply(answer, 0.25, 4096, "on fire\x07"), CLAIMS, ())
        for case_id, answer in ANSWERS.items()
    }
    other = suite.cases["read-trailing-ignores"]
    outcomes[other.id] = Outcome(other, Verdict.NOT_ASSERTED, ("it is declared otherwise",))
    return Run(CLAIMS, outcomes)


def report(done: Run, suite: Suite, **more: Any) -> document.Document:
    made = document.document(done, document.Setting(suite, ("./a tool", "-x"), **more))
    validator("conform").validate(made)
    json.dumps(made).encode("ascii")
    return made


def test_the_report_counts_each_case_once(done: Run, suite: Suite) -> None:
    made = report(done, suite)
    summary = made["summary"]
    assert summary["cases"] == len(ANSWERS) + 1 == sum(summary[verdict] for verdict in Verdict)
    assert {verdict: summary[verdict] for verdict in Verdict} == {
        "passed": 1,
        "failed": 2,
        "warned": 1,
        "unsupported": 1,
        "not-asserted": 1,
        "crashed": 1,
        "timed-out": 1,
        "too-much-memory": 0,
        "garbage": 0,
    }
    for part in (made["levels"].values(), (clause["verdicts"] for clause in made["clauses"])):
        assert sum(sum(counts.values()) for counts in part) == summary["cases"]
    assert made["ok"] is False
    assert summary["unexpected"] == 4


def test_a_large_view_is_left_out_and_told(done: Run, suite: Suite) -> None:
    case = next(case for case in report(done, suite)["cases"] if case["id"] == "read-plain")
    assert case["got"] == {"result": "accept", "view": None, "view_omitted_bytes": 100_012}
    assert "name: missing" in case["detail"][0]


def test_the_command_that_repeats_a_case_is_one(done: Run, suite: Suite) -> None:
    made = report(done, suite, one_shot=True, suite_option=Path("a suite"))
    words = shlex.split(made["cases"][0]["repeat"])
    assert words[:5] == ["kvformat", "conform", "--suite", "a suite", "--one-shot"]
    assert words[5:] == ["--case", made["cases"][0]["id"], "--", "./a tool", "-x"]


def test_known_failures_are_as_expected_and_stale_ones_are_not(done: Run, suite: Suite) -> None:
    failing = [one.case.id for one in done.outcomes.values() if one.verdict.is_fail]
    made = report(done, suite, known=dict.fromkeys(failing, "known"))
    assert made["ok"] is True
    assert made["summary"]["known"] == len(failing)
    made = report(done, suite, known=dict.fromkeys([*failing, "read-cut"], "known"))
    assert made["ok"] is False
    assert made["stale"] == [{"id": "read-cut", "why": "it passed"}]


def test_an_adapter_that_ends_badly_is_not_as_expected(suite: Suite) -> None:
    assert report(Run(CLAIMS, {}), suite)["ok"] is True
    assert report(Run(CLAIMS, {}, ("it ended with exit status 3",)), suite)["ok"] is False


def test_junit_says_every_verdict(done: Run, suite: Suite) -> None:
    made = report(done, suite, known={"read-empty": "one day", "read-cut": "no more"})
    text = junit(made)
    root = ET.fromstring(text)
    tests = {case.get("name"): case for case in root.iter("testcase")}
    assert len(tests) == len(ANSWERS) + 2

    def said(name: str, kind: str) -> str:
        found = tests[name].find(kind)
        assert found is not None
        return (found.get("type") or "") + ": " + (found.get("message") or "")

    assert list(tests["read-cut"]) == []
    assert said("read-hostile", "failure") == "crashed: ended by SIGSEGV"
    assert said("read-sparse", "failure").startswith("timed-out")
    assert "one day" in said("read-empty", "skipped")
    assert "unsupported" in said("lookup-prefix", "skipped")
    assert "read-cut is listed as known" in said("known failures and endings", "failure")
    assert b"\x1b" not in text


@pytest.mark.parametrize(
    ("counts", "elsewhere", "message", "colour"),
    [
        ({"passed": 3, "warned": 1}, {}, "4/4 MUST", GREEN),
        ({"passed": 3, "unsupported": 9}, {}, "3/3 MUST", GREEN),
        ({"passed": 3, "crashed": 1}, {"crashed": 1}, "3/4 MUST", RED),
        ({"passed": 3}, {"failed": 1}, "3/3 MUST", YELLOW),
        ({}, {}, "0/0 MUST", RED),
    ],
)
def test_the_badge_is_green_where_nothing_fails(
    counts: dict[str, int], elsewhere: dict[str, int], message: str, colour: str
) -> None:
    none = {str(verdict): 0 for verdict in Verdict}
    made = {"suite": {"version": "1<2"}, "levels": {"MUST": {**none, **counts}}, "summary": {**none, **elsewhere}}
    endpoint = json.loads(badge(made).shields())
    assert endpoint == {"schemaVersion": 1, "label": "KVC 1<2", "message": message, "color": colour}
    svg = badge(made).rendered("badge.svg")
    root = ET.fromstring(svg)
    assert root.get("aria-label") == f"KVC 1<2: {message}"
    assert colour in svg.decode()


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ("passed", "failed", True),
        ("failed", "passed", False),
        ("passed", "unsupported", True),
        ("unsupported", "passed", False),
        ("not-asserted", "crashed", True),
        ("failed", "crashed", False),
        ("passed", "warned", False),
        ("failed", "unsupported", False),
        (None, "failed", True),
        (None, "passed", False),
        ("passed", None, True),
        ("failed", None, False),
    ],
)
def test_what_got_worse(before: str | None, after: str | None, worse: bool) -> None:
    def made(verdict: str | None) -> dict[str, Any]:
        same = {"id": "same", "verdict": "passed"}
        return {"cases": [same] if verdict is None else [same, {"id": "a", "verdict": verdict}]}

    (change,) = difference.changes(made(before), made(after))
    assert change.id == "a"
    assert change.is_worse is worse


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "kvformat-conform/1", "cases": []}', "[" * 100_000])
def test_what_is_no_report_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(document.DocumentError, match=r"report\.json"):
        document.load(path)


@pytest.mark.parametrize("key", ["id", "verdict", "got"])
@pytest.mark.parametrize("value", [None, 1, "fine", [], {}])
def test_a_report_with_strange_cases_is_told(done: Run, suite: Suite, tmp_path: Path, key: str, value: object) -> None:
    made = report(done, suite)
    if key == "got":
        del made["cases"][0][key]
    elif isinstance(value, str) and key == "id":
        made["cases"] = {"id": value}
    else:
        made["cases"][0][key] = value
    path = tmp_path / "report.json"
    path.write_text(json.dumps(made))
    with pytest.raises(document.DocumentError, match=r"report\.json"):
        document.load(path)
