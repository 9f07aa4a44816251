"""The invariant of a save: what holds at each of its program points."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import z3

from kvformat import layout
from kvformat.proofs.program import DEAD, DONE, FAILED, Temp
from kvformat.proofs.save_flow import NO, YES, SaveFlow, file_bytes, payload_offset
from kvformat.proofs.system import Condition, Formula, State

When = Callable[[tuple[str, ...], Condition], Condition]
"""Makes a condition of what holds at some points."""


class SaveInvariant:
    """Of one strategy. Each part has a name, for people who read why a proof fails."""

    def __init__(self, flow: SaveFlow) -> None:
        self.strategy = flow.strategy
        self.copies = flow.copies
        self.points = flow.points
        self.entry = flow.entry
        self.stage = flow.stage
        self.is_at = flow.is_at
        self.is_whole = flow.is_whole
        self.is_whole_on_disk = flow.is_whole_on_disk
        self.writing = flow.writing

    def parts(self) -> Iterator[tuple[str, Condition]]:
        """Each part of it with its name."""
        entry, stage, at = self.entry, self.stage, self.is_at
        writing = self.writing()
        is_save = z3.BoolVal(self.strategy != "replace-tool-map")  # which replaces whatever is there (KVS-REPLACE-1)
        staged_undo = stage.undoing() if self.strategy == "staged" else ()
        created = (*entry.creating(),)
        early = (*stage.creating(), "payload", "payload.rest") if self.strategy == "staged" else ()

        def when(points: tuple[str, ...], holds: Condition) -> Condition:
            return lambda s: z3.Implies(at(s, *points), holds(s))

        def free(temp: Temp) -> Condition:
            return lambda s: z3.Not(z3.Or([temp.of(s, v) for v in ("fd", "noted", "link", "lock")]))

        yield "a program point", lambda s: z3.And(s.pc >= 0, s.pc < len(self.points))
        yield (
            "nothing but whole files is published, and durable ones are on the disk before",
            lambda s: z3.And(
                z3.Implies(s.published_on_disk, s.published),
                z3.Implies(s.visible, s.published),
                z3.Implies(s.published, z3.And(self.is_whole(s), s.confirmed, s.publishing, z3.Not(s.entry_link))),
                z3.Implies(
                    z3.And(s.published, s.durable), z3.And(z3.Not(s.dirty), z3.Not(s.lost), self.is_whole_on_disk(s))
                ),
                z3.Not(s.old_gone),
                z3.Implies(z3.Or(s.published, at(s, "rename"), is_save), z3.Not(s.overtaken)),
            ),
        )
        yield (
            "a name is not forgotten",
            lambda s: z3.And(
                [z3.Implies(z3.And(t.of(s, "link"), z3.Not(at(s, DEAD))), t.of(s, "noted")) for t in (entry, stage)]
            ),
        )
        yield (
            "before publication nothing is published",
            when(
                (*early, *created, *writing, "link"),
                lambda s: z3.And(z3.Not(s.published), z3.Not(s.publishing), z3.Not(s.visible), s.seen == NO),
            ),
        )
        yield (
            "before its creation there is no temp file",
            when(
                (*early, "entry.open"),
                lambda s: z3.Not(z3.Or(z3.Not(free(entry)(s)), s.duplicated, entry.of(s, "unlink_failed"))),
            ),
        )
        yield (
            "while the entry is created, it is where its point says",
            lambda s: z3.And(
                when(created, lambda s: z3.And(z3.Not(s.duplicated), z3.Not(entry.of(s, "unlink_failed"))))(s),
                *self.locking(entry, when, s),
            ),
        )
        yield (
            "while it is written, the entry is open, locked, and has its name if it has one",
            when(
                (*writing, "link"),
                lambda s: z3.And(
                    *self.held(entry, s),
                    z3.Implies(entry.of(s, "noted"), entry.of(s, "link")),
                    s.duplicated == at(s, "close duplicate"),
                    z3.Not(entry.of(s, "unlink_failed")),
                ),
            ),
        )
        yield (
            "it has its name",
            lambda s: z3.And(
                when(("link",), lambda s: z3.And(z3.Not(s.named), z3.Not(entry.of(s, "noted"))))(s),
                when(("look", "rename"), lambda s: entry.of(s, "noted"))(s),
                when(
                    tuple(p for p in writing if p not in ("look", "rename")), lambda s: entry.of(s, "noted") == s.named
                )(s),
            ),
        )
        yield (
            "after publication",
            when(
                ("sync directory", "release", DONE),
                lambda s: z3.And(
                    s.visible, s.published, z3.Not(entry.of(s, "noted")), s.confirmed, z3.Not(s.duplicated)
                ),
            ),
        )
        yield (
            "a directory that was synced",
            when(("release", DONE), lambda s: z3.Implies(s.durable, s.published_on_disk)),
        )
        yield "only a durable save syncs", when(("sync", "sync directory"), lambda s: s.durable)
        yield from self._contents(when)
        yield (
            "a failed publication",
            when(("look back", "look back.own"), lambda s: z3.And(s.publishing, z3.Not(s.visible), s.seen == NO)),
        )
        yield (
            "what the failure says is so",
            when(
                (*entry.undoing(), *staged_undo, FAILED),
                lambda s: z3.And(
                    z3.Implies(s.seen == YES, s.published),
                    z3.Implies(z3.And(s.seen == NO, z3.Not(s.visible)), z3.Not(s.published)),
                ),
            ),
        )
        yield (
            "a failed removal",
            lambda s: z3.And(
                when(("entry.undo.stat", "entry.undo.unlock"), lambda s: entry.of(s, "unlink_failed"))(s),
                when(
                    ("entry.undo.close", *staged_undo, FAILED),
                    lambda s: z3.Implies(entry.of(s, "noted"), entry.of(s, "unlink_failed")),
                )(s),
                when(("stage.undo.stat", "stage.undo.unlock"), lambda s: stage.of(s, "unlink_failed"))(s),
                when(
                    ("stage.undo.close", FAILED),
                    lambda s: z3.Implies(stage.of(s, "noted"), stage.of(s, "unlink_failed")),
                )(s),
            ),
        )
        yield (
            "a dead writer holds nothing",
            when((DEAD,), lambda s: z3.Not(z3.Or(entry.of(s, "lock"), stage.of(s, "lock"), s.duplicated))),
        )
        yield from self._stage(when)

    def held(self, temp: Temp, state: State) -> tuple[Formula, ...]:
        """The file is open and locked."""
        return temp.of(state, "fd"), temp.of(state, "lock")

    def locking(self, temp: Temp, when: When, state: State) -> tuple[Formula, ...]:
        """From its creation to the lock, or to where it is given up."""
        _, flocking, looking, closing, unlinking = temp.creating()
        given_up = lambda s: z3.Not(z3.Or(temp.of(s, "fd"), temp.of(s, "lock")))  # noqa: E731 - a condition
        return (
            when((flocking,), lambda s: z3.And(temp.of(s, "fd"), temp.of(s, "noted") == s.named))(state),
            when((looking,), lambda s: z3.And(*self.held(temp, s), temp.of(s, "noted"), s.named))(state),
            when((closing, unlinking), lambda s: temp.of(s, "noted"))(state),
            when((unlinking,), given_up)(state),
        )

    def _contents(self, when: When) -> Iterator[tuple[str, Condition]]:
        head, end = payload_offset, file_bytes

        def prefix(state: State) -> Formula:
            """Every byte before the writer's place is there and right; for a backpatch those after the header."""
            start = layout.HEADER_BYTES if self.strategy == "backpatch" else 0
            patched = z3.And(state.byte >= 0, state.byte < state.patched)
            good = z3.Or(z3.And(start <= state.byte, state.byte < state.pos), patched)
            return z3.And(state.len == state.pos, z3.Implies(good, state.right), z3.Not(state.lost))

        before_sync = tuple(p for p in self.writing() if p not in ("duplicate", "close duplicate", "look", "rename"))
        yield "what is before the writer's place is right", when(before_sync, prefix)
        yield (
            "before anything is written",
            when(
                (*self.entry.creating(),),
                lambda s: z3.And(s.pos == 0, s.len == 0, s.patched == 0, z3.Not(s.lost), z3.Not(s.confirmed)),
            ),
        )
        yield "the head", when(("head",), lambda s: z3.And(s.pos >= 0, s.pos < head(s)))
        if self.strategy == "staged":
            yield (
                "the staged payload",
                when(
                    ("payload", "payload.rest"),
                    lambda s: z3.And(s.count >= 0, s.count <= s.payload, s.count + s.rest <= s.payload, s.rest >= 0),
                ),
            )
            yield (
                "what is staged is right",
                lambda s: z3.Implies(z3.And(head(s) <= s.byte, s.byte < head(s) + s.count), s.staged_right),
            )
            later = tuple(p for p in (*self.entry.creating(), "head", "copy", "copy.read", "copy.write"))
            yield "everything is staged", when(later, lambda s: s.count == s.payload)
            yield (
                "nothing is written while it is staged",
                when(
                    (*self.stage.creating(), "payload", "payload.rest"),
                    lambda s: z3.And(s.pos == 0, s.len == 0, s.patched == 0, z3.Not(s.lost), z3.Not(s.confirmed)),
                ),
            )
            yield (
                "nothing is staged before",
                when((*self.stage.creating(),), lambda s: z3.And(s.count == 0, s.rest == 0)),
            )
        elif not self.copies:
            yield (
                "the payload",
                when(
                    ("payload", "payload.rest"),
                    lambda s: z3.And(
                        s.pos == head(s) + s.count, s.count >= 0, s.rest >= 0, s.count + s.rest <= s.payload
                    ),
                ),
            )
            yield (
                "nothing is counted before",
                when((*self.entry.creating(), "head"), lambda s: z3.And(s.count == 0, s.rest == 0)),
            )
        if self.copies:
            yield (
                "the copy",
                lambda s: z3.And(
                    when(
                        ("copy", "copy.read", "copy.write"),
                        lambda s: z3.And(head(s) <= s.pos, s.pos < head(s) + s.payload),
                    )(s),
                    when(("copy.write",), lambda s: z3.And(s.rest > 0, s.pos + s.rest <= head(s) + s.payload))(s),
                ),
            )
        yield "the sections", when(("sections",), lambda s: z3.And(head(s) + s.payload <= s.pos, s.pos < end(s)))
        if self.strategy == "backpatch":
            before = ("head", "payload", "payload.rest", "sections")
            yield (
                "the patch",
                lambda s: z3.And(
                    when(before, lambda s: s.patched == 0)(s),
                    when(
                        ("patch",), lambda s: z3.And(s.patched >= 0, s.patched < layout.HEADER_BYTES, s.pos == end(s))
                    )(s),
                ),
            )
        complete = ("stage.unlink", "stage.close", "chmod", "sync")
        yield (
            "everything is written before it is synced",
            when(complete, lambda s: z3.And(self.is_whole(s), z3.Not(s.lost), s.pos == end(s))),
        )
        synced = ("duplicate", "close duplicate", "link", "look", "rename")
        yield (
            "everything is on the disk before it is published",
            when(
                synced,
                lambda s: z3.And(
                    self.is_whole(s),
                    z3.Not(s.lost),
                    z3.Implies(s.durable, z3.And(z3.Not(s.dirty), self.is_whole_on_disk(s))),
                ),
            ),
        )
        yield "late errors are known before it is published", when(("link", "look", "rename"), lambda s: s.confirmed)

    def _stage(self, when: When) -> Iterator[tuple[str, Condition]]:
        stage = self.stage
        nothing_left = lambda s: z3.Not(z3.Or([stage.of(s, v) for v in ("fd", "noted", "link", "lock")]))  # noqa: E731
        if self.strategy != "staged":
            yield "there is no staged file", nothing_left
            return
        yield "before its creation there is no staged file", when(("stage.open",), nothing_left)
        yield (
            "while it is created, the staged file is where its point says",
            lambda s: z3.And(
                when((*stage.creating(),), lambda s: z3.Not(stage.of(s, "unlink_failed")))(s),
                *self.locking(stage, when, s),
            ),
        )
        using = (
            "payload",
            "payload.rest",
            *self.entry.creating(),
            "head",
            "copy",
            "copy.read",
            "copy.write",
            "sections",
        )
        yield (
            "while it is used, the staged file is open and locked",
            when(
                (*using, "stage.unlink"),
                lambda s: z3.And(*self.held(stage, s), z3.Not(stage.of(s, "unlink_failed"))),
            ),
        )
        after = ("sync", "duplicate", "close duplicate", "link", "rename", "sync directory", "release", DONE)
        yield (
            "the staged file is gone before publication",
            lambda s: z3.And(
                when(("stage.unlink",), lambda s: stage.of(s, "noted"))(s),
                when(("stage.close",), lambda s: z3.Not(z3.Or(stage.of(s, "noted"), stage.of(s, "link"))))(s),
                when(after, nothing_left)(s),
            ),
        )
