"""What an audit knows of the format of the files: nothing, or what KVC files are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from faultinject.blackbox.checkers import Checker
from faultinject.blackbox.masks import Normalise
from faultinject.blackbox.subject import Audited, Format

ANOTHER = "another-entry"
"""A file that the program has nothing to do with: it must be there, unchanged, after everything."""


@dataclass(frozen=True, slots=True)
class Known:
    """checker: of the format, None where only bytes are known. older: other content for a file with an old entry.

    another: name and content of a file that is always there.
    """

    checker: Checker | None
    older: Callable[[str, bytes], bytes]
    another: tuple[str, bytes]

    @property
    def normalise(self) -> Normalise | None:
        """Sets what does not count in a file to a fixed value; None where every byte counts."""
        return None if self.checker is None else self.checker.normalise


def format_of(audited: Audited) -> Known:
    """What is known of the files that the program saves."""
    if audited.format is Format.BYTES:
        return Known(None, older_bytes, (ANOTHER, b"a file that nobody has to do with\n" * 4))
    # The one module that knows the format is not imported where nobody asks for it.
    known: Known = import_module("faultinject.kvc_checker").known()
    return known


def older_bytes(_: str, data: bytes) -> bytes:
    """Other bytes of another length: no byte of it is that of the new content."""
    return bytes(byte ^ 0xFF for byte in data) + b"old entry"
