"""KVC under test: what is saved, in which directory, and what a reader makes of the result.

With `kvc_content`, the only module here that knows the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any

from faultinject.faults import Form
from faultinject.inject import exception_named
from faultinject.kvc_content import (
    CREATED,
    NEW_TOOLS,
    TOUCHED,
    Content,
    Source,
    built_in,
    content_of_file,
    other_content,
    touched,
)
from faultinject.kvc_mistakes import MISTAKES
from faultinject.memory import MemoryFileSystem
from faultinject.memory_file import MemoryFile
from faultinject.target import Expectation, File, Files, PayloadFault, Prepared
from kvformat import identity, layout, rules
from kvformat.errors import KvcError, SaveError
from kvformat.filesystem import Buffer, FileSystem
from kvformat.options import Options, Strategy
from kvformat.payload import Payload
from kvformat.serial import serialize
from kvformat.store import Store
from kvformat.temp_names import TEMP_NAME, TempKind

LIVE_TEMP = f".kvc-save-{'11' * 16}.tmp"
ORPHANS = (f".kvc-save-{'22' * 16}.tmp", f".kvc-stage-{'33' * 16}.tmp")


class Operation(StrEnum):
    """The operations of a store that are swept (spec/saving.md, "Store operations")."""

    SAVE = "save"
    TOUCH = "touch"
    REPLACE_TOOL_MAP = "replace-tool-map"
    REMOVE = "remove"
    RECOVER = "recover"


class Scenario(StrEnum):
    """What the directory holds before the operation (KVS-FAULT-6)."""

    EMPTY = "empty"
    OTHER = "other-entry"
    SAME_SIZE = "old-same-size"
    OTHER_SIZE = "old-other-size"
    DAMAGED = "old-damaged"
    LIVE_TEMP = "live-temp"
    ORPHANS = "orphans"
    TITLE = "title"
    STRIPPED = "stripped"


_UPDATES = (Scenario.SAME_SIZE, Scenario.LIVE_TEMP, Scenario.ORPHANS, Scenario.TITLE)

SCENARIOS: dict[Operation, tuple[Scenario, ...]] = {
    Operation.SAVE: tuple(Scenario),
    Operation.TOUCH: (*_UPDATES, Scenario.STRIPPED),
    Operation.REPLACE_TOOL_MAP: (*_UPDATES, Scenario.STRIPPED),
    Operation.REMOVE: _UPDATES,
    Operation.RECOVER: (Scenario.ORPHANS, Scenario.LIVE_TEMP),
}
"""Which scenarios make sense for which operation: an update needs an entry, recovery something to find."""


@dataclass(frozen=True, slots=True)
class KvcTarget:
    """One operation of kvformat in one scenario. Small and picklable; see `faultinject.target.Target`.

    mistake: of kvc_mistakes, which makes the operation wrong; empty for the right one.
    """

    operation: Operation
    strategy: str
    scenario: str
    temp: TempKind
    source: Source = field(default_factory=Source)
    durable: bool = True
    mistake: str = ""

    @property
    def subject(self) -> str:
        """The operation and the kind of temp file, as reports name them."""
        kind = "" if self.temp is TempKind.AUTO else f" ({self.temp} temp)"
        wrong = f", with the mistake {self.mistake}" if self.mistake else ""
        return f"kvformat {self.operation}{kind}" + ("" if self.durable else ", not durable") + wrong

    @property
    def heading(self) -> str:
        """See `Subject.heading`: the rows say all."""
        return ""

    @property
    def label(self) -> tuple[str, ...]:
        """See `Subject.label`: the scenarios of an operation are added up."""
        operation = str(self.operation).replace("-tool-map", " map")
        first = operation if self.strategy == "-" else f"{operation} {self.strategy}"
        return (first,) if self.temp is TempKind.AUTO else (first, f"{self.temp} temp")

    def description(self) -> dict[str, Any]:
        """See `Subject.description`."""
        return {
            "operation": str(self.operation),
            "strategy": self.strategy,
            "scenario": str(self.scenario),
            "temp": str(self.temp),
            "source": asdict(self.source),
            "durable": self.durable,
        }

    @classmethod
    def described(cls, target: dict[str, Any]) -> KvcTarget:
        """The inverse of `description`. Raises KeyError, TypeError or ValueError for another one."""
        return cls(
            Operation(target["operation"]),
            target["strategy"],
            target["scenario"],
            TempKind(target["temp"]),
            Source(**target["source"]),
            bool(target.get("durable", True)),
        )

    def prepare(self) -> KvcPrepared:
        """Raises KvcError or OSError where the source's file cannot be read."""
        return KvcPrepared(self)


def targets(
    *,
    source: Source | None = None,
    strategies: tuple[Strategy, ...] = tuple(Strategy),
    operations: tuple[Operation, ...] = tuple(Operation),
    scenarios: tuple[Scenario, ...] | None = None,
    temps: tuple[TempKind, ...] = (TempKind.UNNAMED, TempKind.NAMED),
    durable: bool = True,
) -> list[KvcTarget]:
    """Every combination that makes sense of operation, strategy, kind of temp file and scenario."""
    chosen = []
    for operation in operations:
        for scenario in SCENARIOS[operation]:
            if scenarios is not None and scenario not in scenarios:
                continue
            if operation is Operation.SAVE:
                combinations = [(str(strategy), temp) for strategy in strategies for temp in temps]
            elif operation is Operation.REPLACE_TOOL_MAP:
                combinations = [("-", temp) for temp in temps]
            else:
                combinations = [("-", TempKind.AUTO)]
            chosen += [
                KvcTarget(operation, strategy, scenario, temp, source or Source(), durable)
                for strategy, temp in combinations
            ]
    return chosen


class KvcPrepared(Prepared):
    """See `faultinject.target.Prepared`; public so that tests can put another writer in its place."""

    def __init__(self, target: KvcTarget) -> None:
        self.target = target
        self.scenario = Scenario(target.scenario)
        self.content = _content(target.source, self.scenario)
        self.serial = serialize(self.content.entry, now=CREATED)
        self.options = Options(temp=target.temp, durable=target.durable)
        self._limits = rules.Limits()
        pieces = self.content.pieces
        size_bytes = None if target.strategy in ("staged", "backpatch") else self.content.payload_bytes
        self.payload = Payload(size_bytes, lambda: iter(pieces))
        self.name = self.serial.name
        self.base = self._directory()
        self.expectation = self._expected()
        self._checked: str | None = None
        self._is_checked = False
        self._regions = self.content.regions()
        self._act = self._action()

    def act(self, fs: FileSystem, payload: PayloadFault | None = None) -> None:
        """See `Prepared.act`."""
        mistake = self.target.mistake
        self._act(self.store(MISTAKES[mistake](fs) if mistake else fs), payload)

    def store(self, fs: FileSystem) -> Store:
        """The store under test on `fs`, with a clock that stands still."""
        return Store(fs, limits=self._limits, clock=lambda: CREATED)

    def recover(self, fs: FileSystem) -> None:
        """See `Prepared.recover`."""
        self.store(fs).recover()

    def is_entry(self, name: str) -> bool:
        """See `Prepared.is_entry`."""
        return identity.is_entry_name(name) or name in identity.FIXED_NAMES

    def check(self, name: str, file: File) -> str | None:
        """See `Prepared.check`: opens it, and reads text and sections."""
        new = self.expectation.new
        expected = new is not None and file.same_content(new)
        if expected and self._is_checked:
            return self._checked
        complaint = _read(name, file)
        if expected:
            self._checked, self._is_checked = complaint, True
        return complaint

    def names_left(self, error: BaseException) -> frozenset[str]:
        """See `Prepared.names_left`."""
        if isinstance(error, SaveError):
            return frozenset(error.left_behind)
        return frozenset(TEMP_NAME.findall("\n".join(getattr(error, "__notes__", ()))))

    def expectation_of_repetition(self, after: Files) -> Expectation:
        """See `Prepared.expectation_of_repetition`: a hit count goes on counting."""
        new = self.expectation.new
        file = after.get(self.name)
        if self.target.operation is Operation.TOUCH and new is not None and file is not None:
            return replace(self.expectation, new=touched(file.read_all()))
        return self.expectation

    @property
    def is_durable(self) -> bool:
        """See `Prepared.is_durable`."""
        return self.target.durable

    @property
    def payload_bytes(self) -> int | None:
        """See `Prepared.payload_bytes`."""
        return self.content.payload_bytes if self.target.operation is Operation.SAVE else None

    @property
    def payload_is_counted(self) -> bool:
        """See `Prepared.payload_is_counted`."""
        return self.target.strategy == Strategy.DIRECT

    def region_of(self, offset: int) -> str | None:
        """See `Prepared.region_of`."""
        return layout.region_at(self._regions, offset)

    def regions(self) -> Mapping[str, tuple[int, int]]:
        """See `Prepared.regions`; only a save writes all of them."""
        if self.target.operation is not Operation.SAVE:
            return {}
        return {region.name: (region.offset, region.end) for region in self._regions if region.size_bytes}

    def _action(self) -> Callable[[Store, PayloadFault | None], None]:
        operation, durable = self.target.operation, self.target.durable
        if operation is Operation.SAVE:
            strategy = Strategy(self.target.strategy)

            def save(store: Store, fault: PayloadFault | None) -> None:
                payload = self.payload if fault is None else self._faulty(fault)
                store.save_serial(self.serial, payload, strategy=strategy, options=self.options)

            return save
        if operation is Operation.TOUCH:
            return lambda store, _: _discard(store.touch(self.name, last_used=TOUCHED, durable=durable))
        if operation is Operation.REPLACE_TOOL_MAP:
            return lambda store, _: _discard(store.replace_tool_map(self.name, NEW_TOOLS, options=self.options))
        if operation is Operation.REMOVE:
            return lambda store, _: store.remove(self.name, durable=durable)
        return lambda store, _: _recover_or_raise(store)

    def _faulty(self, fault: PayloadFault) -> Payload:
        """The payload with a producer that fails after so many bytes; each byte before them is given."""
        return Payload(self.payload.size_bytes, lambda: faulty_pieces(self.content.pieces, fault))

    def _directory(self) -> MemoryFileSystem:
        """The directory of the scenario."""
        fs = MemoryFileSystem()
        if self.scenario is Scenario.EMPTY:
            return fs
        fs.adopt(other_content().name, other_content().file())
        if self.scenario is Scenario.LIVE_TEMP:
            fs.put(LIVE_TEMP, b"KVC being written by somebody else", locked=True)
        if self.scenario is Scenario.ORPHANS:
            for orphan in ORPHANS:
                fs.put(orphan, b"KVC torn by a crash")
        old = self._old_file()
        if old is not None:
            fs.adopt(self.name, old)
        return fs

    def _old_file(self) -> MemoryFile | None:
        if self.target.operation is not Operation.SAVE:
            return self.content.file()
        if self.scenario in (Scenario.SAME_SIZE, Scenario.LIVE_TEMP, Scenario.ORPHANS, Scenario.TITLE):
            return self.content.older().file()
        if self.scenario in (Scenario.OTHER_SIZE, Scenario.STRIPPED):
            return self.content.older(77).file()
        if self.scenario is Scenario.DAMAGED:
            return MemoryFile.of([self.content.older(77).file_content()[:-50]])
        return None

    def _expected(self) -> Expectation:
        operation = self.target.operation
        live = frozenset({LIVE_TEMP}) if self.scenario is Scenario.LIVE_TEMP else frozenset[str]()
        stale = frozenset(ORPHANS) if self.scenario is Scenario.ORPHANS else frozenset[str]()
        if operation is Operation.RECOVER:
            return Expectation(None, None, live, stale, gone=stale)
        new: MemoryFile | None = None
        if operation is Operation.SAVE:
            new = self.content.file()
        elif operation is Operation.TOUCH:
            new = touched(self.content.file_content())
        elif operation is Operation.REPLACE_TOOL_MAP:
            entry = replace(self.content.entry, tool_map=NEW_TOOLS)
            new = replace(self.content, entry=entry).file()
        return Expectation(self.name, new, live, stale)


def _discard(_: object) -> None:
    return None


def _recover_or_raise(store: Store) -> None:
    report = store.recover()
    if report.failed:
        names = tuple(failure.name for failure in report.failed)
        raise SaveError(
            "not everything could be reclaimed",
            name=names[0],
            operation="unlink",
            cleanup_failures=report.failed,
            left_behind=names,
        )


def faulty_pieces(pieces: tuple[bytes, ...], fault: PayloadFault) -> Iterator[Buffer]:
    """The pieces up to the byte of the fault; then the fault."""
    form, left = fault.fault.form, fault.fault.byte or 0
    for piece in pieces:
        if form is not Form.PAYLOAD_GOES_ON and left <= len(piece):
            if left:
                yield piece[:left]
            break
        yield piece
        left -= len(piece)
    fault.fired = True
    if form is Form.PAYLOAD_RAISES:
        raise exception_named(fault.fault.what)
    if form is Form.PAYLOAD_GOES_ON:
        yield b"!"


def _read(name: str, file: File) -> str | None:
    """What a public reader says of a file: opens it, checks its identity, reads every section."""
    fs = MemoryFileSystem()
    if isinstance(file, MemoryFile):
        fs.adopt(name, file)
    else:
        fs.put(name, file.read_all())
    try:
        with Store(fs).load(name) as entry:
            entry.title()
            problem = None
            if entry.header.has_tool_map:
                entry.tool_map()
                problem = entry.tool_map_problem
            return None if problem is None else str(problem)
    except (KvcError, OSError) as error:
        return str(error)


@cache
def _content(source: Source, scenario: str) -> Content:
    """What is saved in a scenario. Raises KvcError or OSError where the source's file cannot be read."""
    if source.file is not None:
        return content_of_file(source.file, source.piece_bytes)
    titled = scenario in (Scenario.TITLE, Scenario.STRIPPED)
    return built_in(source, titled=titled, stripped=scenario == Scenario.STRIPPED)
