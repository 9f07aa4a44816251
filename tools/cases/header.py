"""The fixed part: every byte flipped, and every field at the ends of what it may hold."""

from __future__ import annotations

from dataclasses import replace

from tools.cases.case import Broken, Cases, Ids
from tools.cases.kvc import NUMBERS, PLAIN, File, text_name
from tools.cases.reading import (
    AUTO_PROFILE,
    MAGIC,
    PAYLOAD_CUT,
    QUANTISATION,
    SESSION_NAME,
    SUM,
    TEXT_CUT,
    TOKENS,
    VERSION,
    accept,
    reject,
)

CLAUSE_OF_FIELD = {
    "reason": "KVC-HEADER-4",
    "flags": "KVC-HEADER-5",
    "byte7": "KVC-HEADER-9",
    "tokens": "KVC-HEADER-10",
    "hits": "KVC-HEADER-11",
    "context_tokens": "KVC-HEADER-12",
    "created": "KVC-HEADER-15",
    "last_used": "KVC-HEADER-16",
}
"""The fields of which a reader takes every value (tokens: but 0), under `auto`."""

CREATED_BYTES_DIFFER = 0x0102030405060708
"""A creation time that reads otherwise backwards."""


def cases() -> Cases:
    """All of the family."""
    for offset in range(52):
        for mask in (0x01, 0x80):
            yield from _flipped(offset, mask)
    yield from _magic_and_version()
    yield from _values()
    yield from _flags()
    yield from _byte_order()


def _flipped(offset: int, mask: int) -> Cases:
    """One bit of the byte at `offset`: the lowest or the highest."""
    slug = f"byte-{offset:02}-flip-{mask:02x}"
    comment = f"Bit {mask.bit_length() - 1} of the byte at offset {offset} is flipped."
    broken = _rejected_flip(offset, mask)
    if broken is not None:
        data = bytearray(PLAIN.data)
        data[offset] ^= mask
        flags = ("flipped-bit",)
        yield reject(slug, bytes(data), broken, flags, comment, name=PLAIN.name)
        return
    if 21 <= offset < 24:
        reserved = bytes(mask if place == offset else 0 for place in range(21, 24))
        file = replace(PLAIN, reserved=reserved)
        yield accept(slug, file, ("KVC-HEADER-14",), ("flipped-bit", "reserved-bytes"), comment)
        return
    for field, (start, size) in NUMBERS.items():
        if start <= offset < start + size:
            file = PLAIN.holding(field, PLAIN.number(field) ^ mask << 8 * (offset - start))
            clauses: Ids = (CLAUSE_OF_FIELD[field],)
            if (field, mask) == ("flags", 0x01):
                clauses = ("KVC-HEADER-6", "KVC-TOOLMAP-6")
            yield accept(slug, file, clauses, ("flipped-bit", "tolerated-value"), comment)


def _rejected_flip(offset: int, mask: int) -> Broken | None:
    """Why the flip is damage, None where every value of the byte is taken."""
    if offset < 3:
        return MAGIC
    if 40 <= offset < 48:
        # Bit 63 of the payload byte count makes a sum that is no file size; any other one a longer payload.
        return SUM if (offset, mask) == (47, 0x80) else PAYLOAD_CUT
    if offset >= 48:
        # One more byte of text leaves the text complete and the payload one byte short.
        return PAYLOAD_CUT if (offset, mask) == (48, 0x01) else TEXT_CUT
    return {3: VERSION, 4: QUANTISATION, 20: AUTO_PROFILE}.get(offset)


def _magic_and_version() -> Cases:
    for slug, magic, said in (
        ("lower-case", b"kvc", "in lower case"),
        ("mixed-case", b"Kvc", "with one capital"),
        ("reversed", b"CVK", "backwards"),
        ("kvd", b"KVD", "KVD"),
        ("ktm", b"KTM", "that of a tool map"),
        ("shifted", b"\0KV", "one byte late"),
    ):
        yield reject(f"magic-{slug}", File(magic=magic), MAGIC, ("wrong-magic",), f"The magic is {said}.")
    zeros = bytes(len(PLAIN.data))
    yield reject("magic-file-of-zeros", zeros, MAGIC, ("wrong-magic",), "A file of zeros.", name=PLAIN.name)
    hole = bytes(48) + PLAIN.data[48:]
    comment = "The header is zeros and the rest is there: what an unfinished backpatch leaves."
    yield reject("magic-header-of-zeros", hole, MAGIC, ("wrong-magic",), comment, name=PLAIN.name)
    ones = b"\xff" * 66
    yield reject("magic-file-of-ones", ones, MAGIC, ("wrong-magic",), "Every bit is set.", name=PLAIN.name)
    payload = b"DSV4" + bytes(62)
    comment = "The file starts with the magic of a payload."
    yield reject("magic-payload-alone", payload, MAGIC, ("wrong-magic",), comment, name=PLAIN.name)
    for version in (0, 2, 49, 255):
        comment = f"The version is {version}."
        yield reject(f"version-{version}", File(version=version), VERSION, ("wrong-version",), comment)
    unread = File(version=2, quantisation_bits=9, tokens=0, byte20=9, payload_bytes=2**64 - 1, text_bytes=2**32 - 1)
    comment = "Behind version 2 nothing is interpreted, though it all looks wrong."
    yield reject("version-2-and-nonsense", unread, VERSION, ("wrong-version", "order-of-checks"), comment)


def _values() -> Cases:
    for bits in (0, 1, 3, 5, 6, 8, 16, 32, 255):
        file = File(quantisation_bits=bits)
        comment = f"{bits} bits of quantisation."
        yield reject(f"quantisation-{bits}", file, QUANTISATION, ("invalid-field",), comment)
    yield accept(
        "quantisation-2", File(quantisation_bits=2), ("KVC-HEADER-3",), ("boundary-value",), "2 bits of quantisation."
    )
    yield reject("tokens-0", File(tokens=0), TOKENS, ("invalid-field",), "An entry of no tokens.")
    crowded = File(tokens=0, byte7=255, hits=2**32 - 1, context_tokens=2**32 - 1)
    comment = "An entry of no tokens, and no zero beside that number."
    yield reject("tokens-0-neighbours", crowded, TOKENS, ("invalid-field", "boundary-value"), comment)
    stripped = File(tokens=0, title=b"Demo", payload=b"")
    comment = "An entry of no tokens, stripped of its payload."
    yield reject("tokens-0-stripped", stripped, TOKENS, ("invalid-field", "stripped"), comment)
    u32_values = (1, 255, 256, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
    u64_values = (0, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
    for field, values in (
        ("reason", (0, 2, 3, 4, 5, 6, 7, 8, 255)),
        ("byte7", (1, 255)),
        ("tokens", u32_values),
        ("hits", (1, 2**31, 2**32 - 1)),
        ("context_tokens", (0, 1, 2**31, 2**32 - 1)),
        ("created", u64_values),
        ("last_used", u64_values),
    ):
        for value in values:
            flags = ("tolerated-value",) if field in ("reason", "byte7") else ("boundary-value",)
            comment = f"header.{field} is {value}."
            slug = f"{field.replace('_', '-')}-{value}"
            yield accept(slug, PLAIN.holding(field, value), (CLAUSE_OF_FIELD[field],), flags, comment)
    for value in (1, 4, 255):
        yield reject(
            f"byte20-{value}-auto", File(byte20=value), AUTO_PROFILE, ("profile",), f"Byte 20 is {value} under auto."
        )
    yield accept(
        "reserved-all-ones",
        File(reserved=b"\xff\xff\xff"),
        ("KVC-HEADER-14",),
        ("reserved-bytes",),
        "Bytes 21 to 23 are ff.",
    )
    yield accept(
        "last-used-before-created",
        File(last_used=1),
        ("KVC-HEADER-16",),
        ("tolerated-value",),
        "The last use lies before the creation.",
    )
    yield accept(
        "tokens-over-context",
        File(tokens=5000, context_tokens=100),
        ("KVC-HEADER-10", "KVC-HEADER-12"),
        ("tolerated-value",),
        "More tokens than the context holds: no relation is required.",
    )


def _flags() -> Cases:
    for bits, clause, said in (
        (2, "KVC-HEADER-7", "responses-visible key"),
        (4, "KVC-HEADER-7", "thinking-visible key"),
        (6, "KVC-HEADER-7", "both visible keys"),
        (16, "KVC-HEADER-5", "bit 4"),
        (32, "KVC-HEADER-5", "bit 5"),
        (64, "KVC-HEADER-5", "bit 6"),
        (240, "KVC-HEADER-5", "bits 4 to 7"),
        (246, "KVC-HEADER-5", "every bit that appends no known section"),
    ):
        flags = ("unknown-flags",) if bits & 240 else ("tolerated-value",)
        comment = f"The flags are {bits}: {said}."
        yield accept(f"flags-{bits}", File(flags=bits), (clause,), flags, comment)
    for bits in (7, 15, 247, 255):
        session = bits & 8
        file = File(flags=bits, tool_map=((b"c1", b"<t/>"),), title=b"Demo" if session else None)
        comment = f"The flags are {bits}, with the sections of bits 0 and 3 that they announce and no other."
        clauses = ("KVC-HEADER-5", "KVC-HEADER-7", "KVC-FILE-2")
        yield accept(f"flags-{bits}-with-sections", file, clauses, ("unknown-flags", "section-order"), comment)
    unknown = File(flags=25, tool_map=((b"c1", b"<t/>"),), title=b"Demo", behind=b"a section of bit 4")
    comment = "The section of an unknown bit stands behind the known ones."
    yield accept(
        "flags-unknown-section",
        unknown,
        ("KVC-HEADER-5", "KVC-FILE-2", "KVC-FILE-5"),
        ("unknown-flags", "trailing-bytes"),
        comment,
    )
    keys = File(flags=14, title=b"Demo")
    comment = "Bits 1 and 2 append nothing: the title stands where the payload ends."
    yield accept("flags-keys-and-title", keys, ("KVC-HEADER-7", "KVC-TITLE-2"), ("section-order",), comment)


def _byte_order() -> Cases:
    """Numbers stored with the most significant byte first (KVC-FILE-1)."""
    flags = ("byte-order",)
    tokens = File(tokens=0x04030201, context_tokens=0x08070605, hits=0x0C0B0A09)
    comment = "Three u32 of four different bytes each."
    yield accept("byte-order-u32", tokens, ("KVC-FILE-1",), flags, comment)
    times = File(created=0x0807060504030201, last_used=0x100F0E0D0C0B0A09)
    comment = "Two u64 of eight different bytes each."
    yield accept("byte-order-u64", times, ("KVC-FILE-1",), flags, comment)
    payload = File(payload_bytes=4 << 56)
    comment = "The payload byte count is big-endian: read as it is specified, the payload is short."
    yield reject("byte-order-payload", payload, PAYLOAD_CUT, flags, comment, also=("KVC-FILE-1",))
    text = File(text_bytes=10 << 24)
    comment = "The text byte count is big-endian."
    yield reject("byte-order-text", text, TEXT_CUT, flags, comment, also=("KVC-FILE-1",))
    long = File(text=b"x" * 258)
    comment = "A text of 258 bytes: both low bytes of its count differ."
    yield accept("byte-order-text-258", long, ("KVC-FILE-1", "KVC-TEXT-1"), flags, comment)
    created = File(created=CREATED_BYTES_DIFFER, title=b"Demo")
    big = text_name(b"Demo" + CREATED_BYTES_DIFFER.to_bytes(8, "big"))
    comment = "The name of a session is made of the creation time as it stands in the file."
    yield accept("byte-order-session-name", created, ("KVC-NAME-3",), flags, comment)
    comment = "The name was made of the creation time with its bytes reversed."
    yield reject("byte-order-session-name-reversed", created, SESSION_NAME, flags, comment, name=big)
