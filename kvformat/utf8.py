"""Where a text ends inside a UTF-8 character, on plain integers (KVC-TEXT-2).

The ranges are those of RFC 3629, section 4: C0, C1 and F5 to FF start no character. What
may not follow a certain lead byte (an overlong form, a surrogate) is not looked at: this
serves a hint. tools/symbolic.py proves the `post:` lines over all paths.
"""

from __future__ import annotations


def character_bytes(lead: int) -> int:
    """How many bytes a character has that starts with the byte `lead`; 1 for a byte that starts none.

    pre: 0 <= lead < 256
    post: (__return__ == 4) == (0xF0 <= lead <= 0xF4)
    post: (__return__ == 3) == (0xE0 <= lead <= 0xEF)
    post: (__return__ == 2) == (0xC2 <= lead <= 0xDF)
    post: 1 <= __return__ <= 4
    """
    if lead < 0xC2 or lead > 0xF4:
        return 1
    if lead < 0xE0:
        return 2
    return 3 if lead < 0xF0 else 4


def cut_bytes(third: int, second: int, last: int) -> int:
    """How many of the last three bytes of a text are of a character that goes on, 0 where none are.

    pre: 0 <= third < 256 and 0 <= second < 256 and 0 <= last < 256
    post: (__return__ == 1) == (0xC2 <= last <= 0xF4)
    post: (__return__ == 2) == (0xE0 <= second <= 0xF4 and 0x80 <= last <= 0xBF)
    post: (__return__ == 3) == (0xF0 <= third <= 0xF4 and 0x80 <= second <= 0xBF and 0x80 <= last <= 0xBF)
    post: 0 <= __return__ <= 3
    """
    for count, byte in ((1, last), (2, second), (3, third)):
        if not 0x80 <= byte < 0xC0:  # a continuation byte's lead byte stands before it
            return count if count < character_bytes(byte) else 0
    return 0
