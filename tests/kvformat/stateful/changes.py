"""What is done to a store, as values: each can be done by a store, and done in thought to what a name holds."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from hypothesis.vendor.pretty import RepresentationPrinter

from kvformat import layout
from kvformat.model import Entry, ToolEntry
from kvformat.options import Options, Strategy
from kvformat.store import Store
from kvformat.temp_names import TempKind
from kvformat.testing import PayloadStream, file_of, name_of

NOW = 1_000
"""What the clock of every store says."""


class Refused(Exception):  # noqa: N818 - no error of the tests: it is what must happen
    """There is nothing that the change can be made to, or it fails by itself."""


class Brief:
    """A value whose repr leaves out what is as usual, for shrunk examples that people read."""

    def __repr__(self) -> str:
        told = []
        for one in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, one.name)
            usual = one.default if one.default_factory is MISSING else one.default_factory()
            if value != usual:
                told.append(f"{one.name}={_brief(value)}")
        return f"{type(self).__name__}({', '.join(told)})"

    def _repr_pretty_(self, printer: RepresentationPrinter, _cycle: bool) -> None:
        printer.text(repr(self))


def _brief(value: object) -> str:
    if isinstance(value, PayloadStream):
        fails = "" if value.fails_after_bytes is None else f", fails after {value.fails_after_bytes} bytes"
        return f"<{' + '.join(_bytes(data) for data, _ in value.pieces)}{fails}>"
    return str(value) if isinstance(value, StrEnum) else repr(value)


def _bytes(data: bytes) -> str:
    return repr(data) if len(data) <= 20 else f"{len(data)} bytes"


@dataclass(frozen=True, repr=False)
class Held(Brief):
    """What a file holds, part by part."""

    entry: Entry
    payload: bytes
    unknown_flags: int = 0
    trailing: bytes = b""

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return file_of(self.entry, self.payload, unknown_flags=self.unknown_flags, trailing=self.trailing)


@dataclass(frozen=True, repr=False)
class Save(Brief):
    """Saves an entry."""

    text: bytes = b""
    payload: PayloadStream = field(default_factory=lambda: PayloadStream(()))
    title: bytes | None = None
    tool_map: tuple[ToolEntry, ...] | None = None
    hits: int = 0
    context_tokens: int = 0
    strategy: Strategy = Strategy.DIRECT
    temp: TempKind = TempKind.AUTO
    durable: bool = True

    @property
    def entry(self) -> Entry:
        """The entry."""
        return Entry(
            text=self.text,
            tokens=1,
            title=self.title,
            tool_map=self.tool_map,
            hits=self.hits,
            context_tokens=self.context_tokens,
            created=NOW,
            last_used=NOW,
        )

    @property
    def name(self) -> str:
        """The name of what it changes."""
        return name_of(self.entry)

    def perform(self, store: Store) -> None:
        """Does it."""
        stream = self.payload
        size_bytes = len(replace(stream, fails_after_bytes=None).content)
        predicted = size_bytes if self.strategy is Strategy.DIRECT else None
        options = Options(durable=self.durable, temp=self.temp)
        store.save(self.entry, stream, payload_bytes=predicted, strategy=self.strategy, options=options)

    def effect(self, held: Held | None) -> Held | None:
        """What the name holds afterwards. Raises Refused."""
        if self.payload.fails_after_bytes is not None:
            raise Refused
        return Held(self.entry, self.payload.content)


@dataclass(frozen=True, repr=False)
class Touch(Brief):
    """Counts a use."""

    name: str
    hits_added: int = 1
    last_used: int = NOW
    durable: bool = True

    def perform(self, store: Store) -> None:
        """Does it."""
        store.touch(self.name, hits_added=self.hits_added, last_used=self.last_used, durable=self.durable)

    def effect(self, held: Held | None) -> Held | None:
        """Two fields, one of which saturates (KVC-HEADER-11). Raises Refused."""
        if held is None:
            raise Refused
        hits = min(layout.U32_MAX, held.entry.hits + self.hits_added)
        return replace(held, entry=replace(held.entry, hits=hits, last_used=self.last_used))


@dataclass(frozen=True, repr=False)
class ReplaceToolMap(Brief):
    """Replaces the tool map."""

    name: str
    tool_map: tuple[ToolEntry, ...] | None = None
    durable: bool = True

    def perform(self, store: Store) -> None:
        """Does it."""
        store.replace_tool_map(self.name, self.tool_map, options=Options(durable=self.durable))

    def effect(self, held: Held | None) -> Held | None:
        """The map alone; trailing bytes are dropped unless a bit that is not known may mean them. Raises Refused."""
        if held is None:
            raise Refused
        entry = replace(held.entry, tool_map=self.tool_map)
        return replace(held, entry=entry, trailing=held.trailing if held.unknown_flags else b"")


@dataclass(frozen=True, repr=False)
class Remove(Brief):
    """Removes an entry."""

    name: str
    durable: bool = True

    def perform(self, store: Store) -> None:
        """Does it."""
        store.remove(self.name, durable=self.durable)

    def effect(self, held: Held | None) -> Held | None:
        """Nothing is left, a damaged file neither."""
        return None


Change = Save | Touch | ReplaceToolMap | Remove


def done(change: Change, content: bytes | None, known: dict[bytes, Held]) -> tuple[bytes | None, Held | None]:
    """What a name with that content holds after the change. Raises Refused."""
    if content is None and isinstance(change, Remove):
        raise Refused
    held = change.effect(None if content is None else known.get(content))
    return (None, None) if held is None else (held.data, held)


def described(error: BaseException | None) -> Any:
    """An exception, for the message of a violation."""
    return None if error is None else f"{type(error).__name__}: {error}"
