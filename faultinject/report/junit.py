"""The report as JUnit XML: a suite for each run, a case for each fault class, for CI systems that show such files."""

from __future__ import annotations

from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from faultinject.coverage import ClassCount, Run
from faultinject.faults import FaultClass
from faultinject.printable import printable
from faultinject.report.document import level_name


def junit(runs: list[Run]) -> bytes:
    """The document."""
    report: Any = JUnitXml()  # the library is typed in part
    for run in runs:
        named = dict.fromkeys((run.target.subject, *run.target.label, run.target.scenario))
        suite = TestSuite(printable(", ".join(named)))
        suite.add_property("level", level_name(run.level) or "not decided")
        for fault_class, count in run.classes.items():
            suite.add_testcase(_case(run, fault_class, count))
        report.add_testsuite(suite)
    document: bytes = report.tostring()
    return document


def _case(run: Run, fault_class: FaultClass, count: ClassCount) -> TestCase:
    case = TestCase(f"{count.points} fault points of class {fault_class}", classname=printable(run.target.subject))
    results: list[FinalResult] = [
        Failure(printable(f"{one.operation}: {one.finding.name!r}: {one.finding.detail}"), str(one.finding.kind))
        for one in run.violations
        if one.fault.fault_class is fault_class
    ]
    if count.not_measured or count.harness_errors:
        missed = f"{count.not_measured} points not measured, {count.harness_errors} harness errors"
        results.append(Error(printable("; ".join([missed, *run.problems[:3]])), "not-measured"))
    if count.void:
        results.append(Skipped(count.void))
    case.result = results
    return case
