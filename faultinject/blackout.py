"""Loss of power for a program in process: its recorded run, the states that may be left, and what they are worth.

Everything here happens in memory, also where the rest of a sweep runs on real files: what a disk has lost cannot be
seen by those who have the page cache before it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from faultinject.aftermath import Aftermath
from faultinject.faults import Fault
from faultinject.ground import MemoryGround
from faultinject.inject import HarnessError, InjectingFileSystem
from faultinject.memory import MemoryFileSystem
from faultinject.memory_file import MemoryFile
from faultinject.ops import Op, Trace
from faultinject.oracle import Finding
from faultinject.persistence.machine import NodeKind, StartNode
from faultinject.persistence.survivors import Survived
from faultinject.plan import Group, inside_a_sector
from faultinject.power import Left, PowerRun, PowerRuns, Right
from faultinject.record import RecordingFileSystem
from faultinject.repair import GIVE_UP, repair
from faultinject.target import Prepared


class Blackout:
    """Class `power` of one prepared target. Raises HarnessError where the run without a fault fails."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        ground = MemoryGround(prepared)
        self.aftermath = Aftermath(prepared, ground)
        self._ground = ground
        recorder = RecordingFileSystem(ground.fresh())
        try:
            prepared.act(recorder)
        except Exception as error:
            raise HarnessError(f"the run without a fault failed: {error!r}") from error
        self._repairs: dict[str, str] = {}
        self._power = PowerRuns(self._run_of(recorder.trace, succeeded=True), self._after_failure)

    def _after_failure(self, fault: Fault) -> PowerRun | None:
        """The run in which a sync fails; what the program raises then is its report of failure."""
        fs = self._ground.fresh()
        injector = InjectingFileSystem(fs, fault)
        recorder = RecordingFileSystem(injector, probe=fs)
        try:
            self._prepared.act(recorder)
        except HarnessError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it has not reported success
            succeeded = False
        else:
            succeeded = True
        return self._run_of(recorder.trace, succeeded=succeeded) if injector.fired else None

    def _run_of(self, trace: Trace, *, succeeded: bool) -> PowerRun:
        """A recorded run of the target, with what is right in it."""
        prepared = self._prepared
        before = prepared.base.files()
        new = prepared.expectation.new
        largest = max((file.size_bytes for file in (*before.values(), new) if isinstance(file, MemoryFile)), default=0)
        numbers = {file.number for name, file in before.items() if prepared.is_entry(name)}
        return PowerRun(
            trace,
            {name: _start(file) for name, file in before.items()},
            self._right,
            largest,
            len(trace) if succeeded and prepared.is_durable else None,
            lambda one: one.op is Op.PWRITE and one.inode in numbers and inside_a_sector(one),
        )

    def _right(self, path: str) -> Sequence[Right]:
        """Of entries the old and the new content; of temp files nobody asks."""
        prepared = self._prepared
        expectation = prepared.expectation
        if not prepared.is_entry(path):
            return ()
        files = [self.aftermath.before.get(path)]
        if path == expectation.target:
            files.append(expectation.new)
        return [Right(tuple(file.pieces())) for file in files if isinstance(file, MemoryFile)]

    @property
    def trace(self) -> Trace:
        """The run without a fault."""
        return self._power.run.trace

    def groups(self, profiles: Sequence[str], *, exhaustive: bool) -> Iterator[Group]:
        """Every point under each of the profiles."""
        for profile in profiles:
            yield from self._power.groups(profile, exhaustive=exhaustive)

    def files(self, fault: Fault) -> tuple[dict[str, MemoryFile], bool]:
        """What a loss of power leaves, and whether success had been reported. Raises HarnessError: no such point."""
        left = self._power.left(fault)
        return files_of(left.files), left.acknowledged

    def run(self, fault: Fault) -> tuple[Finding, ...]:
        """The violations of a state, each with what is missing in it."""
        left = self._power.left(fault)
        found = self.aftermath.of_power_loss(
            MemoryFileSystem.holding(files_of(left.files)), acknowledged=left.acknowledged
        )
        return tuple(replace(finding, detail=f"{finding.detail} (power failed: {left.sentence})") for finding in found)

    def repair(self, fault: Fault) -> str:
        """The syncs that are missing; where none is, and one has failed, what to do then. See `repair.repair`."""
        profile = fault.what
        if profile not in self._repairs:
            self._repairs[profile] = repair(self._power.run, profile, self._holds)
        return self._repairs[profile] or (GIVE_UP if fault.second is not None else "")

    def _holds(self, left: Left) -> bool:
        """Whether readers find what they should, recovery and repetition aside: those no sync could mend."""
        return not self.aftermath.at_power_loss(files_of(left.files), acknowledged=left.acknowledged)

    def operation(self, fault: Fault) -> str:
        """The operation at a point, for people."""
        return self._power.operation(fault)


def _start(file: MemoryFile) -> StartNode:
    regular = stat.S_ISREG(file.mode)
    kind = NodeKind.FILE if regular else NodeKind.OTHER
    return StartNode(kind, tuple(file.pieces()) if regular else (), file.number, file)


def files_of(files: Mapping[str, Survived]) -> dict[str, MemoryFile]:
    """What has survived, as files of a file system in memory; buffers are shared."""
    made: dict[int, MemoryFile] = {}
    first = 1 + max((one.given.number for one in files.values() if isinstance(one.given, MemoryFile)), default=0)
    for one in files.values():
        if one.node not in made:
            made[one.node] = _as_it_was(one) or _made(one, first + one.node)
        elif _as_it_was(one) is None:
            made[one.node].links += 1
    return {path: made[one.node] for path, one in files.items()}


def _as_it_was(one: Survived) -> MemoryFile | None:
    """The very file of the start, where nothing of it can have changed."""
    unchanged = one.kind is not NodeKind.FILE or not (one.extents or one.touched)
    return one.given if unchanged and isinstance(one.given, MemoryFile) else None


def _made(one: Survived, number: int) -> MemoryFile:
    file = MemoryFile(number, object(), stat.S_IFREG | 0o600)
    for extent in one.extents:
        offset = extent.offset
        for piece in extent.pieces:
            piece = piece if offset + len(piece) <= one.size_bytes else piece[: max(0, one.size_bytes - offset)]
            if len(piece):
                file.sequential = file.sequential and offset >= file.size_bytes
                file.extents.append((offset, piece))
                file.size_bytes = offset + len(piece)
            offset += len(piece)
    file.size_bytes = one.size_bytes
    file.content = None
    file.links = 1
    file.synced = len(file.extents)
    return file
