"""Runs one violation of a report again, in a real directory that stays."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faultinject.execute import Executor, Stage
from faultinject.faults import Fault, parse_fault
from faultinject.ground import RealGround
from faultinject.oracle import Kind
from faultinject.report.document import target_of


class ReplayError(Exception):
    """The report, or the violation asked for, cannot be replayed; the text says why."""


class Replay:
    """One violation, prepared to run in `directory`: empty, or not there yet; None for a new one.

    Nothing is made before the report was understood. Raises ReplayError where it is not, KvcError or OSError where
    the file that was saved cannot be read any more.
    """

    def __init__(self, report: dict[str, Any], violation_id: str, directory: Path | None) -> None:
        violations = report.get("violations")
        if not isinstance(violations, list) or not all(isinstance(violation, dict) for violation in violations):
            raise ReplayError("it is no report of faultinject: it has no list of violations")
        violation = next((one for one in violations if one.get("id") == violation_id), None)
        if violation is None:
            known = ", ".join(str(one.get("id")) for one in violations[:10])
            raise ReplayError(f"the report has no violation {violation_id!r}; it has: {known or 'none'}")
        try:
            self.kind = Kind(violation["kind"])
            self.target = target_of(report["runs"][violation["run"]])
            self.fault: Fault = parse_fault(violation["point"])
            self._prepared = self.target.prepare()
        except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
            raise ReplayError(f"violation {violation_id} does not say how to run it again: {error}") from error
        if directory is not None and directory.exists() and any(directory.iterdir()):
            raise ReplayError(f"{directory} is not empty; give another directory")
        self.directory = directory or Path(tempfile.mkdtemp(prefix="faultinject-replay-"))
        self.directory.mkdir(parents=True, exist_ok=True)

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
