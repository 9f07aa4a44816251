"""Texts that are no text to everybody: bytes are compared and hashed as they are (KVC-TEXT)."""

from __future__ import annotations

import unicodedata

from tools.cases.case import Cases
from tools.cases.kvc import File, text_name
from tools.cases.reading import TEXT_NAME, accept, reject

TEXTS = (
    ("utf8", "Grüße, 世界 🦙".encode(), "is UTF-8 of one to four bytes a character"),
    ("cut-2", "Hi é".encode()[:-1], "ends inside a character of two bytes"),
    ("cut-3", "Hi 世".encode()[:-1], "ends inside a character of three bytes"),
    ("cut-4", "Hi 🦙".encode()[:-3], "ends with the first byte of a character of four"),
    ("starts-inside", b"\xb8\x96 Hi", "starts inside a character"),
    ("continuation", b"a\x80b", "has a continuation byte alone"),
    ("overlong", b"a\xc0\x80b", "has an overlong zero"),
    ("surrogate", b"a\xed\xa0\x80b", "has a surrogate"),
    ("beyond-unicode", b"a\xf5\x80\x80\x80b", "has a character beyond Unicode"),
    ("ff", b"\xff\xfe\xff", "is of bytes that UTF-8 never has"),
    ("bom", b"\xef\xbb\xbfHi", "starts with a byte order mark"),
    ("nul", b"a\0b\0", "has zeros, one at its end"),
    ("only-nul", b"\0", "is one zero"),
    ("zeros", bytes(64), "is 64 zeros"),
    ("controls", bytes(range(32)) + b"\x7f", "has every control character"),
    ("escape", b"\x1b]0;title\x07\x1b[2J\x1b[31mred", "would steer a terminal"),
    ("bidi", "safe\u202etxt.exe".encode(), "changes the direction of writing"),
    ("crlf", b"a\r\nb\rc\n", "has line ends of every kind"),
    ("blank", b" \t\n ", "is white space"),
    ("trailing-newline", b"Hello, KVC\n", "ends with a newline"),
    ("all-bytes", bytes(range(256)), "has every byte value"),
    ("nfd", unicodedata.normalize("NFD", "é").encode(), "is not normalised"),
    ("long", b"abcdefghij" * 7000, "has 70,000 bytes"),
    ("json", b'{"a": "\\u0000"}', "looks like JSON"),
    ("percent", b"%00%s%n", "has percent signs"),
)

OTHERS = (
    ("utf8-replaced", "Hi é".encode()[:-1], "Hi \ufffd".encode(), "in which the cut character is replaced"),
    ("completed", "Hi é".encode()[:-1], "Hi é".encode(), "in which the cut character is completed"),
    ("dropped", b"a\x80b", b"ab", "from which the invalid byte is dropped"),
    ("normalised", unicodedata.normalize("NFD", "é").encode(), "é".encode(), "in another normal form"),
    ("bom-dropped", b"\xef\xbb\xbfHi", b"Hi", "without the byte order mark"),
    ("nul-ends", b"a\0b\0", b"a", "up to the first zero"),
    ("nul-stripped", b"a\0b\0", b"a\0b", "without the zero at its end"),
    ("newline-stripped", b"Hello, KVC\n", b"Hello, KVC", "without the newline at its end"),
    ("crlf-folded", b"a\r\nb", b"a\nb", "with other line ends"),
    ("case-folded", b"Hello, KVC", b"hello, kvc", "in lower case"),
    ("with-length", b"Hi", b"\2\0\0\0Hi", "with its byte count"),
)


def cases() -> Cases:
    """All of the family."""
    for slug, text, said in TEXTS:
        clauses = ("KVC-TEXT-2", "KVC-TEXT-1", "KVC-NAME-1")
        yield accept(f"text-{slug}", File(text=text), clauses, ("text-bytes",), f"A text that {said}.")
    for slug, text, hashed, said in OTHERS:
        comment = f"The name is that of a text {said}."
        yield reject(
            f"text-name-{slug}",
            File(text=text),
            TEXT_NAME,
            ("text-bytes", "wrong-name"),
            comment,
            name=text_name(hashed),
            also=("KVC-TEXT-2",),
        )
    empty = File(text=b"")
    flags = ("empty-text",)
    yield accept("text-empty", empty, ("KVC-TEXT-3", "KVC-NAME-1"), flags, "The text is empty.")
    session = File(text=b"", title=b"Demo")
    yield accept("text-empty-session", session, ("KVC-TEXT-3",), flags, "The text of a session is empty.")
    large = File(text=bytes(1024 * 1024), payload=bytes(4))
    comment = "A text of 1 MiB, a hole of the file: larger than one read takes."
    yield accept(
        "text-1-mib",
        large,
        ("KVC-TEXT-1",),
        ("text-bytes", "huge-file"),
        comment,
        data=large.head,
        extend_to_bytes=len(large.data),
    )
