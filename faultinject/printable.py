"""Text from programs and file names, as terminals and documents can show it."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything escaped that a terminal would act upon or a document could not hold."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
