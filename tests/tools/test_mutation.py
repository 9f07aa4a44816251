"""The mutation tool notices what tests notice, and says what they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import mutation

ROOT = Path(__file__).resolve().parents[2]

SOURCE = "def double(number: int | None = 2) -> int | None:\n    return number * 2\n"


def test_annotations_are_not_mutated() -> None:
    changed = [mutation.mutated(SOURCE, mutant) for mutant in mutation.mutants(SOURCE)]
    assert changed
    assert all(one.count("int | None") == 2 for one in changed)
    assert any("number + 2" in one for one in changed)


def test_a_sample_is_the_same_for_a_seed_and_has_one_mutant_of_each_site() -> None:
    found = mutation.mutants((ROOT / "kvformat/transfer.py").read_text(encoding="utf-8"))
    drawn = mutation.chosen(found, 1, None)
    assert drawn == mutation.chosen(found, 1, None)
    assert {one.site for one in drawn} == {one.site for one in found}
    assert len({one.site for one in drawn}) == len(drawn)
    assert len(mutation.chosen(found, 1, 5)) == 5


def test_a_mutant_that_changes_nothing_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="changes nothing"):
        mutation.mutated(SOURCE, mutation.Mutant("core/AddNot", 99, (1, 0), (1, 1)))


def test_a_change_is_known_again_when_lines_move() -> None:
    one = mutation.difference("a.py", "x = 1\n", "x = 2\n")
    other = mutation.difference("a.py", "\n\nx = 1\n", "\n\nx = 2\n")
    assert mutation.change(one) == mutation.change(other) == "a.py\n- x = 1\n+ x = 2"


def test_a_stated_equivalence_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "equivalent.toml"
    path.write_text('[[mutant]]\nchange = "a.py"\nwhy = " "\n', encoding="utf-8")
    with pytest.raises(ValueError, match="no reason"):
        mutation.stated(path)
    assert isinstance(mutation.stated(), dict)


def test_every_target_exists() -> None:
    for target in mutation.TARGETS:
        assert all((ROOT / path).is_file() for path in (target.path, *target.tests))


@pytest.mark.slow
def test_tests_that_look_kill_mutants_and_tests_that_do_not_let_them_survive() -> None:
    looking = mutation.Target("kvformat/identity.py", ("tests/kvformat/test_identity.py",))
    score = mutation.test(looking, seed=0, sample=4, equivalent={})
    assert score.outcomes.total() == 4
    assert score.outcomes[mutation.KILLED] > 0
    blind = mutation.Target("kvformat/eviction.py", ("tests/kvformat/test_identity.py",))
    score = mutation.test(blind, seed=0, sample=2, equivalent={})
    assert score.outcomes[mutation.SURVIVED] == 2 == len(score.diffs)
    again = {mutation.change(score.diffs[0]): "a reason"}
    assert mutation.test(blind, seed=0, sample=2, equivalent=again).outcomes[mutation.EQUAL] >= 1
