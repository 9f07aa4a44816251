"""A store under everything that may happen to it, against a plain dictionary (spec/saving.md, chapters 1 to 9)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from hypothesis import assume, note
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from faultinject.faults import Fault
from kvformat import layout
from kvformat.errors import KvformatError, SaveError
from kvformat.filesystem import FileSystem
from kvformat.identity import is_entry_name
from kvformat.model import ToolEntry
from kvformat.options import Strategy
from kvformat.recovery import RecoveryReport
from kvformat.store import Store
from kvformat.temp_names import TempKind, is_temp_name
from kvformat.testing import (
    BrokenFile,
    PayloadFailure,
    PayloadStream,
    PieceKind,
    broken_files,
)
from tests.kvformat.stateful.changes import NOW, Change, Held, Refused, Remove, ReplaceToolMap, Save, Touch
from tests.kvformat.stateful.changes import described as said
from tests.kvformat.stateful.grounds import Ground, Meanwhile, MemoryGround, Outcome, RealGround
from tests.kvformat.stateful.model import Content, Model, ViolationError
from tests.kvformat.stateful.trouble import Kind, Trouble

OFTEN = st.booleans().map(lambda rarely: not rarely)
TEXTS = (b"", b"a", b"abc", b"b")
PROMPTS = (*TEXTS, b"abcd", b"ax", b"x")
STREAMS = (
    PayloadStream(((b"p", PieceKind.BYTES),)),
    PayloadStream(((b"pa", PieceKind.ITEMS), (b"", PieceKind.BYTES), (b"y", PieceKind.BYTEARRAY))),
    PayloadStream(((b"q" * 600, PieceKind.VIEW),)),  # more than one block of the disk
)
"""A few, so that a choice is one draw: examples are found and shrunk sooner. Any other are drawn in test_testing*."""

TOOL_MAPS = st.sampled_from([None, (), (ToolEntry(b"i", b"block"),)])


@st.composite
def saves(draw: st.DrawFn, *, fails: bool = False) -> Save:
    """Saves of a few entries again and again, in every way. Not st.builds: it would show every argument."""
    stream = draw(st.sampled_from(STREAMS))
    return Save(
        text=draw(st.sampled_from(TEXTS)),
        payload=replace(stream, fails_after_bytes=draw(st.integers(0, 3))) if fails else stream,
        title=draw(st.sampled_from([None, b"t"])),
        tool_map=draw(TOOL_MAPS),
        hits=draw(st.sampled_from([0, layout.U32_MAX])),
        context_tokens=draw(st.sampled_from([0, 5])),
        strategy=draw(st.sampled_from(Strategy)),
        temp=draw(st.sampled_from(TempKind)),
        durable=draw(OFTEN),
    )


@st.composite
def troubles(draw: st.DrawFn) -> Trouble:
    """Anything that may go wrong, anywhere."""
    return Trouble(
        kind=draw(st.sampled_from(Kind)),
        at=draw(st.integers(0, 25)),
        byte=draw(st.integers(0, 100)),
        error=draw(st.integers(0, 8)),
        sticky=draw(st.booleans()),
    )


SAVES = saves()
FAILING_SAVES = saves(fails=True)
PERHAPS = st.none() | troubles()
DAMAGED = broken_files(clauses=["KVC-FILE-3", "KVC-HEADER-1", "KVC-HEADER-10"])


class StoreMachine(RuleBasedStateMachine):
    """One directory, a store that works on it, others beside it, and everything that may go wrong."""

    steps: ClassVar[int] = 0
    seen: ClassVar[Counter[str]] = Counter()
    ground_type: ClassVar[type[MemoryGround | RealGround]] = MemoryGround
    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.ground: Ground = self.ground_type()
        self.model = Model()
        self._lives = 0
        self._start()

    def teardown(self) -> None:
        """Gives the directory back."""
        self.ground.shut()

    # What a planted fault replaces

    def port(self, fs: FileSystem) -> FileSystem:
        """What stands between store and file system."""
        return fs

    def store_on(self, fs: FileSystem) -> Store:
        """A store, as a program opens it."""
        return Store(fs, clock=lambda: NOW)

    def _start(self) -> None:
        """A process starts: its store lives until it is killed."""
        self.store = self.store_on(self.port(self.ground.line))

    def _another(self) -> Store:
        return self.store_on(self.port(self.ground.beside()))

    # Changes

    @rule(target=names, change=SAVES)
    def save(self, change: Save) -> str:
        """KVS-SAVE, KVS-REPLACE-1."""
        self._change(change, None)
        return change.name

    @rule(target=names, change=SAVES, trouble=troubles())
    def save_in_trouble(self, change: Save, trouble: Trouble) -> str:
        """KVS-FAIL, KVS-INV-1 to -6."""
        self._change(change, trouble)
        return change.name

    @rule(change=FAILING_SAVES)
    def save_whose_producer_fails(self, change: Save) -> None:
        """KVS-FAIL-2: nothing is left, and the exception comes through."""
        self._change(change, None)

    @rule(name=names, hits_added=st.sampled_from([1, 2]), last_used=st.integers(0, 9), durable=OFTEN, trouble=PERHAPS)
    def touch(self, name: str, hits_added: int, last_used: int, durable: bool, trouble: Trouble | None) -> None:
        """KVS-TOUCH, KVC-HEADER-11."""
        self._change(Touch(name, hits_added, last_used, durable), trouble)

    @rule(name=names, tool_map=TOOL_MAPS, durable=OFTEN, trouble=PERHAPS)
    def replace_tool_map(
        self, name: str, tool_map: tuple[ToolEntry, ...] | None, durable: bool, trouble: Trouble | None
    ) -> None:
        """KVS-TOOLMAP, KVC-FILE-5."""
        self._change(ReplaceToolMap(name, tool_map, durable), trouble)

    @rule(name=names, durable=OFTEN, trouble=PERHAPS)
    def remove(self, name: str, durable: bool, trouble: Trouble | None) -> None:
        """KVS-REMOVE."""
        self._change(Remove(name, durable), trouble)

    def _change(self, change: Change, trouble: Trouble | None) -> None:
        type(self).steps += 1
        fault = None if trouble is None else self._fitted(change, trouble)
        if fault is not None:
            note(f"  # goes wrong: {fault.id}")
        before = self.model.fate(change.name).now
        new = self._wanted(change)
        outcome = self.ground.run(lambda: change.perform(self.store), fault)
        if outcome.fired and fault is not None:
            self.seen[f"{type(change).__name__} {fault.form}"] += 1
        self._judge(change, before, new, outcome)

    def _wanted(self, change: Change) -> tuple[Content] | None:
        """What the name holds afterwards, None where the change must fail."""
        try:
            return (self.model.after(change, self.model.fate(change.name).now),)
        except Refused:
            return None

    def _fitted(self, change: Change, trouble: Trouble) -> Fault | None:
        def act(fs: FileSystem) -> None:
            try:
                change.perform(self.store_on(self.port(fs)))
            except (KvformatError, PayloadFailure):
                return  # a change that must fail; what it has done up to there is the run

        trace = self.ground.rehearse(act, self.model.live)
        return trouble.fitted(trace, atomic=isinstance(change, Touch))

    def _judge(self, change: Change, before: Content, new: tuple[Content] | None, outcome: Outcome) -> None:
        contents = self.ground.contents()
        there = contents.get(change.name)
        if new is None:
            if outcome.acknowledged:
                raise ViolationError(f"false-success: {change!r} cannot have been done")
            allowed: set[Content] = {before}
        else:
            allowed = {new[0]} if outcome.acknowledged else {before, new[0]}
            if not outcome.fired and not outcome.acknowledged:
                raise ViolationError(f"never-heals: nothing went wrong, and {change!r} failed: {said(outcome.error)}")
        fate = self.model.fate(change.name)
        if isinstance(change, Touch) and outcome.fired and not outcome.acknowledged:
            # A sync or close that fails takes with it what earlier changes, not meant to last, had left unsynced.
            allowed |= {there} if fate.torn else fate.after_loss
        if there not in allowed:
            kind = "false-success" if outcome.acknowledged else "entry-lost" if there is None else "partial-visible"
            raise ViolationError(f"{kind}: {change.name} holds {there!r} after {change!r}: {said(outcome.error)}")
        if isinstance(outcome.error, SaveError) and outcome.error.visible is not None and new is not None:
            told = new[0] if outcome.error.visible else before
            if there != told:
                raise ViolationError(f"false-success: {outcome.error} (KVS-FAIL-1), and {change.name} holds {there!r}")
        left = set(getattr(outcome.error, "left_behind", ()))
        self._judge_temps(contents, left, killed=outcome.killed, what=repr(change))
        if outcome.acknowledged:
            assert new is not None
            self.model.acknowledged(change, new[0])
        elif new is not None:
            self.model.tried(change, new[0])
            self.model.fate(change.name).now = there
        if outcome.killed:
            self._start()
        elif self.ground.descriptors():
            raise ViolationError(f"a descriptor is left open by {change!r}")

    def _judge_temps(self, contents: dict[str, bytes], left: set[str], *, killed: bool, what: str) -> None:
        temps = {name for name in contents if is_temp_name(name)}
        gone = (self.model.orphans | self.model.live) - temps
        if gone:
            raise ViolationError(f"live-temp-removed: {what} removed {sorted(gone)}")
        more = temps - self.model.orphans - self.model.live
        if not killed and more - left:
            raise ViolationError(f"temp-leaked: {what} left {len(more)} temp files and did not say so")
        self.model.orphans |= more

    # Recovery

    @rule(trouble=PERHAPS)
    def recover(self, trouble: Trouble | None) -> None:
        """KVS-RECOVER."""
        type(self).steps += 1
        fault = None
        if trouble is not None:
            trace = self.ground.rehearse(lambda fs: _ignored(self.store_on(self.port(fs)).recover), self.model.live)
            fault = trouble.fitted(trace, atomic=True)
            assume(fault is not None)
            note(f"  # goes wrong: {fault.id if fault else ''}")
        reports: list[RecoveryReport] = []
        outcome = self.ground.run(lambda: reports.append(self.store.recover()), fault)
        temps = {name for name in self.ground.contents() if is_temp_name(name)}
        if self.model.live - temps:
            raise ViolationError(
                f"live-temp-removed: recovery removed {sorted(self.model.live - temps)} (KVS-RECOVER-2)"
            )
        if not outcome.fired:
            if outcome.error is not None:
                raise ViolationError(f"recovery failed: {said(outcome.error)}")
            if temps != self.model.live:
                raise ViolationError(
                    f"orphan-unreclaimed: {len(temps - self.model.live)} temp files are left by a recovery"
                )
            (report,) = reports
            told = set(report.reclaimed), set(report.live), set(report.foreign), report.failed
            if told != (self.model.orphans, self.model.live, self.model.foreign, ()):
                raise ViolationError(f"recovery says {report}, there were {self.model}")
        self.model.orphans &= temps
        if outcome.fired and fault is not None:
            self.seen[f"recovery {fault.form}"] += 1
        if outcome.killed:
            self._start()

    # Others in the same directory

    @rule(change=SAVES, name=names, other=st.data(), at=st.integers(0, 30))
    def another_store_meanwhile(self, change: Save, name: str, other: st.DataObject, at: int) -> None:
        """Another process does something in the middle of a save: both are done, in one order or the other."""
        type(self).steps += 1
        beside = other.draw(_beside(name, change.name), label="meanwhile")
        self._both(change, beside, at)

    def _both(self, change: Change, beside: Change, at: int) -> None:
        orders = self.model.orders(change, beside)
        befores = {one.name: self.model.fate(one.name).now for one in (change, beside)}
        happened: list[BaseException | None] = []
        taken: list[str] = []

        def meanwhile() -> None:
            store = self._another()
            temps = self._visible_entries(store, change)
            report = store.recover()
            taken.extend(temps & set(report.reclaimed))
            self.model.orphans -= set(report.reclaimed)
            try:
                beside.perform(store)
            except Exception as error:  # noqa: BLE001 - judged below, from what is there
                happened.append(error)
            else:
                happened.append(None)

        outcome = self.ground.run(lambda: change.perform(self.store), at=Meanwhile(self.ground.line, at, meanwhile))
        self.seen[f"{type(beside).__name__} during {type(change).__name__}"] += len(happened)
        if happened and isinstance(happened[0], ViolationError):
            raise happened[0]
        if taken and outcome.error is not None:
            # Before it is locked a recovery may take it; then the save starts over (KVS-TEMP-3).
            raise ViolationError(f"live-temp-removed: recovery took what a save writes: {said(outcome.error)}")
        if not happened:
            orders = [{change.name: orders[0][change.name] if change.name != beside.name else self._alone(change)}]
        contents = self.ground.contents()
        found = {name: contents.get(name) for name in orders[0]}
        if found not in orders:
            raise ViolationError(f"{change!r} and {beside!r} at once left {found!r}, which is neither order of them")
        if outcome.error is not None:
            raise ViolationError(f"never-heals: {change!r} failed beside another change: {said(outcome.error)}")
        self._judge_temps(contents, set(), killed=False, what=repr(change))
        both = (change, beside) if happened else (change,)
        failed = bool(happened) and happened[0] is not None
        for one in both:
            self.model.tried(one, found[one.name])
        for name, there in found.items():
            durable = all(one.durable for one in both if one.name == name) and not failed
            fate = self.model.fate(name)
            fate.now = there
            if durable and not any(isinstance(one, Touch) for one in both):
                fate.after_loss, fate.settled, fate.torn = {there}, True, False
            fate.after_loss |= set() if durable else {befores[name], there}

    def _alone(self, change: Change) -> Content:
        wanted = self._wanted(change)
        return self.model.fate(change.name).now if wanted is None else wanted[0]

    def _visible_entries(self, store: Store, change: Change) -> set[str]:
        """What a reader sees in the middle of a change: old or new (KVS-INV-1). Returns the temps that the save has."""
        wanted = self._wanted(change)
        contents = self.ground.contents()
        allowed = {self.model.fate(change.name).now, *(wanted or ())}
        if contents.get(change.name) not in allowed:
            raise ViolationError(
                f"partial-visible: during {change!r} {change.name} holds {contents.get(change.name)!r}"
            )
        listing = store.scan()
        return set(listing.temps) - self.model.orphans - self.model.live

    @rule(target=names, text=st.sampled_from(TEXTS), broken=DAMAGED)
    def a_damaged_entry_is_there(self, text: bytes, broken: BrokenFile) -> str:
        """KVS-REPLACE-1: the next save of its key heals it."""
        name = Save(text).name
        self._by_another_program(name, broken.data)
        return name

    @rule(target=names, change=SAVES, bits=st.sampled_from([0, 16, 128]), trailing=st.binary(max_size=3))
    def another_program_saves(self, change: Save, bits: int, trailing: bytes) -> str:
        """A file with bits and bytes that this version does not know (KVC-FILE-5, KVC-HEADER-5)."""
        held = Held(change.entry, change.payload.content, bits, trailing)
        self.model.known[held.data] = held
        self._by_another_program(change.name, held.data)
        return change.name

    def _by_another_program(self, name: str, content: bytes) -> None:
        type(self).steps += 1

        def act() -> None:
            fs = self.ground.beside()
            temp = f"{name}.tmp"
            fd = fs.open(temp, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            fs.pwrite(fd, content, 0)
            fs.sync(fd)
            fs.close(fd)
            fs.rename(temp, name)
            fs.sync_directory()

        outcome = self.ground.run(act)
        assert outcome.acknowledged, outcome.error
        fate = self.model.fate(name)
        fate.now, fate.after_loss, fate.settled, fate.torn = content, {content}, True, False

    @precondition(lambda self: len(self.model.live) < 2)
    @rule()
    def another_writer_lives(self) -> None:
        """KVS-TEMP-3: its temp file is nobody else's."""
        type(self).steps += 1
        name = f".kvc-save-{self._lives:032x}.tmp"
        self._lives += 1
        self.ground.put_live(name)
        self.model.live.add(name)

    @precondition(lambda self: self.model.live)
    @rule()
    def other_writers_die(self) -> None:
        """Their temp files are orphans from here on."""
        type(self).steps += 1
        self.ground.end_live()
        self.model.orphans |= self.model.live
        self.model.live.clear()

    # Loss of power

    @precondition(lambda self: self.ground.loses_power)
    @rule(pick=st.integers(0, 39))
    def lose_power(self, pick: int) -> None:
        """KVS-INV-7, KVS-POWER, under the profile strict."""
        type(self).steps += 1
        self._lose_power(pick, 0)

    @precondition(lambda self: self.ground.loses_power)
    @rule(change=SAVES, undone=st.integers(1, 25), pick=st.integers(0, 39))
    def lose_power_in_a_save(self, change: Save, undone: int, pick: int) -> None:
        """Power is lost so many operations before the end of a save."""
        type(self).steps += 1
        new = self._wanted(change)
        outcome = self.ground.run(lambda: change.perform(self.store))
        assert new is not None
        self.model.tried(change, new[0])
        self._lose_power(pick, min(undone, outcome.operations))

    def _lose_power(self, pick: int, undone: int) -> None:
        assert isinstance(self.ground, MemoryGround)
        fates = self.model.fates

        def right(name: str) -> list[bytes]:
            fate = fates.get(name)
            return [] if fate is None else sorted(one for one in fate.after_loss if one is not None)

        note(f"  # {self.ground.lose_power(pick, undone, right)}")
        self.seen["power lost in a save" if undone else "power lost"] += 1
        contents = self.ground.contents()
        self.model.settle(contents)
        self.model.orphans = {name for name in contents if is_temp_name(name)}
        self._start()

    # What readers see

    @precondition(lambda self: self.model.fates)
    @rule()
    def look(self) -> None:
        """KVC-LOOKUP-1, KVC-LOOKUP-2, KVC-LOOKUP-5, and what is found is what was saved."""
        type(self).steps += 1
        held = self.model.held()
        plain = {name: one for name, one in held.items() if one.entry.title is None}
        for prompt in PROMPTS:
            self._look(prompt, plain)

    def _look(self, prompt: bytes, plain: dict[str, Held]) -> None:
        found = self.store.lookup(prompt)
        if found is not None and found.name in self.model.unknown():
            return  # it may be whole: what a loss of power has left of a save that was not meant to last
        sizes = {name: len(one.entry.text) for name, one in plain.items() if prompt.startswith(one.entry.text)}
        best = max(sizes, default=None, key=lambda name: sizes[name])
        if (None if found is None else found.name) != best:
            raise ViolationError(f"a lookup of {prompt!r} finds {found}, it must find {best}")
        if found is None:
            return
        wanted = plain[found.name]
        if found.header != layout.decode_header(wanted.data):
            raise ViolationError(f"a lookup of {prompt!r} says {found.header}, there is {wanted}")
        with self.store.load(found.name) as entry:
            read = entry.text, entry.payload.read(), entry.tool_map() if entry.header.has_tool_map else None
        if read != (wanted.entry.text, wanted.payload, wanted.entry.tool_map):
            raise ViolationError(f"damage-accepted: {found.name} reads as {read}")

    @invariant()
    def a_listing_is_the_model(self) -> None:
        """KVS-INV-1, KVS-INV-6: no more, no less and nothing else."""
        contents = {name: data for name, data in self.ground.contents().items() if is_entry_name(name)}
        if contents != self.model.contents():
            raise ViolationError(f"entry-lost: there is {contents!r}, there must be {self.model.contents()!r}")
        listing = self.store.scan()
        entries = {entry.name: entry for entry in listing.entries}
        held = self.model.held()
        unknown = self.model.unknown()
        if held.keys() - entries.keys() or entries.keys() - held.keys() - unknown:
            raise ViolationError(f"a listing shows {sorted(entries)}, there are {sorted(held)}")
        for name, one in held.items():
            entry = entries[name]
            if (entry.header, entry.size_bytes) != (layout.decode_header(one.data), len(one.data)):
                raise ViolationError(f"a listing shows {entry} for {one}")
        if {one.name for one in listing.damaged} != unknown - entries.keys():
            raise ViolationError(f"a listing shows {listing.damaged} as damaged, there are {sorted(unknown)}")
        if set(listing.temps) != self.model.orphans | self.model.live or listing.others or listing.unreadable:
            raise ViolationError(f"a listing shows {listing.temps}, {listing.others}, {listing.unreadable}")


def _beside(*names: str) -> st.SearchStrategy[Change]:
    changes: list[Change] = []
    for name in dict.fromkeys(names):
        changes += [Touch(name), Remove(name), ReplaceToolMap(name)]
    return st.one_of(SAVES, st.sampled_from(changes))


def _ignored(action: Callable[[], object]) -> None:
    try:
        action()
    except OSError:
        return
