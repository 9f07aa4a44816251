"""Runs one violation of a report again, in a real directory that stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faultinject.execute import Executor, Stage
from faultinject.faults import Fault
from faultinject.ground import MemoryGround, RealGround
from faultinject.kvc import KvcPrepared, KvcTarget
from faultinject.oracle import Kind
from faultinject.report.told import MISUNDERSTOOD, ReplayError, check_usable, make_usable, told
from faultinject.target import Files
from kvformat.filesystem import FileSystem

__all__ = ["Replay", "ReplayError"]


class Replay:
    """One violation, prepared to run in `directory`: empty, or not there yet; None for a new one.

    in_memory: it is run there, and written down afterwards: no real file system loses bytes when it is told to.
    Raises ReplayError for a directory with something in it, OSError for one that cannot be made.
    """

    def __init__(
        self,
        kind: Kind,
        fault: Fault,
        target: KvcTarget,
        prepared: KvcPrepared,
        directory: Path | None,
        *,
        in_memory: bool = False,
    ) -> None:
        self._in_memory = in_memory
        self.kind = kind
        self.fault = fault
        self.target = target
        self._prepared = prepared
        check_usable(directory)
        self.directory = make_usable(directory)

    @classmethod
    def of_report(cls, report: dict[str, Any], violation_id: str, directory: Path | None) -> Replay:
        """A violation of a sweep's report. Nothing is made before the report was understood.

        Raises ReplayError where it is not, KvcError or OSError where the file that was saved cannot be read any more.
        """
        violation = told(report, violation_id)
        try:
            target = KvcTarget.described(violation.target)
            prepared = target.prepare()
        except MISUNDERSTOOD as error:
            raise violation.misunderstood(error) from error
        return cls(violation.kind, violation.fault, target, prepared, directory)

    def run(self) -> Iterator[Stage]:
        """The stages one after the other, up to the one at which the violation shows, or to the last."""
        ground = (
            _WrittenDown(self._prepared, self.place)
            if self._in_memory
            else RealGround(self._prepared, keep=self.directory)
        )
        try:
            executor = Executor(self._prepared, ground)
            for stage in executor.stages(self.fault):
                if isinstance(ground, _WrittenDown):
                    ground.write_down()
                yield stage
                if any(finding.kind is self.kind for finding in stage.findings):
                    return
        finally:
            ground.shut()

    @property
    def place(self) -> Path:
        """The directory as the last stage left it."""
        return self.directory / "directory"

    def listing(self) -> list[tuple[int, str]]:
        """What is in it: size in bytes and name."""
        return [(path.lstat().st_size, path.name) for path in sorted(self.place.iterdir())]


class _WrittenDown(MemoryGround):
    """Runs in memory; what was looked at last can be written to a real directory."""

    def __init__(self, prepared: KvcPrepared, place: Path) -> None:
        super().__init__(prepared)
        self._place = place
        self._last: Files = {}

    def files(self, fs: FileSystem) -> Files:
        """See `Ground.files`."""
        self._last = super().files(fs)
        return self._last

    def write_down(self) -> None:
        """Raises OSError where it cannot."""
        if self._place.exists():
            shutil.rmtree(self._place)
        self._place.mkdir()
        for name, file in self._last.items():
            (self._place / name).write_bytes(file.read_all())
