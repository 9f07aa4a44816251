"""The names of entries: what they are made of, and which names are entries' (KVC-NAME-1 to KVC-NAME-6)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from kvformat import layout
from kvformat.model import Header

SUFFIX = ".kv"  # KVC-NAME-2: in lower case, read and written

FIXED_NAMES = ("sysprompt.kv",)
"""Names that say nothing of the content; a user of such an entry compares its text in full (KVC-NAME-4)."""

_ENTRY_NAME = re.compile(r"[0-9a-fA-F]{40}\.kv")


def is_entry_name(name: str) -> bool:
    """Whether `name` is a digest name: 40 hex digits of either case and ".kv" (KVC-NAME-1, KVC-NAME-2).

    False for the fixed names (KVC-NAME-4).

    post: not __return__ or (len(name) == 43 and name[40:] == ".kv")
    """
    return _ENTRY_NAME.fullmatch(name) is not None


def canonical_name(name: str) -> str:
    """The name under which writers store this identity: a digest name in lower case (KVC-NAME-2, KVC-NAME-6).

    Any other name is returned as it is.
    """
    return name.lower() if is_entry_name(name) else name


def text_name(text: bytes | bytearray | memoryview) -> str:
    """The name of an entry without bit 3: the SHA-1 of its text (KVC-NAME-1)."""
    return text_name_of((text,))


def text_name_of(pieces: Iterable[bytes | bytearray | memoryview]) -> str:
    """As `text_name`, of a text that comes in pieces."""
    digest = hashlib.sha1(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest() + SUFFIX


def session_name(title: bytes, created: int) -> str:
    """The name of an agent session: the SHA-1 of its title and its creation time as u64 (KVC-NAME-3).

    `created` is in Unix seconds. Raises ValueError where it does not fit its field.
    """
    if not 0 <= created <= layout.U64_MAX:
        raise ValueError(f"the creation time is {created}, its field holds 0 to {layout.U64_MAX}")
    return text_name_of((title, created.to_bytes(8, "little")))


def expected_name(header: Header, text: bytes, title: bytes | None) -> str:
    """The name that this content calls for, in lower case (KVC-NAME-1, KVC-NAME-3).

    Raises ValueError where bit 3 is set and there is no title: the identity cannot be known.
    """
    if not header.has_title:
        return text_name(text)
    if title is None:
        raise ValueError("the name of an agent session is made of its title, which is missing (KVC-NAME-3)")
    return session_name(title, header.created)
