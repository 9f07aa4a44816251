"""Mutants are found with the clauses that they break, and those that say nothing of it are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faultinject.oracle import Kind
from tests.mutants.wrong import MUTANTS
from tests.mutants.wrong_power import REPAIRS
from tests.spec.mistakes import MISTAKES
from tools.citations import Mutant, Trace, read_clauses
from tools.mutants import read_mutants, violations

ROOT = Path(__file__).resolve().parents[2]
SPEC = """
#### KVS-INV-1 · MUST · kvc

Whole. Violation:
`partial-visible`.

#### KVS-INV-2 · MUST · kvc

Violation: `temp-leaked`.

#### KVS-SAVE-1 · MUST · kvc

#### KVS-SAVE-2 · MUST · kvc
"""


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def found(root: Path) -> Trace:
    put(root, "spec/saving.md", SPEC)
    trace = Trace()
    read_clauses(root, trace)
    read_mutants(root, trace)
    return trace


def broken(root: Path) -> dict[tuple[str, str], list[str]]:
    """The clauses of each mutant; none of them is wrong."""
    trace = found(root)
    assert trace.failures == []
    mutants: dict[tuple[str, str], list[str]] = {}
    for clause_id, clause in trace.clauses.items():
        for mutant in clause.mutants:
            mutants.setdefault((mutant.path, mutant.name), []).append(clause_id)
    return mutants


def real() -> Trace:
    trace = Trace()
    read_clauses(ROOT, trace)
    read_mutants(ROOT, trace)
    return trace


def test_the_specification_and_the_oracle_name_the_same_violations() -> None:
    assert violations(real()) == {kind.value: kind.clause for kind in Kind}


def test_a_writer_in_c_breaks_what_its_first_comment_says(tmp_path: Path) -> None:
    put(
        tmp_path,
        "examples/c/wrong/bad.c",
        "/* Must get: partial-visible.\n *\n * Breaks KVS-SAVE-1\n * and KVS-SAVE-2.\n */\n/* temp-leaked */",
    )
    put(tmp_path, "examples/c/wrong/common.h", "/* Breaks nothing. */")
    assert broken(tmp_path) == {("examples/c/wrong/bad.c", "bad"): ["KVS-INV-1", "KVS-SAVE-1", "KVS-SAVE-2"]}


@pytest.mark.parametrize("text", ["", "int x; /* Breaks KVS-SAVE-1. */", "/* Breaks. */", "/* not-temp-leakedness */"])
def test_a_writer_in_c_that_says_nothing_fails(tmp_path: Path, text: str) -> None:
    put(tmp_path, "examples/c/wrong/bad.c", text)
    (failure,) = found(tmp_path).failures
    assert failure.startswith("examples/c/wrong/bad.c: bad does not say what it breaks: ")


def test_a_writer_in_python_breaks_what_it_deserves_and_says(tmp_path: Path) -> None:
    put(
        tmp_path,
        "tests/mutants/wrong.py",
        '@other\n@deserves(Kind.TEMP_LEAKED, ERROR, level=2)\nclass A:\n    """Why. Breaks KVS-SAVE-2: so."""\n'
        "@deserves(Kind.PARTIAL_VISIBLE)\nclass B:\n    pass\n"
        "class Right:\n    pass\n",
    )
    path = "tests/mutants/wrong.py"
    assert broken(tmp_path) == {(path, "A"): ["KVS-INV-2", "KVS-SAVE-2"], (path, "B"): ["KVS-INV-1"]}


def test_a_violation_that_no_clause_has_fails(tmp_path: Path) -> None:
    put(tmp_path, "tests/mutants/wrong.py", "@deserves(Kind.MADE_UP)\nclass A:\n    pass\n")
    (failure,) = found(tmp_path).failures
    assert failure == "tests/mutants/wrong.py: A deserves made-up, which no clause has"


def test_functions_and_files_break_what_they_say(tmp_path: Path) -> None:
    put(tmp_path, "tests/deep/one.py", 'def f():\n    """Breaks KVS-SAVE-1."""\n\ndef g():\n    """KVS-SAVE-2."""\n')
    put(tmp_path, "tests/deep/two.py", '"""A program.\n\nBreaks KVS-SAVE-1 and -2.\n"""\n')
    assert broken(tmp_path) == {
        ("tests/deep/one.py", "f"): ["KVS-SAVE-1"],
        ("tests/deep/two.py", "two"): ["KVS-SAVE-1", "KVS-SAVE-2"],
    }


def test_a_canary_that_breaks_no_clause_is_no_mutant(tmp_path: Path) -> None:
    put(tmp_path, "tests/canaries/one.py", "def f():\n    '''False.'''\n\ndef g():\n    '''False. Breaks KVS-SAVE-1.'''\n")
    assert broken(tmp_path) == {("tests/canaries/one.py", "g"): ["KVS-SAVE-1"]}



def test_a_file_that_is_no_python_fails(tmp_path: Path) -> None:
    put(tmp_path, "tests/canaries/one.py", "# Breaks KVS-SAVE-1.\ndef f(:\n")
    (failure,) = found(tmp_path).failures
    assert failure.startswith("tests/canaries/one.py:2: ")


def test_every_wrong_writer_and_every_mistake_is_found() -> None:
    """None escapes by the way in which it is written down."""
    mutants = set[Mutant]().union(*(clause.mutants for clause in real().clauses.values()))
    names = {mutant.name for mutant in mutants}
    assert {writer.__name__ for writer in (*MUTANTS, *REPAIRS)} <= names
    assert {mistake.__name__ for mistake in MISTAKES} <= names
    assert {path.stem for path in (ROOT / "examples/c/wrong").glob("*.c")} <= names


def test_no_writer_in_c_promises_more_than_audits_find() -> None:
    """The table in examples/c/README.md is held against audits by tests/examples/test_c.py."""
    table = (ROOT / "examples/c/README.md").read_text(encoding="utf-8")
    trace = real()
    for name, clause_id in violations(trace).items():
        for mutant in trace.clauses[clause_id].mutants:
            if mutant.path.startswith("examples/c/"):
                row = re.search(rf"^\| `{mutant.name}` .*$", table, re.MULTILINE)
                assert row is not None, mutant
                assert f"`{name}`" in row[0], (mutant, name)
