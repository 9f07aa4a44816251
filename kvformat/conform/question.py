"""A question to an adapter, in the form that both kinds of adapters are asked from (spec/conformance.md, chapter 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvformat.conform.case import SECONDS, Case, Operation
from kvformat.conform.escape import escape
from kvformat.conform.inputs import Prepared

START_SECONDS = 30.0
"""How long a program may take to say what it is: some start a virtual machine."""

STOP_SECONDS = 5.0
"""How long it may take to end."""


@dataclass(frozen=True, slots=True)
class Question:
    """One operation on one input, and what its answer may cost. `name` is in the escaped form."""

    operation: str
    input: str
    profile: str
    name: str | None = None
    output: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    seconds: float = SECONDS
    memory_bytes: int | None = None
    needs_view: bool = False

    def message(self) -> dict[str, object]:
        """As a session is asked, `cmd` and `seq` aside."""
        return {
            "op": self.operation,
            "profile": self.profile,
            "input": self.input,
            "output": self.output,
            "name": self.name,
            "arguments": dict(self.arguments),
        }


def question_of(case: Case, ready: Prepared, patience: float = 1.0) -> Question:
    """The question of a case whose input stands ready; `patience` multiplies the time for the answer."""
    return Question(
        operation=case.operation,
        input=str(ready.input),
        profile=case.profile,
        name=None if case.input.name is None else escape(case.input.name),
        output=str(ready.output) if case.operation is Operation.WRITE else None,
        arguments=case.arguments,
        seconds=case.seconds * patience,
        memory_bytes=case.memory_bytes,
        needs_view=case.operation.needs_view,
    )
