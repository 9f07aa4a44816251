"""What is an answer, and what is none; the parser and the published schema agree."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat.conform.adapter import answer
from kvformat.conform.answer import Accept, GarbageError, Reject, parse_answer, parse_claims, read_object
from kvformat.conform.question import Question
from tests.kvformat.cli_runner import schema, validator

WORDS = st.sampled_from(["accept", "reject", "unsupported", "error", "", "Accept"]) | st.none()
VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(0, 2) | st.text(max_size=2) | st.just({}) | st.just([])
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "seq": st.just(1) | VALUES,
        "result": WORDS | VALUES,
        "view": VALUES,
        "category": VALUES,
        "field": VALUES,
        "message": VALUES,
        "reason": VALUES,
        "more": VALUES,
    },
)
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "implementation": VALUES,
        "operations": st.lists(VALUES, max_size=2) | VALUES,
        "profiles": st.lists(VALUES, max_size=2) | VALUES,
        "behaviours": st.dictionaries(st.text(max_size=2), VALUES, max_size=2) | VALUES,
        "version": VALUES,
        "language": VALUES,
    },
)


def definition(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema("conform-protocol")["$defs"]})


@given(ANSWERS)
def test_the_parser_takes_what_the_schema_takes(message: dict[str, Any]) -> None:
    valid = definition("answer").is_valid(message) and message["seq"] == 1
    try:
        parse_answer(message, 1, needs_view=False)
    except GarbageError:
        assert not valid
    else:
        assert valid


@given(CLAIMS)
def test_claims_too(message: dict[str, Any]) -> None:
    valid = definition("claims").is_valid(message)
    try:
        parse_claims(message)
    except GarbageError:
        assert not valid
    else:
        assert valid


def test_the_schema_of_the_protocol_has_our_messages() -> None:
    question = Question("read", "/nowhere/input", "auto", "a%FF")
    messages = [
        {"cmd": "start", "protocol": 1, "suite": "1.0"},
        {"cmd": "run", "seq": 1, **question.message()},
        {"cmd": "stop"},
        answer({"cmd": "start"}),
        answer({"cmd": "run", "seq": 1, **question.message()}),
    ]
    for message in messages:
        validator("conform-protocol").validate(message)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b"[" * 100_000, "no JSON"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b'{"a": "\xff"}', "utf-8"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "no JSON"),
        (b"\x1b[2J" * 100, "\\x1b[2J"),
    ],
)
def test_what_is_no_object_is_told(data: bytes, said: str) -> None:
    with pytest.raises(GarbageError) as caught:
        read_object(data)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_answers_are_values() -> None:
    assert parse_answer(json.loads('{"seq": 7, "result": "accept", "view": {}}'), 7, needs_view=True) == Accept({})
    rejected = parse_answer({"seq": 7, "result": "reject", "category": "limit"}, 7, needs_view=True)
    assert rejected == Reject("limit")
    with pytest.raises(GarbageError, match="seq is true"):
        parse_answer({"seq": True, "result": "reject"}, 1, needs_view=True)
