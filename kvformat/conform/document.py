"""The report of a run as a JSON document (kvformat/schemas/conform.schema.json; spec/conformance.md, chapter 6)."""

from __future__ import annotations

import json
import platform
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kvformat
from kvformat.conform.answer import Accept, Reject, Reply, Trouble, Unsupported
from kvformat.conform.case import Case
from kvformat.conform.crash import SCHEMA as JOINED
from kvformat.conform.crash import crash_words
from kvformat.conform.known import Stale, stale, unexpected
from kvformat.conform.memory import MEASURED
from kvformat.conform.runner import Run
from kvformat.conform.suite import Suite
from kvformat.conform.verdict import Outcome, Verdict
from kvformat.errors import KvformatError

SCHEMA = "kvformat-conform/1"

_VIEW_BYTES = 64 * 1024
"""A larger view is left out; where it differs stands in the detail all the same."""

Document = dict[str, Any]

_KEYS = {"adapter", "cases", "clauses", "levels", "ok", "runner", "stale", "suite", "summary"}
_VERDICTS = [str(verdict) for verdict in Verdict]
_CASE_KEYS = {"clauses", "detail", "expected", "got", "id", "known", "operation", "repeat", "verdict"}


class DocumentError(KvformatError):
    """A file that holds no report."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How the run was asked for: what a report repeats."""

    suite: Suite
    command: Sequence[str]
    one_shot: bool = False
    suite_option: Path | None = None
    known: Mapping[str, str] = field(default_factory=dict)

    def repeat(self, case: Case) -> str:
        """The command that runs one case alone."""
        options = ["--suite", str(self.suite_option)] if self.suite_option is not None else []
        options += ["--one-shot"] if self.one_shot else []
        return shlex.join(["kvformat", "conform", *options, "--case", case.id, "--", *self.command])


def document(run: Run, setting: Setting) -> Document:
    """The report of a run. `ok` is exit status 0."""
    suite, outcomes = setting.suite, list(run.outcomes.values())
    left = stale(setting.known, run.outcomes, suite.cases)
    new = unexpected(outcomes, setting.known)
    return {
        "schema": SCHEMA,
        "ok": not new and not left and not run.endings,
        "suite": {"version": suite.version, "cases": len(suite.cases)},
        "adapter": {
            "command": list(setting.command),
            "form": "one-shot" if setting.one_shot else "session",
            "implementation": run.claims.implementation,
            "version": run.claims.version,
            "language": run.claims.language,
            "operations": sorted(run.claims.operations),
            "profiles": None if run.claims.profiles is None else sorted(run.claims.profiles),
            "behaviours": dict(run.claims.behaviours),
            "endings": list(run.endings),
        },
        "runner": {
            "kvformat": kvformat.__version__,
            "system": platform.system(),
            "machine": platform.machine(),
            "memory_measured": MEASURED,
        },
        "summary": _summary(outcomes, new, left, setting.known),
        "levels": {
            level: _counts(one for one in outcomes if one.case.level == level) for level in ("MUST", "SHOULD", "MAY")
        },
        "clauses": _clauses(outcomes, suite),
        "cases": [_case(one, setting) for one in outcomes],
        "stale": [{"id": one.id, "why": one.why} for one in left],
    }


def load(path: Path) -> Document:
    """A report from a file, as `diff` and the HTML page want it, with the words of `crash` if it is a joined one.

    Raises DocumentError.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path}: no JSON: {error}") from error
    crash = None
    if isinstance(found, dict) and found.get("schema") == JOINED:
        try:
            crash, found = crash_words(found["crash"]), found["conformance"]
        except (KeyError, TypeError, AttributeError) as error:
            raise DocumentError(f"{path}: its crash safety is not that of a report: {error}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not found.keys() >= _KEYS:
        raise DocumentError(f"{path}: no report of kvformat conform --json ({SCHEMA})")
    cases = found["cases"]
    if not isinstance(cases, list) or not all(map(_is_case, cases)):
        raise DocumentError(f"{path}: its cases are not those of a report")
    return found if crash is None else {**found, "crash": crash}


def _is_case(value: object) -> bool:
    if not isinstance(value, dict) or not value.keys() >= _CASE_KEYS:
        return False
    return isinstance(value["id"], str) and value["verdict"] in _VERDICTS


def _counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    counted = Counter(one.verdict for one in outcomes)
    return {str(verdict): counted[verdict] for verdict in Verdict}


def _summary(
    outcomes: Sequence[Outcome], new: Sequence[Outcome], left: Sequence[Stale], known: Mapping[str, str]
) -> dict[str, int]:
    return {
        "cases": len(outcomes),
        **_counts(outcomes),
        "known": sum(one.verdict.is_fail and one.case.id in known for one in outcomes),
        "unexpected": len(new),
        "stale": len(left),
    }


def _clauses(outcomes: Sequence[Outcome], suite: Suite) -> list[dict[str, Any]]:
    """A case counts for the clause that decides it, the first."""
    by_clause: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_clause.setdefault(outcome.case.clauses[0], []).append(outcome)
    return [
        {
            "id": clause.id,
            "level": clause.level,
            "authority": clause.authority,
            "sentence": clause.sentence,
            "reader": clause.duty("Reader"),
            "writer": clause.duty("Writer"),
            "verdicts": _counts(by_clause[clause.id]),
        }
        for clause in suite.clauses.values()
        if clause.id in by_clause
    ]


def _case(outcome: Outcome, setting: Setting) -> dict[str, Any]:
    case, reply = outcome.case, outcome.reply
    return {
        "id": case.id,
        "operation": str(case.operation),
        "profile": case.profile,
        "level": case.level,
        "authority": case.authority,
        "clauses": list(case.clauses),
        "flags": list(case.flags),
        "comment": case.comment,
        "verdict": str(outcome.verdict),
        "known": setting.known.get(case.id),
        "detail": list(outcome.detail),
        "expected": _expected(case),
        "got": None if reply is None else _got(reply),
        "seconds": None if reply is None else round(reply.seconds, 6),
        "memory_bytes": None if reply is None else reply.memory_bytes,
        "stderr": "" if reply is None else reply.stderr,
        "repeat": setting.repeat(case),
    }


def _expected(case: Case) -> dict[str, Any]:
    expected = case.expected
    if expected.accept:
        return {"verdict": "accept", **_view(expected.view)}
    return {
        "verdict": "reject",
        "category": expected.category,
        "field": expected.field,
        "clause": expected.clause or case.clauses[0],
    }


def _got(reply: Reply) -> dict[str, Any]:
    answer = reply.answer
    if isinstance(answer, Accept):
        return {"result": "accept", **_view(answer.view)}
    if isinstance(answer, Reject):
        return {
            "result": "reject",
            "category": answer.category,
            "field": answer.field,
            "message": answer.message,
        }
    if isinstance(answer, Unsupported):
        return {"result": "unsupported", "message": answer.reason}
    if isinstance(answer, Trouble):
        return {"result": "error", "message": answer.message}
    return {"result": None, "message": answer.detail}


def _view(view: Mapping[str, object] | None) -> dict[str, Any]:
    """The view, or how long it is where it is too long for a report."""
    size_bytes = 0 if view is None else len(json.dumps(view))
    if size_bytes > _VIEW_BYTES:
        return {"view": None, "view_omitted_bytes": size_bytes}
    return {"view": view}
