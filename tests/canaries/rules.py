"""False statements about `kvformat.rules`."""

from __future__ import annotations

from kvformat import rules


def no_head_is_good(head: bytes) -> bool:
    """Judges a head. Breaks KVC-FILE-3.

    pre: len(head) == 52
    post: not __return__
    """
    return rules.is_whole(head, 1000, 1000)


def payload_may_be_missing(head: bytes, total_bytes: int) -> bool:
    """Judges a head; says that a good one can stand in a file of 52 bytes only. Breaks KVC-PAYLOAD-1.

    pre: len(head) == 52 and total_bytes >= 52
    post: not __return__ or total_bytes == 52
    """
    return rules.is_whole(head, total_bytes, 100)
