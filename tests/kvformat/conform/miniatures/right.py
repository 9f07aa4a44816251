"""A small adapter that answers every case of the small suite rightly: over kvformat, by its own protocol loop.

The wrong miniatures are made from it, each with one thing changed. Run as a program it is an adapter in session form.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from kvformat.conform.adapter import answer

Message = Mapping[str, Any]
Answer = Callable[[Message], "dict[str, Any] | None"]


def right(message: Message) -> dict[str, Any] | None:
    return answer(message)


def talk(respond: Answer, write: Callable[[bytes], object] | None = None) -> None:
    """Answers line by line; `write` takes the bytes of a line."""

    def put(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    for line in sys.stdin.buffer:
        said = respond(json.loads(line))
        if said is None:
            return
        (write or put)(json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    talk(right)
