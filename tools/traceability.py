"""docs/traceability.md: each clause with the code, tests, cases and mutants that cite it, for people.

The page has no line numbers and no dates, so that it changes only where a citation does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import PurePosixPath

from tools.citations import Clause, Mutant, Trace

PAGE = "docs/traceability.md"

SHOWN_MAX = 3
"""A longer list is cut, and says by how much."""

_HEAD = """\
# Traceability

From each clause of the specification to the code that keeps it, to the tests and the conformance cases that hold code
to it, and to the mutants: writers, adapters and contracts that break it on purpose, and that must be caught. Where a
clause has nothing of a kind, that is said.

*Made by `python -m tools.clauses --write`, which is to be run again where this page is stale; it is not edited by hand.
Long lists are cut; `python -m tools.clauses --table` has all of them.*
"""

KINDS: tuple[tuple[str, Callable[[Clause], Collection[object]]], ...] = (
    ("code", lambda clause: clause.code),
    ("test", lambda clause: clause.tests),
    ("case", lambda clause: clause.cases),
    ("mutant", lambda clause: clause.mutants),
)
"""What is listed, in the singular."""


def page(trace: Trace, planned: Mapping[str, str]) -> str:
    """The whole page. `planned` has the reasons why clauses are not implemented."""
    areas: dict[str, list[str]] = {}
    for clause_id in trace.clauses:
        areas.setdefault(clause_id.rpartition("-")[0], []).append(clause_id)
    lines = [_HEAD, *_overview(trace, areas)]
    document = ""
    for area, ids in areas.items():
        first = trace.clauses[ids[0]]
        if first.document != document:
            document = first.document
            path = first.where.partition(":")[0]
            lines += ["", f"## {document}", "", f"Clauses of [{path}](../{path})."]
        lines += ["", f"### {area}", "", f"*{first.chapter}*"]
        for clause_id in ids:
            lines += _block(clause_id, trace.clauses[clause_id], planned.get(clause_id))
    return "\n".join(lines) + "\n"


def _overview(trace: Trace, areas: Mapping[str, list[str]]) -> Iterator[str]:
    yield "| area | clauses | in code | in tests | in cases | with mutants |"
    yield "|---|--:|--:|--:|--:|--:|"
    for area, ids in areas.items():
        yield _counts(f"[{area}](#{area.lower()})", [trace.clauses[each] for each in ids])
    yield _counts("all", list(trace.clauses.values()))


def _counts(name: str, clauses: list[Clause]) -> str:
    numbers = (sum(bool(of(clause)) for clause in clauses) for _, of in KINDS)
    return f"| {name} | {len(clauses)} | {' | '.join(map(str, numbers))} |"


def _block(clause_id: str, clause: Clause, reason: str | None) -> Iterator[str]:
    path = clause.where.partition(":")[0]
    yield ""
    yield f"**[{clause_id}](../{path}#{_anchor(clause_id, clause)})** · {clause.level} · {clause.sentence}"
    yield ""
    links = (
        [_link(path, path) for path in sorted(clause.code, key=_ours_first)],
        [_link(path.removeprefix("tests/"), path) for path in sorted(clause.tests)],
        [_link(path.stem, str(path)) for path in sorted(map(PurePosixPath, clause.cases), key=lambda path: path.stem)],
        [_link(mutant.name, mutant.path) for mutant in _spread(clause.mutants)],
    )
    for (kind, _), found in zip(KINDS, links, strict=True):
        if found:
            yield f"- {kind}: {_cut(found)}"
    if missing := [f"no {kind}" for (kind, _), found in zip(KINDS, links, strict=True) if not found]:
        yield f"- {', '.join(missing)}{'' if reason is None else f': {reason}'}"


def _ours_first(path: str) -> tuple[bool, str]:
    """The packages come before the second implementation."""
    return path.startswith("examples/"), path


def _link(shown: str, path: str) -> str:
    return f"[{shown}](../{path})"


def _spread(mutants: set[Mutant]) -> list[Mutant]:
    """One of each file first, so that what is cut off is more of the same."""
    seen: dict[str, int] = {}
    ranked = []
    for mutant in sorted(mutants):
        seen[mutant.path] = seen.get(mutant.path, 0) + 1
        ranked.append((seen[mutant.path], mutant))
    return [mutant for _, mutant in sorted(ranked)]


def _cut(links: list[str]) -> str:
    # To cut one off would save nothing.
    shown = links if len(links) <= SHOWN_MAX + 1 else links[:SHOWN_MAX]
    more = len(links) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _anchor(clause_id: str, clause: Clause) -> str:
    """What code hosts make of the heading: lower case, blanks as hyphens, other marks dropped."""
    heading = f"{clause_id} · {clause.level} · {clause.authority}"
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
