"""Where a sweep runs: the same target in memory, or in a real directory with real kills."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from faultinject.faults import Fault
from faultinject.inject import HarnessError, InjectingFileSystem, Killed
from faultinject.memory import MemoryFileSystem
from faultinject.memory_file import MemoryFile
from faultinject.target import File, Files, Prepared
from kvformat.filesystem import FileSystem, OsFileSystem


class Ground(Protocol):
    """A place that can be brought to the state before the operation any number of times."""

    def fresh(self) -> FileSystem:
        """A directory in the state before; the one given out before it is no longer used."""

    def files(self, fs: FileSystem) -> Files:
        """What the directory holds now."""

    def put(self, files: Mapping[str, MemoryFile]) -> FileSystem:
        """A directory with these files and nobody who works on it, as after a start of the machine."""

    def kill(self, fault: Fault) -> tuple[FileSystem, bool]:
        """Runs the operation on a fresh directory and kills it; what is left, and whether the kill took place."""

    def shut(self) -> None:
        """Gives everything back."""


class MemoryGround:
    """Sweeps in memory: a fresh directory is a snapshot."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    def fresh(self) -> MemoryFileSystem:
        """See `Ground.fresh`."""
        return self._prepared.base.snapshot()

    def files(self, fs: FileSystem) -> Files:
        """See `Ground.files`."""
        assert isinstance(fs, MemoryFileSystem)
        return fs.files()

    def put(self, files: Mapping[str, MemoryFile]) -> MemoryFileSystem:
        """See `Ground.put`."""
        return MemoryFileSystem.holding(files)

    def kill(self, fault: Fault) -> tuple[MemoryFileSystem, bool]:
        """See `Ground.kill`: every operation after the fatal one is refused, so nothing changes any more."""
        fs = self.fresh()
        injector = InjectingFileSystem(fs, fault)
        try:
            self._prepared.act(injector)
        except Killed:
            pass
        except HarnessError:
            raise
        except KeyboardInterrupt:
            raise  # the user's own: a kill raises none
        except BaseException as error:
            # A dying program may raise what it likes on the way; it has no effect any more.
            if not injector.fired:
                raise HarnessError(f"{fault.id}: the run without a fault failed: {error!r}") from error
        return fs.snapshot(), bool(injector.fired)

    def shut(self) -> None:
        """Nothing to give back."""


class RealFile:
    """A file of a real directory as it is now: read at once, since the next run changes it. Special files are empty."""

    __slots__ = ("_content", "size_bytes")

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""
        self.size_bytes = len(self._content)

    def read_all(self) -> bytes:
        """Every byte."""
        return self._content

    def same_content(self, other: File) -> bool:
        """Byte for byte."""
        return self.size_bytes == other.size_bytes and self.read_all() == other.read_all()


class _TrackedFileSystem(OsFileSystem):
    """Knows which descriptors a run has opened, to close those that it leaves open."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._open: set[int] = set()

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """See `FileSystem.open`."""
        return self._tracked(super().open(name, flags, mode))

    def open_unnamed(self, mode: int = 0o600) -> int:
        """See `FileSystem.open_unnamed`."""
        return self._tracked(super().open_unnamed(mode))

    def dup(self, fd: int) -> int:
        """See `FileSystem.dup`."""
        return self._tracked(super().dup(fd))

    def close(self, fd: int) -> None:
        """See `FileSystem.close`."""
        self._open.discard(fd)
        super().close(fd)

    def shut(self) -> None:
        """Closes what is still open, and the directory."""
        for fd in tuple(self._open):
            self.close(fd)
        super().shut()

    def _tracked(self, fd: int) -> int:
        self._open.add(fd)
        return fd


class RealGround:
    """Sweeps in a directory of a real file system; a kill is a SIGKILL of a real process.

    parent: where to make a directory that is removed in the end, None for the system's own place. keep: an
    existing empty directory to work in, and to leave as it is. Raises OSError where it cannot.
    """

    def __init__(self, prepared: Prepared, parent: str | None = None, keep: Path | None = None) -> None:
        self._prepared = prepared
        self._keep = keep
        self._root = tempfile.mkdtemp(prefix="faultinject-", dir=parent) if keep is None else str(keep)
        self._fs: OsFileSystem | None = None

    def fresh(self) -> OsFileSystem:
        """See `Ground.fresh`."""
        self.put(self._prepared.base.files())
        assert self._fs is not None
        for name in self._prepared.expectation.live:
            # Another open file description: to whoever tries the lock, it is another process.
            fd = self._fs.open(name, os.O_RDWR)
            if not self._fs.try_lock(fd):
                raise HarnessError(f"the lock of the living writer's {name!r} could not be taken")
        return self._fs

    def put(self, files: Mapping[str, MemoryFile]) -> OsFileSystem:
        """See `Ground.put`."""
        self._release()
        directory = Path(self._root) / "directory"
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir()
        for name, file in files.items():
            (directory / name).write_bytes(file.read_all())
        self._fs = _TrackedFileSystem(directory)
        return self._fs

    def files(self, fs: FileSystem) -> Files:
        """See `Ground.files`."""
        assert isinstance(fs, OsFileSystem)
        return {name: RealFile(Path(fs.path) / name) for name in fs.names()}

    def kill(self, fault: Fault) -> tuple[OsFileSystem, bool]:
        """See `Ground.kill`: a child runs the operation and dies by SIGKILL at the point."""
        fs = self.fresh()
        child = os.fork()
        if child == 0:
            _die_at(self._prepared, fs, fault)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and os.waitstatus_to_exitcode(status) == _CHILD_FAILED:
            raise HarnessError(f"{fault.id}: the child process failed before it could be killed")
        return fs, killed

    def shut(self) -> None:
        """Removes the directory."""
        self._release()
        if self._keep is None:
            shutil.rmtree(self._root, ignore_errors=True)

    def _release(self) -> None:
        fs, self._fs = self._fs, None
        if fs is not None:
            fs.shut()


_CHILD_FAILED = 70  # EX_SOFTWARE of sysexits.h


def _die_at(prepared: Prepared, fs: FileSystem, fault: Fault) -> None:
    """In the child: runs the operation up to the fatal point. Never returns."""
    status = _CHILD_FAILED
    try:
        prepared.act(InjectingFileSystem(fs, fault, kill=lambda: os.kill(os.getpid(), signal.SIGKILL)))
        status = 0
    finally:
        os._exit(status)
