"""The traceability gate: `python -m tools.clauses` ties the clauses of spec/*.md to code, tests, cases and mutants.

It fails where an id is cited that no clause has, where no code, no test and no conformance case
(spec/cases) cites a MUST, where no mutant breaks an invariant (KVS-INV), where two clauses share
an id, where a heading of level 4 is not that of a clause, where `PLANNED` excuses a clause that
has been cited since, and where docs/traceability.md is stale. `--write` makes that page again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from tools.citations import ROOT, Clause, Trace, read_citations, read_clauses
from tools.mutants import read_mutants
from tools.traceability import PAGE, page

PLANNED: dict[str, str] = {
    "KVS-INV-8": "the class `damage` is not swept yet",
    "KVS-LEVEL-4": "needs the class `damage`, and a checksum that version 1 of the file does not have",
    "KVS-LEVEL-5": "needs the class `concurrent`",
}
"""MUST clauses that nothing implements yet, and why. An id leaves this list with its first citation."""


def check_planned(trace: Trace, planned: Mapping[str, str]) -> None:
    """`planned` excuses only clauses that there are and that nobody cites or breaks."""
    for planned_id, reason in planned.items():
        clause = trace.clauses.get(planned_id)
        if clause is None:
            trace.failures.append(f"PLANNED has {planned_id}, which is no clause: remove it from tools/clauses.py")
        elif clause.cited or clause.mutants:
            cited = ", ".join(sorted(clause.code | clause.tests | clause.cases | {one.path for one in clause.mutants}))
            trace.failures.append(
                f"PLANNED is stale: {planned_id} is cited by {cited}: remove it from tools/clauses.py"
            )
        if not reason.strip():
            trace.failures.append(f"PLANNED has {planned_id} without a reason: give one in tools/clauses.py")


def check(root: Path, planned: Mapping[str, str]) -> Trace:
    """The whole gate on the tree at `root`, but for the page."""
    trace = Trace()
    read_clauses(root, trace)
    read_citations(root, trace)
    read_mutants(root, trace)
    check_planned(trace, planned)
    for clause_id, clause in trace.clauses.items():
        if clause_id in planned:
            continue
        if clause.level == "MUST" and not clause.cited:
            trace.failures.append(
                f"{clause.where}: {clause_id} is a MUST that no code, no test and no case cites: "
                "cite it where it is kept or tested, or give a reason in PLANNED of tools/clauses.py"
            )
        if clause_id.startswith("KVS-INV-") and not clause.mutants:
            trace.failures.append(
                f"{clause.where}: {clause_id} is an invariant that no mutant breaks, so that nothing shows that it is "
                "checked: add one to tests/mutants, or give a reason in PLANNED of tools/clauses.py"
            )
    return trace


def check_page(root: Path, wanted: str) -> Iterator[str]:
    """Whether the page that is committed is the one that `wanted` has."""
    path = root / PAGE
    if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
        yield f"{PAGE} is stale: run `python -m tools.clauses --write`"


def table(trace: Trace) -> Iterator[str]:
    """A line for each clause: id, level, the code, the tests, the cases and the mutants that cite it."""
    yield f"{'clause':<16} {'level':<9} code -> tests -> cases -> mutants"
    for clause_id, clause in trace.clauses.items():
        cited = " -> ".join(" ".join(sorted(names)) or "-" for names in _names(clause))
        yield f"{clause_id:<16} {clause.level:<9} {cited}"


def _names(clause: Clause) -> tuple[set[str], ...]:
    cases = {PurePosixPath(path).stem for path in clause.cases}
    return clause.code, clause.tests, cases, {one.name for one in clause.mutants}


def summary(trace: Trace, planned: Mapping[str, str]) -> str:
    """The numbers, of all clauses and of every MUST."""
    clauses = list(trace.clauses.values())
    lines = []
    for name, group in (("clauses", clauses), ("MUSTs", [clause for clause in clauses if clause.level == "MUST"])):
        code = sum(bool(clause.code) for clause in group)
        tests = sum(bool(clause.tests) for clause in group)
        cases = sum(bool(clause.cases) for clause in group)
        broken = sum(bool(clause.mutants) for clause in group)
        nowhere = sum(not clause.cited for clause in group)
        lines.append(
            f"{len(group)} {name}: {code} cited in code, {tests} in tests, {cases} in cases, "
            f"{nowhere} in none of them; {broken} broken by mutants"
        )
    mutants = len(set().union(*(clause.mutants for clause in clauses)))
    return "\n".join([*lines, f"{mutants} mutants, {len(planned)} planned, {len(trace.failures)} failures"])


def main(arguments: list[str]) -> int:
    """Prints failures and numbers, and with `--table` every clause; 1 where anything failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.clauses", description="Ties the clauses of spec/*.md to code, tests, cases and mutants."
    )
    parser.add_argument("--table", action="store_true", help="print every clause with all that cites it")
    parser.add_argument("--write", action="store_true", help=f"make {PAGE} again")
    options = parser.parse_args(arguments)
    trace = check(ROOT, PLANNED)
    wanted = page(trace, PLANNED)
    if options.write:
        (ROOT / PAGE).write_text(wanted, encoding="utf-8")
    trace.failures.extend(check_page(ROOT, wanted))
    if options.table:
        print("\n".join(table(trace)))
    for failure in trace.failures:
        print(failure)
    print(summary(trace, PLANNED))
    return 1 if trace.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
