"""The save protocol of each strategy, and the replacement of a tool map, as a transition system (KVS-SAVE, KVS-FAIL).

The sizes are any (text below 2^32, payload and file below 2^63), and so are the pieces in which the payload comes, the
bytes that each write accepts, the faults and their number. `byte` is one byte of the entry, any one: what is proved of
it holds of every byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import z3

from kvformat import layout
from kvformat.proofs.program import (
    CLOSE,
    FAILS,
    FALSE,
    FSTAT,
    PAYLOAD,
    SIGNAL,
    STAT,
    TRUE,
    UNLINK,
    Program,
    Target,
    Temp,
    both,
    maximum,
    minimum,
    sets,
)
from kvformat.proofs.system import Condition, Effect, Formula, Property, State, Step, System
from kvformat.transfer import COPY_BYTES_MAX, FALLBACK_BYTES

STRATEGIES = ("direct", "staged", "backpatch", "replace-tool-map")

PWRITE, COPY, PREAD = "pwrite", "copy_file_range", "pread"
DONE, FAILED, DEAD = "done", "failed", "dead"
ENDS = (DONE, FAILED, DEAD)

NO, YES, UNKNOWN = 1, 2, 3
"""What the failure says of whether the new content is visible (KVS-FAIL-1)."""

_CONSTANTS = ("text", "payload", "sections", "byte", "named", "durable", "titled")
_INPUTS = ("offered", "granted", "kept", "flushed_len", "flushed_right")
_NUMBERS = ("pos", "len", "patched", "rest", "count", "flushed", "seen")
_TRUTHS = (
    "duplicated",
    "right",
    "staged_right",
    "dirty",
    "lost",
    "confirmed",
    "flushed_is_right",
    "publishing",
    "published",
    "visible",
    "published_on_disk",
    "old_gone",
    "overtaken",
    "overtaken_unseen",
)


def file_bytes(state: State) -> Formula:
    """Size of the complete entry (KVC-FILE-4)."""
    return layout.TEXT_OFFSET + state.text + state.payload + state.sections


def payload_offset(state: State) -> Formula:
    """Where its payload starts."""
    return layout.TEXT_OFFSET + state.text


When = Callable[[tuple[str, ...], Condition], Condition]
"""Makes a condition of what holds at some points."""


class _Saving:
    """The system of one strategy, with at most one mistake."""

    def __init__(self, strategy: str, mistake: str) -> None:
        self.strategy = strategy
        self.mistake = mistake
        self.copies = strategy in ("staged", "replace-tool-map")
        self.points: tuple[str, ...] = ()
        self.program = Program(self.number, self.fail)
        self.entry = Temp("entry", self.program)
        self.stage = Temp("stage", self.program)
        self.points = self._points()

    def number(self, point: str) -> Formula:
        return z3.IntVal(self.points.index(point))

    def _points(self) -> tuple[str, ...]:
        staged = (*self.stage.creating(), "payload", "payload.rest") if self.strategy == "staged" else ()
        entry = (*self.entry.creating(), "head")
        body = ("copy", "copy.read", "copy.write") if self.copies else ("payload", "payload.rest")
        patch = ("patch",) if self.strategy == "backpatch" else ()
        unstage = ("stage.unlink", "stage.close") if self.strategy == "staged" else ()
        mode = ("chmod",) if self.strategy == "replace-tool-map" else ()
        over = ("look",) if self.strategy == "replace-tool-map" else ()
        end = ("sync", "duplicate", "close duplicate", "link", *over, "rename", "sync directory", "release")
        undo = ("look back", "look back.own", *self.entry.undoing())
        undo += self.stage.undoing() if self.strategy == "staged" else ()
        return (*staged, *entry, *body, "sections", *patch, *unstage, *mode, *end, *undo, *ENDS)

    def is_at(self, state: State, *points: str) -> Formula:
        known = [point for point in points if point in self.points]
        return z3.Or([state.pc == self.points.index(point) for point in known])

    # Where it goes on

    def fail(self, state: State) -> Formula:
        """Chapter 5: look whether the new content is visible, where that is not known; then remove every file."""
        unknown = z3.And(state.publishing, z3.Not(state.visible))
        return z3.If(unknown, self.number("look back"), self.program.go(state, self.undo_entry))

    def undo_entry(self, state: State) -> Formula:
        return self.program.go(state, self.entry.undo(self.undo_stage))

    def undo_stage(self, state: State) -> Formula:
        if self.strategy != "staged":
            return self.number(FAILED)
        return self.program.go(state, self.stage.undo(FAILED))

    def after_head(self, state: State) -> Formula:
        if not self.copies:
            return self.number("payload")
        return z3.If(state.payload > 0, self.number("copy"), self.after_payload(state))

    def after_payload(self, state: State) -> Formula:
        return z3.If(state.sections > 0, self.number("sections"), self.after_sections(state))

    def after_sections(self, state: State) -> Formula:
        patches = self.strategy == "backpatch" and self.mistake != "patched-after-publication"
        return self.number("patch") if patches else self.complete(state)

    def after_patch(self, state: State) -> Formula:
        late = self.mistake == "patched-after-publication"
        return self.after_publication(state) if late else self.finish(state)

    def complete(self, state: State) -> Formula:
        """Everything is written: a staged file goes before publication (KVS-STAGED-1)."""
        if self.strategy != "staged":
            return self.finish(state)
        return z3.If(self.stage.of(state, "noted"), self.number("stage.unlink"), self.number("stage.close"))

    def finish(self, state: State) -> Formula:
        refused = z3.And(state.payload == 0, z3.Not(state.titled))  # KVC-PAYLOAD-2
        go_on = self.number("chmod") if self.strategy == "replace-tool-map" else self.to_sync(state)
        return z3.If(refused, self.fail(state), go_on)

    def to_sync(self, state: State) -> Formula:
        if self.mistake == "no-sync":
            return self.number("duplicate")
        return z3.If(state.durable, self.number("sync"), self.number("duplicate"))

    def publish(self, state: State) -> Formula:
        return z3.If(state.named, self.named(state), self.number("link"))

    def named(self, _: State) -> Formula:
        return self.number("look" if self.strategy == "replace-tool-map" else "rename")

    def after_rename(self, state: State) -> Formula:
        if self.mistake == "patched-after-publication":
            return self.number("patch")
        return self.after_publication(state)

    def after_publication(self, state: State) -> Formula:
        if self.mistake == "no-directory-sync":
            return self.number("release")
        return z3.If(state.durable, self.number("sync directory"), self.number("release"))

    # What bytes do

    def landed(self, state: State, granted: Formula) -> dict[str, Formula]:
        """So many bytes of the entry at the writer's place are in the file."""
        start = maximum(state.pos, layout.HEADER_BYTES) if self.strategy == "backpatch" else state.pos
        end = state.pos + granted
        return {
            "len": maximum(state.len, end),
            "right": z3.Or(state.right, z3.And(start <= state.byte, state.byte < end)),
            "dirty": TRUE,
            "confirmed": FALSE,
        }

    def written(self, state: State, granted: Formula) -> dict[str, Formula]:
        """And the writer knows."""
        return {**self.landed(state, granted), "pos": state.pos + granted}

    def staged_landed(self, state: State, granted: Formula) -> dict[str, Formula]:
        place = state.byte - payload_offset(state)
        arrived = z3.And(state.count <= place, place < state.count + granted)
        return {"staged_right": z3.Or(state.staged_right, arrived)}

    def copied(self, state: State, granted: Formula) -> dict[str, Formula]:
        end = state.pos + granted
        here = z3.And(state.pos <= state.byte, state.byte < end)
        right = state.staged_right if self.strategy == "staged" else TRUE
        return {
            "len": maximum(state.len, end),
            "right": z3.Or(state.right, z3.And(here, right)),
            "dirty": TRUE,
            "confirmed": FALSE,
        }

    def patched(self, state: State, granted: Formula) -> dict[str, Formula]:
        here = z3.And(state.patched <= state.byte, state.byte < state.patched + granted)
        return {"right": z3.Or(state.right, here), "dirty": TRUE, "confirmed": FALSE}

    def loses(self, state: State) -> dict[str, Formula]:
        """A sync or close that fails reports that what none has reported as good may be lost (fsync(2), close(2))."""
        return {
            "right": z3.And(state.right, z3.Or(state.kept, state.confirmed)),
            "lost": z3.Or(state.lost, z3.Not(state.confirmed)),
        }

    # The program

    def steps(self) -> Iterator[Step]:
        if self.strategy == "staged":
            yield from self.stage.create("payload")
            yield from self.payload("entry.open")
        yield from self.entry.create("head")
        yield from self.fixed("head", payload_offset, self.after_head)
        if self.copies:
            yield from self.copy()
        else:
            yield from self.payload(self.after_payload)
        yield from self.fixed("sections", file_bytes, self.after_sections)
        if self.strategy == "backpatch":
            yield from self.patch()
        if self.strategy == "staged":
            yield from self.unstage()
        yield from self.publication()
        for point in (*self.writing(), "link"):
            yield Step(point, SIGNAL, "its handler raises", self.fail, fault=True)
        yield from self.look_back()
        unlinks = self.mistake != "no-unlink"
        yield from self.entry.abandon(self.undo_stage, unlinks=unlinks)
        if self.strategy == "staged":
            yield from self.stage.abandon(FAILED, unlinks=unlinks)
        yield from self.surroundings()

    def fixed(self, at: str, end: Condition, done: Target) -> Iterator[Step]:
        """A write of what stands ready, up to an offset."""
        yield from self.program.transfer(
            at, PWRITE, lambda s: end(s) - s.pos, self.written, done, short=at, landed=self.landed, mistake=self.mistake
        )

    def payload(self, done: Target) -> Iterator[Step]:
        """The payload, in pieces of any size; with a prediction they are counted (KVS-DIRECT-2)."""
        program, fail = self.program, self.fail
        into_stage = self.strategy == "staged"
        lands = self.staged_landed if into_stage else self.landed

        def counted(state: State, granted: Formula) -> dict[str, Formula]:
            moved = {} if into_stage else {"pos": state.pos + granted}
            return {**lands(state, granted), **moved, "count": state.count + granted, "rest": state.offered - granted}

        def rest_counted(state: State, granted: Formula) -> dict[str, Formula]:
            return {**counted(state, granted), "rest": state.rest - granted}

        def predicted(state: State) -> Formula:
            return z3.And(state.offered >= 0, state.count + state.offered <= state.payload)

        is_complete = lambda s: s.count == s.payload  # noqa: E731 - a condition, as everywhere here
        yield Step("payload", PAYLOAD, "ends", done, is_complete)
        yield Step("payload", PAYLOAD, "raises", fail, fault=True)
        if self.strategy == "direct":
            yield Step("payload", PAYLOAD, "ends early", fail, lambda s: s.count < s.payload, fault=True)
            yield Step("payload", PAYLOAD, "goes on", fail, lambda s: s.count + s.offered > s.payload, fault=True)
        for at, size, accepted in (
            ("payload", lambda s: s.offered, counted),
            ("payload.rest", lambda s: s.rest, rest_counted),
        ):
            yield from program.transfer(
                at,
                PWRITE,
                size,
                accepted,
                "payload",
                short="payload.rest",
                landed=lands,
                when=predicted if at == "payload" else (lambda s: s.rest > 0),
                mistake=self.mistake,
            )

    def copy(self) -> Iterator[Step]:
        """From the staged file, or from the entry that is replaced (KVS-STAGED-2, KVS-TOOLMAP-1)."""
        fail = self.fail

        def left(state: State) -> Formula:
            return payload_offset(state) + state.payload - state.pos

        def moved(state: State, granted: Formula) -> dict[str, Formula]:
            return {**self.copied(state, granted), "pos": state.pos + granted}

        def rest_moved(state: State, granted: Formula) -> dict[str, Formula]:
            return {**moved(state, granted), "rest": state.rest - granted}

        def some(most: int) -> Condition:
            return lambda s: z3.And(s.granted > 0, s.granted <= minimum(left(s), z3.IntVal(most)))

        def all_or(again: str) -> Target:
            return self.program.either(lambda s: left(s) == 0, self.after_payload, again)

        yield Step("copy", COPY, "done", all_or("copy"), some(COPY_BYTES_MAX), lambda s: moved(s, s.granted))
        yield Step("copy", COPY, "cannot", "copy.read", fault=True)
        yield Step("copy", COPY, FAILS, fail, fault=True)
        yield Step(
            "copy", COPY, "fails late", fail, some(COPY_BYTES_MAX), lambda s: self.copied(s, s.granted), fault=True
        )
        yield Step("copy.read", PREAD, "done", "copy.write", some(FALLBACK_BYTES), lambda s: {"rest": s.granted})
        yield Step("copy.read", PREAD, "nothing left", fail, fault=True)
        yield Step("copy.read", PREAD, FAILS, fail, fault=True)
        yield from self.program.transfer(
            "copy.write",
            PWRITE,
            lambda s: s.rest,
            rest_moved,
            all_or("copy.read"),
            short="copy.write",
            landed=self.copied,
            mistake=self.mistake,
        )

    def patch(self) -> Iterator[Step]:
        """The header over the zeros (KVS-BACKPATCH-1, KVS-BACKPATCH-3)."""
        yield from self.program.transfer(
            "patch",
            PWRITE,
            lambda s: layout.HEADER_BYTES - s.patched,
            lambda s, granted: {**self.patched(s, granted), "patched": s.patched + granted},
            self.after_patch,
            short="patch",
            landed=self.patched,
            mistake=self.mistake,
        )

    def unstage(self) -> Iterator[Step]:
        gone = self.stage.sets(link=False, noted=False)
        if self.mistake == "staged-file-left":
            gone = self.stage.sets(noted=False)
        yield from self.program.call(
            "stage.unlink", UNLINK, "stage.close", effect=gone, late=self.stage.sets(link=False)
        )
        closed = self.stage.closes
        yield from self.program.call("stage.close", CLOSE, self.finish, effect=closed, failed=closed)

    def publication(self) -> Iterator[Step]:
        call, entry = self.program.call, self.entry
        if self.strategy == "replace-tool-map":
            yield from call("chmod", "fchmod", self.to_sync)

        def synced(state: State) -> dict[str, Formula]:
            return {
                "dirty": state.lost,
                "confirmed": TRUE,
                "flushed": state.len,
                "flushed_is_right": z3.And(state.right, z3.Not(state.lost)),
            }

        ignored = self.mistake == "sync-error-ignored"
        yield from call(
            "sync", "fsync", "duplicate", effect=synced, failed=self.loses, failure="duplicate" if ignored else None
        )
        yield from call("duplicate", "dup", "close duplicate", effect=sets(duplicated=True))
        yield from call(
            "close duplicate",
            CLOSE,
            self.publish,
            effect=sets(duplicated=False, confirmed=True),
            failed=both(self.loses, sets(duplicated=False)),
            late=both(self.loses, sets(duplicated=False)),
            failure=self.publish if self.mistake == "close-error-ignored" else None,
        )
        linked = entry.sets(link=True, noted=True)
        yield Step("link", "link", "the name exists", "link", fault=True)
        yield Step("link", "link", "every name exists", self.fail, fault=True)
        yield from call("link", "link", self.named, effect=linked, failed=entry.sets(noted=True))
        if self.strategy == "replace-tool-map":
            yield Step("look", STAT, "it is the file that was read", "rename", lambda s: z3.Not(s.overtaken))
            yield Step("look", STAT, "it is another", self.fail, lambda s: s.overtaken)
            yield Step("look", STAT, FAILS, self.fail, fault=True)

        def renamed(state: State) -> dict[str, Formula]:
            return {"published": TRUE, "publishing": TRUE, "entry_link": FALSE, "overtaken_unseen": state.overtaken}

        if self.mistake == "old-removed-first":
            yield Step("rename", UNLINK, "done", "rename", lambda s: z3.Not(s.old_gone), sets(old_gone=True))
        first = (lambda s: s.old_gone) if self.mistake == "old-removed-first" else (lambda _: TRUE)
        yield from call(
            "rename",
            "rename",
            self.after_rename,
            when=first,
            effect=both(renamed, sets(visible=True, entry_noted=False)),
            failed=sets(publishing=True),
            late=renamed,
        )
        yield from call("sync directory", "fsync(directory)", "release", effect=sets(published_on_disk=True))
        closed = entry.closes
        lost = both(closed, self.loses)
        yield from call("release", CLOSE, DONE, effect=closed, failed=lost, late=lost)

    def look_back(self) -> Iterator[Step]:
        """rename(2) failed: which file has the final name now? (KVS-FAIL-1)"""

        def saw(value: int) -> Effect:
            return lambda _: {"seen": z3.IntVal(value)}

        undo = self.undo_entry
        own = "look back.own"
        yield Step("look back", STAT, "there is a file", own)
        yield Step("look back", STAT, "there is none", undo, lambda s: z3.Not(s.published), saw(NO))
        yield Step("look back", STAT, FAILS, undo, effect=saw(UNKNOWN), fault=True)
        yes = both(saw(YES), sets(entry_noted=False))
        yield Step(own, FSTAT, "it is this one", undo, lambda s: s.published, yes)
        yield Step(own, FSTAT, "it is another", undo, lambda s: z3.Not(s.published), saw(NO))
        yield Step(own, FSTAT, FAILS, undo, effect=saw(UNKNOWN), fault=True)

    def surroundings(self) -> Iterator[Step]:
        """Write-back, the journal, recoveries, other savers, and SIGKILL, at any moment."""

        def flushes(state: State) -> dict[str, Formula]:
            return {"flushed": state.flushed_len, "flushed_is_right": state.flushed_right}

        yield Step("", "", "write-back leaves anything of what was not synced", "", lambda s: s.dirty, flushes)
        yield Step("", "", "the new name reaches the disk", "", lambda s: s.published, sets(published_on_disk=True))
        yield self.entry.recovered()
        if self.strategy == "staged":
            yield self.stage.recovered()
        if self.strategy == "replace-tool-map":
            before = lambda s: z3.Not(s.published)  # noqa: E731 - a condition, as everywhere here
            yield Step("", "", "somebody else saves the entry", "", before, sets(overtaken=True))
        killed = sets(entry_fd=False, entry_lock=False, duplicated=False, stage_fd=False, stage_lock=False)
        lives = lambda s: z3.Not(self.is_at(s, *ENDS))  # noqa: E731 - a condition, as everywhere here
        yield Step("", "", "SIGKILL", DEAD, lives, killed, fault=True)

    # What is assumed, and what is proved

    def assumed(self, state: State) -> Formula:
        return z3.And(
            state.text >= 0,
            state.text < 2**32,
            state.payload >= 0,
            state.payload < 2**63,
            state.sections >= 0,
            file_bytes(state) <= layout.FILE_BYTES_MAX,
            state.byte >= 0,
            state.byte < file_bytes(state),
            state.offered >= 0,
            state.granted >= 0,
            state.flushed_len >= 0,
        )

    def start(self, state: State) -> Formula:
        numbers = [getattr(state, name) == 0 for name in _NUMBERS if name != "seen"]
        truths = [z3.Not(getattr(state, name)) for name in self.truths()]
        return z3.And(state.pc == 0, state.seen == NO, *numbers, *truths)

    def truths(self) -> tuple[str, ...]:
        temps = (self.entry, self.stage)
        return (*_TRUTHS, *(f"{temp.prefix}_{name}" for temp in temps for name in temp.VARIABLES))

    def system(self) -> System:
        sorts: dict[str, Formula] = {"pc": z3.IntSort()}
        sorts |= dict.fromkeys(
            ("text", "payload", "sections", "byte", "offered", "granted", "flushed_len"), z3.IntSort()
        )
        sorts |= dict.fromkeys(("named", "durable", "titled", "kept", "flushed_right"), z3.BoolSort())
        sorts |= dict.fromkeys(_NUMBERS, z3.IntSort())
        sorts |= dict.fromkeys(self.truths(), z3.BoolSort())
        return System(
            f"save, {self.strategy}" if self.strategy != "replace-tool-map" else self.strategy,
            sorts,
            frozenset(_INPUTS),
            frozenset(_CONSTANTS),
            self.points,
            self.assumed,
            self.start,
            tuple(self.steps()),
            tuple(self.invariant()),
            self.properties(),
        )

    def is_whole(self, state: State) -> Formula:
        return z3.And(state.len == file_bytes(state), state.right)

    def is_whole_on_disk(self, state: State) -> Formula:
        return z3.And(state.flushed == file_bytes(state), state.flushed_is_right)

    def properties(self) -> tuple[Property, ...]:
        entry, stage = self.entry, self.stage

        def no_temp_left(state: State) -> Formula:
            one = [
                z3.Implies(temp.of(state, "link"), z3.And(temp.of(state, "noted"), temp.of(state, "unlink_failed")))
                for temp in (entry, stage)
            ]
            none = z3.Not(z3.Or(entry.of(state, "link"), stage.of(state, "link")))
            return z3.And(z3.Implies(self.is_at(state, FAILED), z3.And(one)), z3.Implies(self.is_at(state, DONE), none))

        def told_truly(state: State) -> Formula:
            says_no = z3.And(z3.Not(state.visible), state.seen == NO)
            says_yes = z3.Or(state.visible, state.seen == YES)
            truth = z3.And(z3.Implies(says_no, z3.Not(state.published)), z3.Implies(says_yes, state.published))
            return z3.Implies(self.is_at(state, FAILED), truth)

        def reclaimable(state: State) -> Formula:
            free = z3.Not(z3.Or(entry.of(state, "lock"), stage.of(state, "lock")))
            return z3.Implies(self.is_at(state, DEAD), free)

        def in_place(state: State) -> Formula:
            held = z3.And(state.named, self.is_at(state, *self.writing()))
            return z3.Implies(held, entry.of(state, "link"))

        return (
            Property(
                "what is published is complete",
                "KVS-INV-1",
                "partial-visible",
                lambda s: z3.Implies(s.published, self.is_whole(s)),
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
                lambda s: z3.Implies(self.is_at(s, DONE), z3.And(s.published, self.is_whole(s))),
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
                lambda s: z3.Implies(z3.And(s.durable, s.published_on_disk), self.is_whole_on_disk(s)),
            ),
            Property(
                "what was reported as saved is there after a loss of power",
                "KVS-INV-7",
                "lost-after-ack",
                lambda s: z3.Implies(z3.And(s.durable, self.is_at(s, DONE)), s.published_on_disk),
            ),
            Property("a failure tells truly whether the new content is visible", "KVS-FAIL-1", "", told_truly),
            *self._own_properties(),
        )

    def _own_properties(self) -> tuple[Property, ...]:
        if self.strategy != "replace-tool-map":
            return ()
        return (
            Property(
                "who saved the entry before the last look at it is not undone",
                "KVS-TOOLMAP-1",
                "entry-lost",
                lambda s: z3.Implies(z3.And(s.overtaken, self.is_at(s, "look")), z3.Not(s.published)),
            ),
        )

    def writing(self) -> tuple[str, ...]:
        """The points from the lock to the publication."""
        names = ["head", "copy", "copy.read", "copy.write", "sections", "patch", "stage.unlink", "stage.close", "chmod"]
        names += ["sync", "duplicate", "close duplicate", "look", "rename"]
        if self.strategy != "staged":
            names += ["payload", "payload.rest"]
        return tuple(name for name in names if name in self.points)

    def invariant(self) -> Iterator[tuple[str, Condition]]:
        entry, stage, at = self.entry, self.stage, self.is_at
        writing = self.writing()
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
                z3.Implies(z3.And(s.published, s.overtaken), s.overtaken_unseen),
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


def saving(strategy: str, mistake: str = "") -> System:
    """The system of one strategy. `mistake` makes its program wrong in one place (see `mistakes`)."""
    if strategy not in STRATEGIES:
        raise ValueError(f"no strategy {strategy!r}: {', '.join(STRATEGIES)}")
    return _Saving(strategy, mistake).system()
