"""Saving an entry: three strategies over one serializer, one protocol of publication.

spec/saving.md has the protocol: KVS-SAVE for what is common, KVS-DIRECT, KVS-STAGED and
KVS-BACKPATCH for how the payload gets into the temp file, KVS-FAIL for what happens otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from kvformat import identity, layout, rules, schema
from kvformat.errors import CleanupFailure, SaveError, error_for
from kvformat.filesystem import FileSystem
from kvformat.interrupts import InterruptGate
from kvformat.model import Entry, Extension, Header
from kvformat.payload import Payload, Range
from kvformat.profiles import profile_named
from kvformat.temp import Purpose, TempFile, TempKind, TransferError

BLOCK_BYTES = 4096
"""Alignment that lets file systems share blocks between a staged payload and the entry (KVS-STAGED-2)."""

MODE = 0o600
"""Permissions of a new entry: the text is a conversation (KVS-TEMP-2)."""

PLACEHOLDER = bytes(layout.HEADER_BYTES)
"""What stands for the header until a backpatch save knows it: no reader takes it for one (KVS-BACKPATCH-1)."""


class Strategy(StrEnum):
    """How a payload reaches the entry (spec/saving.md, "Strategies")."""

    DIRECT = "direct"
    STAGED = "staged"
    BACKPATCH = "backpatch"


@dataclass(frozen=True, slots=True)
class Serial:
    """An entry as bytes, but for the payload: the one serializer that every strategy uses.

    `blank_head` is header, text byte count and text as the schema builds them for a payload of 0 bytes.
    """

    name: str
    header: Header
    text_bytes: int
    blank_head: bytes
    sections: bytes

    @classmethod
    def of(cls, name: str, header: Header, text: bytes, sections: bytes) -> Serial:
        """Builds the head; `header.payload_bytes` is put in when it is known. Raises KvcError as the schema."""
        blank = replace(header, payload_bytes=0)
        return cls(name, blank, len(text), schema.build_head(blank, text), sections)

    @property
    def payload_offset(self) -> int:
        """Where the payload starts in the file."""
        return layout.payload_offset(self.text_bytes)

    def head(self, payload_bytes: int) -> bytes:
        """Header, text byte count and text, for a payload of that many bytes."""
        count = payload_bytes.to_bytes(8, "little")
        return self.blank_head[: layout.PAYLOAD_BYTES_OFFSET] + count + self.blank_head[layout.HEADER_BYTES :]


@dataclass(frozen=True, slots=True)
class Options:
    """How to save.

    durable: sync file and directory before success is reported (KVS-DURABLE-3).
    temp: whether the temp file may have a name while it is written (KVS-TEMP-5).
    on_progress: called with the count of payload bytes written so far; what it raises ends the save.
    """

    durable: bool = True
    temp: TempKind = TempKind.AUTO
    mode: int = MODE
    on_progress: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class SaveResult:
    """A save that succeeded. `durable` is False where the caller opted out: power loss may undo it."""

    name: str
    strategy: Strategy
    payload_bytes: int
    file_bytes: int
    durable: bool
    unnamed: bool
    copied_by_kernel: bool
    evicted: tuple[str, ...] = ()
    eviction_failures: tuple[CleanupFailure, ...] = ()


def serialize(entry: Entry, *, now: int, name: str | None = None) -> Serial:
    """Turns an entry into bytes, strictly (KVC-WRITER-1 to KVC-WRITER-5).

    `name` is given for a fixed name (KVC-NAME-4) and computed otherwise. Raises KvcError for an entry
    that some reader would reject, ValueError for a name that no reader would find it under.
    """
    problems = rules.check_entry(entry)
    if problems:
        raise error_for(problems[0], "the entry to save")
    profile = profile_named(entry.profile)
    created = now if entry.created is None else entry.created
    flags = entry.flags
    if entry.tool_map is not None:
        flags |= Extension.TOOL_MAP
    if entry.title is not None:
        flags |= Extension.SESSION_TITLE
    header = Header(
        quantisation_bits=entry.quantisation_bits,
        reason=entry.reason,
        flags=flags,
        byte7=entry.model_id if profile.has_model_id else 0,
        tokens=entry.tokens,
        hits=entry.hits,
        context_tokens=entry.context_tokens,
        byte20=profile.payload_abi if profile.has_payload_abi else 0,
        reserved=bytes(3),
        created=created,
        last_used=created if entry.last_used is None else entry.last_used,
        payload_bytes=0,
    )
    if name is None:
        name = identity.expected_name(header, entry.text, entry.title)
    elif name not in identity.FIXED_NAMES:
        raise ValueError(f"{name!r} is not a fixed name; entries are named by their content")
    return Serial.of(name, header, entry.text, schema.build_sections(entry.tool_map, entry.title))


def save(
    fs: FileSystem,
    serial: Serial,
    payload: Payload | Range,
    *,
    strategy: Strategy,
    options: Options | None = None,
) -> SaveResult:
    """Saves one entry so that its name holds the old content or the complete new one at every instant.

    Raises SaveError (with what failed, at which offset, what is visible now) where the system failed or
    the payload was not as predicted. What the payload's producer raises, and KeyboardInterrupt, comes
    through as it is, with the same facts as a note. Temp and staged files are gone in every case, unless
    the removal itself failed: then the error names them (KVS-FAIL).
    """
    if strategy is Strategy.DIRECT and payload.size_bytes is None:
        raise ValueError("the direct strategy needs the size of the payload beforehand (KVS-DIRECT-1)")
    job = _Save(fs, serial, options or Options())
    with InterruptGate() as gate:
        try:
            try:
                return job.run(payload, strategy, gate)
            finally:
                gate.shut()
        except BaseException as error:
            told = job.abandon(error)
            if told is None:
                raise
            try:
                raise told from error
            finally:
                del told  # else error and frame keep each other, and the caller's payload, until the next collection


class _Save:
    """The state of one save: its temp files, and how far they got."""

    __slots__ = ("active", "copied_by_kernel", "fs", "lead_bytes", "options", "payload_bytes", "serial", "temps")

    def __init__(self, fs: FileSystem, serial: Serial, options: Options) -> None:
        self.fs = fs
        self.serial = serial
        self.options = options
        self.temps: list[TempFile] = []
        self.active: TempFile | None = None
        self.lead_bytes = 0
        self.payload_bytes = 0
        self.copied_by_kernel = False

    def run(self, payload: Payload | Range, strategy: Strategy, gate: InterruptGate) -> SaveResult:
        """KVS-SAVE-1 to KVS-SAVE-8 in order; the strategies differ in how the payload is written."""
        if strategy is Strategy.STAGED:
            entry = self._staged(payload, gate)
        elif strategy is Strategy.BACKPATCH:
            entry = self._backpatch(payload, gate)
        else:
            entry = self._direct(payload, gate)
        if self.payload_bytes == 0 and not self.serial.header.has_title:
            raise TransferError("the payload is empty, which only a session with a title may be [KVC-PAYLOAD-2]")
        durable = self.options.durable
        unnamed = entry.unnamed
        gate.checkpoint()
        entry.finish(durable=durable)
        gate.checkpoint()
        entry.publish(self.serial.name, durable=durable)
        entry.release()
        return SaveResult(
            self.serial.name, strategy, self.payload_bytes, entry.offset, durable, unnamed, self.copied_by_kernel
        )

    def _create(self, purpose: Purpose) -> TempFile:
        temp = TempFile(self.fs, purpose)
        self.temps.append(temp)
        self.active = temp
        temp.create(self.options.temp, self.options.mode)
        return temp

    def _direct(self, payload: Payload | Range, gate: InterruptGate) -> TempFile:
        predicted = payload.size_bytes
        assert predicted is not None
        head = self.serial.head(predicted)
        entry = self._create(Purpose.SAVE)
        entry.write(head)
        self._payload(entry, payload, gate, predicted)
        self._sections(entry)
        return entry

    def _staged(self, payload: Payload | Range, gate: InterruptGate) -> TempFile:
        stage = self._create(Purpose.STAGE)
        self.lead_bytes = self.serial.payload_offset % BLOCK_BYTES
        stage.skip(self.lead_bytes)
        self._payload(stage, payload, gate, None)
        entry = self._create(Purpose.SAVE)
        entry.write(self.serial.head(self.payload_bytes))
        self._copy(entry, Range(stage.fd, self.lead_bytes, self.payload_bytes), gate)
        self._sections(entry)
        # Before publication: a staged file that cannot be removed fails the save while the old entry stands.
        self.active = stage
        stage.remove()
        self.active = entry
        return entry

    def _backpatch(self, payload: Payload | Range, gate: InterruptGate) -> TempFile:
        placeholder = PLACEHOLDER + self.serial.blank_head[layout.HEADER_BYTES :]
        entry = self._create(Purpose.SAVE)
        entry.write(placeholder)
        self._payload(entry, payload, gate, None)
        self._sections(entry)
        entry.patch(self.serial.head(self.payload_bytes)[: layout.HEADER_BYTES], 0)
        return entry

    def _sections(self, entry: TempFile) -> None:
        if self.serial.sections:
            entry.write(self.serial.sections)

    def _payload(self, target: TempFile, payload: Payload | Range, gate: InterruptGate, predicted: int | None) -> None:
        """Streams the payload into `target`; with a prediction the bytes are counted against it (KVS-DIRECT-2)."""
        if isinstance(payload, Range):
            self._copy(target, payload, gate)
            self.payload_bytes = payload.size_bytes
            return
        on_progress = self.options.on_progress
        target.step = "payload"
        gate.open()
        for piece in payload.pieces():
            gate.shut()
            size_bytes = len(piece)
            if predicted is not None and self.payload_bytes + size_bytes > predicted:
                raise TransferError(f"the payload was predicted as {predicted} bytes and goes on after that")
            target.write(piece)
            target.step = "payload"
            self.payload_bytes += size_bytes
            gate.open()
            if on_progress is not None:
                on_progress(self.payload_bytes)
        gate.shut()
        if predicted is not None and self.payload_bytes != predicted:
            raise TransferError(f"the payload was predicted as {predicted} bytes and ended after {self.payload_bytes}")

    def _copy(self, target: TempFile, source: Range, gate: InterruptGate) -> None:
        """Copies a range of an open file to the end of `target` (KVS-STAGED-2)."""
        offset, remaining = source.offset, source.size_bytes
        while remaining:
            copied = target.copy_some(source.fd, offset, remaining)
            offset += copied
            remaining -= copied
            gate.checkpoint()
        self.copied_by_kernel = target.copied_by_kernel

    def abandon(self, error: BaseException) -> SaveError | None:
        """Removes what the save made and says so: a SaveError to raise, or a note on `error` (KVS-FAIL)."""
        failures: list[CleanupFailure] = []
        left_behind: list[str] = []
        visible: bool | None = False
        for temp in reversed(self.temps):
            temp_failures, left, temp_visible = temp.abandon()
            failures += temp_failures
            if left is not None:
                left_behind.append(left)
            if temp.purpose is Purpose.SAVE:
                visible = temp_visible
        active = self.active
        told = SaveError(
            _reason(error),
            name=self.serial.name,
            operation=active.step if active else "open",
            offset=self._entry_offset(active) if active else None,
            visible=visible,
            cleanup_failures=tuple(failures),
            left_behind=tuple(left_behind),
        )
        if isinstance(error, (OSError, TransferError)):
            return told
        error.add_note(f"save of {told}")
        return None

    def _entry_offset(self, temp: TempFile) -> int:
        """Where in the entry's file a temp file stands: a staged payload has another start."""
        if temp.purpose is Purpose.SAVE:
            return temp.offset
        return temp.offset - self.lead_bytes + self.serial.payload_offset


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return str(error) or type(error).__name__
