"""Stores and ports that are wrong in one place, and the violation that the machine must find in each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from faultinject.interpose import Interposed, Result
from faultinject.ops import Op
from kvformat import layout
from kvformat.errors import SaveError
from kvformat.filesystem import Buffer, FileSystem
from kvformat.listing import StoredEntry
from kvformat.model import Entry, ToolEntry
from kvformat.options import Options, SaveResult, Strategy
from kvformat.payload import Payload, Range
from kvformat.recovery import RecoveryReport
from kvformat.serial import Serial
from kvformat.store import Store
from kvformat.temp_names import is_temp_name
from kvformat.testing import name_of
from tests.kvformat.stateful.changes import NOW
from tests.kvformat.stateful.machine import StoreMachine

PLANTED: dict[type[StoreMachine], tuple[str, str]] = {}
"""Machines around something wrong: the violation that it deserves, and the rule that it breaks."""


class Port(Interposed):
    """A port that hands everything on; each wrong one replaces one call."""

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        return method(*arguments)


def plant(wrong: type[Port | Store], violation: str, clause: str) -> None:
    """Registers a machine around it."""

    class Machine(StoreMachine):
        def port(self, fs: FileSystem) -> FileSystem:
            return wrong(fs) if issubclass(wrong, Port) else fs

        def store_on(self, fs: FileSystem) -> Store:
            return wrong(fs, clock=lambda: NOW) if issubclass(wrong, Store) else super().store_on(fs)

    Machine.__name__ = Machine.__qualname__ = wrong.__name__
    PLANTED[Machine] = violation, clause


class NoSync(Port):
    def sync(self, fd: int) -> None:
        pass


class NoDirectorySync(Port):
    def sync_directory(self) -> None:
        pass


class SyncErrorSwallowed(Port):
    def sync(self, fd: int) -> None:
        try:
            super().sync(fd)
        except OSError:
            return


class OldEntryUnlinkedFirst(Port):
    def rename(self, old: str, new: str) -> None:
        if new in self._inner.names():
            self._inner.unlink(new)
        super().rename(old, new)


class ShortWriteIgnored(Port):
    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        super().pwrite(fd, data, offset)
        return len(data)


class TempsStay(Port):
    def unlink(self, name: str) -> None:
        if not is_temp_name(name):
            super().unlink(name)


class TouchClearsTheContext(Port):
    def pwrite(self, fd: int, data: Buffer, offset: int) -> int:
        if offset == layout.HITS_OFFSET:
            data = bytes(data[:4]) + bytes(4) + bytes(data[8:])
        return super().pwrite(fd, data, offset)


class LocksAreIgnored(Port):
    def try_lock(self, fd: int) -> bool:
        return True


class WritesInPlace(Store):
    """Opens the final name, cuts it off and writes."""

    def save_serial(
        self, serial: Serial, payload: Payload | Range, *, strategy: Strategy, options: Options | None = None
    ) -> SaveResult:
        assert isinstance(payload, Payload)
        data = b"".join(bytes(piece) for piece in payload.pieces())
        fd = self.fs.open(serial.name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            self.fs.pwrite(fd, serial.head(len(data)) + data + serial.sections, 0)
            self.fs.sync(fd)
        except OSError as error:
            raise SaveError(str(error), name=serial.name, operation="pwrite") from error
        finally:
            self.fs.close(fd)
        self.fs.sync_directory()
        return SaveResult(serial.name, strategy, len(data), 0, True, False, False)


class ExistingCountsAsSaved(Store):
    def save(self, entry: Entry, payload: Any, **arguments: Any) -> SaveResult:
        name = name_of(entry)
        if name in self.fs.names():
            return SaveResult(name, Strategy.DIRECT, 0, 0, True, False, False)
        return super().save(entry, payload, **arguments)


class StaleLookup(Store):
    """Remembers answers and does not look again."""

    def lookup(self, prompt: bytes, **wanted: Any) -> StoredEntry | None:
        known = self.__dict__.setdefault("known", {})
        if prompt not in known:
            known[prompt] = super().lookup(prompt, **wanted)
        answer: StoredEntry | None = known[prompt]
        return answer


class ShortestPrefix(Store):
    def lookup(self, prompt: bytes, **wanted: Any) -> StoredEntry | None:
        answers = [super(ShortestPrefix, self).lookup(prompt[:size], **wanted) for size in range(len(prompt) + 1)]
        return next((answer for answer in answers if answer is not None), None)


class HitsWrap(Store):
    def touch(self, name: str, **arguments: Any) -> Any:
        header = super().touch(name, **arguments)
        if header.hits == layout.U32_MAX:
            fd = self.fs.open(name, os.O_RDWR)
            self.fs.pwrite(fd, bytes(4), layout.HITS_OFFSET)
            self.fs.sync(fd)
            self.fs.close(fd)
        return replace(header, hits=0)


class RecoveryRemovesDamagedEntries(Store):
    def recover(self, *, foreign_older_than_seconds: float | None = None) -> RecoveryReport:
        report = super().recover()
        for entry in super().scan().damaged:
            self.fs.unlink(entry.name)
        return report


class NoRecovery(Store):
    def recover(self, *, foreign_older_than_seconds: float | None = None) -> RecoveryReport:
        listing = self.scan()
        return RecoveryReport((), tuple(listing.temps), tuple(listing.foreign_temps), ())


class ToolMapDropsUnknownFlags(Store):
    def replace_tool_map(
        self, name: str, tool_map: tuple[ToolEntry, ...] | None, *, options: Options | None = None
    ) -> SaveResult:
        result = super().replace_tool_map(name, tool_map, options=options)
        with self.load(name) as entry:
            end = layout.payload_offset(len(entry.text)) + entry.header.payload_bytes
            unknown = entry.header.flags & ~layout.KNOWN_FLAGS
        if unknown:
            fd = self.fs.open(name, os.O_RDWR)
            whole = self.fs.pread(fd, end, 0)
            self.fs.close(fd)
            self._rewrite(name, whole[:6] + bytes((whole[6] & layout.KNOWN_FLAGS,)) + whole[7:])
        return result

    def _rewrite(self, name: str, data: bytes) -> None:
        fd = self.fs.open(name, os.O_RDWR | os.O_TRUNC)
        self.fs.pwrite(fd, data, 0)
        self.fs.sync(fd)
        self.fs.close(fd)


plant(NoSync, "partial-visible", "KVS-DURABLE-2")
plant(NoDirectorySync, "lost-after-ack", "KVS-SAVE-7")
plant(SyncErrorSwallowed, "false-success", "KVS-SAVE-5")
plant(OldEntryUnlinkedFirst, "entry-lost|lost-after-ack", "KVS-SAVE-2")
plant(ShortWriteIgnored, "false-success", "KVS-SAVE-3")
plant(TempsStay, "temp-leaked", "KVS-FAIL-2")
plant(TouchClearsTheContext, "false-success", "KVS-TOUCH-3")
plant(LocksAreIgnored, "live-temp-removed", "KVS-RECOVER-2")
plant(WritesInPlace, "partial-visible", "KVS-SAVE-6")
plant(ExistingCountsAsSaved, "false-success", "KVS-REPLACE-1")
plant(StaleLookup, "a lookup of", "KVC-LOOKUP-2")
plant(ShortestPrefix, "a lookup of", "KVC-LOOKUP-1")
plant(HitsWrap, "false-success", "KVC-HEADER-11")
plant(RecoveryRemovesDamagedEntries, "entry-lost", "KVS-RECOVER-3")
plant(NoRecovery, "orphan-unreclaimed", "KVS-RECOVER-1")
plant(ToolMapDropsUnknownFlags, "false-success", "KVC-HEADER-5")
