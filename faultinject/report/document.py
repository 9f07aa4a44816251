"""The JSON document of a sweep. Its schema is `report.schema.json` beside this file."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from faultinject.coverage import ClassCount, Run, Violation

SCHEMA_ID = "faultinject-report/1"
"""Stands in every document; a change that breaks readers gets another number."""


def document(runs: list[Run]) -> dict[str, Any]:
    """Runs and violations as plain data; violations are numbered in the order of the runs."""
    violations: list[dict[str, Any]] = []
    for place, run in enumerate(runs):
        for violation in run.violations:
            violations.append({"id": f"V{len(violations) + 1}", "run": place, **_violation(run, violation)})
    return {"schema": SCHEMA_ID, "runs": [_run(run) for run in runs], "violations": violations}


def level_name(level: int | None) -> str | None:
    """L0 stands for "not even L1"; None for a level that was not decided."""
    return None if level is None else f"L{level}"


def schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    text = resources.files("faultinject.report").joinpath("report.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _run(run: Run) -> dict[str, Any]:
    target = run.target
    described: dict[str, Any] = {
        "subject": target.subject,
        "strategy": target.strategy,
        "scenario": target.scenario,
        "level": level_name(run.level),
        "classes": {str(name): _count(count) for name, count in run.classes.items()},
        "regions": {
            name: {"bytes": end - start, "covered": run.covered_bytes(name)}
            for name, (start, end) in run.regions.items()
        },
        "problems": run.problems,
        "notes": run.notes,
    }
    described["target"] = target.description()
    return described


def _count(count: ClassCount) -> dict[str, Any]:
    images = {"images": count.images} if count.images else {}
    return {
        **images,
        "points": count.points,
        "covered": count.covered,
        "held": count.held,
        "violated": count.violated,
        "not_measured": count.not_measured,
        "harness_errors": count.harness_errors,
        "by": {"execution": count.by_execution, "class": count.by_class, "sampling": count.by_sampling},
        "executed": count.executed,
        "lemmas": sorted(count.lemmas),
        "executors": dict(sorted(count.executors.items())),
        "profiles": dict(count.profiles),
        "void": count.void,
    }


def _violation(run: Run, violation: Violation) -> dict[str, Any]:
    script = {"script": violation.script} if violation.script else {}
    repair = {"repair": violation.repair} if violation.repair else {}
    return {
        **script,
        **repair,
        "kind": str(violation.finding.kind),
        "class": str(violation.fault.fault_class),
        "point": violation.fault.id,
        "points": violation.points,
        "operation": violation.operation,
        "operations": [{"operation": one, "points": points} for one, points in violation.operations.items()],
        "span": None if violation.span is None else list(violation.span),
        "offset": violation.offset,
        "region": violation.region,
        "clause": violation.finding.kind.clause,
        "name": violation.finding.name,
        "detail": violation.finding.detail,
        "subject": run.target.subject,
        "strategy": run.target.strategy,
        "scenario": run.target.scenario,
    }
