"""Titles of agent sessions (KVC-TITLE)."""

from __future__ import annotations

from tools.cases import reading
from tools.cases.case import Cases, Ids
from tools.cases.kvc import TITLE_BYTES_MAX, File, title_section
from tools.cases.reading import accept, hostile

TITLES = (
    ("empty", b"", "is empty"),
    ("one-byte", b"D", "has one byte"),
    ("nul", b"\0De\0mo\0", "has zeros"),
    ("utf8-cut", b"Demo \xe4\xb8", "ends inside a character"),
    ("ff", b"\xff\xfe", "is not UTF-8"),
    ("escape", b"\x1b[2JDemo\n\r\x07", "would steer a terminal"),
    ("long", b"t" * 300, "has 300 bytes"),
    ("utf8", "Grüße 🦙".encode(), "is UTF-8"),
    ("like-a-map", b"KTM\1\0\0\0\0", "looks like a tool map"),
)


def cases() -> Cases:
    """All of the family."""
    for slug, title, said in TITLES:
        clauses = ("KVC-TITLE-1", "KVC-NAME-3", "KVC-TEXT-2")
        yield accept(f"title-{slug}", File(title=title), clauses, ("text-bytes",), f"A title that {said}.")
    largest = File(title=bytes(TITLE_BYTES_MAX))
    start = len(File().data)
    comment = "A title of 65,536 bytes, a hole of the file."
    yield accept(
        "title-65536",
        largest,
        ("KVC-TITLE-3",),
        ("boundary-value",),
        comment,
        data=largest.data[: start + 4],
        extend_to_bytes=len(largest.data),
    )
    for count in (TITLE_BYTES_MAX + 1, 2**24):
        long = File(flags=8, behind=title_section(b"", title_bytes=count))
        comment = f"A title of {count} bytes that are all there."
        yield hostile(
            f"title-{count}",
            long,
            reading.TITLE_LIMIT,
            ("boundary-value",),
            comment,
            name=File(title=bytes(count)).name,
            extend_to_bytes=start + 4 + count,
        )
        comment = f"A title of {count} bytes of which the last is missing: damaged for every reader."
        yield hostile(
            f"title-{count}-cut",
            long,
            reading.TITLE_CUT,
            ("damaged-title", "order-of-checks"),
            comment,
            name=File(title=bytes(count)).name,
            extend_to_bytes=start + 4 + count - 1,
            also=("KVC-TITLE-3",),
        )
    for count in (5, 255, 65_536, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1):
        file = File(flags=8, behind=title_section(b"Demo", title_bytes=count))
        comment = f"A title that claims {count} bytes and has four."
        name = File(title=b"Demo").name
        flags: Ids = ("damaged-title", "hostile-length")
        yield hostile(f"title-bytes-{count}", file, reading.TITLE_CUT, flags, comment, name=name, also=("KVC-LIMIT-1",))
    shorter = File(title=b"Dem", behind=b"o")
    comment = "The title claims one byte less: the name is that of the shorter title."
    yield accept("title-bytes-3", shorter, ("KVC-TITLE-1", "KVC-FILE-5"), ("trailing-bytes",), comment)
    comment = "The title claims one byte less: what is read as title is another one."
    flags = ("damaged-title", "wrong-name")
    name = File(title=b"Demo").name
    yield reading.reject("title-bytes-3-name-kept", shorter, reading.SESSION_NAME, flags, comment, name=name)
    twice = File(title=b"Demo", behind=title_section(b"Other"))
    comment = "A second title behind the first is trailing bytes."
    yield accept("title-twice", twice, ("KVC-FILE-5", "KVC-TITLE-1"), ("trailing-bytes",), comment)
    unannounced = File(behind=title_section(b"Demo"))
    comment = "A title that no bit announces is trailing bytes, and the name is that of the text."
    yield accept("title-unannounced", unannounced, ("KVC-HEADER-8", "KVC-FILE-5"), ("absent-section",), comment)
    comment = "Bit 3 is set by damage: there is no title, and the entry cannot be told from a session."
    invented = File(flags=8)
    flags = ("absent-section", "flipped-bit")
    yield reading.reject(
        "title-invented", invented, reading.TITLE_COUNT_CUT, flags, comment, name=File().name, also=("KVC-HEADER-8",)
    )
