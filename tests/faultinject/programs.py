"""Small programs under test that know nothing of KVC: one entry, one temp file, one right writer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.memory import MemoryFileSystem
from faultinject.memory_file import MemoryFile
from faultinject.sweep import sweep, units
from faultinject.target import Expectation, File, PayloadFault, Prepared
from kvformat.filesystem import CREATE_EXCLUSIVE, FileSystem

ENTRY = "target.entry"
OTHER = "other.entry"
LIVE = ".tmp-live"
STALE = ".tmp-stale"
TEMP = ".tmp-own"
OLD = b"the old content"
NEW = b"the new content, longer than the old"

Act = Callable[[FileSystem], None]


class LeftError(Exception):
    """A failure that names what it could not remove."""


def write_all(fs: FileSystem, fd: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        accepted = fs.pwrite(fd, memoryview(data)[done:], done)
        if not accepted:
            raise OSError("nothing accepted")
        done += accepted


Write = Callable[[FileSystem, int, bytes], None]


def saver(content: bytes = NEW, write: Write = write_all) -> Act:
    """A right writer, but for the `write` that is given."""

    def save(fs: FileSystem) -> None:
        fd = -1
        try:
            fd = fs.open(TEMP, CREATE_EXCLUSIVE)
            write(fs, fd, content)
            fs.sync(fd)
            last, fd = fd, -1
            fs.close(last)
            fs.rename(TEMP, ENTRY)
            fs.sync_directory()
        except BaseException:
            clean_up(fs, fd)
            raise

    return save


def clean_up(fs: FileSystem, fd: int) -> None:
    if fd >= 0:
        with suppress(BaseException):
            fs.close(fd)
    try:
        fs.unlink(TEMP)
    except FileNotFoundError:
        pass
    except BaseException as error:
        raise LeftError(TEMP) from error


def recover(fs: FileSystem) -> None:
    for name in fs.names():
        if name.startswith(".tmp-"):
            fd = fs.open(name, 0)
            try:
                if fs.try_lock(fd):
                    fs.unlink(name)
            finally:
                fs.close(fd)


class Tiny(Prepared):
    """`act` on a directory with an old entry and another one."""

    def __init__(
        self,
        act: Act,
        *,
        new: bytes | None = NEW,
        old: bytes | None = OLD,
        live: bool = False,
        stale: bool = False,
        recovery: Act = recover,
    ) -> None:
        self.base = MemoryFileSystem()
        self.base.put(OTHER, b"another entry")
        if old is not None:
            self.base.put(ENTRY, old)
        if live:
            self.base.put(LIVE, b"live", locked=True)
        if stale:
            self.base.put(STALE, b"stale")
        self.expectation = Expectation(
            ENTRY,
            None if new is None else MemoryFile.of([new]),
            frozenset({LIVE} if live else ()),
            frozenset({STALE} if stale else ()),
        )
        self._act = act
        self._recovery = recovery

    def act(self, fs: FileSystem, payload: PayloadFault | None = None) -> None:
        self._act(fs)

    def recover(self, fs: FileSystem) -> None:
        self._recovery(fs)

    def is_entry(self, name: str) -> bool:
        return name.endswith(".entry")

    def check(self, name: str, file: File) -> str | None:
        return "a reader rejects it" if file.read_all().startswith(b"BAD") else None

    def names_left(self, error: BaseException) -> frozenset[str]:
        return frozenset({TEMP}) if isinstance(error, LeftError) else frozenset()

    def region_of(self, offset: int) -> str | None:
        return "head" if offset < 4 else "body"


class Labelled:
    """What reports ask of a target, for one that is in no report that is replayed."""

    heading = ""
    label = ("a target",)

    def description(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class TinyTarget(Labelled):
    """A target made anew for every unit by a function without arguments."""

    make: Callable[[], Prepared]
    subject: str = "tiny save"
    strategy: str = "-"
    scenario: str = "old"

    def prepare(self) -> Prepared:
        return self.make()


def swept(make: Callable[[], Prepared], *classes: FaultClass, **options: Any) -> Run:
    (run,) = sweep(units([TinyTarget(make)], classes, **options))
    return run
