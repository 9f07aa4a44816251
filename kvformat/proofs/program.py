"""Blocks that programs of the protocol are put together from: calls that can fail, transfers, and one temp file's life.

A call of the port ends in one of these ways, any number of times in a run: it does what it should; it fails and has
done nothing; it fails, or is interrupted, and has done its work all the same. A transfer also accepts fewer bytes, or
none. So every fault of the classes error and interrupt is a path (KVS-FAULT-3), pairs and longer combinations included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import z3

from kvformat.proofs.system import Condition, Effect, Formula, State, Step, always, nothing

Target = Callable[[State], Formula] | str
"""Where a step leads: a point, or a term over the state that it reaches."""

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)

CLOSE = "close"
UNLINK = "unlink"
FSTAT = "fstat"
STAT = "stat"
FLOCK = "flock"

DONE, FAILED, DEAD = "done", "failed", "dead"
ENDS = (DONE, FAILED, DEAD)
"""Where every program ends."""

PAYLOAD, SIGNAL = "payload", "signal"
SILENT = (PAYLOAD, SIGNAL)
"""What is no call of the port: what the payload's producer does, and a signal's handler between two calls."""

FAILS = "fails"
FAILS_LATE = "fails though it is done"


def both(first: Effect, second: Effect) -> Effect:
    """One effect after the other."""

    def effect(state: State) -> dict[str, Formula]:
        updates = first(state)
        return {**updates, **second(state.changed(updates))}

    return effect


def sets(**values: bool) -> Effect:
    """The effect that gives these variables these values."""
    return lambda _: {name: z3.BoolVal(value) for name, value in values.items()}


def minimum(one: Formula, other: Formula) -> Formula:
    """The smaller of two terms."""
    return z3.If(one <= other, one, other)


def maximum(one: Formula, other: Formula) -> Formula:
    """The larger of two terms."""
    return z3.If(one >= other, one, other)


@dataclass(frozen=True)
class Program:
    """What blocks must know of the program: how a point becomes a number, and where a failure leads."""

    number: Callable[[str], Formula]
    failure: Target

    def go(self, state: State, target: Target) -> Formula:
        """The point that a target is in this state."""
        return self.number(target) if isinstance(target, str) else target(state)

    def either(self, condition: Condition, yes: Target, no: Target) -> Target:
        """One target or the other."""
        return lambda state: z3.If(condition(state), self.go(state, yes), self.go(state, no))

    def call(
        self,
        at: str,
        op: str,
        then: Target,
        *,
        when: Condition = always,
        effect: Effect = nothing,
        failed: Effect = nothing,
        late: Effect | None = None,
        failure: Target | None = None,
        outcome: str = "done",
    ) -> Iterator[Step]:
        """A call. failed: what it has done where it fails; late: where it fails though it is done."""
        leads = self.failure if failure is None else failure
        yield Step(at, op, outcome, then, when, effect)
        yield Step(at, op, FAILS, leads, when, failed, fault=True)
        yield Step(at, op, FAILS_LATE, leads, when, both(failed, effect) if late is None else late, fault=True)

    def transfer(
        self,
        at: str,
        op: str,
        size: Callable[[State], Formula],
        accepted: Callable[[State, Formula], dict[str, Formula]],
        done: Target,
        *,
        short: Target,
        landed: Callable[[State, Formula], dict[str, Formula]],
        when: Condition = always,
        mistake: str = "",
    ) -> Iterator[Step]:
        """A write of `size` bytes (KVS-SAVE-3): `granted` of them are accepted.

        accepted: what the program and the file are after so many bytes; landed: what the file alone is, where the
        program does not learn of them. short: where it goes on after a short count.
        """

        def offers(state: State) -> Formula:
            return z3.And(when(state), size(state) >= 0)

        def is_short(state: State) -> Formula:
            return z3.And(offers(state), state.granted > 0, state.granted < size(state))

        def is_none(state: State) -> Formula:
            return z3.And(offers(state), state.granted == 0, size(state) > 0)

        def some(state: State) -> Formula:
            return z3.And(offers(state), state.granted >= 0, state.granted <= size(state))

        def forgets_the_rest(state: State) -> dict[str, Formula]:
            return {**accepted(state, size(state)), **landed(state, state.granted)}

        yield Step(at, op, "done", done, offers, lambda state: accepted(state, size(state)))
        if mistake == "short-write-ignored":
            yield Step(at, op, "short", done, is_short, forgets_the_rest, fault=True)
            yield Step(at, op, "accepts nothing", done, is_none, forgets_the_rest, fault=True)
        else:
            yield Step(at, op, "short", short, is_short, lambda state: accepted(state, state.granted), fault=True)
            yield Step(at, op, "accepts nothing", self.failure, is_none, fault=True)
        if mistake == "write-error-ignored":
            yield Step(
                at,
                op,
                FAILS,
                done,
                offers,
                lambda state: {**accepted(state, size(state)), **landed(state, 0)},
                fault=True,
            )
        else:
            yield Step(at, op, FAILS, self.failure, offers, fault=True)
            yield Step(at, op, FAILS_LATE, self.failure, some, lambda state: landed(state, state.granted), fault=True)


class Temp:
    """A temp or staged file: how it is created and locked, and how it is given up.

    The variables, with `prefix` before them: fd (the writer has it open), noted (the writer knows a name to remove),
    link (the name is there), lock (the file is locked by the writer), unlink_failed, unlock_failed (what the failure
    will name, KVS-FAIL-3).
    """

    def __init__(self, prefix: str, program: Program) -> None:
        self.prefix = prefix
        self.program = program

    VARIABLES = ("fd", "noted", "link", "lock", "unlink_failed", "unlock_failed")

    def creating(self) -> tuple[str, ...]:
        """The points of its creation, in order."""
        return tuple(
            f"{self.prefix}.{point}" for point in ("open", "flock", "fstat", "give-up.close", "give-up.unlink")
        )

    def undoing(self) -> tuple[str, ...]:
        """The points of its removal after a failure, in order."""
        return tuple(f"{self.prefix}.undo.{point}" for point in ("unlink", "stat", "unlock", "close"))

    def of(self, state: State, variable: str) -> Formula:
        """One of its variables."""
        return getattr(state, f"{self.prefix}_{variable}")

    def sets(self, **values: bool) -> Effect:
        """The effect that gives its variables these values."""
        return sets(**{f"{self.prefix}_{name}": value for name, value in values.items()})

    def is_set(self, variable: str) -> Condition:
        """The condition that one of its variables is true."""
        return lambda state: self.of(state, variable)

    def closes(self, state: State) -> dict[str, Formula]:
        """close(2): the descriptor is gone whatever it returns, and with the last one the lock (KVS-TEMP-4)."""
        duplicated = state.duplicated if self.prefix == "entry" else FALSE
        return {f"{self.prefix}_fd": FALSE, f"{self.prefix}_lock": z3.And(self.of(state, "lock"), duplicated)}

    def create(self, then: Target) -> Iterator[Step]:
        """Creates and locks it (KVS-TEMP-2, KVS-TEMP-3, KVS-TEMP-5)."""
        program, sets_ = self.program, self.sets
        opening, flocking, looking, closing, unlinking = self.creating()

        def named(state: State) -> Formula:
            return state.named

        def unnamed(state: State) -> Formula:
            return z3.Not(state.named)

        noted = sets_(noted=True)
        made = sets_(noted=True, link=True, fd=True)
        yield Step(opening, "open", "done", flocking, named, made)
        yield Step(opening, "open", "the name exists", opening, named, fault=True)
        yield Step(opening, "open", "every name exists", program.failure, named, fault=True)
        yield Step(opening, "open", FAILS, program.failure, named, noted, fault=True)
        yield Step(opening, "open", FAILS_LATE, program.failure, named, sets_(noted=True, link=True), fault=True)
        yield Step(opening, "open(O_TMPFILE)", "done", flocking, unnamed, sets_(fd=True))
        yield Step(opening, "open(O_TMPFILE)", FAILS, program.failure, unnamed, fault=True)
        after_lock = program.either(named, looking, then)
        yield from program.call(flocking, FLOCK, after_lock, effect=sets_(lock=True))
        # A recovery that came first has it, between creation and lock.
        yield Step(flocking, FLOCK, "somebody has it", program.either(named, closing, program.failure))
        yield Step(looking, FSTAT, "it has its name", then, self.is_set("link"))
        yield Step(looking, FSTAT, "the name is gone", closing, lambda state: z3.Not(self.of(state, "link")))
        yield Step(looking, FSTAT, FAILS, program.failure, fault=True)
        yield from program.call(closing, CLOSE, unlinking, effect=self.closes, failed=self.closes)
        yield from program.call(
            unlinking, UNLINK, opening, effect=sets_(link=False, noted=False), late=sets_(link=False)
        )

    def undo(self, after: Target) -> Target:
        """Where its removal begins."""
        unlinking, _, _, closing = self.undoing()
        either = self.program.either
        return either(self.is_set("noted"), unlinking, either(self.is_set("fd"), closing, after))

    def abandon(self, after: Target, *, unlinks: bool = True) -> Iterator[Step]:
        """Removes it after a failure; every step is tried, whatever the others do (KVS-FAIL-2, KVS-FAIL-3)."""
        program, sets_ = self.program, self.sets
        unlinking, looking, unlocking, closing = self.undoing()
        close = program.either(self.is_set("fd"), closing, after)
        unlock = program.either(self.is_set("fd"), unlocking, after)
        gone = sets_(link=False, noted=False) if unlinks else sets_(noted=False)
        refused = sets_(unlink_failed=True)
        late = both(refused, sets_(link=False))
        yield from program.call(unlinking, UNLINK, close, effect=gone, failed=refused, late=late, failure=looking)
        yield Step(looking, STAT, "it is there", unlock, self.is_set("link"))
        yield Step(looking, STAT, "it is gone", close, lambda s: z3.Not(self.of(s, "link")), sets_(noted=False))
        yield Step(looking, STAT, FAILS, unlock, fault=True)
        failed = sets_(unlock_failed=True)
        yield from program.call(unlocking, FLOCK, closing, effect=sets_(lock=False), failed=failed, failure=closing)
        yield from program.call(closing, CLOSE, after, effect=self.closes, failed=self.closes, failure=after)

    def recovered(self) -> Step:
        """A recovery, which removes the name where nobody holds the lock (KVS-RECOVER-2)."""
        return Step(
            "",
            "",
            f"a recovery removes the {self.prefix}'s name",
            "",
            lambda state: z3.And(self.of(state, "link"), z3.Not(self.of(state, "lock"))),
            self.sets(link=False),
        )
