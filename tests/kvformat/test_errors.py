"""What errors say, and that they survive the way to another process: KVS-FAIL-1, KVS-FAIL-3."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat import errors
from kvformat.errors import Category, CleanupFailure, KvcError, KvformatError, Problem, SaveError, error_for

PROBLEM = Problem(Category.TRUNCATED, "payload", 77, "KVC-FILE-3", "the file has 77 bytes")


def full() -> SaveError:
    return SaveError(
        "No space left on device",
        name="entry.kv",
        operation="pwrite",
        offset=123,
        visible=None,
        cleanup_failures=(CleanupFailure("unlink", ".kvc-save-x.tmp", OSError(5, "Input/output error")),),
        left_behind=(".kvc-save-x.tmp",),
    )


@pytest.mark.parametrize("category", Category)
def test_every_category_has_its_type(category: Category) -> None:
    error = error_for(Problem(category, "field", 3, "KVC-FILE-3", "message"), "source")
    assert type(error) is not KvcError
    assert error.category is category
    assert (error.field, error.offset, error.clause) == ("field", 3, "KVC-FILE-3")
    assert str(error) == f"source: {category}: field at offset 3: message [KVC-FILE-3]"


def test_the_two_families_never_mix() -> None:
    assert not issubclass(SaveError, KvcError)
    assert not issubclass(KvcError, SaveError)
    assert issubclass(SaveError, KvformatError)
    assert issubclass(KvcError, KvformatError)
    assert not issubclass(KvformatError, OSError)


def test_a_problem_without_an_offset_and_an_error_without_a_source_say_none() -> None:
    problem = Problem(Category.IDENTITY_MISMATCH, "name", None, "KVC-NAME-1", "other")
    assert str(error_for(problem)) == "identity-mismatch: name: other [KVC-NAME-1]"


def test_a_save_error_says_what_where_why_and_what_is_left() -> None:
    """KVS-FAIL-1, KVS-FAIL-3: for people, in one line."""
    said = str(full())
    for part in (
        "entry.kv",
        "pwrite at offset 123",
        "No space left on device",
        "could not be determined",
        "left behind for the next recovery: .kvc-save-x.tmp",
        "while cleaning up: unlink '.kvc-save-x.tmp': [Errno 5] Input/output error",
    ):
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("visible", "says"), [(True, "IS visible"), (False, "nothing changed"), (None, "could not be determined")]
)
def test_each_state_of_visibility_has_words_of_its_own(visible: bool | None, says: str) -> None:
    """KVS-FAIL-1."""
    consequences = SaveError("m", name="n", operation="rename", visible=visible).consequences()
    assert says in consequences
    assert sum(words in consequences for words in ("IS visible", "nothing changed", "could not be determined")) == 1


def test_an_offset_of_0_is_an_offset() -> None:
    assert "pwrite at offset 0:" in str(SaveError("m", name="n", operation="pwrite", offset=0))
    assert "offset" not in str(SaveError("m", name="n", operation="open"))


@pytest.mark.parametrize("through", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_a_kvc_error_survives_pickling(through: Callable[[Any], Any]) -> None:
    """Verification in a pool of processes hands its errors back."""
    error = error_for(PROBLEM, "source")
    twin = through(error)
    assert type(twin) is errors.TruncatedError
    assert (twin.problem, twin.source, str(twin)) == (PROBLEM, "source", str(error))


@pytest.mark.parametrize("through", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_a_save_error_survives_pickling(through: Callable[[Any], Any]) -> None:
    """KVS-FAIL-1: its facts are for the caller, who may be another process."""
    error = full()
    twin = through(error)
    assert str(twin) == str(error)
    assert (twin.visible, twin.left_behind, twin.offset) == (None, (".kvc-save-x.tmp",), 123)


@given(st.sampled_from(Category), st.text(), st.none() | st.integers(0, 2**64), st.text(), st.text(), st.text())
def test_every_problem_says_category_field_and_clause(
    category: Category, field: str, offset: int | None, clause: str, message: str, source: str
) -> None:
    error = error_for(Problem(category, field, offset, clause, message), source)
    said = str(error)
    assert str(category) in said
    assert said.endswith(f"{message} [{clause}]")
    assert (offset is None) or f"{field} at offset {offset}" in said
