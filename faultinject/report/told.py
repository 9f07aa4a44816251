"""What a report tells of one of its violations, and the directory in which that is to be run again."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultinject.faults import Fault, parse_fault
from faultinject.oracle import Kind

MISUNDERSTOOD = (KeyError, IndexError, TypeError, ValueError, ArithmeticError, RecursionError)
"""What comes of reports that are not as they were written."""


class ReplayError(Exception):
    """The report, or the violation asked for, cannot be replayed; the text says why."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a report tells of a violation. target: the description of what was run."""

    id: str
    kind: Kind
    fault: Fault
    target: dict[str, Any]

    def misunderstood(self, error: object) -> ReplayError:
        """For a part of it that makes no sense."""
        return ReplayError(f"violation {self.id} does not say how to run it again: {error}")


def told(report: dict[str, Any], violation_id: str) -> Told:
    """The violation of a report. Raises ReplayError where it has no such thing."""
    violations = report.get("violations")
    if not isinstance(violations, list) or not all(isinstance(violation, dict) for violation in violations):
        raise ReplayError("it is no report of faultinject: it has no list of violations")
    violation = next((one for one in violations if one.get("id") == violation_id), None)
    if violation is None:
        known = ", ".join(str(one.get("id")) for one in violations[:10])
        raise ReplayError(f"the report has no violation {violation_id!r}; it has: {known or 'none'}")
    try:
        target = report["runs"][violation["run"]]["target"]
        if not isinstance(target, dict):
            raise TypeError("its target is no object")
        point = violation["point"]
        if not isinstance(point, str):
            raise TypeError("its point is no text")
        return Told(violation_id, Kind(violation["kind"]), parse_fault(point), target)
    except MISUNDERSTOOD as error:
        raise ReplayError(f"violation {violation_id} does not say how to run it again: {error}") from error


def check_usable(directory: Path | None) -> None:
    """Raises ReplayError for a directory with something in it, OSError for one that cannot be looked into."""
    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise ReplayError(f"{directory} is not empty; give another directory")


def make_usable(directory: Path | None) -> Path:
    """The directory to work in, made where it is not there; a new one for None."""
    made = directory or Path(tempfile.mkdtemp(prefix="faultinject-replay-"))
    made.mkdir(parents=True, exist_ok=True)
    return made
