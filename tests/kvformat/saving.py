"""What the tests of saving share: entries, races at a chosen operation, and signals at a chosen bytecode."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import kvformat
from faultinject.interpose import Interposed, Result
from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from kvformat import layout
from kvformat.filesystem import FileSystem, OsFileSystem
from kvformat.model import Entry, ToolEntry
from kvformat.options import Options, Strategy
from kvformat.serial import Serial, serialize
from kvformat.store import Store
from kvformat.temp_names import TempKind
from kvformat.testing import file_of

NOW = 1_790_000_000
TOOLS = (ToolEntry(b"call_1", b"<tool>one</tool>"),)
ENTRY = Entry(text=b"the text of an entry", tokens=7, created=NOW, last_used=NOW, tool_map=TOOLS)
SESSION_ENTRY = Entry(text=b"session", tokens=3, created=NOW, last_used=NOW, tool_map=TOOLS, title=b"a title")
PAYLOAD = bytes(range(100))
NEW = file_of(ENTRY, PAYLOAD)
OLD = file_of(Entry(text=ENTRY.text, tokens=99, hits=4, created=NOW, last_used=NOW), b"old payload")
SERIAL: Serial = serialize(ENTRY, now=NOW)
NAME = SERIAL.name

KINDS = [(strategy, temp) for strategy in Strategy for temp in (TempKind.NAMED, TempKind.UNNAMED)]
"""Every way in which a save can be done."""


def descriptors() -> int:
    """How many descriptors this process has open."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def store_of(fs: FileSystem, **arguments: Any) -> Store:
    """A store whose clock stands still."""
    return Store(fs, clock=lambda: NOW, **arguments)


def directory(**files: bytes) -> MemoryFileSystem:
    """A directory in memory with an old entry of the key, an entry of another key, and `files`."""
    fs = MemoryFileSystem()
    fs.put(NAME, OLD)
    other = Entry(text=b"another", tokens=1, created=NOW, last_used=NOW)
    fs.put(serialize(other, now=NOW).name, file_of(other, b"untouched"))
    for name, content in files.items():
        fs.put(name, content)
    return fs


def options(temp: TempKind, *, durable: bool = False) -> Options:
    """Not durable unless asked for: a real fsync is slow."""
    return Options(durable=durable, temp=temp)


def with_byte(data: bytes, offset: int, value: int) -> bytes:
    """`data` with another byte at `offset`."""
    return data[:offset] + bytes((value,)) + data[offset + 1 :]


def counts(data: bytes) -> tuple[int, int]:
    """Hit count and last-used time."""
    header = layout.decode_header(data)
    return header.hits, header.last_used


class Racing(Interposed):
    """Runs `action` once at an operation, as if another process came in between.

    `when` chooses the operation by its kind and arguments; `after`: behind it, else in front of it.
    """

    def __init__(
        self,
        inner: FileSystem,
        when: Callable[[Op, tuple[Any, ...]], bool],
        action: Callable[[], object],
        *,
        after: bool = False,
        times: int = 1,
    ) -> None:
        super().__init__(inner)
        self._when = when
        self._action = action
        self._after = after
        self._left = times
        self.fired = 0

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        hit = self._left > 0 and self._when(op, arguments)
        if hit:
            self._left -= 1
            self.fired += 1
        if hit and not self._after:
            self._action()
        result = method(*arguments)
        if hit and self._after:
            self._action()
        return result


class Failing(Interposed):
    """Fails every operation that `error` gives an error for."""

    def __init__(self, inner: FileSystem, error: Callable[[Op, tuple[Any, ...]], OSError | None]) -> None:
        super().__init__(inner)
        self._error = error

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        error = self._error(op, arguments)
        if error is not None:
            if op is Op.CLOSE:
                method(*arguments)  # the descriptor is gone all the same
            raise error
        return method(*arguments)


class Unsynced(OsFileSystem):
    """The real file system without the wait for the device."""

    def sync(self, fd: int) -> None:
        """Nothing."""

    def sync_directory(self) -> None:
        """Nothing."""


_PACKAGE = os.path.dirname(kvformat.__file__) + os.sep


class SignalAt:
    """Raises a signal at bytecode number `due` of this package's code, counted while `run` runs.

    `place` is where that was, None where the code ended before.
    """

    def __init__(self, due: int, number: int = signal.SIGINT) -> None:
        self.due = due
        self.number = number
        self.count = 0
        self.place: str | None = None

    def run(self, action: Callable[[], object]) -> BaseException | None:
        """What `action` raised."""
        try:
            sys.settrace(self._enter)
            try:
                action()
            finally:
                sys.settrace(None)
        except BaseException as error:  # noqa: BLE001 - it is what the test looks at
            return error
        return None

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode" and self.place is None:
            if self.count == self.due:
                sys.settrace(None)
                code = frame.f_code
                self.place = f"{os.path.basename(code.co_filename)}:{frame.f_lineno} {code.co_name}"
                signal.raise_signal(self.number)
            self.count += 1
        return self._step


def links(error: BaseException | None) -> list[BaseException]:
    """The exception and those that it came from."""
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
