"""False statements about `kvformat.identity`."""

from __future__ import annotations

from kvformat import identity


def digests_are_in_lower_case(name: str) -> bool:
    """Says that no capital is read. Breaks KVC-NAME-2.

    pre: len(name) == 43
    post: not __return__ or name[0] not in "ABCDEF"
    """
    return identity.is_entry_name(name)


def no_name_is_an_entry(name: str) -> bool:
    """Says that nothing is an entry. Breaks KVC-NAME-5.

    post: not __return__
    """
    return identity.is_entry_name(name)
