"""Follows a recorded run of the real writer through the model: is every call of it a step there?"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import z3

from faultinject.ops import Op, Operation
from kvformat.proofs.program import FAILS, FAILS_LATE, SILENT
from kvformat.proofs.system import START, Step, System

Values = dict[str, Any]
"""The variables of a system with what they hold: numbers and truths."""

_FAILED = (FAILS, FAILS_LATE, "fails late")
_NO_SUCH_NAME = ("it is gone", "the name is gone", "there is none", "done")
_NAMES_TAKEN = ("the name exists", "every name exists")
_CHOICES = (True, False)


@dataclass(frozen=True)
class StuckError(Exception):
    """No step of the model is what the writer did."""

    operation: Operation
    stood_at: frozenset[str]


class Follower:
    """One system, and where a run may stand in it."""

    def __init__(self, system: System, constants: Values) -> None:
        self.system = system
        self.steps = compiled(system)
        start: Values = dict.fromkeys(system.sorts, 0)
        start |= {name: False for name, sort in system.sorts.items() if sort == z3.BoolSort()}
        start |= constants
        start["seen"] = 1
        here = system.state(START)
        assert _function(system.start(here))(start), "the run does not begin where the model does"
        self.states = [start]
        self.taken: set[str] = set()

    def follow(self, operations: list[Operation]) -> None:
        """Raises StuckError at the first operation that is no step."""
        for place, operation in enumerate(operations):
            behind = operations[place + 1] if place + 1 < len(operations) else None
            before = [state for one in self.states for state in self._silently(one)]
            after = {_key(state): state for one in before for state in self._steps(one, operation, behind)}
            if not after:
                raise StuckError(operation, frozenset(self.point(one) for one in before))
            self.states = list(after.values())

    def at_the_end(self) -> list[Values]:
        """Where it may stand when no call follows any more."""
        return [state for one in self.states for state in self._silently(one)]

    def point(self, values: Values) -> str:
        return self.system.points[int(values["pc"])]

    def _silently(self, values: Values) -> Iterator[Values]:
        """What may happen before the next call that is none."""
        yield values
        for step in self.system.steps:
            if step.op in SILENT and step.at == self.point(values):
                yield from self._after(step, {**values, "offered": 1 << 62})

    def _steps(self, values: Values, operation: Operation, behind: Operation | None) -> Iterator[Values]:
        for step in self.system.steps:
            if step.at != self.point(values) or step.op != str(operation.op) or not _is(step, operation):
                continue
            granted = operation.result if operation.op.transfers else 0
            if operation.op is Op.PREAD and behind is not None:
                granted = behind.size_bytes  # what was read is what is written next
            if operation.error and operation.op.transfers:
                granted = operation.size_bytes
            for kept in _CHOICES:
                yield from self._after(
                    step, {**values, "offered": operation.size_bytes, "granted": granted, "kept": kept}
                )

    def _after(self, step: Step, values: Values) -> Iterator[Values]:
        enabled, effects = self.steps[step.name]
        if enabled(values):
            self.taken.add(step.name)
            yield {**values, **{name: effect(values) for name, effect in effects.items()}}


Compiled = tuple[Callable[[Values], Any], dict[str, Callable[[Values], Any]]]


@cache
def compiled(system: System) -> dict[str, Compiled]:
    """Each step of a system as functions: whether it can be taken, and what it changes."""
    here = system.state(START)
    made = {}
    for step in system.steps:
        updates = step.effect(here)
        if step.then:
            reached = here.changed(updates)
            updates["pc"] = system.point(step.then) if isinstance(step.then, str) else step.then(reached)
        effects = {name: _function(term) for name, term in updates.items()}
        made[step.name] = (_function(system.enabled(step, here)), effects)
    return made


_BETWEEN = {
    z3.Z3_OP_AND: " and ",
    z3.Z3_OP_OR: " or ",
    z3.Z3_OP_EQ: " == ",
    z3.Z3_OP_LE: " <= ",
    z3.Z3_OP_GE: " >= ",
    z3.Z3_OP_LT: " < ",
    z3.Z3_OP_GT: " > ",
    z3.Z3_OP_ADD: " + ",
    z3.Z3_OP_SUB: " - ",
}


def _source(term: Any) -> str:
    """A term as a Python expression over the dictionary `v`."""
    kind, inner = term.decl().kind(), [_source(child) for child in term.children()]
    if kind in (z3.Z3_OP_TRUE, z3.Z3_OP_FALSE):
        return str(z3.is_true(term))
    if kind == z3.Z3_OP_ANUM:
        return str(term.as_long())
    if kind == z3.Z3_OP_UNINTERPRETED:
        return f"v[{term.decl().name().partition('@')[0]!r}]"
    if kind == z3.Z3_OP_NOT:
        return f"(not {inner[0]})"
    if kind == z3.Z3_OP_IMPLIES:
        return f"(not {inner[0]} or {inner[1]})"
    if kind == z3.Z3_OP_ITE:
        return f"({inner[1]} if {inner[0]} else {inner[2]})"
    return f"({_BETWEEN[kind].join(inner)})"


def _function(term: Any) -> Callable[[Values], Any]:
    made: Callable[[Values], Any] = eval(f"lambda v: {_source(term)}", {})
    return made


def _key(values: Values) -> frozenset[tuple[str, Any]]:
    return frozenset(values.items())


def _is(step: Step, operation: Operation) -> bool:
    """Whether the outcome of a step is the outcome of the operation."""
    outcome, error = step.outcome, operation.error
    if error == errno.ENOENT:
        return outcome in _NO_SUCH_NAME
    if error == errno.EEXIST:
        return outcome in _NAMES_TAKEN
    if error:
        return outcome in _FAILED or (outcome == "cannot")
    if outcome in _FAILED or outcome in _NAMES_TAKEN:
        return False
    if operation.op is Op.PWRITE:
        size_bytes, accepted = operation.size_bytes, operation.result
        return outcome == ("done" if accepted == size_bytes else "short" if accepted else "accepts nothing")
    if operation.op is Op.COPY_RANGE:
        return outcome == ("done" if operation.result else "cannot")
    if operation.op is Op.FLOCK and step.at.endswith(".flock"):
        return outcome == ("done" if operation.result else "somebody has it")
    return True
