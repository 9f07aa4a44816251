"""The save protocol of each strategy, and the replacement of a tool map, as a system (KVS-SAVE, KVS-FAIL)."""

from __future__ import annotations

import z3

from kvformat.proofs.program import DEAD, DONE, FAILED
from kvformat.proofs.save_flow import CONSTANTS, INPUTS, NO, NUMBERS, STRATEGIES, YES, SaveFlow
from kvformat.proofs.save_invariant import SaveInvariant
from kvformat.proofs.save_steps import SaveSteps
from kvformat.proofs.system import Formula, Property, State, System


def saving(strategy: str, mistake: str = "") -> System:
    """The system of one strategy. `mistake` makes its program wrong in one place (see `mistakes`)."""
    if strategy not in STRATEGIES:
        raise ValueError(f"no strategy {strategy!r}: {', '.join(STRATEGIES)}")
    of = SaveSteps(strategy, mistake)
    sorts: dict[str, Formula] = {"pc": z3.IntSort()}
    sorts |= dict.fromkeys(("text", "payload", "sections", "byte", "offered", "granted", "flushed_len"), z3.IntSort())
    sorts |= dict.fromkeys(("named", "durable", "titled", "kept", "flushed_right"), z3.BoolSort())
    sorts |= dict.fromkeys(NUMBERS, z3.IntSort())
    sorts |= dict.fromkeys(of.truths(), z3.BoolSort())
    return System(
        f"save, {of.strategy}" if of.strategy != "replace-tool-map" else of.strategy,
        sorts,
        frozenset(INPUTS),
        frozenset(CONSTANTS),
        of.points,
        of.assumed,
        of.start,
        tuple(of.steps()),
        tuple(SaveInvariant(of).parts()),
        _properties(of),
    )


def _properties(of: SaveFlow) -> tuple[Property, ...]:
    entry, stage = of.entry, of.stage

    def no_temp_left(state: State) -> Formula:
        one = [
            z3.Implies(temp.of(state, "link"), z3.And(temp.of(state, "noted"), temp.of(state, "unlink_failed")))
            for temp in (entry, stage)
        ]
        none = z3.Not(z3.Or(entry.of(state, "link"), stage.of(state, "link")))
        return z3.And(z3.Implies(of.is_at(state, FAILED), z3.And(one)), z3.Implies(of.is_at(state, DONE), none))

    def told_truly(state: State) -> Formula:
        says_no = z3.And(z3.Not(state.visible), state.seen == NO)
        says_yes = z3.Or(state.visible, state.seen == YES)
        truth = z3.And(z3.Implies(says_no, z3.Not(state.published)), z3.Implies(says_yes, state.published))
        return z3.Implies(of.is_at(state, FAILED), truth)

    def reclaimable(state: State) -> Formula:
        free = z3.Not(z3.Or(entry.of(state, "lock"), stage.of(state, "lock")))
        return z3.Implies(of.is_at(state, DEAD), free)

    def in_place(state: State) -> Formula:
        held = z3.And(state.named, of.is_at(state, *of.writing()))
        return z3.Implies(held, entry.of(state, "link"))

    return (
        Property(
            "what is published is complete",
            "KVS-INV-1",
            "partial-visible",
            lambda s: z3.Implies(s.published, of.is_whole(s)),
        ),
        Property(
            "after success or failure no temp or staged file is left, unless its removal failed and the "
            "failure names it",
            "KVS-INV-2",
            "temp-leaked",
            no_temp_left,
        ),
        Property(
            "what a kill leaves is locked by nobody, so that a recovery removes it",
            "KVS-INV-3",
            "orphan-unreclaimed",
            reclaimable,
        ),
        Property("no recovery removes the file while it is written", "KVS-INV-4", "live-temp-removed", in_place),
        Property(
            "after success the complete content is published",
            "KVS-INV-5",
            "false-success",
            lambda s: z3.Implies(of.is_at(s, DONE), z3.And(s.published, of.is_whole(s))),
        ),
        Property(
            "the old entry is there until the new one is",
            "KVS-INV-6",
            "entry-lost",
            lambda s: z3.Implies(s.old_gone, s.published),
        ),
        Property(
            "after a loss of power the name leads to the old content or to the complete new one",
            "KVS-INV-1",
            "partial-visible",
            lambda s: z3.Implies(z3.And(s.durable, s.published_on_disk), of.is_whole_on_disk(s)),
        ),
        Property(
            "what was reported as saved is there after a loss of power",
            "KVS-INV-7",
            "lost-after-ack",
            lambda s: z3.Implies(z3.And(s.durable, of.is_at(s, DONE)), s.published_on_disk),
        ),
        Property("a failure tells truly whether the new content is visible", "KVS-FAIL-1", "", told_truly),
        *_own_properties(of),
    )


def _own_properties(of: SaveFlow) -> tuple[Property, ...]:
    if of.strategy != "replace-tool-map":
        return ()
    return (
        Property(
            "who saved the entry before the last look at it is not undone",
            "KVS-TOOLMAP-1",
            "entry-lost",
            lambda s: z3.Implies(s.overtaken, z3.Not(s.published)),
        ),
    )
