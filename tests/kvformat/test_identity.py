"""Names: KVC-NAME-1 to KVC-NAME-6."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat import identity, layout
from kvformat.testing import texts, titles
from tests.kvformat.samples import SESSION, SESSION_NAME, SESSION_TEXT_NAME


def test_worked_examples_of_the_specification() -> None:
    """KVC-NAME-1, KVC-NAME-3, KVC-TEXT-3."""
    assert identity.text_name(b"Hello, KVC") == "070cd610b0b2e1c06c0e938f2ec10811fc31fe22.kv"
    assert identity.session_name(b"Demo", 1_700_000_000) == SESSION_NAME
    assert identity.text_name(b"") == "da39a3ee5e6b4b0d3255bfef95601890afd80709.kv"
    assert identity.text_name(b"Hi \xc3") == SESSION_TEXT_NAME


@given(texts())
def test_text_name_is_sha1_in_lower_case(text: bytes) -> None:
    """KVC-NAME-1, KVC-NAME-2, KVC-TEXT-2: of the bytes as they are."""
    name = identity.text_name(text)
    assert name == hashlib.sha1(text).hexdigest() + ".kv"
    assert identity.is_entry_name(name)
    assert identity.canonical_name(name) == name


@given(st.lists(texts(max_bytes=20)))
def test_text_in_pieces(pieces: list[bytes]) -> None:
    assert identity.text_name_of(pieces) == identity.text_name(b"".join(pieces))


@given(titles(), st.integers(0, 2**64 - 1))
def test_session_name(title: bytes, created: int) -> None:
    """KVC-NAME-3: title bytes, then the creation time as it stands in the file."""
    expected = hashlib.sha1(title + created.to_bytes(8, "little")).hexdigest() + ".kv"
    assert identity.session_name(title, created) == expected


@pytest.mark.parametrize("created", [-1, 2**64])
def test_session_name_refuses_a_time_that_does_not_fit(created: int) -> None:
    with pytest.raises(ValueError, match="creation time"):
        identity.session_name(b"", created)


def test_expected_name_goes_by_bit_3() -> None:
    """KVC-HEADER-8, KVC-NAME-3."""
    session = layout.decode_header(SESSION)
    plain = layout.decode_header(SESSION[:6] + b"\x01" + SESSION[7:])
    assert identity.expected_name(session, b"Hi \xc3", b"Demo") == SESSION_NAME
    assert identity.expected_name(plain, b"Hi \xc3", None) == SESSION_TEXT_NAME
    with pytest.raises(ValueError, match="title, which is missing"):
        identity.expected_name(session, b"Hi \xc3", None)


@pytest.mark.parametrize("name", [SESSION_NAME, SESSION_NAME[:-3].upper() + ".kv", "aB" * 20 + ".kv"])
def test_hex_digits_of_either_case_are_an_entry(name: str) -> None:
    """KVC-NAME-2."""
    assert identity.is_entry_name(name)
    assert identity.canonical_name(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".kv",
        SESSION_NAME[1:],
        "0" + SESSION_NAME,
        SESSION_NAME[:-3] + ".KV",
        SESSION_NAME[:-3].upper() + ".KV",
        SESSION_NAME + "\n",
        SESSION_NAME + ".tmp.1",
        "g" + SESSION_NAME[1:],
        "\u0661" + SESSION_NAME[1:],
        "\uff41" + SESSION_NAME[1:],
        "/" + SESSION_NAME[1:],
        "sysprompt.kv",
    ],
)
def test_other_names_are_no_digest_names(name: str) -> None:
    """KVC-NAME-2, KVC-NAME-4, KVC-NAME-5."""
    assert not identity.is_entry_name(name)
    assert identity.canonical_name(name) == name


def test_the_fixed_name() -> None:
    """KVC-NAME-4."""
    assert identity.FIXED_NAMES == ("sysprompt.kv",)
