"""The clauses as checks on values: what readers reject and what writers refuse.

A check returns problems in the order of spec/kvc.md, 1.4; the first one is what a reader
raises. Header and lengths need only the first 52 bytes and the size of the file.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from kvformat import identity, layout
from kvformat.errors import Category, Problem
from kvformat.limits import DEFAULT_LIMITS, Limits
from kvformat.model import Header
from kvformat.profiles import AUTO, PROFILES, profile_named
from kvformat.refusals import check_entry

__all__ = [
    "DEFAULT_LIMITS",
    "NOT_REGULAR",
    "Limits",
    "check_entry",
    "check_head",
    "check_identity",
    "check_name",
    "duplicate_name",
    "is_whole",
    "not_regular",
    "truncated",
]

_START = layout.MAGIC + bytes((layout.VERSION,))

NOT_REGULAR = frozenset({errno.ELOOP, errno.EISDIR})
"""Errors by which open(2) says that a name is a symbolic link that is not followed, or a directory (KVC-NAME-7)."""


def _byte20_accepted(profile: str) -> frozenset[int]:
    """The values of byte 20 that a reader takes. Raises ValueError for an unknown profile."""
    if profile == AUTO:
        return frozenset(known.payload_abi for known in PROFILES.values())
    return frozenset(filter(profile_named(profile).accepts, range(256)))


_BYTE20_ACCEPTED = {profile: _byte20_accepted(profile) for profile in (AUTO, *PROFILES)}


def check_head(
    head: bytes, *, total_bytes: int | None, profile: str = AUTO, limits: Limits = DEFAULT_LIMITS
) -> list[Problem]:
    """What is wrong with the first 52 bytes, steps 1 to 9 of spec/kvc.md, 1.4; empty for a good file.

    `head` has the first 52 bytes, fewer only where the file has fewer. `total_bytes` is the
    size of the file, None where it cannot be known, as on a pipe: then KVC-FILE-3 is checked
    by whoever reads on. Behind a wrong magic or version nothing is judged. Raises ValueError
    for a profile that is not known.
    """
    accepted = _BYTE20_ACCEPTED.get(profile) or _byte20_accepted(profile)
    if (
        total_bytes is not None
        and head[:4] == _START
        and is_whole(head, total_bytes, limits.text_bytes_max)
        and head[layout.BYTE20_OFFSET] in accepted
    ):
        return []
    return list(_head_problems(head, total_bytes, profile, limits))


def _whole_as_specified(head: bytes, total_bytes: int, text_bytes_max: int) -> bool:
    """The same, byte by byte as spec/kvc.md puts it; only the contract of `is_whole` calls it."""
    tokens = head[8] + head[9] + head[10] + head[11]
    text_bytes = head[48] + head[49] * 2**8 + head[50] * 2**16 + head[51] * 2**24
    payload_bytes = sum(head[40 + place] * 256**place for place in range(8))
    return (
        (head[4] == 2 or head[4] == 4)
        and tokens > 0
        and 52 + text_bytes + payload_bytes <= total_bytes <= 2**63 - 1
        and text_bytes <= text_bytes_max
    )


def is_whole(head: bytes, total_bytes: int, text_bytes_max: int) -> bool:
    """Whether fields and lengths of a head are good and the file has all bytes that these call for.

    Magic, version and profile are not looked at. KVC-HEADER-3, KVC-HEADER-10, KVC-FILE-3,
    KVC-FILE-4, KVC-LIMIT-3; this is the accept path of a listing.

    post: len(head) >= 52 or not __return__
    post: len(head) < 52 or __return__ == _whole_as_specified(head, total_bytes, text_bytes_max)
    """
    if len(head) < 52 or total_bytes >= 2**63:
        return False
    if head[4] != 2 and head[4] != 4:
        return False
    if int.from_bytes(head[8:12], "little") == 0:
        return False
    text_bytes = int.from_bytes(head[48:52], "little")
    payload_bytes = int.from_bytes(head[40:48], "little")
    return text_bytes <= text_bytes_max and 52 + text_bytes + payload_bytes <= total_bytes


def _head_problems(head: bytes, total_bytes: int | None, profile: str, limits: Limits) -> Iterator[Problem]:
    if len(head) < layout.TEXT_OFFSET:
        message = f"the file has {len(head)} bytes, the shortest has {layout.TEXT_OFFSET}"
        yield Problem(Category.TRUNCATED, "header", len(head), "KVC-FILE-3", message)
        return
    if head[:3] != layout.MAGIC:
        message = f"found {head[:3]!r}, expected {layout.MAGIC!r}"
        yield Problem(Category.BAD_MAGIC, "header.magic", 0, "KVC-HEADER-1", message)
        return
    if head[layout.VERSION_OFFSET] != layout.VERSION:
        message = f"found version {head[layout.VERSION_OFFSET]}, expected {layout.VERSION}"
        yield Problem(Category.UNSUPPORTED_VERSION, "header.version", layout.VERSION_OFFSET, "KVC-HEADER-2", message)
        return
    header = layout.decode_header(head)
    if header.quantisation_bits not in layout.QUANTISATION_BITS:
        yield _bad_field("quantisation_bits", layout.QUANTISATION_OFFSET, "KVC-HEADER-3", header, "2 or 4")
    if header.tokens == 0:
        yield _bad_field("tokens", layout.TOKENS_OFFSET, "KVC-HEADER-10", header, "at least 1")
    if header.byte20 not in _BYTE20_ACCEPTED[profile]:
        yield _other_profile(header.byte20, profile)
    yield from _length_problems(layout.decode_text_bytes(head), header.payload_bytes, total_bytes, limits)


def _bad_field(name: str, offset: int | None, clause: str, header: Header, wanted: str) -> Problem:
    message = f"found {getattr(header, name)}, expected {wanted}"
    return Problem(Category.INVALID_FIELD, f"header.{name}", offset, clause, message)


def _other_profile(byte20: int, profile: str) -> Problem:
    wanted = ", ".join(str(value) for value in sorted(_BYTE20_ACCEPTED[profile]))
    clause = "KVC-PROFILE-2" if profile == AUTO else "KVC-PROFILE-3"
    message = f"found payload ABI {byte20}, profile {profile!r} takes {wanted}"
    return Problem(Category.UNSUPPORTED_PROFILE, "header.byte20", layout.BYTE20_OFFSET, clause, message)


def _length_problems(text_bytes: int, payload_bytes: int, total_bytes: int | None, limits: Limits) -> Iterator[Problem]:
    """Sum, presence, limit: a hostile length is damage for every reader, whatever its limits."""
    end = layout.file_bytes(text_bytes, payload_bytes, 0)
    if end is None:
        message = f"text of {text_bytes:,} and payload of {payload_bytes:,} bytes are more than a file can have"
        offset = layout.PAYLOAD_BYTES_OFFSET
        yield Problem(Category.LIMIT, "header.payload_bytes", offset, "KVC-FILE-4", message)
    elif total_bytes is not None and end > total_bytes:
        yield truncated(text_bytes, payload_bytes, total_bytes)
    elif text_bytes > limits.text_bytes_max:
        message = f"the text has {text_bytes:,} bytes, this reader takes {limits.text_bytes_max:,}"
        yield Problem(Category.LIMIT, "text_bytes", layout.TEXT_BYTES_OFFSET, "KVC-LIMIT-3", message)


def truncated(text_bytes: int, payload_bytes: int, total_bytes: int) -> Problem:
    """The file ends at `total_bytes`, inside the text or the payload (KVC-FILE-3)."""
    end = layout.payload_offset(text_bytes)
    field = "text" if total_bytes < end else "payload"
    message = f"the file has {total_bytes:,} bytes, its lengths call for {end + payload_bytes:,}"
    return Problem(Category.TRUNCATED, field, total_bytes, "KVC-FILE-3", message)


def check_identity(name: str, header: Header, text: bytes, title: bytes | None) -> Problem | None:
    """Whether a file of this content may have the name `name`: step 13 of spec/kvc.md, 1.4.

    A fixed name says nothing of the content (KVC-NAME-4). Raises ValueError where bit 3 is set
    and `title` is None: such an entry is rejected before its identity is asked for (KVC-TITLE-1).
    """
    if name in identity.FIXED_NAMES:
        return None
    return check_name(name, identity.expected_name(header, text, title), session=header.has_title)


def check_name(name: str, expected: str, *, session: bool) -> Problem | None:
    """Whether `name` is `expected`, in either case of its hex digits (KVC-NAME-1, KVC-NAME-2, KVC-NAME-3).

    `session` says that `expected` was made of a title.
    """
    if name in identity.FIXED_NAMES or identity.canonical_name(name) == expected:
        return None
    made_of = "title and creation time call" if session else "text calls"
    message = f"the file is called {name!r}, its {made_of} for {expected!r}"
    clause = "KVC-NAME-3" if session else "KVC-NAME-1"
    return Problem(Category.IDENTITY_MISMATCH, "name", None, clause, message)


def not_regular(name: str) -> Problem:
    """`name` is a directory, a FIFO, a socket, a device or a link (KVC-NAME-7)."""
    message = f"{name!r} is not a regular file"
    return Problem(Category.IDENTITY_MISMATCH, "name", None, "KVC-NAME-7", message)


def duplicate_name(name: str, canonical: str) -> Problem:
    """`name` differs only in case from the name under which this identity is used (KVC-NAME-6)."""
    message = f"{name!r} is the identity of {canonical!r} in other letters, and is not used"
    return Problem(Category.IDENTITY_MISMATCH, "name", None, "KVC-NAME-6", message)
