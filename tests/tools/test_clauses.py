"""The traceability gate fails where it should, on trees made for it, and passes on the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import clauses
from tools.citations import cited_ids

ROOT = Path(__file__).resolve().parents[2]

SPEC = """# Title

### 1.1 Not a clause

#### KVC-FILE-1 · MUST · readme+code

Reason: KVC-FILE-2.

#### KVC-FILE-2 · SHOULD · kvc

#### KVS-SAVE-1 · MUST · kvc

```
#### in a fence
```
"""
CODE = '"""KVC-FILE-1."""\n'
TEST = '"""KVS-SAVE-1."""\n'


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree in which every MUST is cited, one in code and one in a test."""
    put(tmp_path, "spec/kvc.md", SPEC)
    put(tmp_path, "kvformat/code.py", CODE)
    put(tmp_path, "tests/test_code.py", TEST)
    return tmp_path


def failures(root: Path, planned: dict[str, str] | None = None) -> list[str]:
    return clauses.check(root, planned or {}).failures


def test_a_good_tree_passes(tree: Path) -> None:
    trace = clauses.check(tree, {})
    assert trace.failures == []
    assert {name: (one.level, one.authority, one.code, one.tests) for name, one in trace.clauses.items()} == {
        "KVC-FILE-1": ("MUST", "readme+code", {"kvformat/code.py"}, set()),
        "KVC-FILE-2": ("SHOULD", "kvc", set(), set()),
        "KVS-SAVE-1": ("MUST", "kvc", set(), {"tests/test_code.py"}),
    }


@pytest.mark.parametrize(
    "path",
    [
        "kvformat/more.py",
        "kvformat/schemas/save.json",
        "kvformat/profiles.toml",
        "examples/c/wrong/common.h",
        "tests/more.py",
        "tools/more.py",
        "README.md",
        "spec/more.md",
        "spec/cases/read/read-one.toml",
        "spec/cases/flags.toml",
    ],
)
def test_an_unknown_id_fails_wherever_it_is_cited(tree: Path, path: str) -> None:
    put(tree, path, "\nsee KVC-FILE-9\n")
    (failure,) = failures(tree)
    assert failure.startswith(f"{path}:2: no clause KVC-FILE-9: ")


@pytest.mark.parametrize("cited", ["KVC-FILE-01", "KVC-FILE-1a", "KVC-FILE-1..3", "KVS-SAVE-1, -2"])
def test_an_id_must_be_exact(tree: Path, cited: str) -> None:
    put(tree, "README.md", cited)
    assert len(failures(tree)) == 1


@pytest.mark.parametrize(
    "path", ["tools/clauses.py", "tests/tools/test_clauses.py", "docs/traceability.md", "build/x.py", ".cache/x.py"]
)
def test_what_is_no_source_is_not_scanned(tree: Path, path: str) -> None:
    put(tree, path, "KVC-FILE-9")
    assert failures(tree) == []


def test_a_must_that_nobody_cites_fails(tree: Path) -> None:
    put(tree, "kvformat/code.py", "")
    (failure,) = failures(tree)
    assert failure.startswith("spec/kvc.md:5: KVC-FILE-1 is a MUST that no code, no test and no case cites: ")


def test_a_case_is_a_citation_of_its_own_kind(tree: Path) -> None:
    put(tree, "spec/cases/read/read-one.toml", 'clauses = ["KVC-FILE-2", "KVS-SAVE-1"]')
    trace = clauses.check(tree, {})
    assert trace.failures == []
    assert {name: one.cases for name, one in trace.clauses.items()} == {
        "KVC-FILE-1": set(),
        "KVC-FILE-2": {"spec/cases/read/read-one.toml"},
        "KVS-SAVE-1": {"spec/cases/read/read-one.toml"},
    }


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("faultinject/code.py", True),
        ("examples/c/kvc.c", True),
        ("examples/c/kvc.h", True),
        ("tests/deep/test_code.py", True),
        ("spec/cases/read/read-one.toml", True),
        ("spec/cases/read/read-one.json", False),
        ("spec/cases/flags.toml", False),
        ("spec/cases/read/deep/read-one.toml", False),
        ("other/spec/cases/read/read-one.toml", False),
        ("tools/cases/header.py", False),
        ("examples/c/wrong/bad.c", False),
        ("examples/c/README.md", False),
        ("tools/gate.py", False),
        ("README.md", False),
    ],
)
def test_only_code_tests_and_cases_count(tree: Path, path: str, counts: bool) -> None:
    put(tree, "kvformat/code.py", "")
    put(tree, path, CODE)
    assert (failures(tree) == []) is counts


def test_a_second_clause_of_one_id_fails(tree: Path) -> None:
    put(tree, "spec/saving.md", "#### KVC-FILE-1 · MAY · kvc\n")
    (failure,) = failures(tree)
    assert failure.startswith("spec/saving.md:1: KVC-FILE-1 is a clause already (spec/kvc.md:5): ")


@pytest.mark.parametrize(
    "heading",
    [
        "#### Other",
        "####KVC-FILE-3 · MUST · kvc",
        "#### KVC-FILE-3 - MUST - kvc",
        "#### KVC-FILE-3 · SHALL · kvc",
        "#### KVC-FILE-3 · MUST",
        "#### KVC-FILE-3 · MUST · nobody",
        "#### KVC-FILE-03 · MUST · kvc",
        "#### KVC-FILE-3 · MUST · kvc ",
    ],
)
def test_a_heading_of_level_4_that_is_no_clause_fails(tree: Path, heading: str) -> None:
    put(tree, "spec/other.md", f"# Other\n\n{heading}\n")
    assert any("spec/other.md:3: " in failure and "heading" in failure for failure in failures(tree))


def test_a_tree_without_clauses_fails(tmp_path: Path) -> None:
    assert failures(tmp_path) == ["spec/*.md has no clause at all: run this in the repository, or repair the headings"]


def test_a_planned_clause_is_excused_until_it_is_cited(tree: Path) -> None:
    planned = {"KVC-FILE-1": "later"}
    (stale,) = failures(tree, planned)
    assert stale.startswith("PLANNED is stale: KVC-FILE-1 is cited by kvformat/code.py: ")
    put(tree, "kvformat/code.py", "")
    assert failures(tree, planned) == []


def test_planned_names_clauses_and_gives_reasons(tree: Path) -> None:
    unknown, unreasoned = failures(tree, {"KVC-FILE-9": "later", "KVC-FILE-2": " "})
    assert unknown.startswith("PLANNED has KVC-FILE-9, which is no clause: ")
    assert unreasoned.startswith("PLANNED has KVC-FILE-2 without a reason: ")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("KVC-NAME-3", [3]),
        ("(KVC-NAME-3).", [3]),
        ("KVC-NAME-3..6", [3, 4, 5, 6]),
        ("KVC-NAME-1 to KVC-NAME-3", [1, 2, 3]),
        ("KVC-NAME-1 to\n    KVC-NAME-3", [1, 2, 3]),
        ("KVC-NAME-9 to -11", [9, 10, 11]),
        ("KVC-NAME-1, -3, -8", [1, 3, 8]),
        ("KVC-NAME-1 and -3", [1, 3]),
        ("KVC-NAME-1, -3 to -5 and -8", [1, 3, 4, 5, 8]),
        ("KVC-NAME-1, KVC-NAME-3", [1, 3]),
        ("KVC-NAME-1 and 3 more", [1]),
        ("KVC-NAME-1, 2 bytes", [1]),
        ("KVC-NAME-1 to 3", [1]),
        (r"\nKVC-NAME-1\n", [1]),
        ("KVC-NAME, KVC-NAME-, KVC-NAME-<n>, kvc-name-1", []),
    ],
)
def test_runs_of_ids(text: str, numbers: list[int]) -> None:
    assert [cited for _, cited in cited_ids(text)] == [f"KVC-NAME-{number}" for number in numbers]


INVARIANT = """
#### KVS-INV-1 · MUST · kvc

All is well. Violation: `partial-visible`.
"""


def test_an_invariant_needs_a_mutant_or_a_reason(tree: Path) -> None:
    put(tree, "spec/saving.md", INVARIANT)
    put(tree, "kvformat/code.py", "KVC-FILE-1 KVS-INV-1")
    (failure,) = failures(tree)
    assert failure.startswith("spec/saving.md:2: KVS-INV-1 is an invariant that no mutant breaks, ")
    put(tree, "tests/mutants/wrong.py", 'class Wrong:\n    """Breaks KVS-INV-1."""\n')
    assert failures(tree) == []


def test_a_reason_does_not_outlive_the_first_mutant(tree: Path) -> None:
    put(tree, "spec/saving.md", INVARIANT)
    assert failures(tree, {"KVS-INV-1": "later"}) == []
    put(tree, "examples/c/wrong/bad.c", "/* Must get: partial-visible. */")
    (failure,) = failures(tree, {"KVS-INV-1": "later"})
    assert failure.startswith("PLANNED is stale: KVS-INV-1 is cited by examples/c/wrong/bad.c: ")


def test_what_a_mutant_breaks_it_does_not_test(tree: Path) -> None:
    put(tree, "tests/test_code.py", '"""Breaks KVS-SAVE-1."""\n')
    (failure,) = failures(tree)
    assert failure.startswith("spec/kvc.md:11: KVS-SAVE-1 is a MUST that no code, no test and no case cites: ")
    put(tree, "tests/test_code.py", '"""Breaks KVC-FILE-1. It is not KVS-SAVE-1."""\n')
    assert failures(tree) == []


def test_an_unknown_id_that_a_mutant_breaks_fails(tree: Path) -> None:
    put(tree, "tests/more.py", '"""Breaks KVC-FILE-1 and KVC-FILE-9."""\n')
    (failure,) = failures(tree)
    assert failure.startswith("tests/more.py:1: no clause KVC-FILE-9: ")


@pytest.fixture
def as_root(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clauses, "ROOT", tree)
    monkeypatch.setattr(clauses, "PLANNED", {})
    (tree / "docs").mkdir()
    return tree


def test_the_command_says_what_is_wrong(as_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(as_root, "spec/cases/read/read-one.toml", 'clauses = ["KVC-FILE-1"]')
    put(as_root, "examples/c/wrong/bad.c", "/* Breaks KVC-FILE-1. */")
    assert clauses.main(["--write", "--table"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "clause           level     code -> tests -> cases -> mutants",
        "KVC-FILE-1       MUST      kvformat/code.py -> - -> read-one -> bad",
        "KVC-FILE-2       SHOULD    - -> - -> - -> -",
        "KVS-SAVE-1       MUST      - -> tests/test_code.py -> - -> -",
        "3 clauses: 1 cited in code, 1 in tests, 1 in cases, 1 in none of them; 1 broken by mutants",
        "2 MUSTs: 1 cited in code, 1 in tests, 1 in cases, 0 in none of them; 1 broken by mutants",
        "1 mutants, 0 planned, 0 failures",
    ]
    put(as_root, "tests/test_code.py", "")
    assert clauses.main(["--write"]) == 1
    assert "KVS-SAVE-1 is a MUST that no code, no test and no case cites" in capsys.readouterr().out


def test_a_page_that_is_missing_or_stale_fails_until_it_is_written(
    as_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = "docs/traceability.md is stale: run `python -m tools.clauses --write`"
    assert clauses.main([]) == 1
    assert stale in capsys.readouterr().out
    assert clauses.main(["--write"]) == 0
    assert clauses.main([]) == 0
    put(as_root, "faultinject/more.py", CODE)
    assert clauses.main([]) == 1
    assert stale in capsys.readouterr().out


def test_a_failure_does_not_keep_the_page_from_being_written(as_root: Path) -> None:
    """It is a picture of what is there, so that two commands are never needed."""
    put(as_root, "README.md", "KVC-FILE-9")
    assert clauses.main(["--write"]) == 1
    assert (as_root / "docs/traceability.md").is_file()


def test_the_real_tree_passes_with_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    status = clauses.main([])
    assert status == 0, capsys.readouterr().out
