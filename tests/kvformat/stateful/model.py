"""A plain dictionary of what each name holds, and of what it may hold when power is lost: what a store is held against."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvformat import identity
from tests.kvformat.stateful.changes import Change, Held, Refused, Save, done

Content = bytes | None
"""What a name holds; None where there is no such name."""


class ViolationError(AssertionError):
    """The store did what spec/saving.md forbids; the message starts with the name of the violation."""


@dataclass
class Fate:
    """One name. after_loss: what it may hold after a loss of power.

    settled: whether the name is known to lead to this file on the disk. torn: whether bytes that were never synced may
    be lost, so that after a loss of power the content is anything (KVS-DURABLE-3).
    """

    now: Content = None
    after_loss: set[Content] = field(default_factory=lambda: {None})
    settled: bool = True
    torn: bool = False


@dataclass
class Model:
    """Every name, the temp files that must be there, and every content whose parts are known."""

    fates: dict[str, Fate] = field(default_factory=dict)
    orphans: set[str] = field(default_factory=set)
    live: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    known: dict[bytes, Held] = field(default_factory=dict)

    def fate(self, name: str) -> Fate:
        """What is known of a name."""
        return self.fates.setdefault(name, Fate())

    def after(self, change: Change, content: Content) -> Content:
        """What a name holds after a change. Raises Refused."""
        data, held = done(change, content, self.known)
        if data is not None and held is not None:
            self.known[data] = held
        return data

    def held(self) -> dict[str, Held]:
        """The names whose content is an entry, part by part."""
        return {
            name: self.known[fate.now]
            for name, fate in self.fates.items()
            if fate.now is not None and fate.now in self.known
        }

    def unknown(self) -> set[str]:
        """The names of files that are damaged, or may be."""
        return {name for name, fate in self.fates.items() if fate.now is not None and fate.now not in self.known}

    def contents(self) -> dict[str, bytes]:
        """What must be there under names of entries."""
        return {name: fate.now for name, fate in self.fates.items() if fate.now is not None}

    # What happens

    def acknowledged(self, change: Change, new: Content) -> None:
        """A change has reported success."""
        fate = self.fate(change.name)
        if not change.durable:
            self.tried(change, new)
        elif isinstance(change, Save) or new is None or fate.settled or hasattr(change, "tool_map"):
            fate.after_loss, fate.settled, fate.torn = {new}, True, False
        else:
            fate.after_loss = {*fate.after_loss, new}  # durable in place, in a file that may not have its name
        fate.now = new

    def tried(self, change: Change, new: Content) -> None:
        """A change that was not acknowledged, or not meant to last: after a loss of power, each of both may be there."""
        fate = self.fate(change.name)
        fate.after_loss = {*fate.after_loss, fate.now, new}
        if not hasattr(change, "hits_added"):
            fate.settled = False
            fate.torn = fate.torn or not change.durable

    def orders(self, one: Change, other: Change) -> list[dict[str, Content]]:
        """What both may leave that happen at the same time: as if one came after the other, in either order."""
        found = []
        for sequence in ((one, other), (other, one)):
            state = {change.name: self.fate(change.name).now for change in sequence}
            for change in sequence:
                try:
                    state[change.name] = self.after(change, state[change.name])
                except Refused:
                    continue
            found.append(state)
        return found

    def settle(self, contents: dict[str, bytes]) -> None:
        """Power was lost and is back: what is there is what there is. Raises ViolationError where it may not be."""
        names = {name for name in contents if identity.is_entry_name(name)} | self.fates.keys()
        for name in sorted(names):
            fate, there = self.fate(name), contents.get(name)
            if there not in fate.after_loss and not fate.torn:
                wanted = ", ".join(map(repr, sorted(fate.after_loss, key=repr)))
                kind = "lost-after-ack" if there is None or there in self.known else "partial-visible"
                raise ViolationError(
                    f"{kind}: after a loss of power {name} holds {there!r}, it must be one of {wanted}"
                )
            self.fates[name] = Fate(there, {there})
        self.live.clear()
