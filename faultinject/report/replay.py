"""Runs one violation of a report again, in a real directory that stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faultinject.execute import Executor, Stage
from faultinject.faults import Fault, parse_fault
from faultinject.ground import RealGround
from faultinject.report.document import target_of


class ReplayError(Exception):
    """The report, or the violation asked for, cannot be replayed; the text says why."""


class Replay:
    """One violation, prepared to run in `directory`, which must be empty or not exist yet."""

    def __init__(self, report: dict[str, Any], violation_id: str, directory: Path) -> None:
        violation = next((v for v in report.get("violations", ()) if v.get("id") == violation_id), None)
        if violation is None:
            known = ", ".join(str(v.get("id")) for v in report.get("violations", ())[:10])
            raise ReplayError(f"the report has no violation {violation_id!r}; it has: {known or 'none'}")
        try:
            self.target = target_of(report["runs"][violation["run"]])
            self.fault: Fault = parse_fault(violation["point"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ReplayError(f"violation {violation_id} does not say how to run it again: {error}") from error
        if directory.exists() and any(directory.iterdir()):
            raise ReplayError(f"{directory} is not empty; give another directory")
        directory.mkdir(parents=True, exist_ok=True)
        self.violation = violation
        self.directory = directory

    def run(self) -> Iterator[Stage]:
        """The stages one after the other, up to the one at which the violation shows, or to the last."""
        prepared = self.target.prepare()
        ground = RealGround(prepared, keep=self.directory)
        try:
            executor = Executor(prepared, ground)
            for stage in executor.stages(self.fault):
                yield stage
                if any(str(finding.kind) == self.violation["kind"] for finding in stage.findings):
                    return
        finally:
            ground.shut()

    @property
    def place(self) -> Path:
        """The directory as the last stage left it."""
        return self.directory / "directory"
