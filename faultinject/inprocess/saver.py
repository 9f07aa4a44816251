"""What is swept: a function that saves into a directory, and what its user says of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Save = Callable[[Path], object]
Content = Mapping[str, bytes] | Callable[[Path], object]
"""What a directory holds: content by name, or a function that fills it."""

EMPTY, OLD, GIVEN = "empty", "old-entry", "given"
"""Starts by their names, as an audit has them (KVS-FAULT-6)."""


class UnusableError(Exception):
    """The function cannot be swept; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Saver:
    """A function under test.

    save: called with a directory; it returns to report success and raises to report failure. oracle: called with a copy
    of the directory, raises where its content is wrong. recover: as the next start of the program would run it.
    """

    save: Save
    oracle: Callable[..., object] | None = None
    recover: Save | None = None

    @property
    def name(self) -> str:
        """As reports name it."""
        return str(getattr(self.save, "__qualname__", None) or type(self.save).__qualname__)

    @property
    def oracle_is_told(self) -> bool:
        """Whether the oracle takes `acknowledged`, and so can judge content in place of the byte rules."""
        if self.oracle is None:
            return False
        parameters = inspect.signature(self.oracle).parameters.values()
        return any(one.name == "acknowledged" or one.kind is one.VAR_KEYWORD for one in parameters)


@dataclass(frozen=True, slots=True)
class SaverStart:
    """A function together with what is there before it runs: what one run of the report is about."""

    name: str
    start: str
    module: str = field(default="", compare=False)

    @property
    def subject(self) -> str:
        """See `Subject.subject`."""
        return self.name

    @property
    def strategy(self) -> str:
        """See `Subject.strategy`."""
        return "-"

    @property
    def scenario(self) -> str:
        """The start."""
        return self.start

    @property
    def heading(self) -> str:
        """See `Subject.heading`: all rows are of one function."""
        return self.name

    @property
    def label(self) -> tuple[str, ...]:
        """See `Subject.label`."""
        return (self.start,)

    def description(self) -> dict[str, Any]:
        """See `Subject.description`."""
        return {"function": self.name, "module": self.module, "start": self.start}


def starts_of(start: object) -> dict[str, Content] | None:
    """Starts by name; None where there are those that every sweep has. Raises UnusableError for what is no start."""
    if start is None:
        return None
    if callable(start):
        return {GIVEN: start}
    if isinstance(start, Mapping) and all(isinstance(name, str) for name in start):
        if all(isinstance(content, bytes) for content in start.values()):
            return {GIVEN: start}
        if all(callable(content) or isinstance(content, Mapping) for content in start.values()):
            return dict(start)
    raise UnusableError(
        "start is a mapping of names to bytes, a function that fills a directory, or a mapping of names to such starts"
    )
