"""Mistakes that an implementation could make, each with the cases that must notice it and the clauses that it breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from pytest import MonkeyPatch

from kvformat import KvcReader, identity, layout, listing, lookup, refusals, rules, temp_names, updates
from kvformat.conform import adapter
from kvformat.filesystem import OsFileSystem
from kvformat.limits import Limits

Mistake = Callable[[MonkeyPatch], None]

MISTAKES: dict[Mistake, str] = {}
"""Each mistake, and how the ids of the cases begin that are run against it."""


def noticed_by(prefix: str) -> Callable[[Mistake], Mistake]:
    def register(mistake: Mistake) -> Mistake:
        MISTAKES[mistake] = prefix
        return mistake

    return register


def _no_sum(head: bytes, total_bytes: int, text_bytes_max: int) -> bool:
    text_bytes, payload_bytes = int.from_bytes(head[48:52], "little"), int.from_bytes(head[40:48], "little")
    wrapped = (52 + text_bytes + payload_bytes) % 2**64
    return len(head) >= 52 and head[4] in (2, 4) and head[8:12] != bytes(4) and wrapped <= total_bytes


@noticed_by("read-sum")
def sum_wraps(patch: MonkeyPatch) -> None:
    """Breaks KVC-FILE-4 and KVC-LIMIT-2."""
    patch.setattr(rules, "is_whole", _no_sum)


@noticed_by("read-name")
def names_tested_in_one_case_only(patch: MonkeyPatch) -> None:
    """Breaks KVC-NAME-2."""
    patch.setattr(identity, "canonical_name", lambda name: name)


@noticed_by("list-name")
def suffix_in_any_case(patch: MonkeyPatch) -> None:
    """Breaks KVC-NAME-5."""
    patch.setattr(identity, "_ENTRY_NAME", re.compile(r"[0-9a-fA-F]{40}\.kv", re.IGNORECASE))


@noticed_by("list-name")
def name_up_to_its_newline(patch: MonkeyPatch) -> None:
    """Breaks KVC-NAME-5."""
    patch.setattr(identity, "_ENTRY_NAME", re.compile(r"[0-9a-fA-F]{40}\.kv\n?"))


@noticed_by("read-byte-order")
def creation_time_with_its_bytes_reversed(patch: MonkeyPatch) -> None:
    """Breaks KVC-NAME-3."""
    patch.setattr(
        identity, "session_name", lambda title, created: identity.text_name(title + created.to_bytes(8, "big"))
    )


@noticed_by("read-title")
def titles_a_byte_longer(patch: MonkeyPatch) -> None:
    """Breaks KVC-TITLE-3."""
    patch.setattr(layout, "TITLE_BYTES_MAX", 2**16 + 1)


@noticed_by("read-title")
def titles_a_byte_shorter(patch: MonkeyPatch) -> None:
    """Breaks KVC-TITLE-3."""
    patch.setattr(layout, "TITLE_BYTES_MAX", 2**16 - 1)


@noticed_by("read-limit-text-26843545")
def texts_a_byte_longer(patch: MonkeyPatch) -> None:
    """Breaks KVC-LIMIT-3."""
    patch.setattr(adapter, "Limits", lambda: Limits(text_bytes_max=2**28 + 1))


@noticed_by("read-profile")
def any_payload_abi_under_a_profile_that_was_told(patch: MonkeyPatch) -> None:
    """Breaks KVC-PROFILE-3."""
    patch.setitem(rules._BYTE20_ACCEPTED, "ds4-abi2", frozenset(range(256)))


@noticed_by("lookup")
def sessions_offered(patch: MonkeyPatch) -> None:
    """Breaks KVC-LOOKUP-5."""
    patch.setattr(listing.StoredEntry, "answers_prompts", property(lambda entry: entry.header.payload_bytes > 0))


@noticed_by("touch-hits")
def hit_count_wraps(patch: MonkeyPatch) -> None:
    """Breaks KVS-TOUCH-3."""
    patch.setattr(updates, "min", lambda most, value: value % 2**32, raising=False)


@noticed_by("touch-")
def reserved_bytes_zeroed(patch: MonkeyPatch) -> None:
    """Breaks KVS-TOUCH-3."""
    patch.setattr(updates, "replace", lambda old, **new: replace(old, reserved=bytes(3), **new))


@noticed_by("replace-tool-map-unknown")
def sections_of_unknown_bits_dropped(patch: MonkeyPatch) -> None:
    """Breaks KVC-FILE-5 and KVS-TOOLMAP-1."""
    patch.setattr(KvcReader, "read_trailing", lambda reader: b"")


@noticed_by("list-two")
def spellings_that_are_several_entries(patch: MonkeyPatch) -> None:
    """Breaks KVC-NAME-6."""
    patch.setattr(identity, "canonical_name", lambda name: name)


@noticed_by("lookup-damaged-identity")
def texts_that_are_not_compared(patch: MonkeyPatch) -> None:
    """Breaks KVC-LOOKUP-2."""
    patch.setattr(lookup, "_text_is", lambda fs, fd, text: True)


@noticed_by("recover-live")
def locks_that_are_not_asked_for(patch: MonkeyPatch) -> None:
    """Breaks KVS-RECOVER-2."""
    patch.setattr(OsFileSystem, "try_lock", lambda fs, fd: True)


@noticed_by("recover-name")
def temp_names_in_any_case(patch: MonkeyPatch) -> None:
    """Breaks KVS-RECOVER-3."""
    patch.setattr(temp_names, "TEMP_NAME", re.compile(temp_names.TEMP_NAME.pattern, re.ASCII | re.IGNORECASE))


@noticed_by("write-refused")
def refused_reasons_stored(patch: MonkeyPatch) -> None:
    """Breaks KVC-WRITER-5."""
    patch.setattr(layout, "REASON_MAX", 255)


@noticed_by("write-refused")
def flags_that_nobody_knows_stored(patch: MonkeyPatch) -> None:
    """Breaks KVC-WRITER-5."""
    patch.setattr(refusals, "_WRITER_FLAGS", 255)
