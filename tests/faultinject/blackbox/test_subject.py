"""What is audited, as a report tells it, and back."""

from __future__ import annotations

import json
import threading
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.subject import Audited, AuditedStart, Format, Start
from faultinject.faults import SIGNALS

_BYTES = st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
_WORDS = st.lists(_BYTES, min_size=1, max_size=4).map(tuple)

AUDITED = st.builds(
    Audited,
    _WORDS,
    st.none() | _WORDS,
    st.none() | _WORDS,
    st.sampled_from(Format),
    _BYTES,
    st.lists(st.sampled_from(SIGNALS), unique=True).map(tuple),
    st.lists(_BYTES, max_size=2).map(tuple),
    st.none() | _BYTES,
    _BYTES,
    st.none() | _BYTES,
    st.floats(0, threading.TIMEOUT_MAX, exclude_min=True) | st.integers(1, 1000),
)

PLAIN = AuditedStart(Audited(("./writer", "{dir}")), Start.EMPTY)


@given(AUDITED, st.sampled_from(Start))
def test_a_description_can_be_read_back_from_json(audited: Audited, start: Start) -> None:
    described = AuditedStart(audited, start)
    assert AuditedStart.described(json.loads(json.dumps(described.description()))) == described


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start", "nowhere"),
        ("argv", []),
        ("argv", "./writer {dir}"),
        ("argv", ["./writer", 7]),
        ("argv", ["./writer\0"]),
        ("argv", ["\ud800"]),
        ("argv", None),
        ("recover", []),
        ("check", "sh"),
        ("format", "xml"),
        ("acknowledgement", None),
        ("signals", ["SIGKILL"]),
        ("signals", None),
        ("directories", "/"),
        ("given", 3),
        ("directory", None),
        ("stdin", ["x"]),
        ("timeout_seconds", 0),
        ("timeout_seconds", float("nan")),
        ("timeout_seconds", float("inf")),
        ("timeout_seconds", 10**30),
        ("timeout_seconds", True),
        ("timeout_seconds", "60"),
        ("content_limit_bytes", 0),
        ("content_limit_bytes", -1),
        ("content_limit_bytes", 1.5),
        ("content_limit_bytes", True),
        ("content_limit_bytes", "all"),
    ],
)
def test_what_nobody_has_described_is_refused(name: str, value: Any) -> None:
    target = {**json.loads(json.dumps(PLAIN.description())), name: value}
    with pytest.raises((TypeError, ValueError)):
        AuditedStart.described(target)


@pytest.mark.parametrize("name", sorted(PLAIN.description()))
def test_nothing_may_be_missing(name: str) -> None:
    target = deepcopy(PLAIN.description())
    del target[name]
    with pytest.raises(KeyError):
        AuditedStart.described(target)
