"""The suite as a whole: its registries, the clauses that it covers, and that the generators make just this."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from kvformat.conform.case import Case
from kvformat.conform.verdict import Verdict, is_asserted
from tests.spec.asked import CASES, CLAIMS, ROOT, SUITE, ask
from tests.spec.mistakes import MISTAKES, Mistake
from tools.cases.__main__ import main
from tools.cases.case import SPEC
from tools.cases.case import Case as Generated
from tools.cases.suite import all_cases, committed, differences, lost, mistakes, registry
from tools.citations import broken_spans, cited_ids

GENERATED = all_cases()

SIZE_BYTES_MAX = 3_000_000

WITHOUT_CASES = {
    "KVS-ATOM-1": "an assumption about the system",
    "KVS-TOUCH-4": "what is durable shows only after a loss of power, and errors of calls only when they are injected",
    "KVS-REMOVE-1": "no operation of the suite removes an entry",
    "KVS-REMOVE-2": "no operation of the suite removes an entry",
    "KVS-RECOVER-1": "when a recovery runs is a matter of programs, a case asks for it",
    "KVS-EVICT-1": "no operation of the suite evicts",
}
"""MUST clauses of kvc.md, and of saving.md on store operations, that no case is about, and why."""


def test_there_are_many_cases_and_each_file_is_one() -> None:
    assert len(CASES) >= 400
    assert len(CASES) == len(list(SUITE.folder.glob("*/*.toml")))
    for case in CASES:
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", case.id)


def test_level_and_authority_are_those_of_the_clause_that_decides() -> None:
    for case in CASES:
        decides = SPEC[case.clauses[0]]
        assert (case.level, case.authority) == (decides.level, decides.authority), case.id
        assert max(Counter(case.clauses).values()) == max(Counter(case.flags).values()) == 1, case.id


def test_every_must_has_a_case_or_a_reason() -> None:
    """KVC-FILE-1 to KVC-FILE-6, and so on: the whole of kvc.md, and chapter 7 of saving.md."""
    operations = re.compile(r"KVC-.*|KVS-(ATOM|TOUCH|TOOLMAP|REMOVE|RECOVER|EVICT)-.*")
    musts = {name for name, clause in SPEC.items() if clause.level == "MUST" and operations.fullmatch(name)}
    cited = set(chain.from_iterable(case.clauses for case in CASES))
    assert musts - cited == set(WITHOUT_CASES)
    assert all(WITHOUT_CASES.values())


def test_every_flag_and_every_behaviour_is_described_and_used() -> None:
    flags, behaviours = registry("flags"), registry("behaviours")
    assert {flag for case in CASES for flag in case.flags} == set(flags)
    assert all(set(flag) == {"description", "kind", "effect"} for flag in flags.values())
    chosen = {case.behaviour for case in CASES if case.behaviour is not None}
    assert {key for key, _ in chosen} == set(behaviours)
    assert all(value in behaviours[key]["values"] for key, value in chosen)


def test_every_file_belongs_to_a_case_and_all_are_small() -> None:
    wanted = set(chain.from_iterable(case.files() for case in GENERATED))
    found = committed(SUITE.folder)
    assert set(found) == wanted
    assert sum(map(len, found.values())) < SIZE_BYTES_MAX


def test_what_is_committed_is_what_the_generators_make(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_the_generators_know_nothing_of_the_code_that_is_judged() -> None:
    """Cases that the reader or the writer had made would agree with either, right or wrong."""
    sources = list((ROOT / "tools" / "cases").glob("*.py"))
    assert len(sources) > 10
    for path in sources:
        for node in ast.walk(ast.parse(path.read_bytes())):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                named = [node.module or ""]
            assert not [name for name in named if name.split(".")[0] in ("kvformat", "faultinject", "tests")], path


def test_a_difference_is_named() -> None:
    found = committed(SUITE.folder)
    first, second, *_ = sorted(found)
    altered = {**found, first: found[first] + b" ", "read/more.bin": b""}
    del altered[second]
    assert list(differences(found, altered)) == [f"differs: {first}", f"missing: {second}", "left over: read/more.bin"]
    assert list(differences(found, found)) == []


def test_an_id_is_for_ever() -> None:
    """A case goes only where suite.toml says why, and its id is not used again."""
    found = {"read/read-gone.toml": b"", "read/read-gone.bin": b""}
    assert len(list(lost({}, found, {}))) == 1
    assert list(lost({}, found, {"read-gone": "it was wrong"})) == []
    first = GENERATED[0]
    (said,) = mistakes([first], {flag: {} for flag in first.flags}, {}, {first.id: "it was wrong"})
    assert said.startswith(f"{first.id}: the id was withdrawn")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda case: [case, case], "2 cases have this id"),
        (lambda case: [replace(case, clauses=(*case.clauses, "KVC-NONE"))], "no clause KVC-NONE"),
        (lambda case: [replace(case, flags=(*case.flags, "new"))], "no flag new"),
        (lambda case: [replace(case, behaviour=("new", "some"))], "no value some of a behaviour new"),
        (lambda case: [replace(case, flags=())], "no case has the flag"),
    ],
)
def test_a_mistake_of_a_generator_is_named(wrong: Callable[[Generated], list[Generated]], says: str) -> None:
    first = GENERATED[0]
    flags: dict[str, dict[str, str]] = {flag: {} for flag in first.flags}
    assert list(mistakes([first], flags, {}, {})) == []
    assert any(says in said for said in mistakes(wrong(first), flags, {}, {}))


def failing(cases: list[Case], folder: Path) -> list[Case]:
    """Those that do not pass."""
    return [case for case in cases if ask(case, folder)[0].verdict is not Verdict.PASSED]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_the_cases_notice(mistake: Mistake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cases that the right implementation passes fail with each mistake, those about the clauses that it breaks."""
    cases = [case for case in CASES if case.id.startswith(MISTAKES[mistake]) and is_asserted(case, CLAIMS)]
    assert failing(cases, tmp_path / "case") == []
    mistake(monkeypatch)
    said = mistake.__doc__ or ""
    broken = {cited for start, end in broken_spans(said) for _, cited in cited_ids(said[start:end])}
    assert broken
    assert broken <= set(chain.from_iterable(case.clauses for case in failing(cases, tmp_path / "case")))
