"""A save as it goes on: its program points and variables, where each call leads, and what bytes do to the file.

The sizes are any (text below 2^32, payload and file below 2^63), and so are the pieces in which the payload comes, the
bytes that each write accepts, the faults and their number. `byte` is one byte of the entry, any one: what is proved of
it holds of every byte.
"""

from __future__ import annotations

import z3

from kvformat import layout
from kvformat.proofs.program import ENDS, FAILED, FALSE, TRUE, Program, Temp, maximum
from kvformat.proofs.system import Formula, State

STRATEGIES = ("direct", "staged", "backpatch", "replace-tool-map")

PWRITE, COPY, PREAD = "pwrite", "copy_file_range", "pread"

NO, YES, UNKNOWN = 1, 2, 3
"""What the failure says of whether the new content is visible (KVS-FAIL-1)."""

CONSTANTS = ("text", "payload", "sections", "byte", "named", "durable", "titled")
INPUTS = ("offered", "granted", "kept", "flushed_len", "flushed_right")
NUMBERS = ("pos", "len", "patched", "rest", "count", "flushed", "seen")
TRUTHS = (
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
)


def file_bytes(state: State) -> Formula:
    """Size of the complete entry (KVC-FILE-4)."""
    return layout.TEXT_OFFSET + state.text + state.payload + state.sections


def payload_offset(state: State) -> Formula:
    """Where its payload starts."""
    return layout.TEXT_OFFSET + state.text


class SaveFlow:
    """Of one strategy, with at most one mistake (see `mistakes`)."""

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
        """A program point as a value of `pc`."""
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
        """Whether a state stands at one of these points, those aside that this strategy does not have."""
        known = [point for point in points if point in self.points]
        return z3.Or([state.pc == self.points.index(point) for point in known])

    # Where it goes on

    def fail(self, state: State) -> Formula:
        """Chapter 5: look whether the new content is visible, where that is not known; then remove every file."""
        unknown = z3.And(state.publishing, z3.Not(state.visible))
        return z3.If(unknown, self.number("look back"), self.program.go(state, self.undo_entry))

    def undo_entry(self, state: State) -> Formula:
        """Where the temp file is removed, or what comes after that."""
        return self.program.go(state, self.entry.undo(self.undo_stage))

    def undo_stage(self, state: State) -> Formula:
        """Where the staged file is removed, or the end."""
        if self.strategy != "staged":
            return self.number(FAILED)
        return self.program.go(state, self.stage.undo(FAILED))

    def after_head(self, state: State) -> Formula:
        """The payload: written, or copied where there is any."""
        if not self.copies:
            return self.number("payload")
        return z3.If(state.payload > 0, self.number("copy"), self.after_payload(state))

    def after_payload(self, state: State) -> Formula:
        """The sections, where there are any."""
        return z3.If(state.sections > 0, self.number("sections"), self.after_sections(state))

    def after_sections(self, state: State) -> Formula:
        """The header, of a backpatch (KVS-BACKPATCH-1)."""
        patches = self.strategy == "backpatch" and self.mistake != "patched-after-publication"
        return self.number("patch") if patches else self.complete(state)

    def after_patch(self, state: State) -> Formula:
        """Publication."""
        late = self.mistake == "patched-after-publication"
        return self.after_publication(state) if late else self.finish(state)

    def complete(self, state: State) -> Formula:
        """Everything is written: a staged file goes before publication (KVS-STAGED-1)."""
        if self.strategy != "staged":
            return self.finish(state)
        return z3.If(self.stage.of(state, "noted"), self.number("stage.unlink"), self.number("stage.close"))

    def finish(self, state: State) -> Formula:
        """Every byte is in the temp file: an empty payload is refused, else it is published."""
        refused = z3.And(state.payload == 0, z3.Not(state.titled))  # KVC-PAYLOAD-2
        go_on = self.number("chmod") if self.strategy == "replace-tool-map" else self.to_sync(state)
        return z3.If(refused, self.fail(state), go_on)

    def to_sync(self, state: State) -> Formula:
        """A durable save syncs (KVS-SAVE-5)."""
        if self.mistake == "no-sync":
            return self.number("duplicate")
        return z3.If(state.durable, self.number("sync"), self.number("duplicate"))

    def publish(self, state: State) -> Formula:
        """A file without a name gets one (KVS-TEMP-5)."""
        return z3.If(state.named, self.named(state), self.number("link"))

    def named(self, _: State) -> Formula:
        """A tool map looks once more whether it replaces what it has read (KVS-TOOLMAP-1)."""
        looks = self.strategy == "replace-tool-map" and self.mistake != "not-looked"
        return self.number("look" if looks else "rename")

    def after_rename(self, state: State) -> Formula:
        """What comes behind publication."""
        if self.mistake == "patched-after-publication":
            return self.number("patch")
        return self.after_publication(state)

    def after_publication(self, state: State) -> Formula:
        """A durable save syncs the directory (KVS-SAVE-7)."""
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
        """So many bytes of the payload are in the staged file."""
        place = state.byte - payload_offset(state)
        arrived = z3.And(state.count <= place, place < state.count + granted)
        return {"staged_right": z3.Or(state.staged_right, arrived)}

    def copied(self, state: State, granted: Formula) -> dict[str, Formula]:
        """So many bytes of the payload are copied into the entry."""
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
        """So many bytes of the header are over the zeros."""
        here = z3.And(state.patched <= state.byte, state.byte < state.patched + granted)
        return {"right": z3.Or(state.right, here), "dirty": TRUE, "confirmed": FALSE}

    def loses(self, state: State) -> dict[str, Formula]:
        """A sync or close that fails reports that what none has reported as good may be lost (fsync(2), close(2))."""
        return {
            "right": z3.And(state.right, z3.Or(state.kept, state.confirmed)),
            "lost": z3.Or(state.lost, z3.Not(state.confirmed)),
        }

    # What is assumed

    def assumed(self, state: State) -> Formula:
        """What is so of every state: the sizes are such as an entry may have."""
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
        """Nothing is made, written or published."""
        numbers = [getattr(state, name) == 0 for name in NUMBERS if name != "seen"]
        truths = [z3.Not(getattr(state, name)) for name in self.truths()]
        return z3.And(state.pc == 0, state.seen == NO, *numbers, *truths)

    def truths(self) -> tuple[str, ...]:
        """The names of the variables that are true or false."""
        temps = (self.entry, self.stage)
        return (*TRUTHS, *(f"{temp.prefix}_{name}" for temp in temps for name in temp.VARIABLES))

    def is_whole(self, state: State) -> Formula:
        """Whether the file is the complete entry."""
        return z3.And(state.len == file_bytes(state), state.right)

    def is_whole_on_disk(self, state: State) -> Formula:
        """And after a loss of power."""
        return z3.And(state.flushed == file_bytes(state), state.flushed_is_right)

    def writing(self) -> tuple[str, ...]:
        """The points from the lock to the publication."""
        names = ["head", "copy", "copy.read", "copy.write", "sections", "patch", "stage.unlink", "stage.close", "chmod"]
        names += ["sync", "duplicate", "close duplicate", "look", "rename"]
        if self.strategy != "staged":
            names += ["payload", "payload.rest"]
        return tuple(name for name in names if name in self.points)
