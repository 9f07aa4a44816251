"""The page of clauses: its links lead somewhere, its lists are short, and equal trees have equal pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

import pytest

from tools.citations import Clause, Mutant, Trace
from tools.clauses import PLANNED, check
from tools.traceability import SHOWN_MAX, page

ROOT = Path(__file__).resolve().parents[2]


def a_clause(text: str = "It is so. And more.\n\nReason: why.", code: Iterable[str] = ()) -> Clause:
    return Clause("MUST", "readme+code", "spec/kvc.md:7", "The file", "Header", text, set(code))


def a_page(clause: Clause, reason: str | None = None) -> list[str]:
    trace = Trace({"KVC-FILE-1": clause})
    return page(trace, {} if reason is None else {"KVC-FILE-1": reason}).splitlines()


def test_a_clause_has_its_first_sentence_and_links() -> None:
    clause = a_clause(code={"examples/c/kvc.c", "kvformat/a.py"})
    clause.tests = {"tests/x/test_a.py"}
    clause.cases = {"spec/cases/read/read-a.toml", "spec/cases/read/read-a-b.toml"}
    clause.mutants = {Mutant("tests/mutants/wrong.py", "Bad")}
    assert a_page(clause)[-10:] == [
        "### KVC-FILE",
        "",
        "*Header*",
        "",
        "**[KVC-FILE-1](../spec/kvc.md#kvc-file-1--must--readmecode)** · MUST · It is so.",
        "",
        "- code: [kvformat/a.py](../kvformat/a.py), [examples/c/kvc.c](../examples/c/kvc.c)",
        "- test: [x/test_a.py](../tests/x/test_a.py)",
        "- case: [read-a](../spec/cases/read/read-a.toml), [read-a-b](../spec/cases/read/read-a-b.toml)",
        "- mutant: [Bad](../tests/mutants/wrong.py)",
    ]


def test_what_is_missing_is_said_with_the_reason() -> None:
    assert a_page(a_clause(), "later")[-1] == "- no code, no test, no case, no mutant: later"
    assert a_page(a_clause(code={"kvformat/a.py"}))[-1] == "- no test, no case, no mutant"


@pytest.mark.parametrize(("count", "cut"), [(SHOWN_MAX, 0), (SHOWN_MAX + 1, 0), (SHOWN_MAX + 2, 2), (40, 37)])
def test_long_lists_are_cut(count: int, cut: int) -> None:
    (line,) = (one for one in a_page(a_clause(code=map(str, range(count)))) if "- code: " in one)
    assert line.count("](") == count - cut
    assert line.endswith(f" and {cut} more") is (cut > 0)


def test_mutants_of_every_file_come_before_the_second_of_one() -> None:
    clause = a_clause()
    clause.mutants = {Mutant("a.py", f"A{n}") for n in range(9)} | {Mutant("b.py", "B"), Mutant("c.py", "C")}
    (line,) = (one for one in a_page(clause) if "- mutant: " in one)
    assert line == "- mutant: [A0](../a.py), [B](../b.py), [C](../c.py) and 8 more"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("One\nline. Two.", "One line."),
        ("*Word.* It is. So.", "*Word.* It is."),
        ("Offsets 0. 5 too. Then.", "Offsets 0. 5 too."),
        ("No end", "No end"),
        ("\n\nIt is:\n\n| a |", "It is:"),
        ("", ""),
    ],
)
def test_the_first_sentence(text: str, sentence: str) -> None:
    assert a_clause(text).sentence == sentence


def test_every_link_of_the_real_page_leads_to_a_file_and_every_anchor_to_a_heading() -> None:
    text = page(check(ROOT, PLANNED), PLANNED)
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) > 800
    for link in set(links):
        path, _, anchor = link.partition("#")
        target = ROOT / "docs" / unquote(path) if path else None
        assert target is None or target.is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", text if target is None else target.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, link


def test_the_page_moves_only_with_citations() -> None:
    """No line number, so that an edit above a clause or a mutant does not make it stale."""
    trace = check(ROOT, PLANNED)
    first = page(trace, PLANNED)
    for clause in trace.clauses.values():
        clause.where = f"{clause.where.partition(':')[0]}:9999"
    assert page(trace, PLANNED) == first
