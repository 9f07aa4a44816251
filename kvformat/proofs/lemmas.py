"""Why some fault points stand for others: KVS-CLASS-1 and KVS-CLASS-2, proved on the systems of the saves.

Two runs that differ in nothing but how far a transfer has come are compared, step by step: whatever the one can do, the
other can, and they still differ in nothing else. So they make the same calls with the same outcomes and end alike, the
length of the left-over prefix aside. What a content is judged to be is the oracle's matter, not the program's: that a
torn file is judged like another torn file is checked in tests (KVS-CLASS-4, KVS-CLASS-5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import z3

from kvformat import layout
from kvformat.proofs.program import DEAD, DONE, FAILED, FAILS
from kvformat.proofs.system import Formula, Obligation, State, Step, System

PROGRESS = ("pos", "len", "right", "patched", "rest", "count", "staged_right")
"""What tells how far a transfer has come."""

DISK = ("flushed", "flushed_is_right")
"""What write-back has left is another matter: class power has lemmas of its own (KVS-CLASS-5)."""

_FIRST, _OTHER = range(2)


def _alike(system: System, one: State, other: State, *, but: tuple[str, ...]) -> Formula:
    names = [name for name in system.sorts if name not in but and name not in system.inputs]
    return z3.And([getattr(one, name) == getattr(other, name) for name in names])


def _outcome(step: Step, state: State, system: System) -> State:
    """The state that a step leads to, as terms."""
    updates = step.effect(state)
    reached = state.changed(updates)
    if not step.then:
        return reached
    target = system.point(step.then) if isinstance(step.then, str) else step.then(reached)
    return reached.changed({"pc": target})


def interior(system: System) -> Iterator[Obligation]:
    """KVS-CLASS-1, for each transfer of a system, and for everything that follows where the next call fails."""
    transfers = {step.at for step in system.steps if step.at and step.outcome == "short"}
    first, other = system.state(_FIRST), system.state(_OTHER)
    for at in sorted(transfers):
        here = {step.outcome: step for step in system.steps if step.at == at and step.op == "pwrite"}
        short = here["short"]
        # One state, cut after two different counts.
        same = _alike(system, first, other, but=())
        constants = z3.And(first.offered == other.offered, first.kept == other.kept)
        cuts = z3.And(system.enabled(short, first), system.enabled(short, other), same, constants)
        one, two = _outcome(short, first, system), _outcome(short, other, system)
        yield Obligation(
            system.name,
            f"KVS-CLASS-1: {at}: after a short count it stands where it stands after any other",
            (cuts, system.holds(first)),
            z3.And(one.pc == two.pc, _alike(system, one, two, but=PROGRESS)),
        )
        behind = [step for step in system.steps if step.at == short.then]
        for step in (step for step in behind if step.outcome == "done"):
            again_one, again_two = _outcome(step, one, system), _outcome(step, two, system)
            yield Obligation(
                system.name,
                f"KVS-CLASS-1: {at}: short, then {step.at}: whole: one state, whatever the count was",
                (cuts, system.holds(first), system.enabled(step, one), system.enabled(step, two)),
                _alike(system, again_one, again_two, but=()),
            )
        for step in (step for step in behind if step.outcome == FAILS):
            failed_one, failed_two = _outcome(step, one, system), _outcome(step, two, system)
            yield Obligation(
                system.name,
                f"KVS-CLASS-1: {at}: short, then {step.at}: fails: states that differ in the prefix alone",
                (cuts, system.holds(first)),
                z3.And(
                    system.enabled(step, one) == system.enabled(step, two),
                    _alike(system, failed_one, failed_two, but=PROGRESS),
                ),
            )
    yield from _blind(system)


def _blind(system: System) -> Iterator[Obligation]:
    """The cleaning-up asks nothing of how far the transfer had come."""
    first, other = system.state(_FIRST), system.state(_OTHER)
    related = z3.And(
        _alike(system, first, other, but=(*PROGRESS, *DISK)),
        *[getattr(first, name) == getattr(other, name) for name in system.inputs],
    )
    ends = (DONE, FAILED, DEAD)
    cleaning = [step for step in system.steps if ("undo" in step.at or "look back" in step.at) and step.at not in ends]
    unpublished = z3.And(z3.Not(first.published), z3.Not(other.published))
    for step in cleaning:
        one, two = _outcome(step, first, system), _outcome(step, other, system)
        yield Obligation(
            system.name,
            f"KVS-CLASS-1: {step.name}: asks nothing of the prefix",
            (related, unpublished, system.holds(first), system.holds(other)),
            z3.And(
                system.enabled(step, first) == system.enabled(step, other),
                _alike(system, one, two, but=(*PROGRESS, *DISK)),
            ),
        )


def repeated(system: System) -> Iterator[Obligation]:
    """KVS-CLASS-2: in the loop over the payload, each piece is treated like the ones before and after it."""
    first, other = system.state(_FIRST), system.state(_OTHER)
    related = z3.And(
        _alike(system, first, other, but=(*PROGRESS, *DISK)),
        *[getattr(first, name) == getattr(other, name) for name in system.inputs],
    )
    for at, left in (("payload", _payload_left), ("copy", _copy_left)):
        for step in system.steps:
            if step.at != at or step.op == "payload":
                continue
            # Neither is the last one: what is offered fits, and something comes after it.
            inside = [z3.And(left(state) > state.offered, left(state) > state.granted) for state in (first, other)]
            at_point = [state.pc == system.point(at) for state in (first, other)]
            one, two = _outcome(step, first, system), _outcome(step, other, system)
            yield Obligation(
                system.name,
                f"KVS-CLASS-2: {step.name}: alike at every place of the payload",
                (related, *inside, *at_point, system.holds(first), system.holds(other)),
                z3.And(
                    system.enabled(step, first) == system.enabled(step, other),
                    _alike(system, one, two, but=(*PROGRESS, *DISK)),
                ),
            )


def obligations(system: System) -> Iterator[Obligation]:
    """Both lemmas for one system."""
    yield from interior(system)
    yield from repeated(system)


def prying(system: System) -> System:
    """The same program with a cleaning-up that looks at how much was written: the lemma must not hold of it."""
    steps = tuple(
        replace(step, when=lambda state: state.len < 4096) if step.at == "entry.undo.unlink" else step
        for step in system.steps
    )
    return replace(system, name=f"{system.name}, prying", steps=steps)


def _payload_left(state: State) -> Formula:
    return state.payload - state.count


def _copy_left(state: State) -> Formula:
    return layout.TEXT_OFFSET + state.text + state.payload - state.pos
