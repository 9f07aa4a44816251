"""The traceability gate fails where it should, on trees made for it, and passes on the real one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

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


@pytest.fixture(scope="module")
def clauses() -> ModuleType:
    spec = importlib.util.spec_from_file_location("clauses", ROOT / "tools" / "clauses.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["clauses"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


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


def failures(clauses: ModuleType, root: Path, planned: dict[str, str] | None = None) -> list[str]:
    found = clauses.check(root, planned or {}).failures
    assert isinstance(found, list)
    return found


def test_a_good_tree_passes(clauses: ModuleType, tree: Path) -> None:
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
        "examples/c/wrong/bad.c",
        "tests/more.py",
        "tools/more.py",
        "README.md",
        "spec/more.md",
        "spec/cases/read/read-one.toml",
        "spec/cases/flags.toml",
    ],
)
def test_an_unknown_id_fails_wherever_it_is_cited(clauses: ModuleType, tree: Path, path: str) -> None:
    put(tree, path, "\nsee KVC-FILE-9\n")
    (failure,) = failures(clauses, tree)
    assert failure.startswith(f"{path}:2: no clause KVC-FILE-9: ")


@pytest.mark.parametrize("cited", ["KVC-FILE-01", "KVC-FILE-1a", "KVC-FILE-1..3", "KVS-SAVE-1, -2"])
def test_an_id_must_be_exact(clauses: ModuleType, tree: Path, cited: str) -> None:
    put(tree, "README.md", cited)
    assert len(failures(clauses, tree)) == 1


@pytest.mark.parametrize("path", ["tools/clauses.py", "tests/tools/test_clauses.py", "build/x.py", ".cache/x.py"])
def test_what_is_no_source_is_not_scanned(clauses: ModuleType, tree: Path, path: str) -> None:
    put(tree, path, "KVC-FILE-9")
    assert failures(clauses, tree) == []


def test_a_must_that_nobody_cites_fails(clauses: ModuleType, tree: Path) -> None:
    put(tree, "kvformat/code.py", "")
    (failure,) = failures(clauses, tree)
    assert failure.startswith("spec/kvc.md:5: KVC-FILE-1 is a MUST that no code, no test and no case cites: ")


def test_a_case_is_a_citation_of_its_own_kind(clauses: ModuleType, tree: Path) -> None:
    put(tree, "spec/cases/read/read-one.toml", 'clauses = ["KVC-FILE-2", "KVS-SAVE-1"]')
    trace = clauses.check(tree, {})
    assert trace.failures == []
    assert {name: one.cases for name, one in trace.clauses.items()} == {
        "KVC-FILE-1": set(),
        "KVC-FILE-2": {"read-one"},
        "KVS-SAVE-1": {"read-one"},
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
def test_only_code_tests_and_cases_count(clauses: ModuleType, tree: Path, path: str, counts: bool) -> None:
    put(tree, "kvformat/code.py", "")
    put(tree, path, CODE)
    assert (failures(clauses, tree) == []) is counts


def test_a_second_clause_of_one_id_fails(clauses: ModuleType, tree: Path) -> None:
    put(tree, "spec/saving.md", "#### KVC-FILE-1 · MAY · kvc\n")
    (failure,) = failures(clauses, tree)
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
def test_a_heading_of_level_4_that_is_no_clause_fails(clauses: ModuleType, tree: Path, heading: str) -> None:
    put(tree, "spec/other.md", f"# Other\n\n{heading}\n")
    assert any("spec/other.md:3: " in failure and "heading" in failure for failure in failures(clauses, tree))


def test_a_tree_without_clauses_fails(clauses: ModuleType, tmp_path: Path) -> None:
    assert failures(clauses, tmp_path) == [
        "spec/*.md has no clause at all: run this in the repository, or repair the headings"
    ]


def test_a_planned_clause_is_excused_until_it_is_cited(clauses: ModuleType, tree: Path) -> None:
    planned = {"KVC-FILE-1": "later"}
    (stale,) = failures(clauses, tree, planned)
    assert stale.startswith("PLANNED is stale: KVC-FILE-1 is cited by kvformat/code.py: ")
    put(tree, "kvformat/code.py", "")
    assert failures(clauses, tree, planned) == []


def test_planned_names_clauses_and_gives_reasons(clauses: ModuleType, tree: Path) -> None:
    unknown, unreasoned = failures(clauses, tree, {"KVC-FILE-9": "later", "KVC-FILE-2": " "})
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
def test_runs_of_ids(clauses: ModuleType, text: str, numbers: list[int]) -> None:
    assert [cited for _, cited in clauses.cited_ids(text)] == [f"KVC-NAME-{number}" for number in numbers]


def test_the_command_says_what_is_wrong(
    clauses: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clauses, "ROOT", tree)
    monkeypatch.setattr(clauses, "PLANNED", {})
    put(tree, "spec/cases/read/read-one.toml", 'clauses = ["KVC-FILE-1"]')
    assert clauses.main(["--table"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "clause           level     code -> tests -> cases",
        "KVC-FILE-1       MUST      kvformat/code.py -> - -> read-one",
        "KVC-FILE-2       SHOULD    - -> - -> -",
        "KVS-SAVE-1       MUST      - -> tests/test_code.py -> -",
        "3 clauses: 1 cited in code, 1 in tests, 1 in cases, 1 in none of them",
        "2 MUSTs: 1 cited in code, 1 in tests, 1 in cases, 0 in none of them",
        "0 planned, 0 failures",
    ]
    put(tree, "tests/test_code.py", "")
    assert clauses.main([]) == 1
    assert "KVS-SAVE-1 is a MUST that no code, no test and no case cites" in capsys.readouterr().out


def test_the_real_tree_passes(clauses: ModuleType) -> None:
    assert failures(clauses, ROOT, clauses.PLANNED) == []
