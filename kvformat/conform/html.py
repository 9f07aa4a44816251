"""Reports as one page for a browser: every case with its bytes, and how each implementation answered.

The page needs nothing beside it and no network. It holds bytes and words that come from hostile files and from the
adapters: all of it is escaped, what is not printable is shown as an escape, and the page forbids the browser every
script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from kvformat import layout
from kvformat.conform.case import Case
from kvformat.conform.dump import Row
from kvformat.conform.escape import escape
from kvformat.conform.exhibit import Exhibit, exhibits, leaves, marks_of
from kvformat.conform.suite import Suite
from kvformat.conform.verdict import Verdict
from kvformat.display import safe, safe_lines

Document = Mapping[str, Any]

_LEAVES_MAX = 120
_STDERR_LINES_MAX = 20
_SIGNS = {
    Verdict.PASSED: "✓",
    Verdict.WARNED: "!",
    Verdict.UNSUPPORTED: "-",
    Verdict.NOT_ASSERTED: "○",
}
"""Verdicts that are no failure; every other one has a cross. Nobody has to tell them apart by colour."""

_ABSENT = "not-run"
_ALWAYS_SHOWN = frozenset({"result", "category", "field", "found"})
_CODE = re.compile(r"`([^`]+)`|\*([^*]+)\*")


@dataclass(frozen=True, slots=True)
class Cell:
    """How one implementation did in one clause."""

    good: int
    bad: int
    silent: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the comparison of answers; an answer of None is the one expected."""

    name: str
    expected: str | None
    answers: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """How one implementation did in a case; `result` is what its report says, None where that lacks the case."""

    implementation: str
    verdict: str
    result: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A case as the page has it. `rest` are the lines of the view in which every answer is as expected."""

    case: Case
    answered: tuple[Answered, ...]
    lines: tuple[Line, ...]
    rest: tuple[Line, ...]
    exhibits: tuple[Exhibit, ...]

    @property
    def verdicts(self) -> tuple[str, ...]:
        """One for each implementation."""
        return tuple(one.verdict for one in self.answered)


def write(documents: Sequence[Document], suite: Suite, path: Path) -> None:
    """Writes the page for these reports, one an implementation, of the cases of `suite`. Raises OSError."""
    path.write_text(page(documents, suite), encoding="utf-8")


def page(documents: Sequence[Document], suite: Suite) -> str:
    """The page. Raises OSError where files of the suite cannot be read."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "safe_text": safe,
        "safe_lines": safe_lines,
        "escaped_name": escape,
        "sign": _sign,
        "tail": _tail,
        "prose": _prose,
    }
    environment.tests["shown_row"] = lambda value: isinstance(value, Row)
    style, script = _part("page.css"), _part("page.js")
    by_id = {
        label: {case["id"]: case for case in document["cases"]}
        for label, document in zip(_labels(documents), documents, strict=True)
    }
    asked = [case for case in suite.cases.values() if any(case.id in results for results in by_id.values())]
    ran = [_shown(case, {label: results.get(case.id) for label, results in by_id.items()}) for case in asked]
    seen = {verdict for shown in ran for verdict in shown.verdicts}
    return environment.get_template("page.html").render(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        suite=suite,
        with_crash=any("crash" in document for document in documents),
        implementations=list(zip(by_id, documents, strict=True)),
        matrix=list(_matrix(ran, suite)),
        cases=ran,
        regions=layout.REGION_NAMES,
        verdicts=[verdict for verdict in (*Verdict, _ABSENT) if verdict in seen],
        operations=sorted({shown.case.operation for shown in ran}),
        foreign=_foreign(documents, suite),
    )


def _part(name: str) -> str:
    return resources.files("kvformat.conform").joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls a script or style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _sign(verdict: str) -> str:
    return "·" if verdict == _ABSENT else _SIGNS.get(Verdict(verdict), "✗")


def _tail(text: str) -> str:
    """The end of what a program wrote beside its answers."""
    return safe_lines("\n".join(text.strip().splitlines()[-_STDERR_LINES_MAX:]))


def _prose(text: str) -> markupsafe.Markup:
    """Words of the specification, with what is set apart in them set apart here."""

    def tag(match: re.Match[str]) -> str:
        return f"<code>{match[1]}</code>" if match[1] else f"<em>{match[2]}</em>"

    return markupsafe.Markup(_CODE.sub(tag, str(markupsafe.escape(text))))


def _labels(documents: Iterable[Document]) -> Iterator[str]:
    """A name for each implementation, no two alike."""
    used: dict[str, int] = {}
    for document in documents:
        adapter = document["adapter"]
        name = " ".join(part for part in (adapter["implementation"], adapter["version"]) if part)
        used[name] = used.get(name, 0) + 1
        yield name if used[name] == 1 else f"{name} ({used[name]})"


def _foreign(documents: Iterable[Document], suite: Suite) -> int:
    """How many cases stand in a report and not in the suite: there is nothing to show of them."""
    return len({case["id"] for document in documents for case in document["cases"]} - suite.cases.keys())


def _matrix(cases: Iterable[Shown], suite: Suite) -> Iterator[tuple[Any, tuple[Cell, ...]]]:
    """The clauses that decide cases, each with how every implementation did."""
    by_clause: dict[str, list[Shown]] = {}
    for shown in cases:
        by_clause.setdefault(shown.case.clauses[0], []).append(shown)
    for clause in suite.clauses.values():
        if clause.id in by_clause:
            columns = zip(*(shown.verdicts for shown in by_clause[clause.id]), strict=True)
            yield clause, tuple(_cell(column) for column in columns)


def _cell(verdicts: Iterable[str]) -> Cell:
    ran = [Verdict(verdict) for verdict in verdicts if verdict != _ABSENT]
    good, bad = sum(one.is_pass for one in ran), sum(one.is_fail for one in ran)
    return Cell(good, bad, len(ran) - good - bad)


def _shown(case: Case, results: Mapping[str, Mapping[str, Any] | None]) -> Shown:
    answered = tuple(
        Answered(label, _ABSENT if result is None else str(Verdict(result["verdict"])), result)
        for label, result in results.items()
    )
    details = [detail for result in results.values() if result is not None for detail in result["detail"]]
    lines = list(_lines(case, list(results.values())))
    first = [line for line in lines if line.name in _ALWAYS_SHOWN or any(one is not None for one in line.answers)]
    rest = tuple(line for line in lines if line not in first)
    return Shown(case, answered, tuple(first), rest, tuple(exhibits(case, marks_of(case.expected.field, details))))


def _lines(case: Case, results: Sequence[Mapping[str, Any] | None]) -> Iterator[Line]:
    """Expected and got, field by field; what an implementation need not say is not compared."""
    expected = case.expected
    demanded: dict[str, str | None] = {"result": "accept" if expected.accept else "reject"}
    if not expected.accept:
        demanded |= {"category": expected.category, "field": expected.field}
    demanded |= dict(leaves(expected.view) if expected.view is not None else ())
    answers = [_said(result) for result in results]
    for number, (name, value) in enumerate(demanded.items()):
        if number == _LEAVES_MAX:
            yield Line(f"… and {len(demanded) - number:,} more", None, (None,) * len(answers))
            return
        yield Line(name, value, tuple(_answer(said, name, value) for said in answers))


def _said(result: Mapping[str, Any] | None) -> dict[str, str] | None:
    """What an implementation answered, None where it was not asked."""
    if result is None or result["got"] is None:
        return None
    got = result["got"]
    said = {key: str(got[key]) for key in ("category", "field") if got.get(key) is not None}
    said["result"] = str(got["result"] or result["verdict"])
    return said | dict(leaves(got["view"]) if got.get("view") is not None else ())


def _answer(said: Mapping[str, str] | None, name: str, expected: str | None) -> str | None:
    if said is None:
        return "not asked" if name == "result" else None
    if said["result"] == "unsupported":
        return None
    if name not in said:
        return "not said" if expected is not None and said["result"] in ("accept", "reject") else None
    return None if said[name] == expected or expected is None else said[name]
