"""Changes to a published entry: touch, replace the tool map, remove (spec/saving.md, "Store operations")."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from kvformat import identity, layout, reader, rules, schema
from kvformat.errors import CleanupFailure, KvformatError, RemoveError, SaveError, error_for
from kvformat.fields import SchemaError
from kvformat.filesystem import FileSystem
from kvformat.interrupts import InterruptGate
from kvformat.model import Extension, Header, ToolEntry
from kvformat.options import Options, SaveResult, Strategy
from kvformat.payload import Range
from kvformat.portfile import PortFile
from kvformat.serial import Serial
from kvformat.writer import save

_ATTEMPTS_MAX = 16

_Result = TypeVar("_Result")


class _Locked:
    """An open entry whose file nobody else updates meanwhile (KVS-TOUCH-1).

    `step` is the POSIX call under way, `visible` whether the change shows now. `told`: what is raised has passed
    through a save, which has said both of it already; an OSError is the caller's own code's then.
    """

    __slots__ = ("_fs", "fd", "name", "step", "told", "visible")

    def __init__(self, fs: FileSystem, name: str) -> None:
        self._fs = fs
        self.name = name
        self.fd = -1
        self.step = "open"
        self.visible: bool | None = False
        self.told = False

    def acquire(self, gate: InterruptGate) -> None:
        """Opens and locks. Another writer may have replaced the file in between: then the new one is taken."""
        for _ in range(_ATTEMPTS_MAX):
            self.step = "open"
            try:
                self.fd = self._fs.open(self.name, os.O_RDWR)
            except OSError as error:
                if error.errno in rules.NOT_REGULAR:
                    raise error_for(rules.not_regular(self.name), self.name) from error
                raise
            self.step = "fstat"
            opened = self._fs.fstat(self.fd)
            if not stat.S_ISREG(opened.mode):
                raise error_for(rules.not_regular(self.name), self.name)
            self.step = "flock"
            gate.open()
            self._fs.lock(self.fd)
            gate.shut()
            self.step = "stat"
            if self._fs.stat(self.name).inode == opened.inode:
                return
            self.release()
        raise OSError(f"replaced by other writers {_ATTEMPTS_MAX} times in a row; try again")

    def release(self) -> None:
        """Closes the descriptor, which gives the lock up; an error of close(2) is an error (KVS-TOUCH-4)."""
        self.step = "close"
        fd, self.fd = self.fd, -1
        self._fs.close(fd)

    def note(self) -> str:
        """What the exception of a signal's handler that has waited for the end must say (KVS-FAIL-1)."""
        told = SaveError("it waited for the end", name=self.name, operation="signal", visible=self.visible)
        return f"update of {told}"

    def abandon(self, error: BaseException, *, callers_own: bool) -> SaveError | None:
        """Closes after a failure and says what is visible now: a SaveError to raise, or a note on `error`."""
        failures: tuple[CleanupFailure, ...] = ()
        step = self.step
        if self.fd >= 0:
            try:
                self.release()
            except BaseException as second:  # noqa: BLE001 - reported beside the first
                failures = (CleanupFailure("close", self.name, second),)
        if self.told:
            for failure in failures:
                error.add_note(f"update of {self.name}: while cleaning up: {failure}")
            return None
        if isinstance(error, KvformatError) and not failures:
            return None
        told = SaveError(
            (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__,
            name=self.name,
            operation=step,
            visible=self.visible,
            cleanup_failures=failures,
        )
        if isinstance(error, OSError) and not callers_own:
            return told
        error.add_note(f"update of {told}")
        return None


def _update(fs: FileSystem, name: str, change: Callable[[_Locked], _Result]) -> _Result:
    """Runs `change` on the locked entry, closes it whatever happens, and turns OSError into SaveError."""
    with InterruptGate() as gate:
        locked = _Locked(fs, name)
        try:
            try:
                locked.acquire(gate)
                result = change(locked)
            finally:
                gate.shut()
            locked.release()
            locked.visible = True
        except BaseException as error:
            told = locked.abandon(error, callers_own=gate.has_raised(error))
            if told is None:
                raise
            try:
                raise told from error
            finally:
                del told  # else error and frame keep each other until the next collection
        gate.note = locked.note
        return result


def touch(
    fs: FileSystem,
    name: str,
    *,
    hits_added: int,
    last_used: int,
    durable: bool,
    profile: str,
    limits: rules.Limits,
) -> Header:
    """Updates hit count and last-used time in one write inside the first 512 bytes (KVS-TOUCH, KVS-ATOM-1).

    Returns the header as it is now. The hit count stops at 2^32 - 1 (KVC-HEADER-11). Raises ValueError for
    values that no header holds, KvcError for a damaged entry, SaveError where the system failed.
    """
    if hits_added < 0 or not 0 <= last_used <= layout.U64_MAX:
        raise ValueError(f"hits_added {hits_added} and last_used {last_used} must not be negative or over 64 bits")

    def change(locked: _Locked) -> Header:
        locked.step = "pread"
        head = fs.pread(locked.fd, layout.TEXT_OFFSET, 0)
        locked.step = "fstat"
        size_bytes = fs.fstat(locked.fd).size_bytes
        problems = rules.check_head(head, total_bytes=size_bytes, profile=profile, limits=limits)
        if problems:
            raise error_for(problems[0], name)
        old = layout.decode_header(head)
        new = replace(old, hits=min(layout.U32_MAX, old.hits + hits_added), last_used=last_used)
        # One write from the first to the last mutable field; the bytes between them are written as they are.
        data = layout.encode_header(new)[layout.HITS_OFFSET : layout.PAYLOAD_BYTES_OFFSET]
        locked.step = "pwrite"
        written = 0
        while written < len(data):
            accepted = fs.pwrite(locked.fd, data[written:], layout.HITS_OFFSET + written)
            if accepted <= 0:
                raise OSError("the system accepted no bytes and named no error")
            written += accepted
        if durable:
            locked.step = "fsync"
            locked.visible = None  # if this fails, the system may show the old bytes again at any time
            fs.sync(locked.fd)
        # What was not synced a failing close(2) may have lost (KVS-SAVE-5): until then nobody knows.
        locked.visible = True if durable else None
        return new

    return _update(fs, name, change)


def replace_tool_map(
    fs: FileSystem,
    name: str,
    tool_map: tuple[ToolEntry, ...] | None,
    *,
    options: Options | None,
    profile: str,
    limits: rules.Limits,
) -> SaveResult:
    """Writes the entry anew with another tool map, or with none, and replaces it (KVS-TOOLMAP).

    The payload is copied inside the file system (sharing blocks where it has reflinks). Raises KvcError for
    a damaged entry or a tool map over the limits, SaveError where the system failed, or where the entry was saved
    anew or removed meanwhile: whoever did that has been told of success, and it is not undone. Savers take no lock
    on the entry, so a save or removal between the last look at its name and rename(2) is not noticed.
    """

    def change(locked: _Locked) -> SaveResult:
        locked.step = "fstat"
        status = fs.fstat(locked.fd)
        stream = PortFile(fs, locked.fd, owned=False, name=name)
        identity_name = name if identity.is_entry_name(name) else None
        try:
            with reader.open_kvc(stream, profile=profile, limits=limits, name=identity_name) as entry:
                serial = _with_tool_map(name, entry, tool_map)
                payload = Range(locked.fd, serial.payload_offset, entry.header.payload_bytes)
        except OSError:
            locked.step = stream.step
            raise
        locked.told = True
        result = save(fs, serial, payload, strategy=Strategy.DIRECT, options=options, replacing=status)
        locked.told = False
        locked.visible = True
        return result

    return _update(fs, name, change)


def _with_tool_map(name: str, entry: reader.KvcReader, tool_map: tuple[ToolEntry, ...] | None) -> Serial:
    """The entry's bytes with that tool map: everything that is not the tool map is kept as it was read."""
    header = entry.header
    if tool_map is None:
        # As an int: the complement of a member has only the bits that Extension knows, and the others must stay.
        header = replace(header, flags=header.flags & ~int(Extension.TOOL_MAP))
    else:
        header = replace(header, flags=header.flags | Extension.TOOL_MAP)
    try:
        sections = schema.build_sections(tool_map, entry.title())
    except SchemaError as error:
        raise error_for(error.problem, name) from None
    if header.flags & ~layout.KNOWN_FLAGS:
        # Bits that are not known may have appended sections that are not known: they stay (KVC-HEADER-5).
        problem = entry.tool_map_problem
        if problem is not None:
            raise error_for(problem, name)
        sections += entry.read_trailing()
    return Serial.of(name, header, entry.text, sections)


def remove(fs: FileSystem, name: str, *, durable: bool) -> None:
    """Removes an entry (KVS-REMOVE). Raises RemoveError; its `visible` says whether the removal shows."""
    removed = False
    try:
        fs.unlink(name)
        removed = True
        if durable:
            fs.sync_directory()
    except OSError as error:
        raise RemoveError(
            error.strerror or str(error),
            name=name,
            operation="fsync directory" if removed else "unlink",
            visible=removed,
        ) from error
