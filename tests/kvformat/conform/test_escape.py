"""Names as text: every name of bytes has one, and comes back from it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvformat.conform.escape import escape, unescape


@given(st.binary())
@example(b"%")
@example(b"\n\xff\0")
def test_a_name_comes_back(name: bytes) -> None:
    text = escape(name)
    assert unescape(text) == name
    assert text.isascii()
    assert text.isprintable() or not text


def test_only_what_must_be_is_escaped() -> None:
    assert escape(b"a b%\x7f~") == "a b%25%7F~"
    assert unescape("%e4%C4") == b"\xe4\xc4"


@pytest.mark.parametrize("text", ["%", "%1", "%GG", "ä", "\n", "\x7f", "a%\n1", "%25\n"])
def test_what_is_no_escaped_name_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no escaped name"):
        unescape(text)
