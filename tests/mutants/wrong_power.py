"""Writers that forget, misplace or misdirect a sync: right until the power fails (KVS-DURABLE-2, KVS-POWER).

`REPAIRS` has for each what is to be named as its repair, and the writer in which that was done.
"""

from __future__ import annotations

import os
from typing import Any

from faultinject.kvc import Operation
from faultinject.oracle import Kind
from kvformat.filesystem import Buffer
from kvformat.interrupts import InterruptGate
from tests.mutants.textbook import Textbook
from tests.mutants.wrong import POWER, deserves

REPAIRS: dict[type[Textbook], tuple[str, type[Textbook]]] = {}

FILE = "fdatasync 'TEMP' before #N rename 'TEMP' 'ENTRY'"
DIRECTORY = "fsync the directory before success is reported"


def repaired_by(named: str, repaired: type[Textbook]) -> Any:
    def register(writer: type[Textbook]) -> type[Textbook]:
        REPAIRS[writer] = named, repaired
        return writer

    return register


class Staged(Textbook):
    strategy = "staged"


class Backpatch(Textbook):
    strategy = "backpatch"


@repaired_by(FILE, Textbook)
@deserves(Kind.PARTIAL_VISIBLE, POWER, level=2)
class NoSync(Textbook):
    """Breaks KVS-DURABLE-2."""

    def finish(self, fd: int) -> None:
        self.fs.close(self.fs.dup(fd))


@repaired_by(DIRECTORY, Textbook)
@deserves(Kind.LOST_AFTER_ACK, POWER, level=2)
class NoDirectorySync(Textbook):
    """Breaks KVS-SAVE-7 and KVS-DURABLE-2."""

    def publish(self, name: str, fd: int) -> None:
        self.fs.rename(name, self.name)
        self.made.remove((name, fd))
        self.fs.close(fd)


@repaired_by(f"{FILE}; {DIRECTORY}", Textbook)
@deserves(Kind.LOST_AFTER_ACK, POWER, level=2)
class NoSyncAtAll(NoSync, NoDirectorySync):
    """Breaks KVS-SAVE-7 and KVS-DURABLE-2."""


@repaired_by(FILE, Textbook)
@deserves(Kind.PARTIAL_VISIBLE, POWER, level=0)
class SyncedAfterTheRename(NoSync):
    """Where that sync fails, the entry is visible and its bytes are gone. Breaks KVS-DURABLE-2."""

    def publish(self, name: str, fd: int) -> None:
        self.fs.rename(name, self.name)
        self.made.remove((name, fd))
        self.fs.sync(fd)
        self.fs.sync_directory()
        self.fs.close(fd)


@repaired_by(DIRECTORY, Textbook)
@deserves(Kind.LOST_AFTER_ACK, POWER, level=2)
class DirectorySyncedBeforeTheRename(NoDirectorySync):
    """Breaks KVS-SAVE-7 and KVS-DURABLE-2."""

    def finish(self, fd: int) -> None:
        super().finish(fd)
        self.fs.sync_directory()


@repaired_by(FILE, Staged)
@deserves(Kind.PARTIAL_VISIBLE, POWER, strategy="staged", level=2)
class SyncOfTheStagedFileAlone(NoSync):
    """Breaks KVS-DURABLE-2."""

    strategy = "staged"

    def drop_stage(self, name: str, fd: int) -> None:
        self.fs.sync(fd)
        super().drop_stage(name, fd)


@repaired_by(FILE, Textbook)
@deserves(Kind.PARTIAL_VISIBLE, POWER, level=2)
class SyncOfTheOldEntry(NoSync):
    """Breaks KVS-DURABLE-2."""

    def finish(self, fd: int) -> None:
        super().finish(fd)
        old = self.fs.open(self.name, os.O_RDONLY)
        try:
            self.fs.sync(old)
        finally:
            self.fs.close(old)


@repaired_by(FILE, Textbook)
@deserves(Kind.PARTIAL_VISIBLE, POWER, level=2)
class SyncedBeforeTheLastPiece(NoSync):
    """Breaks KVS-DURABLE-2."""

    def write_all(self, fd: int, data: Buffer, offset: int) -> None:
        if data is self.serial.sections:
            self.fs.sync(fd)
        super().write_all(fd, data, offset)


@repaired_by(FILE, Backpatch)
@deserves(Kind.PARTIAL_VISIBLE, POWER, strategy="backpatch", level=2)
class HeaderPatchedAfterTheSync(NoSync):
    """Breaks KVS-DURABLE-2."""

    strategy = "backpatch"

    def patch(self, fd: int, payload_bytes: int) -> None:
        self.fs.sync(fd)
        super().patch(fd, payload_bytes)


@deserves(Kind.LOST_AFTER_ACK, POWER, operation=Operation.TOUCH, strategy="-", level=2)
class UpdateNotSynced(Textbook):
    """The bytes lie in one sector, so that they are old or new (KVS-ATOM-1); but success was reported.

    Breaks KVS-DURABLE-5.
    """

    def touch(self, last_used: int) -> None:
        with InterruptGate():
            fd = self.fs.open(self.name, os.O_RDWR)
            try:
                self.fs.lock(fd)
                self.update_header(fd, self.header_of(fd), last_used)
            finally:
                self.fs.close(fd)


@repaired_by(FILE, Textbook)
@deserves(Kind.PARTIAL_VISIBLE, POWER, operation=Operation.REPLACE_TOOL_MAP, strategy="-", level=2)
class ToolMapReplacedWithoutSync(NoSync):
    """Breaks KVS-DURABLE-2."""
