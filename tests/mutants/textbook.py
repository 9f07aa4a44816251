"""A right writer that is short enough to be wrong in one place: the base of every mutant.

It keeps spec/saving.md with named temp files. Each step is a method, so that a mutant replaces one of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from faultinject.kvc import KvcPrepared
from kvformat import layout
from kvformat.filesystem import CREATE_EXCLUSIVE, Buffer, FileSystem
from kvformat.interrupts import InterruptGate
from kvformat.model import Header
from kvformat.schema import build_sections
from tests.mutants.names import TEMP_PREFIX, is_temp


class WriterError(Exception):
    """A failed operation; `left_behind` has the names that could not be removed (KVS-FAIL-3)."""

    def __init__(self, message: str, left_behind: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.left_behind = frozenset(left_behind)


class Textbook:
    """One operation on one directory."""

    strategy = "direct"

    def __init__(self, fs: FileSystem, prepared: KvcPrepared) -> None:
        self.fs = fs
        self.serial = prepared.serial
        self.name = prepared.name
        self.made: list[tuple[str, int]] = []
        self.counter = 0

    # Steps of a save.

    def save(self, pieces: Iterable[Buffer], predicted: int | None) -> None:
        try:
            self.before()
            entry, fd = self.fill(pieces, predicted)
            self.finish(fd)
            self.publish(entry, fd)
        except BaseException as error:  # noqa: BLE001 - failed() raises it again
            self.failed(error)

    def before(self) -> None:
        """Nothing is given up for a save that may fail (KVS-SAVE-2)."""

    def fill(self, pieces: Iterable[Buffer], predicted: int | None) -> tuple[str, int]:
        """The complete temp file."""
        if self.strategy == "staged":
            return self.fill_staged(pieces)
        name, fd = self.create()
        head = self.placeholder() if predicted is None else self.serial.head(predicted)
        self.write_all(fd, head, 0)
        end = self.write_pieces(fd, pieces, len(head))
        self.check_count(end - len(head), predicted)
        self.write_all(fd, self.serial.sections, end)
        if predicted is None:
            self.patch(fd, end - len(head))
        return name, fd

    def fill_staged(self, pieces: Iterable[Buffer]) -> tuple[str, int]:
        stage_name, stage = self.create()
        size_bytes = self.write_pieces(stage, pieces, 0)
        name, fd = self.create()
        head = self.serial.head(size_bytes)
        self.write_all(fd, head, 0)
        self.copy(stage, fd, size_bytes, len(head))
        self.write_all(fd, self.serial.sections, len(head) + size_bytes)
        self.drop_stage(stage_name, stage)
        return name, fd

    def placeholder(self) -> bytes:
        return bytes(layout.HEADER_BYTES) + self.serial.blank_head[layout.HEADER_BYTES :]

    def patch(self, fd: int, payload_bytes: int) -> None:
        self.write_all(fd, self.serial.head(payload_bytes)[: layout.HEADER_BYTES], 0)

    def write_pieces(self, fd: int, pieces: Iterable[Buffer], offset: int) -> int:
        for piece in pieces:
            self.write_all(fd, piece, offset)
            offset += len(piece)
        return offset

    def check_count(self, size_bytes: int, predicted: int | None) -> None:
        if predicted is not None and size_bytes != predicted:
            raise WriterError(f"{size_bytes} bytes where {predicted} were predicted")

    def write_all(self, fd: int, data: Buffer, offset: int) -> None:
        done = 0
        while done < len(data):
            accepted = self.fs.pwrite(fd, memoryview(data)[done:], offset + done)
            if accepted <= 0:
                raise WriterError("nothing accepted, no error named")
            done += accepted

    def copy(self, source: int, fd: int, size_bytes: int, offset: int) -> None:
        done = 0
        while done < size_bytes:
            data = self.fs.pread(source, size_bytes - done, done)
            if not data:
                raise WriterError("the staged file is too short")
            self.write_all(fd, data, offset + done)
            done += len(data)

    def drop_stage(self, name: str, fd: int) -> None:
        self.fs.unlink(name)
        self.made.remove((name, fd))
        self.fs.close(fd)

    def temp_name(self) -> str:
        return f"{TEMP_PREFIX}{os.urandom(8).hex()}"

    def create(self) -> tuple[str, int]:
        name = self.temp_name()
        self.made.append((name, -1))  # known to the cleaning-up before it exists
        try:
            fd = self.fs.open(name, self.create_flags())
        except FileExistsError:
            self.made.pop()  # somebody else's
            raise
        self.made[-1] = (name, fd)
        if not self.fs.try_lock(fd):
            raise WriterError("the new temp file is locked by somebody else")
        return name, fd

    def create_flags(self) -> int:
        return CREATE_EXCLUSIVE

    def finish(self, fd: int) -> None:
        self.fs.sync(fd)
        self.fs.close(self.fs.dup(fd))

    def publish(self, name: str, fd: int) -> None:
        self.fs.rename(name, self.name)
        self.made.remove((name, fd))
        self.fs.sync_directory()
        self.fs.close(fd)

    def failed(self, error: BaseException) -> None:
        """Cleans up and reports, whatever it was (KVS-FAIL-2, KVS-FAIL-3)."""
        left = self.clean_up()
        if isinstance(error, Exception):
            raise WriterError(str(error), left) from error
        error.add_note(f"left: {' '.join(left)}")
        raise error

    def clean_up(self) -> list[str]:
        left = []
        for name, fd in reversed(self.made):
            try:
                self.fs.unlink(name)
            except FileNotFoundError:
                pass
            except BaseException:  # noqa: BLE001 - it is reported as left
                left.append(name)
                self.quietly(self.fs.unlock, fd)
            self.quietly(self.fs.close, fd)
        return left

    def quietly(self, method: Any, fd: int) -> None:
        try:
            if fd >= 0:
                method(fd)
        except BaseException as error:  # noqa: BLE001 - the first failure is the one that is reported
            self.last_error = error

    # Other operations.

    def recover(self) -> None:
        for name in self.fs.names():
            if is_temp(name):
                fd = self.fs.open(name, os.O_RDONLY)
                try:
                    if self.fs.try_lock(fd):
                        self.fs.unlink(name)
                finally:
                    self.fs.close(fd)

    def touch(self, last_used: int) -> None:
        with InterruptGate():  # an interrupt before close would leave the entry locked
            fd = self.fs.open(self.name, os.O_RDWR)
            try:
                self.fs.lock(fd)
                self.update_header(fd, self.header_of(fd), last_used)
                self.fs.sync(fd)
            finally:
                self.fs.close(fd)

    def header_of(self, fd: int) -> Header:
        return layout.decode_header(self.fs.pread(fd, layout.HEADER_BYTES, 0))

    def update_header(self, fd: int, header: Header, last_used: int) -> None:
        new = layout.encode_header(replace(header, hits=header.hits + 1, last_used=last_used))
        self.write_all(fd, new[12:40], 12)

    def replace_tool_map(self, tools: Any) -> None:
        old = self.fs.open(self.name, os.O_RDONLY)
        try:
            content = self.fs.pread(old, 1 << 20, 0)
        finally:
            self.fs.close(old)
        header = layout.decode_header(content)
        end = layout.payload_offset(layout.decode_text_bytes(content)) + header.payload_bytes
        self.write_with_map(content[:end], build_sections(tools, None))

    def write_with_map(self, content: bytes, sections: bytes) -> None:
        try:
            name, fd = self.create()
            self.write_all(fd, content, 0)
            self.write_all(fd, sections, len(content))
            self.finish(fd)
            self.publish(name, fd)
        except BaseException as error:  # noqa: BLE001 - failed() raises it again
            self.failed(error)
