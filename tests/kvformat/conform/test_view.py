"""Views compared, by path."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat.conform.view import DIFFERENCES_MAX, differences

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
VIEWS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


@given(VIEWS)
def test_a_view_is_as_itself(view: dict[str, Any]) -> None:
    assert not differences(view, copy.deepcopy(view))


@given(VIEWS, st.text(min_size=4, max_size=5), VALUES)
def test_a_key_that_only_the_answer_has_is_no_difference(view: dict[str, Any], key: str, value: Any) -> None:
    got = {**view, key: value}
    assert not differences(view, got)
    assert differences(got, view)


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        ({"a": "1"}, {"a": 1}, 'a: 1, expected "1"'),
        ({"a": 1}, {"a": True}, "a: true, expected 1"),
        ({"a": 1}, {"a": 1.0}, "a: 1.0, expected 1"),
        ({"a": None}, {}, "a: missing, expected null"),
        ({"a": None}, {"a": ""}, 'a: "", expected null'),
        ({"a": {"b": ["x"]}}, {"a": {"b": ["y"]}}, 'a.b[0]: "y", expected "x"'),
        ({"a": []}, {"a": ["y"]}, 'a: 1 elements, expected 0: [], got ["y"]'),
        ({"a": {}}, {"a": []}, "a: [], expected {}"),
    ],
)
def test_a_difference_is_told_by_its_path(expected: dict[str, Any], got: dict[str, Any], said: str) -> None:
    assert differences(expected, got) == [said]


def test_not_every_difference_of_thousands_is_told() -> None:
    expected = {"a": [str(number) for number in range(5000)]}
    found = differences(expected, {"a": ["" for _ in range(5000)]})
    assert len(found) == DIFFERENCES_MAX + 1
    assert found[-1] == "and more"
