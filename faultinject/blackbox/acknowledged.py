"""What reports success on standard output: a text, or the answer of an adapter (spec/conformance.md, chapter 4)."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """text: what is said on success; empty where only exit status 0 reports it.

    in_answer: it is the `result` of a JSON object that is a line of its own, and no text anywhere.
    """

    text: bytes = b""
    in_answer: bool = False

    def __bool__(self) -> bool:
        return bool(self.text)

    def is_in(self, said: bytes) -> bool:
        """Whether what was said reports success. A line without its end says nothing yet."""
        if not self.in_answer:
            return self.text in said
        return any(_result(line) == self.text.decode() for line in said.split(b"\n")[:-1])

    def unfinished(self, said: bytes) -> bytes:
        """The end of what was said that may be the beginning of an acknowledgement."""
        return said[said.rfind(b"\n") + 1 :] if self.in_answer else said[-len(self.text) :]


BY_EXIT = Acknowledgement()
"""Exit status 0 reports success."""


def _result(line: bytes) -> object:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None  # what is no answer reports nothing
    return answer.get("result") if isinstance(answer, dict) else None
