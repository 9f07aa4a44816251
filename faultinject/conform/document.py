"""The joined report. Its schema is `joined.schema.json` beside this file; those of its halves are theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from faultinject.coverage import Run
from faultinject.oracle import Kind, Verdict
from faultinject.printable import printable
from faultinject.report.document import document as crash_document
from faultinject.report.document import level_name
from faultinject.report.document import schema as crash_schema
from faultinject.report.junit import junit as crash_junit
from faultinject.report.text import level, verdict
from kvformat.conform.junit import junit as conformance_junit

SCHEMA_ID = "faultinject-conform/1"
"""Stands in every document; a change that breaks readers gets another number."""


@dataclass(frozen=True, slots=True)
class Crash:
    """What the audits came to. not_claimed: why there was none. removed: temp files of living writers (KVS-INV-4)."""

    runs: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    recovers: bool = False
    removed: Sequence[Mapping[str, str]] = ()
    not_claimed: str = ""

    @property
    def all(self) -> list[Run]:
        """The runs of all operations."""
        return [run for runs in self.runs.values() for run in runs]

    @property
    def level(self) -> int | None:
        """The lowest of all operations; a recovery that takes living files is not even kill-safe (KVS-LEVEL-2)."""
        reached = level(self.all)
        return min(reached, 1) if reached is not None and self.removed else reached

    @property
    def verdict(self) -> Verdict | None:
        """None where nothing was claimed, so that nothing was asked."""
        if self.not_claimed:
            return None
        said = verdict(self.all)
        return Verdict.VIOLATED if self.removed and said is not Verdict.HARNESS_ERROR else said

    @property
    def words(self) -> str:
        """For a badge, and the last line."""
        return "crash not claimed" if self.not_claimed else level_name(self.level) or "L?"


def exit_code(conforms: bool, crash: Verdict | None) -> int:
    """The worse of both: a harness error, then what is wrong for certain, then what was not measured."""
    if crash is Verdict.HARNESS_ERROR:
        return 3
    if not conforms or crash is Verdict.VIOLATED:
        return 1
    return 3 if crash is Verdict.NOT_MEASURED else 0


def document(conformance: Mapping[str, Any], crash: Crash) -> dict[str, Any]:
    """Both reports as one document; violations of all operations are numbered through."""
    operations, first = [], 0
    for name, runs in crash.runs.items():
        numbers = list(range(first, first + len(runs)))
        first += len(runs)
        operations.append(
            {"operation": name, "level": level_name(level(runs)), "verdict": str(verdict(list(runs))), "runs": numbers}
        )
    return {
        "schema": SCHEMA_ID,
        "conformance": dict(conformance),
        "crash": {
            "claimed": not crash.not_claimed,
            "reason": crash.not_claimed or None,
            "level": level_name(crash.level) if crash.runs else None,
            "verdict": None if crash.verdict is None else str(crash.verdict),
            "recovery": "recover" if crash.recovers else None,
            "operations": operations,
            "living": [
                {"kind": str(Kind.LIVE_TEMP_REMOVED), "clause": Kind.LIVE_TEMP_REMOVED.clause, **one}
                for one in crash.removed
            ],
            "report": crash_document(crash.all) if crash.runs else None,
        },
    }


def schema() -> dict[str, Any]:
    """The JSON Schema of the document, with the schemas of both halves in it: one that needs no other."""
    own = _json("faultinject.conform", "joined.schema.json")
    halves = (_json("kvformat", "schemas", "conform.schema.json"), crash_schema())
    return {**own, "$defs": {half["$id"]: half for half in halves}}


def junit(conformance: Mapping[str, Any], crash: Crash) -> bytes:
    """Both reports as one document; suites of the audit are named after the operation."""
    report: Any = JUnitXml.fromstring(conformance_junit(conformance))  # the library is typed in part
    for name, runs in crash.runs.items():
        for suite in JUnitXml.fromstring(crash_junit(list(runs))):
            suite.name = f"crash {name}: {suite.name}"
            report.add_testsuite(suite)
    suite = TestSuite("crash: recovery and living writers")
    case = TestCase("the temp files of living writers stay", classname="kvc.KVS-INV-4")
    case.result = [
        Failure(printable(f"{one['case']}: {one['name']!r}"), str(Kind.LIVE_TEMP_REMOVED)) for one in crash.removed
    ]
    if not crash.recovers:
        case.result = [Skipped(crash.not_claimed or "the adapter claims no recover")]
    suite.add_testcase(case)
    report.add_testsuite(suite)
    rendered: bytes = report.tostring()
    return rendered


def _json(package: str, *path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(resources.files(package).joinpath(*path).read_text("utf-8"))
    return loaded
