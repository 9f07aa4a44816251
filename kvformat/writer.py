"""Saving an entry: three strategies over one serializer, one protocol of publication.

spec/saving.md has the protocol: KVS-SAVE for what is common, KVS-DIRECT, KVS-STAGED and
KVS-BACKPATCH for how the payload gets into the temp file, KVS-FAIL for what happens otherwise.
"""

from __future__ import annotations

import stat

from kvformat import layout
from kvformat.errors import CleanupFailure, SaveError
from kvformat.filesystem import FileStatus, FileSystem
from kvformat.interrupts import InterruptGate
from kvformat.options import Options, SaveResult, Strategy
from kvformat.payload import Payload, Range
from kvformat.serial import Serial
from kvformat.temp import TempFile
from kvformat.temp_names import Purpose
from kvformat.transfer import TransferError

BLOCK_BYTES = 4096
"""Alignment that lets file systems share blocks between a staged payload and the entry (KVS-STAGED-2)."""

PLACEHOLDER = bytes(layout.HEADER_BYTES)
"""What stands for the header until a backpatch save knows it: no reader takes it for one (KVS-BACKPATCH-1)."""

_PAYLOAD = "payload"
"""The step during which the caller's own code runs: the payload's producer, and `on_progress`."""


def save(
    fs: FileSystem,
    serial: Serial,
    payload: Payload | Range,
    *,
    strategy: Strategy,
    options: Options | None = None,
    replacing: FileStatus | None = None,
) -> SaveResult:
    """Saves one entry so that its name holds the old content or the complete new one at every instant.

    `replacing`: the entry is an update of this file; it gets its permissions, whatever `options` say, and takes
    its place only if nobody else has meanwhile (KVS-TOOLMAP-1, KVS-TOOLMAP-2).

    Raises KvcError for a payload size that no entry may have, before anything is done; SaveError (with what failed,
    at which offset, what is visible now) where the system failed or the payload was not as predicted. What the
    payload's producer, `on_progress` or the handler of a signal raises comes through as it is, OSError included,
    with the same facts as a note. Temp and staged files are gone in every case, unless the removal itself failed:
    then the error names them (KVS-FAIL).
    """
    if strategy is Strategy.DIRECT:
        if payload.size_bytes is None:
            raise ValueError("the direct strategy needs the size of the payload beforehand (KVS-DIRECT-1)")
        serial.check_payload(payload.size_bytes)
    job = _Save(fs, serial, options or Options(), replacing)
    with InterruptGate() as gate:
        try:
            try:
                result = job.run(payload, strategy, gate)
            finally:
                gate.shut()
            gate.note = job.note
            return result
        except BaseException as error:
            told = job.abandon(error, callers_own=job.is_callers_own or gate.has_raised(error))
            if told is None:
                raise
            try:
                raise told from error
            finally:
                del told  # else error and frame keep each other, and the caller's payload, until the next collection


class _Save:
    """The state of one save: its temp files, and how far they got."""

    __slots__ = (
        "active",
        "copied_by_kernel",
        "fs",
        "lead_bytes",
        "options",
        "payload_bytes",
        "replacing",
        "serial",
        "temps",
    )

    def __init__(self, fs: FileSystem, serial: Serial, options: Options, replacing: FileStatus | None) -> None:
        self.fs = fs
        self.serial = serial
        self.options = options
        self.replacing = replacing
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
        replacing = self.replacing
        gate.checkpoint()
        if replacing is None:
            entry.finish(durable=durable)
            gate.checkpoint()
            entry.publish(self.serial.name, durable=durable)
        else:
            entry.finish(durable=durable, mode=stat.S_IMODE(replacing.mode))
            gate.checkpoint()
            entry.publish(self.serial.name, durable=durable, only_over=replacing.inode)
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
        target.step = _PAYLOAD
        gate.open()
        for piece in payload.pieces():
            gate.shut()
            if type(piece) is not bytes:
                piece = memoryview(piece).cast("B")  # the length of a view counts items, which may be wider
            size_bytes = len(piece)
            if predicted is not None and self.payload_bytes + size_bytes > predicted:
                raise TransferError(f"the payload was predicted as {predicted} bytes and goes on after that")
            target.write(piece)
            target.step = _PAYLOAD
            self.payload_bytes += size_bytes
            gate.open()
            if on_progress is not None:
                on_progress(self.payload_bytes)
        gate.shut()
        if predicted is not None and self.payload_bytes != predicted:
            raise TransferError(f"the payload was predicted as {predicted} bytes and ended after {self.payload_bytes}")

    def _copy(self, target: TempFile, source: Range, gate: InterruptGate) -> None:
        """Copies a range of an open file to the end of `target` (KVS-STAGED-2)."""
        on_progress = self.options.on_progress
        offset, remaining = source.offset, source.size_bytes
        while remaining:
            copied = target.copy_some(source.fd, offset, remaining)
            offset += copied
            remaining -= copied
            if on_progress is None:
                gate.checkpoint()
            else:
                target.step = _PAYLOAD
                gate.open()
                on_progress(source.size_bytes - remaining)
                gate.shut()
        self.copied_by_kernel = target.copied_by_kernel

    @property
    def is_callers_own(self) -> bool:
        """Whether it was the caller's own code that ran last: then an OSError is not this save's."""
        return self.active is not None and self.active.step == _PAYLOAD

    def note(self) -> str:
        """What the exception of a signal's handler that has waited for the end must say (KVS-FAIL-1)."""
        return f"save of {SaveError('it waited for the end', name=self.serial.name, operation='signal', visible=True)}"

    def abandon(self, error: BaseException, *, callers_own: bool) -> SaveError | None:
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
        if isinstance(error, TransferError) or (isinstance(error, OSError) and not callers_own):
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
