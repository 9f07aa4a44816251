"""False statements about `kvformat.utf8`."""

from __future__ import annotations

from kvformat import utf8


def c1_starts_a_character(lead: int) -> int:
    """Says that an overlong form is one (RFC 3629: C1 never appears). Breaks KVC-TEXT-2.

    pre: 0 <= lead < 256
    post: (__return__ == 2) == (0xC1 <= lead <= 0xDF)
    """
    return utf8.character_bytes(lead)


def three_are_never_cut(third: int, second: int, last: int) -> int:
    """Says that no character of four bytes is cut behind its third. Breaks KVC-TEXT-2.

    pre: 0 <= third < 256 and 0 <= second < 256 and 0 <= last < 256
    post: __return__ < 3
    """
    return utf8.cut_bytes(third, second, last)


def a_whole_character_is_cut(second: int, last: int) -> int:
    """Says that a lead byte with one behind it is always cut. Breaks KVC-TEXT-2.

    pre: 0xC2 <= second <= 0xF4 and 0x80 <= last < 0xC0
    post: __return__ == 2
    """
    return utf8.cut_bytes(0, second, last)
