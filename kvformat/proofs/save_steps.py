"""The steps of a save, call by call (KVS-SAVE, KVS-DIRECT, KVS-STAGED, KVS-BACKPATCH, KVS-TOOLMAP, KVS-FAIL)."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from kvformat import layout
from kvformat.proofs.program import (
    CLOSE,
    DEAD,
    DONE,
    ENDS,
    FAILED,
    FAILS,
    FSTAT,
    PAYLOAD,
    SIGNAL,
    STAT,
    TRUE,
    UNLINK,
    Target,
    both,
    minimum,
    sets,
)
from kvformat.proofs.save_flow import COPY, NO, PREAD, PWRITE, UNKNOWN, YES, SaveFlow, file_bytes, payload_offset
from kvformat.proofs.system import Condition, Effect, Formula, State, Step
from kvformat.transfer import COPY_BYTES_MAX, FALLBACK_BYTES


class SaveSteps(SaveFlow):
    """The program, and what happens around it."""

    def steps(self) -> Iterator[Step]:
        """Every step of the program, and those around it."""
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
        """The staged file goes before publication (KVS-STAGED-1)."""
        gone = self.stage.sets(link=False, noted=False)
        if self.mistake == "staged-file-left":
            gone = self.stage.sets(noted=False)
        yield from self.program.call(
            "stage.unlink", UNLINK, "stage.close", effect=gone, late=self.stage.sets(link=False)
        )
        closed = self.stage.closes
        yield from self.program.call("stage.close", CLOSE, self.finish, effect=closed, failed=closed)

    def publication(self) -> Iterator[Step]:
        """KVS-SAVE-5 to KVS-SAVE-8, in order."""
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

        renamed = sets(published=True, publishing=True, entry_link=False)

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
            # Between the last look and rename(2) nobody could notice it, and nothing is promised (KVS-TOOLMAP-1).
            seen = lambda s: z3.Not(z3.Or(s.published, self.is_at(s, "rename")))  # noqa: E731 - a condition
            yield Step("", "", "somebody else saves the entry", "", seen, sets(overtaken=True))
        killed = sets(entry_fd=False, entry_lock=False, duplicated=False, stage_fd=False, stage_lock=False)
        lives = lambda s: z3.Not(self.is_at(s, *ENDS))  # noqa: E731 - a condition, as everywhere here
        yield Step("", "", "SIGKILL", DEAD, lives, killed, fault=True)
