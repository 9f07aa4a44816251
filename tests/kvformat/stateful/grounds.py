"""Where the machine works: a directory in memory, which can lose power, or a real one, where kills are real."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from faultinject.blackout import files_of
from faultinject.faults import Fault, Form
from faultinject.inject import InjectingFileSystem, Killed
from faultinject.interpose import Interposed, Result
from faultinject.memory import MemoryFileSystem
from faultinject.memory_file import MemoryFile
from faultinject.ops import Op, Operation, Trace
from faultinject.persistence.contents import Reference
from faultinject.persistence.machine import Machine, NodeKind, StartNode, block_bytes_for
from faultinject.persistence.profiles import STRICT, profiles
from faultinject.persistence.survivors import described, state_classes, survived
from faultinject.record import RecordingFileSystem
from kvformat.filesystem import FileSystem
from tests.kvformat.saving import Unsynced

STATES_MAX = 40
"""So many classes of states after a loss of power are looked at."""


class Line(Interposed):
    """Hands on to whatever stands behind it at the moment: the store before it stays the same one."""

    def connect(self, inner: FileSystem) -> None:
        """From here on."""
        self._inner = inner

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        return method(*arguments)


class Meanwhile(Interposed):
    """Lets `action` happen in front of operation number `index`."""

    def __init__(self, inner: FileSystem, index: int, action: Callable[[], None]) -> None:
        super().__init__(inner)
        self._left = index
        self._action = action

    def _call(self, op: Op, method: Callable[..., Result], *arguments: Any) -> Result:
        self._left -= 1
        if self._left == -1:
            self._action()
        return method(*arguments)


@dataclass(frozen=True)
class Outcome:
    """How a run ended. fired: whether the fault took place. error: what it raised."""

    fired: bool
    killed: bool
    error: BaseException | None
    operations: int

    @property
    def acknowledged(self) -> bool:
        """Whether success was reported."""
        return not self.killed and self.error is None


class Ground(Protocol):
    """A directory, and whoever works on it."""

    line: Line
    loses_power: bool

    def rehearse(self, act: Callable[[FileSystem], None], locked: Iterable[str]) -> Trace:
        """The operations of a run without a fault, on a copy."""

    def run(self, act: Callable[[], None], fault: Fault | None = None, at: Meanwhile | None = None) -> Outcome:
        """A run on the directory; after a kill a new process works on it."""

    def beside(self) -> FileSystem:
        """What another process sees, without faults."""

    def contents(self) -> dict[str, bytes]:
        """Every name with its content."""

    def put_live(self, name: str) -> None:
        """Another process writes a temp file and lives."""

    def end_live(self) -> None:
        """Those processes die."""

    def descriptors(self) -> int:
        """How many this process has open."""

    def shut(self) -> None:
        """Gives everything back."""


class MemoryGround:
    """In memory: every operation since power was last on is kept, for what a loss of power leaves."""

    loses_power = True

    def __init__(self) -> None:
        self.fs = MemoryFileSystem()
        self.line = Line(self.fs)
        self._power_on({})

    def _power_on(self, files: dict[str, MemoryFile]) -> None:
        self.fs = MemoryFileSystem.holding(files)
        self._start = {
            name: StartNode(NodeKind.FILE, tuple(file.pieces()), file.number, file) for name, file in files.items()
        }
        self.operations: list[Operation] = []
        self._connect(None)

    def _connect(self, fault: Fault | None) -> tuple[InjectingFileSystem, RecordingFileSystem]:
        injector = InjectingFileSystem(self.fs, fault)
        recorder = RecordingFileSystem(injector, probe=self.fs)
        self.line.connect(recorder)
        self._recorder = recorder
        return injector, recorder

    def rehearse(self, act: Callable[[FileSystem], None], locked: Iterable[str]) -> Trace:
        """See `Ground.rehearse`; others' locks are in the snapshot."""
        recorder = RecordingFileSystem(self.fs.snapshot())
        act(recorder)
        return recorder.trace

    def run(self, act: Callable[[], None], fault: Fault | None = None, at: Meanwhile | None = None) -> Outcome:
        """See `Ground.run`."""
        injector, recorder = self._connect(fault)
        if at is not None:
            at._inner = recorder
            self.line.connect(at)
        error: BaseException | None = None
        killed = False
        try:
            act()
        except Killed:
            killed = True
        except Exception as raised:  # noqa: BLE001 - it is what the machine looks at
            error = raised
        # What a dead program still tried did not happen.
        dead = fault is not None and fault.form is Form.KILL and bool(injector.fired)
        done = recorder.trace.operations[: fault.index if dead and fault is not None else None]
        self.operations += done
        if dead:
            self.fs = self.fs.snapshot()
        self._connect(None)
        return Outcome(bool(injector.fired), killed or dead, error, len(done))

    def beside(self) -> FileSystem:
        """See `Ground.beside`: its operations are recorded in their place."""
        return self._recorder

    def contents(self) -> dict[str, bytes]:
        """See `Ground.contents`."""
        return self.fs.contents()

    def put_live(self, name: str) -> None:
        """See `Ground.put_live`."""
        self.fs.put(name, b"KVC is being written", locked=True)

    def end_live(self) -> None:
        """See `Ground.end_live`."""
        for name, content in self.fs.contents().items():
            if content == b"KVC is being written":
                self.fs.put(name, content)

    def descriptors(self) -> int:
        """See `Ground.descriptors`."""
        return self.fs.open_descriptors()

    def lose_power(self, pick: int, undone: int, right: Callable[[str], Iterable[bytes]]) -> str:
        """Power is lost after all operations but the last `undone`; what is left is one of the states allowed.

        Returns what is missing, in words.
        """
        profile = profiles()[STRICT]
        block_bytes = block_bytes_for(profile, [1])
        machine = Machine(profile, self._start, block_bytes)
        for operation in self.operations[: len(self.operations) - undone]:
            machine.apply(operation)

        @cache
        def references(path: str) -> list[Reference]:
            return [Reference((content,), block_bytes) for content in right(path)]

        classes = list(islice(state_classes(machine, references), STATES_MAX))
        chosen = classes[pick % len(classes)].survivors[-1]
        words = described(machine, chosen)
        self._power_on(files_of(survived(machine, chosen)))
        return words

    def shut(self) -> None:
        """Nothing to give back."""


class RealGround:
    """In a real directory; a kill is a SIGKILL of a child."""

    loses_power = False

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="kvformat-stateful-"))
        self._path = self._root / "directory"
        self._path.mkdir()
        self._fs = Unsynced(self._path)
        self.line = Line(self._fs)
        self._locks: list[int] = []

    def rehearse(self, act: Callable[[FileSystem], None], locked: Iterable[str]) -> Trace:
        """See `Ground.rehearse`."""
        copy = self._root / "rehearsal"
        shutil.copytree(self._path, copy)
        locks = [_lock(copy / name) for name in locked]
        with Unsynced(copy) as fs:
            recorder = RecordingFileSystem(fs)
            act(recorder)
        for fd in locks:
            os.close(fd)
        shutil.rmtree(copy)
        return recorder.trace

    def run(self, act: Callable[[], None], fault: Fault | None = None, at: Meanwhile | None = None) -> Outcome:
        """See `Ground.run`."""
        if fault is not None and fault.form is Form.KILL:
            return self._killed(act, fault)
        injector = InjectingFileSystem(self._fs, fault)
        if at is not None:
            at._inner = injector
        self.line.connect(at or injector)
        error: BaseException | None = None
        try:
            act()
        except Exception as raised:  # noqa: BLE001 - it is what the machine looks at
            error = raised
        self.line.connect(self._fs)
        return Outcome(bool(injector.fired), False, error, injector.count)

    def _killed(self, act: Callable[[], None], fault: Fault) -> Outcome:
        child = os.fork()
        if child == 0:
            try:
                self.line.connect(
                    InjectingFileSystem(self._fs, fault, kill=lambda: os.kill(os.getpid(), signal.SIGKILL))
                )
                act()
            finally:
                os._exit(70)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed, "the child was to be killed, and ended by itself"
        return Outcome(True, True, None, 0)

    def beside(self) -> FileSystem:
        """See `Ground.beside`."""
        return self._fs

    def contents(self) -> dict[str, bytes]:
        """See `Ground.contents`."""
        return {path.name: path.read_bytes() for path in self._path.iterdir()}

    def put_live(self, name: str) -> None:
        """See `Ground.put_live`: another open file description is another process to whoever tries the lock."""
        (self._path / name).write_bytes(b"KVC is being written")
        self._locks.append(_lock(self._path / name))

    def end_live(self) -> None:
        """See `Ground.end_live`."""
        while self._locks:
            os.close(self._locks.pop())

    def descriptors(self) -> int:
        """See `Ground.descriptors`: those that lead into the directory."""
        links = []
        for name in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{name}"))
            except FileNotFoundError:
                continue  # that of the listing itself
        return sum(link.startswith(f"{self._path}/") for link in links) - len(self._locks)

    def shut(self) -> None:
        """Removes the directory."""
        self.end_live()
        self._fs.shut()
        shutil.rmtree(self._root)


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd
