"""Lengths of text and payload at the ends of what they may be, and sums of them that overflow (chapter 5)."""

from __future__ import annotations

from dataclasses import replace

from tools.cases.case import Cases, Ids
from tools.cases.kvc import PLAIN, SIZE_MAX, File
from tools.cases.reading import PAYLOAD_CUT, SUM, TEXT_CUT, TEXT_NAME, accept, hostile, reject

LENGTHS_BYTES = 52 + 10
"""Fixed part and text of the plain file."""


def cases() -> Cases:
    """All of the family."""
    yield from _payload_bytes()
    yield from _text_bytes()
    yield from _sums()
    yield from _sizes()


def _payload_bytes() -> Cases:
    """Step 7 looks at the sum, step 8 at the file."""
    for value in (5, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 4, 2**40, 2**62, 2**63 - 1 - LENGTHS_BYTES):
        comment = f"The payload claims {value} bytes, the file has 4 of it."
        flags = ("hostile-length",)
        yield hostile(
            f"payload-bytes-{value}", File(payload_bytes=value), PAYLOAD_CUT, flags, comment, also=("KVC-LIMIT-1",)
        )
    for value in (
        SIZE_MAX - LENGTHS_BYTES + 1,
        2**63 - 1,
        2**63,
        2**63 + 4,
        2**64 - 66,
        2**64 - 62,
        2**64 - 58,
        2**64 - 1,
    ):
        comment = f"The payload claims {value} bytes: the sum of the lengths is over 2^63-1."
        yield hostile(
            f"payload-bytes-{value}",
            File(payload_bytes=value),
            SUM,
            ("hostile-length", "sum-overflow"),
            comment,
            also=("KVC-LIMIT-2",),
        )
    one = File(payload=b"\0")
    yield accept("payload-bytes-1", one, ("KVC-PAYLOAD-1",), ("boundary-value",), "A payload of one byte.")
    comment = "The payload claims no bytes: the four that stand there are behind the last section."
    none = replace(PLAIN, payload=b"", behind=PLAIN.payload)
    yield accept("payload-bytes-0", none, ("KVC-PAYLOAD-2", "KVC-FILE-5"), ("stripped",), comment)
    less = replace(PLAIN, payload=PLAIN.payload[:3], behind=PLAIN.payload[3:])
    comment = "The payload claims three bytes of four: the last one is behind the last section."
    yield accept("payload-bytes-3", less, ("KVC-PAYLOAD-1", "KVC-FILE-5"), ("trailing-bytes",), comment)


def _text_bytes() -> Cases:
    for value in (15, 255, 65_536, 2**31 - 1, 2**31, 2**32 - 56, 2**32 - 52, 2**32 - 42, 2**32 - 1):
        comment = f"The text claims {value} bytes, more than the file has."
        yield hostile(
            f"text-bytes-{value}",
            File(text_bytes=value),
            TEXT_CUT,
            ("hostile-length",),
            comment,
            also=("KVC-TEXT-1", "KVC-LIMIT-1"),
        )
    for value in (11, 14):
        comment = f"The text claims {value} bytes of the 14 that the file has for text and payload."
        file = File(text_bytes=value)
        yield reject(f"text-bytes-{value}", file, PAYLOAD_CUT, ("hostile-length",), comment, also=("KVC-TEXT-1",))
    shifted = File(text=b"Hello, KV", payload=b"C\xde\xad\xbe", behind=b"\xef")
    comment = "The text claims one byte less: what is read as text is another text."
    flags = ("hostile-length", "wrong-name")
    yield reject("text-bytes-9", shifted, TEXT_NAME, flags, comment, name=PLAIN.name, also=("KVC-TEXT-1",))
    comment = "The text claims no bytes, the name is that of a text."
    none = File(text=b"", payload=b"Hell", behind=b"o, KVC\xde\xad\xbe\xef")
    yield reject("text-bytes-0-name-of-text", none, TEXT_NAME, flags, comment, name=PLAIN.name)


def _sums() -> Cases:
    """Sums that wrap to what the file has, in 32 or 64 bits, signed or unsigned (KVC-LIMIT-2)."""
    for slug, text_bytes, payload_bytes, said in (
        ("u32-to-size", 2**32 - 42, 56, "wraps in 32 bits to the size of the file"),
        ("u32-to-52", 2**32 - 4, 4, "wraps in 32 bits to 52"),
        ("u32-text-and-head", 2**32 - 52, 66, "has 52 + text wrap in 32 bits to 0"),
        ("i32-negative-text", 2**32 - 10, 24, "has a text that is negative in 32 bits, signed"),
    ):
        file = File(text_bytes=text_bytes, payload_bytes=payload_bytes)
        flags: Ids = ("hostile-length", "sum-overflow")
        comment = f"A sum that {said}."
        yield hostile(f"sum-{slug}", file, TEXT_CUT, flags, comment, also=("KVC-LIMIT-2",))
    for slug, text_bytes, payload_bytes, said in (
        ("u64-to-0", 10, 2**64 - 62, "wraps in 64 bits to 0"),
        ("u64-to-52", 10, 2**64 - 10, "wraps in 64 bits to 52"),
        ("u64-to-size", 2**32 - 1, 2**64 - 2**32 + 15, "wraps in 64 bits to the size of the file"),
        ("i64-negative-payload", 20, 2**64 - 6, "has a payload that is negative in 64 bits, signed"),
        ("over-by-one", 2**32 - 1, SIZE_MAX - 52 - (2**32 - 1) + 1, "is 2^63, with the longest text"),
        ("both-largest", 2**32 - 1, 2**64 - 1, "has both lengths at their largest"),
    ):
        file = File(text_bytes=text_bytes, payload_bytes=payload_bytes)
        flags = ("hostile-length", "sum-overflow")
        comment = f"A sum that {said}."
        yield hostile(f"sum-{slug}", file, SUM, flags, comment, also=("KVC-LIMIT-2",))
    largest = File(text_bytes=2**32 - 1, payload_bytes=SIZE_MAX - 52 - (2**32 - 1))
    comment = "A sum of exactly 2^63-1, with the longest text: no such file is here, but one could be."
    yield hostile("sum-largest", largest, TEXT_CUT, ("hostile-length", "boundary-value"), comment, also=("KVC-FILE-4",))


def _sizes() -> Cases:
    """The smallest files of each kind."""
    smallest = File(text=b"", payload=b"", title=b"")
    comment = "The smallest session: no text, no payload, an empty title."
    clauses = ("KVC-FILE-3", "KVC-TITLE-1", "KVC-TEXT-1", "KVC-PAYLOAD-2")
    yield accept("smallest-session", smallest, clauses, ("boundary-value", "empty-text"), comment)
    bare = File(text=b"", payload=b"")
    comment = "52 bytes: no text, no payload, no section. No writer stores it, every reader takes it."
    yield accept("smallest-52", bare, ("KVC-FILE-3", "KVC-PAYLOAD-2"), ("boundary-value", "stripped"), comment)
