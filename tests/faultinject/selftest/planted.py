"""Builds and runs the planted programs, and judges what they leave: a small audit of its own, for the tests alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from faultinject.faults import FaultClass
from faultinject.oracle import Kind
from faultinject.selftest.manifest import SAVED_NAME, Planted

OTHER_NAME = "other.bin"
OTHER = b"another file"
OLD = b"what was saved before"

Files = dict[str, bytes]
Found = frozenset[tuple[FaultClass, Kind]]


def content(size_bytes: int, seed: int) -> bytes:
    """The bytes that the programs save, said once more."""
    state, data = seed, bytearray()
    for _ in range(size_bytes):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        data.append(state >> 56)
    return bytes(data)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    status: int
    stderr: str

    @property
    def fired(self) -> bool:
        return "shim fired\n" in self.stderr


class Scratch:
    """A directory and a $TMPDIR beside it, made anew for every run."""

    def __init__(self, parent: Path) -> None:
        self.dir = parent / "dir"
        self.tmpdir = parent / "tmp"
        for path in (self.dir, self.tmpdir):
            path.mkdir(parents=True)

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Both directories hold `files` and nothing else."""
        for name in self.files():
            (self.dir.parent / name).unlink()
        for name, data in files.items():
            (self.dir.parent / name).write_bytes(data)

    def files(self) -> Files:
        """What both hold, by path."""
        return {
            f"{place.name}/{name}": (place / name).read_bytes()
            for place in (self.dir, self.tmpdir)
            for name in sorted(os.listdir(place))
        }

    def run(self, command: list[str], **environment: str) -> Ended:
        """Runs a program to its end."""
        done = subprocess.run(
            command,
            env={"TMPDIR": str(self.tmpdir), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=20,
            close_fds=False,
            check=False,
        )
        return Ended(done.returncode, done.stderr.decode(errors="replace"))

    def spoilt(self, command: list[str], shim: Path, at: int, what: str) -> Ended:
        """Runs it with the call number `at` spoilt by the shim."""
        dirs = f"{self.dir}:{self.tmpdir}"
        return self.run(command, LD_PRELOAD=str(shim), SHIM_DIRS=dirs, SHIM_AT=str(at), SHIM_DO=what)


def before(*, old: bool) -> Files:
    """A scenario."""
    files = {f"dir/{OTHER_NAME}": OTHER}
    if old:
        files[f"dir/{SAVED_NAME}"] = OLD
    return files


def judge(old: Files, new: Files, after: Files, status: int) -> frozenset[Kind]:
    """The byte rules of spec/saving.md, chapter 9, before any recovery. A negative status: it was killed."""
    found = set()
    for path in old.keys() | new.keys():
        data = after.get(path)
        if data not in (old.get(path), new.get(path)):
            found.add(Kind.ENTRY_LOST if data is None or path.endswith(OTHER_NAME) else Kind.PARTIAL_VISIBLE)
        if status == 0 and data != new.get(path):
            found.add(Kind.FALSE_SUCCESS)
    if status >= 0 and after.keys() - old.keys() - new.keys():
        found.add(Kind.TEMP_LEAKED)
    return frozenset(found)


def new_of(planted: Planted, old: Files) -> Files:
    """What a run without a fault leaves."""
    _, size_bytes, seed = planted.arguments
    return {**old, f"dir/{SAVED_NAME}": content(int(size_bytes), int(seed))}


class Audit:
    """Spoils every call of one program, and judges what it leaves, its recovery and its repetition."""

    def __init__(self, planted: Planted, built: Path, shim: Path, scratch: Scratch) -> None:
        self.planted = planted
        self.shim = shim
        self.scratch = scratch
        self.command = planted.command(built, str(scratch.dir))
        self.recovery = planted.recovery(built, str(scratch.dir)) or self.command
        self._later: dict[object, frozenset[Kind]] = {}

    def found(self, whats: Mapping[FaultClass, tuple[str, ...]], *, old: bool) -> Found:
        """The violations by class. A class counts only as far as its faults have fired."""
        start = before(old=old)
        return frozenset(
            (fault_class, kind)
            for fault_class, named in whats.items()
            for what in named
            for kinds in self._spoil_all(start, what)
            for kind in kinds
        )

    def _spoil_all(self, start: Files, what: str) -> Iterator[frozenset[Kind]]:
        new = new_of(self.planted, start)
        for at in range(200):
            self.scratch.restore(start)
            ended = self.scratch.spoilt(self.command, self.shim, at, what)
            if not ended.fired:
                assert at > 0, f"{what} never fired: the shim does not reach {self.planted.name}"
                assert ended.status == 0
                return
            after = self.scratch.files()
            yield judge(start, new, after, ended.status) | self._afterwards(start, new, after, ended.status)
        raise AssertionError(f"{self.planted.name} makes more than 200 calls")

    def _afterwards(self, start: Files, new: Files, after: Files, status: int) -> frozenset[Kind]:
        """What recovery leaves, and what the repetition does. Equal states are asked about once."""
        key = (status < 0, tuple(start), tuple(after.items()))
        if key not in self._later:
            self._later[key] = self._recover_and_repeat(start, new, status)
        return self._later[key]

    def _recover_and_repeat(self, start: Files, new: Files, status: int) -> frozenset[Kind]:
        found = set()
        if status < 0:
            self.scratch.run(self.recovery)
            if self.scratch.files().keys() - start.keys() - new.keys():
                found.add(Kind.ORPHAN_UNRECLAIMED)
        again = self.scratch.run(self.command)
        after = self.scratch.files()
        if again.status != 0 or any(after.get(path) != data for path, data in new.items()):
            found.add(Kind.NEVER_HEALS)
        return frozenset(found)


def compile_shim(built: Path, compiler: str) -> Path:
    """The library that spoils calls."""
    shim = built / "shim.so"
    source = Path(__file__).parent / "shim.c"
    subprocess.run([compiler, "-std=gnu11", "-O1", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
    return shim
