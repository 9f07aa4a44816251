"""What the sweep drives: something that runs one program under one fault at a time, and says what it found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from faultinject.faults import Fault, FaultClass
from faultinject.ops import Trace
from faultinject.oracle import Finding
from faultinject.plan import Group, Recorded


@dataclass(frozen=True, slots=True)
class Result:
    """One executed fault. `reason` says why nothing was measured, None where it was. `executor`: how it was run.

    lemma: under which a part of the findings was taken from its like, empty where none was. late: the findings are not
    known yet, and come from `Swept.late`.
    """

    findings: tuple[Finding, ...]
    reason: str | None = None
    executor: str = ""
    lemma: str = ""
    late: bool = False


class UnsoundRunError(Exception):
    """The run without any fault already violates an invariant; `findings` has which."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(f"{finding.kind}: {finding.name}: {finding.detail}" for finding in findings))
        self.findings = findings


class Swept(ABC):
    """A program that can be run under a fault, any number of times, and judged."""

    @abstractmethod
    def record(self) -> Recorded:
        """Runs without a fault and records it.

        Raises HarnessError, and UnsoundRunError where that run is judged wrong.
        """

    @abstractmethod
    def groups(self, fault_class: FaultClass, recorded: Recorded, *, exhaustive: bool) -> Iterator[Group]:
        """The fault points of a class and the faults that cover them."""

    @abstractmethod
    def run(self, fault: Fault) -> Result:
        """Executes one fault. Raises HarnessError where the harness itself cannot be trusted."""

    def late(self, until: float) -> Iterator[tuple[Fault, Result]]:  # noqa: ARG002 - in process nothing is late
        """The results of the faults whose findings were said to be late, each once. Raises HarnessError.

        until: what would have to be run after that (time.monotonic) is not measured.
        """
        return iter(())

    @abstractmethod
    def trace(self, fault: Fault) -> Trace:
        """The operations of the run under `fault`, for the side condition of a lemma."""

    @abstractmethod
    def beyond(self, fault_class: FaultClass, recorded: Recorded) -> Fault | None:
        """A fault one past the end, which must not fire (KVS-FAULT-4); None where the class has no end to go past."""

    @abstractmethod
    def samples(self, fault_class: FaultClass, recorded: Recorded) -> Iterator[Fault]:
        """Faults whose outcome was computed or taken from a faster executor: they are run for real and compared."""

    @abstractmethod
    def confirm(self, fault: Fault) -> None:
        """Runs a fault of `samples` for real. Raises HarnessError where that differs from what was computed."""

    def signals(self, fault_class: FaultClass) -> AbstractContextManager[object]:  # noqa: ARG002 - for programs in process
        """The context in which faults of a class run."""
        return nullcontext()

    def void(self, fault_class: FaultClass) -> str:  # noqa: ARG002 - in process every class has points
        """Why a class has no points for this program; empty where it has."""
        return ""

    def affordable_points(self, group: Group) -> int:  # noqa: ARG002 - in process every point costs the same
        """Up to this many points a group whose lemma does not apply is run point by point; above it is not measured."""
        return 1_000_000

    def operation(self, fault: Fault, recorded: Recorded) -> str:
        """The operation at which a fault hits, for people."""
        return "payload" if fault.index < 0 else str(recorded.trace[fault.index])

    def notes(self) -> list[str]:
        """What a reader of the report has to know about how the program was run."""
        return []

    def script(self, fault: Fault, finding: Finding) -> str:  # noqa: ARG002 - in process there is no program to run
        """Shell commands that reproduce a finding with public tools; empty where there are none."""
        return ""

    def repair(self, fault: Fault, finding: Finding) -> str:  # noqa: ARG002 - only a loss of power is repaired by a sync
        """What has to be added to the program so that the fault does no harm; empty where nobody knows."""
        return ""

    def regions(self) -> Mapping[str, tuple[int, int]]:
        """Regions of what is saved: name to (offset, end)."""
        return {}

    def region_of(self, offset: int) -> str | None:
        """The region at `offset`, None where there is none."""
        return next((name for name, (start, end) in self.regions().items() if start <= offset < end), None)

    def cause(self, fault: Fault, finding: Finding) -> Hashable:
        """What two points must share to be one violation."""
        second = fault.second
        return (
            fault.fault_class,
            fault.form,
            fault.index,
            fault.error,
            fault.sticky,
            fault.what,
            second and (second.index, second.form, second.error, second.what),
            finding.kind,
        )
