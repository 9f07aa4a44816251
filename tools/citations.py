"""Clauses of spec/*.md, and who cites them: in code, tests and cases by their ids.

Citations are found as spec/README.md describes them, runs of ids included: "KVC-HEADER-3..17",
"KVC-TOOLMAP-1 to KVC-TOOLMAP-5", "KVC-TOOLMAP-3, -4". What a mutant says that it breaks is no test
of it: see `tools.mutants`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent

NOT_SCANNED = frozenset(
    {
        "docs/traceability.md",
        "tests/tools/test_clauses.py",
        "tests/tools/test_mutants.py",
        "tests/tools/test_traceability.py",
        "tools/citations.py",
        "tools/clauses.py",
        "tools/mutants.py",
    }
)
"""The gate, its tests and its page name ids without citing them."""

_SUFFIXES = frozenset(
    {"", ".c", ".cfg", ".h", ".ini", ".json", ".ksy", ".md", ".py", ".rst", ".sh", ".toml", ".txt", ".yaml", ".yml"}
)
_NO_SOURCES = frozenset({"__pycache__", "build", "dist", "node_modules", "venv"})
_HIDDEN_SOURCES = frozenset({".ci", ".github"})

_HEADING = re.compile(
    r"#### (?P<id>KV[CS]-[A-Z]+-[1-9][0-9]*) · (?P<level>MUST|SHOULD|MAY|WITHDRAWN)"
    r" · (?P<authority>(?:readme|code|profile|kvc)(?:\+(?:readme|code|profile|kvc))*)"
)
_CHAPTER = re.compile(r"(?P<marks>#{1,3}) (?:[0-9.]+ )?(?P<title>.*)")
_NEXT = r"(?:\.\.|\s+to\s+(?:(?P=area))?-|(?:,|,?\s+and)\s+-)\d+"
_CITATION = re.compile(rf"(?P<area>KV[CS]-[A-Z]+)-(?P<first>\d\w*)(?P<rest>(?:{_NEXT})*)")
_MEMBER = re.compile(r"(?P<link>\.\.|to|,|and)\D*?(?P<number>\d+)")
_BROKEN = re.compile(r"\bBreaks\s+(?P<ids>KV[CS]-.*?)(?=[.:;](?:\s|\"|$)|\Z)", re.DOTALL)


@dataclass(frozen=True, order=True, slots=True)
class Mutant:
    """Something that is wrong on purpose and must be caught: a class or function of `path`, or the whole file."""

    path: str
    name: str


@dataclass
class Clause:
    """A clause: where and in which words it stands, and the files that cite it."""

    level: str
    authority: str
    where: str
    document: str = ""
    chapter: str = ""
    text: str = ""
    code: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)
    cases: set[str] = field(default_factory=set)
    mutants: set[Mutant] = field(default_factory=set)

    @property
    def cited(self) -> bool:
        """Whether code, a test or a case cites it; documents, tools and mutants do not count."""
        return bool(self.code or self.tests or self.cases)

    @property
    def sentence(self) -> str:
        """The first sentence, on one line."""
        demand = " ".join(self.text.strip().split("\n\n")[0].split())
        return re.split(r"(?<=\.)\s+(?=[A-Z`])", demand)[0]


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


def broken_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where `text` says what a mutant breaks: the ids behind the word "Breaks", up to the end of that sentence."""
    for match in _BROKEN.finditer(text):
        yield match.span("ids")


def read_clauses(root: Path, trace: Trace) -> None:
    """Takes the headings of level 4 of spec/*.md into `trace`; text between fences is not a heading."""
    for path in sorted((root / "spec").glob("*.md")):
        _read_document(path, trace)
    if not trace.clauses:
        trace.failures.append("spec/*.md has no clause at all: run this in the repository, or repair the headings")


def _read_document(path: Path, trace: Trace) -> None:
    document = chapter = ""
    fenced, current = False, None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.startswith("```")
        if not fenced and (heading := _CHAPTER.fullmatch(line)):
            chapter, current = heading["title"], None
            document = chapter if heading["marks"] == "#" else document
        elif not fenced and re.match(r"####(?!#)", line):
            current = _heading(line, f"spec/{path.name}:{number}", trace)
            if current is not None:
                current.document, current.chapter = document, chapter
        elif current is not None:
            current.text += line + "\n"


def _heading(line: str, where: str, trace: Trace) -> Clause | None:
    match = _HEADING.fullmatch(line)
    if match is None:
        trace.failures.append(
            f"{where}: {line!r} is not the heading of a clause: write "
            '"#### ID · LEVEL · authority", or use another level of heading'
        )
        return None
    if match["id"] in trace.clauses:
        first = trace.clauses[match["id"]].where
        trace.failures.append(f"{where}: {match['id']} is a clause already ({first}): give one a free number")
        return None
    clause = trace.clauses[match["id"]] = Clause(match["level"], match["authority"], where)
    return clause


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
        broken = list(broken_spans(text))
        for position, cited in cited_ids(text):
            clause = trace.clauses.get(cited)
            if clause is None:
                line = text.count("\n", 0, position) + 1
                trace.failures.append(f"{path}:{line}: no clause {cited}: cite the one that is meant, or write it")
            elif is_code(path):
                clause.code.add(path)
            elif path.startswith("tests/"):
                if not any(start <= position < end for start, end in broken):
                    clause.tests.add(path)
            elif is_case(path):
                clause.cases.add(path)
