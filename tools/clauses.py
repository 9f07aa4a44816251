"""The traceability gate: `python tools/clauses.py` ties the clauses of spec/*.md to code, tests and cases by their ids.

It fails where an id is cited that no clause has, where no code, no test and no conformance case
(spec/cases) cites a MUST, where two clauses share an id, where a heading of level 4 is not that
of a clause, and where `PLANNED` excuses a clause that has been cited since. Citations are found
as spec/README.md describes them, runs of ids included: "KVC-HEADER-3..17", "KVC-TOOLMAP-1 to
KVC-TOOLMAP-5", "KVC-TOOLMAP-3, -4".
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent

PLANNED: dict[str, str] = {
    "KVS-INV-7": "the class `power` is not swept yet, so nothing is judged after a loss of power",
    "KVS-INV-8": "the class `damage` is not swept yet",
    "KVS-LEVEL-3": "needs the class `power`",
    "KVS-LEVEL-4": "needs the class `damage`, and a checksum that version 1 of the file does not have",
    "KVS-LEVEL-5": "needs the class `concurrent`",
}
"""MUST clauses that nothing implements yet, and why. An id leaves this list with its first citation."""

NOT_SCANNED = frozenset({"tools/clauses.py", "tests/tools/test_clauses.py"})
"""The gate and its test name ids without citing them."""

_SUFFIXES = frozenset(
    {"", ".c", ".cfg", ".h", ".ini", ".json", ".ksy", ".md", ".py", ".rst", ".sh", ".toml", ".txt", ".yaml", ".yml"}
)
_NO_SOURCES = frozenset({"__pycache__", "build", "dist", "node_modules", "venv"})
_HIDDEN_SOURCES = frozenset({".ci", ".github"})

_HEADING = re.compile(
    r"#### (?P<id>KV[CS]-[A-Z]+-[1-9][0-9]*) · (?P<level>MUST|SHOULD|MAY|WITHDRAWN)"
    r" · (?P<authority>(?:readme|code|profile|kvc)(?:\+(?:readme|code|profile|kvc))*)"
)
_NEXT = r"(?:\.\.|\s+to\s+(?:(?P=area))?-|(?:,|,?\s+and)\s+-)\d+"
_CITATION = re.compile(rf"(?P<area>KV[CS]-[A-Z]+)-(?P<first>\d\w*)(?P<rest>(?:{_NEXT})*)")
_MEMBER = re.compile(r"(?P<link>\.\.|to|,|and)\D*?(?P<number>\d+)")


@dataclass
class Clause:
    """A clause, and the files that cite it."""

    level: str
    authority: str
    where: str
    code: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)
    cases: set[str] = field(default_factory=set)

    @property
    def cited(self) -> bool:
        """Whether code, a test or a case cites it; documents and tools do not count."""
        return bool(self.code or self.tests or self.cases)


@dataclass
class Trace:
    """Every clause by its id, and what is wrong, as sentences that say what to do."""

    clauses: dict[str, Clause] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def cited_ids(text: str) -> Iterator[tuple[int, str]]:
    """Every id that `text` cites with its position, runs of ids written out in full."""
    for match in _CITATION.finditer(text):
        area = match["area"]
        yield match.start(), f"{area}-{match['first']}"
        last = match["first"]
        for member in _MEMBER.finditer(match["rest"].replace(area, "")):
            number = int(member["number"])
            is_range = member["link"] in ("..", "to") and last.isdecimal()
            start = min(int(last) + 1, number) if is_range else number
            for each in range(start, number + 1):
                yield match.start(), f"{area}-{each}"
            last = member["number"]


def read_clauses(root: Path, trace: Trace) -> None:
    """Takes the headings of level 4 of spec/*.md into `trace`; text between fences is not a heading."""
    for path in sorted((root / "spec").glob("*.md")):
        fenced = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            fenced ^= line.startswith("```")
            if fenced or not re.match(r"####(?!#)", line):
                continue
            where = f"spec/{path.name}:{number}"
            match = _HEADING.fullmatch(line)
            if match is None:
                trace.failures.append(
                    f"{where}: {line!r} is not the heading of a clause: write "
                    '"#### ID · LEVEL · authority", or use another level of heading'
                )
            elif match["id"] in trace.clauses:
                first = trace.clauses[match["id"]].where
                trace.failures.append(f"{where}: {match['id']} is a clause already ({first}): give one a free number")
            else:
                trace.clauses[match["id"]] = Clause(match["level"], match["authority"], where)
    if not trace.clauses:
        trace.failures.append("spec/*.md has no clause at all: run this in the repository, or repair the headings")


def sources(root: Path) -> Iterator[str]:
    """Every text file of the tree that may cite a clause, relative to `root`."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name for name in folders if name not in _NO_SOURCES and (name[0] != "." or name in _HIDDEN_SOURCES)
        )
        for name in sorted(files):
            path = (Path(folder) / name).relative_to(root).as_posix()
            if name[0] != "." and Path(name).suffix in _SUFFIXES and path not in NOT_SCANNED:
                yield path


def is_code(path: str) -> bool:
    """Whether `path` implements clauses. The writers in examples/c/wrong break them, on purpose."""
    pure = PurePosixPath(path)
    return pure.parts[0] in ("kvformat", "faultinject") or (
        pure.parent == PurePosixPath("examples/c") and pure.suffix in (".c", ".h")
    )


def is_case(path: str) -> bool:
    """Whether `path` is a conformance case: spec/cases/<operation>/<id>.toml (spec/conformance.md, 1)."""
    pure = PurePosixPath(path)
    return pure.suffix == ".toml" and pure.parent.parent == PurePosixPath("spec/cases")


def read_citations(root: Path, trace: Trace) -> None:
    """Notes in `trace` who cites which clause, and the ids that no clause has."""
    for path in sources(root):
        text = (root / path).read_text(encoding="utf-8", errors="replace")
        for position, cited in cited_ids(text):
            clause = trace.clauses.get(cited)
            if clause is None:
                line = text.count("\n", 0, position) + 1
                trace.failures.append(f"{path}:{line}: no clause {cited}: cite the one that is meant, or write it")
            elif is_code(path):
                clause.code.add(path)
            elif path.startswith("tests/"):
                clause.tests.add(path)
            elif is_case(path):
                clause.cases.add(PurePosixPath(path).stem)


def check_planned(trace: Trace, planned: Mapping[str, str]) -> None:
    """`planned` excuses only clauses that there are and that nobody cites."""
    for planned_id, reason in planned.items():
        clause = trace.clauses.get(planned_id)
        if clause is None:
            trace.failures.append(f"PLANNED has {planned_id}, which is no clause: remove it from tools/clauses.py")
        elif clause.cited:
            cited = ", ".join(sorted(clause.code | clause.tests | clause.cases))
            trace.failures.append(
                f"PLANNED is stale: {planned_id} is cited by {cited}: remove it from tools/clauses.py"
            )
        if not reason.strip():
            trace.failures.append(f"PLANNED has {planned_id} without a reason: give one in tools/clauses.py")


def check(root: Path, planned: Mapping[str, str]) -> Trace:
    """The whole gate on the tree at `root`."""
    trace = Trace()
    read_clauses(root, trace)
    read_citations(root, trace)
    check_planned(trace, planned)
    for must, clause in trace.clauses.items():
        if clause.level == "MUST" and not clause.cited and must not in planned:
            trace.failures.append(
                f"{clause.where}: {must} is a MUST that no code, no test and no case cites: "
                "cite it where it is kept or tested, or give a reason in PLANNED of tools/clauses.py"
            )
    return trace


def table(trace: Trace) -> Iterator[str]:
    """A line for each clause: id, level, the code, the tests and the cases that cite it."""
    yield f"{'clause':<16} {'level':<9} code -> tests -> cases"
    for clause_id, clause in trace.clauses.items():
        cited = " -> ".join(" ".join(sorted(names)) or "-" for names in (clause.code, clause.tests, clause.cases))
        yield f"{clause_id:<16} {clause.level:<9} {cited}"


def summary(trace: Trace, planned: Mapping[str, str]) -> str:
    """The numbers, of all clauses and of every MUST."""
    clauses = list(trace.clauses.values())
    lines = []
    for name, group in (("clauses", clauses), ("MUSTs", [clause for clause in clauses if clause.level == "MUST"])):
        code = sum(bool(clause.code) for clause in group)
        tests = sum(bool(clause.tests) for clause in group)
        cases = sum(bool(clause.cases) for clause in group)
        nowhere = sum(not clause.cited for clause in group)
        lines.append(
            f"{len(group)} {name}: {code} cited in code, {tests} in tests, {cases} in cases, {nowhere} in none of them"
        )
    return "\n".join([*lines, f"{len(planned)} planned, {len(trace.failures)} failures"])


def main(arguments: list[str]) -> int:
    """Prints failures and numbers, and with `--table` every clause; 1 where anything failed."""
    parser = argparse.ArgumentParser(
        prog="clauses.py", description="Ties the clauses of spec/*.md to code, tests and cases."
    )
    parser.add_argument("--table", action="store_true", help="print every clause with the files that cite it")
    options = parser.parse_args(arguments)
    trace = check(ROOT, PLANNED)
    if options.table:
        print("\n".join(table(trace)))
    for failure in trace.failures:
        print(failure)
    print(summary(trace, PLANNED))
    return 1 if trace.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
