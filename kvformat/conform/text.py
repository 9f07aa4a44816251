"""The report for people: sums by level and clause, and each failure with the words of its clause."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import JustifyMethod

from kvformat.conform.verdict import Verdict
from kvformat.display import StdoutConsole, counted, safe, safe_lines, table

_VERDICTS = tuple(Verdict)
_SHOWN_MAX = 50
_WIDTH = 100


def show(console: StdoutConsole, document: Mapping[str, Any]) -> None:
    """Prints the report: failures first, as the sums below them are what is looked for last."""
    clauses = {clause["id"]: clause for clause in document["clauses"]}
    failed = [case for case in document["cases"] if Verdict(case["verdict"]).is_fail and case["known"] is None]
    for case in failed[:_SHOWN_MAX]:
        for line in _failure(case, clauses[case["clauses"][0]]):
            console.say(line)
        console.say()
    if len(failed) > _SHOWN_MAX:
        console.say(f"and {len(failed) - _SHOWN_MAX:,} more; --json has them all")
        console.say()
    for case in document["cases"]:
        if case["verdict"] == Verdict.WARNED:
            console.say(safe_lines(f"warned: {case['id']}: {'; '.join(case['detail'])}"))
    _tables(console, document)
    for line in _ending(document):
        console.say(line)


def _failure(case: Mapping[str, Any], clause: Mapping[str, Any]) -> Iterator[str]:
    yield safe_lines(f"{case['verdict'].upper()} {case['id']}: {case['comment']}")
    yield from _wrapped(f"{clause['id']} {clause['level']}", clause["sentence"])
    duty = clause["writer" if case["operation"] in ("write", "touch", "replace-tool-map") else "reader"]
    if duty is not None:
        yield from _wrapped("", duty)
    yield from _wrapped("expected", _expected(case["expected"]))
    yield from _wrapped("got", _got(case["got"]))
    for sentence in case["detail"]:
        yield from _wrapped("", sentence)
    if case["stderr"].strip():
        yield from _wrapped("stderr", case["stderr"].strip().splitlines()[-1])
    yield safe_lines(f"  repeat    {case['repeat']}")


def _wrapped(word: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(safe_lines(text), _WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        yield f"  {word if number == 0 else '':<9} {line}"


def _expected(expected: Mapping[str, Any]) -> str:
    if expected["verdict"] == "accept":
        return "accept"
    return f"reject, {expected['category'] or 'any category'}" + (
        f" at {expected['field']}" if expected["field"] else ""
    )


def _got(got: Mapping[str, Any] | None) -> str:
    if got is None or got["result"] is None:
        return "no answer"
    if got["result"] != "reject":
        return str(got["result"])
    said = got["category"] or "no category"
    return f"reject, {safe(said)}" + (f" at {safe(got['field'])}" if got["field"] else "")


def _tables(console: StdoutConsole, document: Mapping[str, Any]) -> None:
    seen = [verdict for verdict in _VERDICTS if document["summary"][verdict]]
    numbers: list[tuple[str, JustifyMethod]] = [("how many", "left")]  # a column for each verdict is wider than 80

    def row(name: str, counts: Mapping[str, int]) -> tuple[str, ...]:
        return (name, ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in seen if counts[verdict]))

    levels = [row(level, counts) for level, counts in document["levels"].items() if any(counts.values())]
    not_whole = [
        row(f"{clause['id']} {clause['level']}", clause["verdicts"])
        for clause in document["clauses"]
        if any(clause["verdicts"][verdict] for verdict in _VERDICTS if verdict.is_fail or verdict is Verdict.WARNED)
    ]
    silent = [
        clause["id"]
        for clause in document["clauses"]
        if not any(clause["verdicts"][one] for one in _VERDICTS if _counts(one))
    ]
    console.print(table([("", "left"), *numbers], levels))
    console.say()
    if not_whole:
        console.print(table([("clauses not passed in full", "left"), *numbers], not_whole))
        console.say()
    whole = len(document["clauses"]) - len(not_whole) - len(silent)
    console.say(f"{counted(whole, 'clause')} passed in full, {len(not_whole):,} not, {len(silent):,} not asked")


def _counts(verdict: Verdict) -> bool:
    return verdict.is_pass or verdict.is_fail


def _ending(document: Mapping[str, Any]) -> Iterator[str]:
    adapter, summary = document["adapter"], document["summary"]
    for one in document["stale"]:
        yield safe_lines(f"STALE {one['id']} is listed as a known failure: {one['why']}; remove it, or use --fix")
    for ending in adapter["endings"]:
        yield safe_lines(f"BAD END {ending}")
    if not document["runner"]["memory_measured"]:
        yield "memory was not measured: this system does not say it"
    name = " ".join(part for part in (adapter["implementation"], adapter["version"]) if part)
    yield f"{safe(name)}, suite {safe(document['suite']['version'])}"
    passed = summary[Verdict.PASSED] + summary[Verdict.WARNED]
    asked = passed + sum(summary[verdict] for verdict in _VERDICTS if verdict.is_fail)
    said = f"{passed:,} of {counted(asked, 'case')} that count passed"
    said += f", {counted(summary['known'], 'known failure')}" if summary["known"] else ""
    said += f", {summary['unexpected']:,} not known" if summary["unexpected"] else ""
    yield f"{'conforms' if document['ok'] else 'DOES NOT CONFORM'}: {said}"
