"""The report as JUnit XML: a suite for each operation, a test for each case, for CI systems that show such files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from kvformat.conform.verdict import Verdict
from kvformat.display import safe_lines


def junit(document: Mapping[str, Any]) -> bytes:
    """The XML of a report."""
    report: Any = JUnitXml("kvformat conform")  # the library is typed in part
    suites: dict[str, TestSuite] = {}
    for case in document["cases"]:
        operation = case["operation"]
        if operation not in suites:
            suites[operation] = TestSuite(operation)
        suites[operation].add_testcase(_test(case))
    for suite in suites.values():
        report.add_testsuite(suite)
    report.add_testsuite(_whole(document))
    rendered: bytes = report.tostring()
    return rendered


def _test(case: Mapping[str, Any]) -> TestCase:
    verdict = Verdict(case["verdict"])
    test = TestCase(case["id"], classname=f"kvc.{case['clauses'][0]}", time=case["seconds"] or 0)
    detail = safe_lines("; ".join(case["detail"]))
    if verdict.is_fail and case["known"] is not None:
        test.result = [Skipped(safe_lines(f"known: {case['known']} ({verdict}: {detail})"))]
    elif verdict.is_fail:
        failure = Failure(detail, str(verdict))
        failure.text = safe_lines(case["repeat"])
        test.result = [failure]
    elif not verdict.is_pass:
        test.result = [Skipped(f"{verdict}: {detail}")]
    elif verdict is Verdict.WARNED:
        test.system_out = f"warned: {detail}"
    return test


def _whole(document: Mapping[str, Any]) -> TestSuite:
    """What fails a run and is no case: entries of the list that are stale, processes that ended badly."""
    suite = TestSuite("the run")
    test = TestCase("known failures and endings", classname="kvc.run")
    test.result = [
        *(Failure(safe_lines(f"{one['id']} is listed as known: {one['why']}"), "stale") for one in document["stale"]),
        *(Failure(safe_lines(one), "ending") for one in document["adapter"]["endings"]),
    ]
    suite.add_testcase(test)
    return suite
