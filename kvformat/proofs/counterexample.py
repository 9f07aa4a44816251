"""A counterexample as a concrete fault: which operation of which run, after how many bytes, and what happens there."""

from __future__ import annotations

from typing import Any

from kvformat.proofs.mistakes import Refutation
from kvformat.proofs.program import FAILS, FAILS_LATE, SILENT
from kvformat.proofs.system import Path

_ERRORS = {"dup": "EMFILE", "flock": "ENOLCK"}
_ERROR = "EIO"
"""With what an operation fails: an errno of its manual page."""

_AT_REST = ("done", "failed")


def operations(path: Path, steps: int) -> int:
    """How many calls of the port the first steps of a path make."""
    return sum(1 for step in path.steps[:steps] if step.at and step.op not in SILENT)


def fault(refutation: Refutation) -> dict[str, Any]:
    """The fault of the path, as data.

    class: the fault class. form: as in the ids of faults (errno, short, raise-after, kill, power-loss; none where the
    program is wrong without a fault). operation: the number of the operation, from 0; None where there is none. byte:
    bytes accepted before. error: the errno, by name. For a loss of power the operation is the last one before it, and
    acknowledged says whether success had been reported.
    """
    path = refutation.path
    for place, step in enumerate(path.steps):
        if step.fault and step.at:
            operation = operations(path, place)
            if step.outcome == FAILS:
                return _fault("error", "errno", operation, error=_ERRORS.get(step.op, _ERROR))
            if step.outcome == FAILS_LATE:
                return _fault("interrupt", "raise-after", operation)
            granted = path.value("granted", place) if step.outcome == "short" else 0
            return _fault("error", "short", operation, byte=int(granted))
    done = operations(path, len(path.steps))
    stands_at = path.system.points[int(path.value("pc", len(path.steps)))]
    if "loss of power" in refutation.broken.name:
        return _fault("power", "power-loss", done - 1, acknowledged=stands_at == "done")
    if stands_at in _AT_REST or refutation.mistake.operation == "recover":
        return _fault("none", "none", None)
    return _fault("kill", "kill", done)


def _fault(
    fault_class: str,
    form: str,
    operation: int | None,
    *,
    byte: int | None = None,
    error: str | None = None,
    acknowledged: bool = False,
) -> dict[str, Any]:
    told = {"class": fault_class, "form": form, "operation": operation, "byte": byte, "error": error}
    return {**told, "acknowledged": acknowledged}


def sentence(told: dict[str, Any], steps: tuple[str, ...]) -> str:
    """The fault for people; steps: the calls of the path, in order."""
    operation = told["operation"]
    if operation is None:
        return "no fault is needed"
    where = f"operation {operation}" + (f" ({steps[operation]})" if operation < len(steps) else "")
    if told["class"] == "power":
        return f"power is lost after {'success was reported' if told['acknowledged'] else where}"
    if told["class"] == "kill":
        return f"SIGKILL before {where}"
    if told["form"] == "short":
        return f"{where} accepts {told['byte']} bytes"
    if told["form"] == "errno":
        return f"{where} fails with {told['error']}"
    return f"an exception comes out of {where} when it is done"


def calls(path: Path) -> tuple[str, ...]:
    """The calls of the port on a path."""
    return tuple(step.op for step in path.steps if step.at and step.op not in SILENT)
