"""Wrong writers, each wrong in one place, and the violation that it deserves."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from faultinject.faults import FaultClass
from faultinject.kvc import Operation, Scenario
from faultinject.oracle import Kind
from kvformat import identity, layout
from kvformat.filesystem import Buffer
from kvformat.model import Header
from tests.mutants.names import LOCK_NAME, SHARED_NAME, is_temp
from tests.mutants.textbook import Textbook, WriterError

ERROR, INTERRUPT, KILL, POWER = FaultClass.ERROR, FaultClass.INTERRUPT, FaultClass.KILL, FaultClass.POWER


@dataclass(frozen=True)
class Deserved:
    """What a mutant must be reported for: this violation, under this class, in this scenario.

    level: the most that it reaches.
    """

    kind: Kind
    fault_class: FaultClass
    scenario: Scenario = Scenario.SAME_SIZE
    operation: Operation = Operation.SAVE
    strategy: str = "direct"
    level: int = 1


MUTANTS: dict[type[Textbook], Deserved] = {}


def deserves(*what: Any, **more: Any) -> Any:
    def register(writer: type[Textbook]) -> type[Textbook]:
        MUTANTS[writer] = Deserved(*what, **more)
        return writer

    return register


@deserves(Kind.TEMP_LEAKED, ERROR)
class NoUnlink(Textbook):
    """Breaks KVS-FAIL-2."""

    def clean_up(self) -> list[str]:
        for _, fd in self.made:
            self.quietly(self.fs.close, fd)
        return []


@deserves(Kind.TEMP_LEAKED, ERROR)
class UnlinkOfTheWrongName(Textbook):
    """Breaks KVS-FAIL-2."""

    def clean_up(self) -> list[str]:
        for name, fd in self.made:
            try:
                self.fs.unlink(f"{name}.tmp")
            except OSError as error:
                self.last_error = error
            self.quietly(self.fs.close, fd)
        return []


@deserves(Kind.PARTIAL_VISIBLE, KILL)
class DirectToTheFinalName(Textbook):
    """Breaks KVS-SAVE-2 and -6."""

    def temp_name(self) -> str:
        return self.name

    def create_flags(self) -> int:
        return os.O_RDWR | os.O_CREAT | os.O_TRUNC

    def publish(self, name: str, fd: int) -> None:
        self.made.remove((name, fd))
        self.fs.sync_directory()
        self.fs.close(fd)


@deserves(Kind.PARTIAL_VISIBLE, KILL)
class RenameBeforeTheLastByte(Textbook):
    """Breaks KVS-SAVE-4."""

    def write_all(self, fd: int, data: Buffer, offset: int) -> None:
        if data is self.serial.sections:
            super().write_all(fd, data[:-1], offset)
            name = self.made[-1][0]
            self.fs.rename(name, self.name)
            self.fs.sync_directory()
            super().write_all(fd, data[-1:], offset + len(data) - 1)
        else:
            super().write_all(fd, data, offset)

    def publish(self, name: str, fd: int) -> None:
        self.made.remove((name, fd))
        self.fs.close(fd)


@deserves(Kind.PARTIAL_VISIBLE, ERROR)
class ShortWriteIgnored(Textbook):
    """Breaks KVS-SAVE-3."""

    def write_all(self, fd: int, data: Buffer, offset: int) -> None:
        self.fs.pwrite(fd, data, offset)


@deserves(Kind.FALSE_SUCCESS, ERROR)
class CloseErrorIgnored(Textbook):
    """Breaks KVS-SAVE-5."""

    def finish(self, fd: int) -> None:
        self.quietly(self.fs.close, self.fs.dup(fd))


@deserves(Kind.FALSE_SUCCESS, ERROR)
class SyncErrorIgnored(Textbook):
    """Breaks KVS-SAVE-5."""

    def finish(self, fd: int) -> None:
        self.quietly(self.fs.sync, fd)


@deserves(Kind.FALSE_SUCCESS, ERROR)
class CountNotChecked(Textbook):
    """Breaks KVS-DIRECT-2 and KVC-WRITER-2."""

    def check_count(self, size_bytes: int, predicted: int | None) -> None:
        pass


@deserves(Kind.TEMP_LEAKED, ERROR, strategy="staged")
class StagedFileLeft(Textbook):
    """Breaks KVS-STAGED-3."""

    strategy = "staged"

    def drop_stage(self, name: str, fd: int) -> None:
        self.made.remove((name, fd))
        self.fs.close(fd)


@deserves(Kind.TEMP_LEAKED, ERROR, strategy="staged")
class StagedFileLeftWhenTheCopyFails(Textbook):
    """Breaks KVS-STAGED-3."""

    strategy = "staged"

    def copy(self, source: int, fd: int, size_bytes: int, offset: int) -> None:
        try:
            super().copy(source, fd, size_bytes, offset)
        except OSError:
            self.made.pop(0)
            raise


@deserves(Kind.LIVE_TEMP_REMOVED, KILL, scenario=Scenario.LIVE_TEMP)
class TempNameShared(Textbook):
    """As with a process id in another PID namespace: the living writer's file has the same name.

    Breaks KVS-TEMP-1 and -2.
    """

    def temp_name(self) -> str:
        return SHARED_NAME

    def create_flags(self) -> int:
        return os.O_RDWR | os.O_CREAT

    def create(self) -> tuple[str, int]:
        self.made.append((self.temp_name(), -1))
        fd = self.fs.open(self.temp_name(), self.create_flags())
        self.made[-1] = (self.temp_name(), fd)
        return self.made[-1]


@deserves(Kind.LIVE_TEMP_REMOVED, ERROR, scenario=Scenario.LIVE_TEMP)
class TempNotExclusive(TempNameShared):
    """Breaks KVS-TEMP-2."""

    def create_flags(self) -> int:
        return os.O_RDWR | os.O_CREAT | os.O_TRUNC


@deserves(Kind.ENTRY_LOST, KILL)
class OldEntryUnlinkedFirst(Textbook):
    """Breaks KVS-SAVE-2."""

    def before(self) -> None:
        try:
            self.fs.unlink(self.name)
        except FileNotFoundError:
            return


@deserves(Kind.ENTRY_LOST, ERROR)
class OtherEntryEvictedFirst(Textbook):
    """Breaks KVS-SAVE-2 and KVS-EVICT-1."""

    def before(self) -> None:
        for name in self.fs.names():
            if identity.is_entry_name(name) and name != self.name:
                self.fs.unlink(name)


@deserves(Kind.FALSE_SUCCESS, ERROR)
class SuccessAfterFailure(Textbook):
    """Breaks KVS-FAIL-1."""

    def failed(self, error: BaseException) -> None:
        self.clean_up()
        if not isinstance(error, OSError):
            raise error


@deserves(Kind.FALSE_SUCCESS, INTERRUPT)
class ExceptionOfTheProducerSwallowed(Textbook):
    """Breaks KVS-FAIL-1."""

    strategy = "backpatch"

    def write_pieces(self, fd: int, pieces: Iterable[Buffer], offset: int) -> int:
        try:
            for piece in pieces:
                self.write_all(fd, piece, offset)
                offset += len(piece)
        except Exception as error:  # noqa: BLE001 - that is the mistake
            self.last_error = error
        return offset


@deserves(Kind.TEMP_LEAKED, INTERRUPT)
class InterruptNotHandled(Textbook):
    """Breaks KVS-FAIL-2."""

    def save(self, pieces: Iterable[Buffer], predicted: int | None) -> None:
        try:
            entry, fd = self.fill(pieces, predicted)
            self.finish(fd)
            self.publish(entry, fd)
        except Exception as error:  # noqa: BLE001 - that is the mistake: KeyboardInterrupt is none
            self.failed(error)


@deserves(Kind.LIVE_TEMP_REMOVED, KILL, scenario=Scenario.LIVE_TEMP)
class RecoveryRemovesLiveTemps(Textbook):
    """Breaks KVS-RECOVER-2."""

    def recover(self) -> None:
        for name in self.fs.names():
            if is_temp(name):
                self.fs.unlink(name)


@deserves(Kind.ENTRY_LOST, KILL)
class RecoveryRemovesEntries(Textbook):
    """Breaks KVS-RECOVER-3."""

    def recover(self) -> None:
        for name in self.fs.names():
            self.fs.unlink(name)


@deserves(Kind.ORPHAN_UNRECLAIMED, KILL)
class NoRecovery(Textbook):
    """Breaks KVS-RECOVER-2."""

    def recover(self) -> None:
        pass


@deserves(Kind.PARTIAL_VISIBLE, KILL, strategy="backpatch")
class HeaderPatchedAfterPublication(Textbook):
    """Breaks KVS-BACKPATCH-2."""

    strategy = "backpatch"

    def patch(self, fd: int, payload_bytes: int) -> None:
        self.later = payload_bytes

    def publish(self, name: str, fd: int) -> None:
        self.fs.rename(name, self.name)
        self.made.remove((name, fd))
        super().patch(fd, self.later)
        self.fs.sync(fd)
        self.fs.close(fd)


@deserves(Kind.PARTIAL_VISIBLE, KILL, operation=Operation.REPLACE_TOOL_MAP, strategy="-")
class ToolMapTruncatedInPlace(Textbook):
    """Breaks KVS-TOOLMAP-1."""

    def write_with_map(self, content: bytes, sections: bytes) -> None:
        fd = self.fs.open(self.name, os.O_RDWR | os.O_TRUNC)
        try:
            self.write_all(fd, content, 0)
            self.write_all(fd, sections, len(content))
            self.fs.sync(fd)
        finally:
            self.fs.close(fd)


@deserves(Kind.PARTIAL_VISIBLE, KILL, operation=Operation.TOUCH, strategy="-")
class HitsUpdateTorn(Textbook):
    """Breaks KVS-TOUCH-2."""

    def update_header(self, fd: int, header: Header, last_used: int) -> None:
        self.write_all(fd, (header.hits + 1).to_bytes(4, "little"), layout.HITS_OFFSET)
        self.write_all(fd, last_used.to_bytes(8, "little"), layout.LAST_USED_OFFSET)


@deserves(Kind.FALSE_SUCCESS, ERROR, operation=Operation.TOUCH, strategy="-")
class UpdateErrorIgnored(Textbook):
    """Breaks KVS-TOUCH-4."""

    def touch(self, last_used: int) -> None:
        try:
            super().touch(last_used)
        except OSError as error:
            self.last_error = error


@deserves(Kind.NEVER_HEALS, KILL)
class LockFileLeft(Textbook):
    """A lock that outlives its holder: after one crash nobody saves any more."""

    def before(self) -> None:
        self.made.append((LOCK_NAME, -1))
        try:
            self.fs.close(self.fs.open(LOCK_NAME, self.create_flags()))
        except FileExistsError:
            self.made.pop()
            raise WriterError("somebody else is saving") from None

    def publish(self, name: str, fd: int) -> None:
        super().publish(name, fd)
        self.fs.unlink(LOCK_NAME)
        self.made.clear()


@deserves(Kind.FALSE_SUCCESS, ERROR, scenario=Scenario.DAMAGED)
class ExistingEntryCountsAsSaved(Textbook):
    """Breaks KVS-REPLACE-1."""

    def save(self, pieces: Iterable[Buffer], predicted: int | None) -> None:
        if self.name not in self.fs.names():
            super().save(pieces, predicted)


@deserves(Kind.TEMP_LEAKED, ERROR, strategy="staged")
class CleaningUpStopsAtTheFirstFailure(Textbook):
    """Breaks KVS-FAIL-2."""

    strategy = "staged"

    def clean_up(self) -> list[str]:
        for name, fd in reversed(self.made):
            try:
                self.fs.unlink(name)
                self.quietly(self.fs.close, fd)
            except FileNotFoundError:
                continue
            except OSError:
                return [name]
        return []


@deserves(Kind.TEMP_LEAKED, ERROR)
class LeftFileNotReported(Textbook):
    """Breaks KVS-FAIL-3."""

    def failed(self, error: BaseException) -> None:
        self.clean_up()
        raise error


@deserves(Kind.ORPHAN_UNRECLAIMED, ERROR)
class LockKeptOnWhatIsLeft(Textbook):
    """Breaks KVS-FAIL-3."""

    def clean_up(self) -> list[str]:
        left = []
        for name, fd in reversed(self.made):
            try:
                self.fs.unlink(name)
                self.quietly(self.fs.close, fd)
            except FileNotFoundError:
                self.quietly(self.fs.close, fd)
            except BaseException:  # noqa: BLE001 - reported; but its descriptor stays open
                left.append(name)
        return left
