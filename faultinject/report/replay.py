"""Runs one violation of a report again, in a real directory that stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faultinject.execute import Executor, Stage
from faultinject.ground import RealGround
from faultinject.kvc import KvcTarget
from faultinject.report.told import MISUNDERSTOOD, ReplayError, check_usable, make_usable, told

__all__ = ["Replay", "ReplayError"]


class Replay:
    """One violation, prepared to run in `directory`: empty, or not there yet; None for a new one.

    Nothing is made before the report was understood. Raises ReplayError where it is not, KvcError or OSError where
    the file that was saved cannot be read any more.
    """

    def __init__(self, report: dict[str, Any], violation_id: str, directory: Path | None) -> None:
        violation = told(report, violation_id)
        self.kind = violation.kind
        self.fault = violation.fault
        try:
            self.target = KvcTarget.described(violation.target)
            self._prepared = self.target.prepare()
        except MISUNDERSTOOD as error:
            raise violation.misunderstood(error) from error
        check_usable(directory)
        self.directory = make_usable(directory)

    def run(self) -> Iterator[Stage]:
        """The stages one after the other, up to the one at which the violation shows, or to the last."""
        ground = RealGround(self._prepared, keep=self.directory)
        try:
            executor = Executor(self._prepared, ground)
            for stage in executor.stages(self.fault):
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
