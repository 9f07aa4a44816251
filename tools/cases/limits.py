"""Sparse files of many GiB, and limits: an answer costs neither time nor memory (KVC-LIMIT)."""

from __future__ import annotations

import hashlib
from typing import Any

from tools.cases import reading
from tools.cases.case import Cases, Ids
from tools.cases.kvc import PLAIN, TEXT_BYTES_MAX, File, blob, title_section, tool_map_section
from tools.cases.reading import HOSTILE_MEMORY_BYTES, HOSTILE_SECONDS, accept, hostile, reject

GIB = 1024 * 1024 * 1024
FLAGS = ("huge-file",)


def cases() -> Cases:
    """All of the family."""
    yield from _text()
    yield from _payload()
    yield from _sections()


def _text() -> Cases:
    for text_bytes in (TEXT_BYTES_MAX + 1, 2**31, 2**32 - 1):
        file = File(text=b"", text_bytes=text_bytes, payload=b"", payload_bytes=4)
        comment = f"A text of {text_bytes} bytes that are all there, in a hole."
        flags = ("huge-file", "boundary-value")
        size = 52 + text_bytes + 4
        slug = f"limit-text-{text_bytes}"
        yield hostile(slug, file, reading.TEXT_LIMIT, flags, comment, name=PLAIN.name, extend_to_bytes=size)
    file = File(text=b"", text_bytes=2**32 - 1, payload=b"", payload_bytes=4)
    comment = "The longest text, of which the last byte is missing: damaged for every reader, whatever its limit."
    yield hostile(
        "limit-text-4294967295-cut",
        file,
        reading.TEXT_CUT,
        FLAGS,
        comment,
        name=PLAIN.name,
        extend_to_bytes=52 + 2**32 - 2,
        also=("KVC-LIMIT-3",),
    )
    largest = File(text=b"", text_bytes=TEXT_BYTES_MAX, payload=b"", payload_bytes=4)
    comment = "A text of 256 MiB, the longest that a reader takes by default, in a hole."
    yield accept(
        "limit-text-268435456",
        largest,
        ("KVC-LIMIT-3",),
        ("huge-file", "boundary-value"),
        comment,
        name=_name_of_zeros(TEXT_BYTES_MAX),
        extend_to_bytes=52 + TEXT_BYTES_MAX + 4,
        view={"text": {"bytes": str(TEXT_BYTES_MAX)}, "payload": blob(bytes(4))},
        seconds=20,
    )
    told = ("told-limit",)
    comment = "A reader that was told a limit of 10 bytes gets a text of 10."
    limit = {"text_bytes_max": "10"}
    yield accept("limit-told-equal", PLAIN, ("KVC-LIMIT-3",), told, comment, arguments=limit)
    limit = {"text_bytes_max": "9"}
    comment = "A reader that was told a limit of 9 bytes gets a text of 10."
    yield reject("limit-told-over", PLAIN, reading.TEXT_LIMIT, told, comment, arguments=limit)
    comment = "The text is over the limit that was told, and the payload is cut: the file is damaged."
    cut = File(payload_bytes=5)
    yield reject("limit-told-over-cut", cut, reading.PAYLOAD_CUT, told, comment, arguments=limit, also=("KVC-LIMIT-3",))
    comment = "The text is over the limit that was told, and the title is cut: the limit comes first."
    session = File(flags=8, behind=b"\4\0\0\0Dem")
    yield reject("limit-told-over-title", session, reading.TEXT_LIMIT, told, comment, arguments=limit)


def _payload() -> Cases:
    for gib in (4, 8, 1024):
        size = gib * GIB
        file = File(payload=b"", payload_bytes=size)
        comment = f"A payload of {gib} GiB in a hole; the name is wrong, which is seen without reading it."
        wrong = b"0" * 40 + b".kv"
        end = 62 + size
        yield hostile(
            f"limit-payload-{gib}-gib-name", file, reading.TEXT_NAME, FLAGS, comment, name=wrong, extend_to_bytes=end
        )
        comment = f"A payload of {gib} GiB in a hole, of which the last byte is missing."
        yield hostile(
            f"limit-payload-{gib}-gib-cut", file, reading.PAYLOAD_CUT, FLAGS, comment, extend_to_bytes=end - 1
        )
    file = File(flags=8, payload=b"", payload_bytes=5 * GIB)
    end = 62 + 5 * GIB
    comment = "Behind a payload of 5 GiB stands an empty title, in the hole; the name is that of another."
    name = File(title=b"Demo").name
    flags = ("huge-file", "session-identity")
    yield hostile(
        "limit-payload-5-gib-title", file, reading.SESSION_NAME, flags, comment, name=name, extend_to_bytes=end + 4
    )
    comment = "The same without a name and with the byte count of the title cut."
    yield hostile(
        "limit-payload-5-gib-title-cut",
        file,
        reading.TITLE_COUNT_CUT,
        FLAGS,
        comment,
        name=None,
        extend_to_bytes=end + 3,
    )
    file = File(flags=9, payload=b"", payload_bytes=5 * GIB)
    comment = "Behind a payload of 5 GiB, zeros stand where the tool map should be, before a title."
    yield hostile(
        "limit-payload-5-gib-map",
        file,
        reading.no_title("magic"),
        FLAGS,
        comment,
        name=name,
        extend_to_bytes=end + 100,
    )


def _sections() -> Cases:
    cost: dict[str, Any] = {"seconds": HOSTILE_SECONDS, "memory_bytes": HOSTILE_MEMORY_BYTES}
    for gib in (4, 1024):
        size = gib * GIB
        comment = f"{gib} GiB of trailing bytes in a hole: they are ignored, not read."
        flags: Ids = ("huge-file", "trailing-bytes")
        yield accept(f"limit-trailing-{gib}-gib", PLAIN, ("KVC-FILE-5",), flags, comment, extend_to_bytes=size, **cost)
    zeros = File(flags=1)
    comment = "4 GiB of zeros stand where the tool map should be: it is damaged at its magic."
    flags = ("huge-file", "damaged-tool-map")
    yield accept("limit-map-4-gib-of-zeros", zeros, ("KVC-TOOLMAP-6",), flags, comment, extend_to_bytes=4 * GIB, **cost)
    counted = File(flags=1, behind=tool_map_section(count=400_000))
    comment = "A tool map that counts 400,000 entries, and zeros behind: the first id is empty, nothing is reserved."
    flags = ("hostile-count", "huge-file")
    yield accept("limit-map-count", counted, ("KVC-LIMIT-4",), flags, comment, extend_to_bytes=5 * GIB, **cost)
    long = File(flags=8, behind=title_section(b"", title_bytes=2**32 - 1))
    comment = "A title of 4 GiB that are all there, in a hole."
    yield hostile(
        "limit-title-4294967295",
        long,
        reading.TITLE_LIMIT,
        FLAGS,
        comment,
        name=File(title=b"Demo").name,
        extend_to_bytes=5 * GIB,
    )


def _name_of_zeros(size_bytes: int) -> bytes:
    """The name of a text of that many zeros, a whole number of MiB."""
    piece = bytes(1024 * 1024)
    digest = hashlib.sha1(usedforsecurity=False)
    for _ in range(size_bytes // len(piece)):
        digest.update(piece)
    return digest.hexdigest().encode() + b".kv"
