"""Transition systems over symbolic states, and what has to be proved of one.

A system has variables, a start, steps and an invariant. A property holds in every state that can be reached if the
start has the invariant, every step keeps it, and it implies the property. Each of these is an obligation: a formula
that the solver must find to have no counterexample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import z3

Formula = Any
"""A term of z3. Its Python interface has no types."""

START = 0
"""The number of the first state of a path."""


class State:
    """The variables of a system in one state: `state.pos` is the term for `pos` there.

    Terms are made when they are asked for, so that a state is nothing but a number and the sorts of its variables.
    """

    def __init__(self, sorts: Mapping[str, Formula], number: int, changed: Mapping[str, Formula] | None = None) -> None:
        self._sorts = sorts
        self._number = number
        self._changed = changed or {}

    def __getattr__(self, name: str) -> Formula:
        if name in self._changed:
            return self._changed[name]
        if name not in self._sorts:
            raise AttributeError(f"the system has no variable {name!r}")
        return z3.Const(f"{name}@{self._number}", self._sorts[name])

    def changed(self, updates: Mapping[str, Formula]) -> State:
        """The state after these updates, as terms over this one."""
        return State(self._sorts, self._number, {**self._changed, **updates})


Condition = Callable[[State], Formula]
Effect = Callable[[State], dict[str, Formula]]


def always(_: State) -> Formula:
    """No condition."""
    return z3.BoolVal(True)


def nothing(_: State) -> dict[str, Formula]:
    """No effect."""
    return {}


@dataclass(frozen=True)
class Step:
    """One step: from the program point `at`, under a condition, to the point that `then` gives.

    at: empty for a step of the surroundings, which can be taken at every point. op: the call of the port, by its POSIX
    name, or what is none (`program.SILENT`); empty for the surroundings. outcome: how it ends, for people.
    then: of the state after the effect; empty where the program stays where it is. fault: whether the step is one of
    the fault model.
    """

    at: str
    op: str
    outcome: str
    then: Callable[[State], Formula] | str
    when: Condition = always
    effect: Effect = nothing
    fault: bool = False

    @property
    def name(self) -> str:
        """For example `head: pwrite, short`."""
        return f"{self.at or 'surroundings'}: {self.op}{', ' if self.op else ''}{self.outcome}"


@dataclass(frozen=True)
class Property:
    """What must hold in every state that can be reached.

    clause: the invariant of spec/saving.md that says so. violation: what a broken one is called there.
    """

    name: str
    clause: str
    violation: str
    holds: Condition


class Answer(StrEnum):
    """What is known of an obligation. VACUOUS: nothing is as it assumes, so that it says nothing."""

    PROVED = "proved"
    REFUTED = "refuted"
    VACUOUS = "vacuous"
    UNKNOWN = "unknown"


def new_solver(timeout_ms: int) -> Formula:
    """A solver that gives up after a time, and leaves Ctrl-C to Python: it answers within moments anyway."""
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.set("ctrl_c", False)
    return solver


@dataclass(frozen=True)
class Obligation:
    """One formula that must have no counterexample: `assumed` and not `claimed`."""

    system: str
    name: str
    assumed: tuple[Formula, ...]
    claimed: Formula

    def answer(self, timeout_ms: int) -> Answer:
        """What the solver says of it."""
        solver = new_solver(timeout_ms)
        solver.add(*self.assumed)
        if solver.check() == z3.unsat:
            return Answer.VACUOUS
        solver.add(z3.Not(self.claimed))
        said = solver.check()
        return Answer.PROVED if said == z3.unsat else Answer.REFUTED if said == z3.sat else Answer.UNKNOWN


@dataclass(frozen=True, eq=False)
class System:
    """A program together with its surroundings.

    sorts: of its variables; those in `inputs` are chosen anew by every step, those in `constants` never change.
    points: the program points in order. assumed: of the constants and inputs, at every state.
    """

    name: str
    sorts: dict[str, Formula]
    inputs: frozenset[str]
    constants: frozenset[str]
    points: tuple[str, ...]
    assumed: Condition
    start: Condition
    steps: tuple[Step, ...]
    invariant: tuple[tuple[str, Condition], ...]
    properties: tuple[Property, ...]
    _numbers: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._numbers.update({point: number for number, point in enumerate(self.points)})
        for step in self.steps:
            assert not step.at or step.at in self._numbers, step.name

    def state(self, number: int) -> State:
        """The state with that number on a path."""
        return State(self.sorts, number)

    def point(self, name: str) -> Formula:
        """A program point as a value of `pc`."""
        return z3.IntVal(self._numbers[name])

    def at(self, state: State, *names: str) -> Formula:
        """Whether a state stands at one of these points."""
        return z3.Or([state.pc == self._numbers[name] for name in names])

    def enabled(self, step: Step, state: State) -> Formula:
        """Whether a step can be taken."""
        here = [state.pc == self._numbers[step.at]] if step.at else []
        return z3.And(*here, self.assumed(state), step.when(state))

    def taken(self, step: Step, state: State, after: State) -> Formula:
        """Whether a step leads from one state to the other."""
        updates = step.effect(state)
        reached = state.changed(updates)
        if step.then:
            target = self.point(step.then) if isinstance(step.then, str) else step.then(reached)
            updates = {**updates, "pc": target}
        kept = [
            getattr(after, name) == updates.get(name, getattr(state, name))
            for name in self.sorts
            if name not in self.inputs
        ]
        return z3.And(self.enabled(step, state), *kept)

    def holds(self, state: State) -> Formula:
        """The whole invariant."""
        return z3.And([part(state) for _, part in self.invariant])

    def obligations(self) -> Iterator[Obligation]:
        """Everything that has to be proved, in order."""
        here, there = self.state(START), self.state(START + 1)
        assumed = self.assumed(here)
        yield Obligation(self.name, "the start has the invariant", (assumed, self.start(here)), self.holds(here))
        for step in self.steps:
            yield Obligation(
                self.name,
                f"{step.name} keeps the invariant",
                (self.holds(here), self.taken(step, here, there)),
                self.holds(there),
            )
        for wanted in self.properties:
            yield Obligation(
                self.name,
                f"the invariant implies: {wanted.name} [{wanted.clause}]",
                (assumed, self.holds(here)),
                wanted.holds(here),
            )


@dataclass(frozen=True)
class Path:
    """A path from the start to a state without a property: the steps, and the values of the variables in each state."""

    system: System
    steps: tuple[Step, ...]
    model: Formula

    def value(self, name: str, number: int) -> int | bool:
        """A variable in the state before step `number` (after the last one: the number of steps)."""
        term = self.model.eval(getattr(self.system.state(number), name), model_completion=True)
        return term.as_long() if z3.is_int_value(term) else bool(z3.is_true(term))


def shortest_path(
    system: System,
    goal: Condition,
    *,
    steps_max: int,
    faults_max: int = 1,
    timeout_ms: int = 20_000,
) -> Path | None:
    """The shortest path to a state where `goal` holds, with at most so many steps that are faults; None: there is none.

    Raises RuntimeError where the solver does not know.
    """
    solver = new_solver(timeout_ms)
    first = system.state(START)
    solver.add(system.assumed(first), system.start(first))
    choices: list[Formula] = []
    for length in range(steps_max + 1):
        state = system.state(length)
        solver.push()
        solver.add(goal(state), system.assumed(state))
        answer = solver.check()
        if answer == z3.unknown:
            raise RuntimeError(f"{system.name}: the solver does not know whether a path of {length} steps leads there")
        if answer == z3.sat:
            model = solver.model()
            taken = [system.steps[model.eval(choice).as_long()] for choice in choices]
            return Path(system, tuple(taken), model)
        solver.pop()
        choice = z3.Int(f"step@{length}")
        choices.append(choice)
        after = system.state(length + 1)
        solver.add(
            z3.Or(
                [z3.And(choice == place, system.taken(step, state, after)) for place, step in enumerate(system.steps)]
            )
        )
        faulty = [place for place, step in enumerate(system.steps) if step.fault]
        counted = [z3.If(z3.Or([one == place for place in faulty]), 1, 0) for one in choices] if faulty else []
        if counted:
            solver.add(z3.Sum(counted) <= faults_max)
    return None
