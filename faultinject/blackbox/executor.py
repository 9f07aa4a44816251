"""Runs an audited program under one fault at a time, by the fastest way that is sound, and judges what is left."""

from __future__ import annotations

import errno
import signal
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from faultinject.blackbox import points
from faultinject.blackbox.aftermath import Aftermath
from faultinject.blackbox.baseline import Baseline
from faultinject.blackbox.checkers import Checker
from faultinject.blackbox.place import Place
from faultinject.blackbox.power import PowerAudit
from faultinject.blackbox.rewind import Rewinder
from faultinject.blackbox.run import Ran
from faultinject.blackbox.script import script_of
from faultinject.blackbox.started import Limits
from faultinject.blackbox.state import Node, NodeKind, State
from faultinject.faults import DEADLY, Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Finding, Reported
from faultinject.persistence.profiles import STRICT
from faultinject.plan import Group, Recorded
from faultinject.repair import LEFT_OVER
from faultinject.swept import Result, Swept

REWIND, RERUN, SYNTHESISED = "rewind", "re-run", "synthesised"
"""The executors, as the report names them."""

CONFIRMED = 16
"""So many computed or rewound points of a class are run for real each time, and compared (KVS-AUDIT-6)."""

_REWIND_SECONDS = 1e-4
"""What a rewound point is taken to cost where time is budgeted."""

RERUN_POINTS_MAX = 5_000
"""A group whose lemma does not apply is run anew for every point up to this size; --exhaustive knows no limit."""

_STORED = "stores to a mapped file cannot be seen one by one, nor made to fail"


@dataclass(frozen=True, slots=True)
class Performed:
    """A fault that was run for real. reason: why nothing is measured by it, empty where something is."""

    ran: Ran
    reported: Reported
    reason: str


class AuditExecutor(Swept):
    """One program from one start, in one place; the rewinding executor works `aside`. `close` gives back what it holds.

    aside: None where the program is not rewound.
    """

    def __init__(
        self,
        baseline: Baseline,
        place: Place,
        aside: Place | None,
        aftermath: Aftermath,
        checker: Checker | None = None,
        profiles: Sequence[str] = (STRICT,),
    ) -> None:
        self.baseline = baseline
        self.place = place
        self.audited = baseline.key.audited
        self.aftermath = aftermath
        self._program = place.program()
        self._regions = _regions(baseline)
        self._recorded = _recorded(baseline)
        self._profiles = profiles
        self.power = PowerAudit(baseline, aftermath, checker, self._recorded.published)
        self._acknowledged_at = next((one.index for one in baseline.trace if one.op is Op.ACKNOWLEDGE), None)
        self._aside = aside
        self._rewinder: Rewinder | None = None
        self._returned: set[tuple[int, str]] = set()
        self._given_up: set[tuple[int, Form]] = set()
        self._rewound: list[Fault] = []
        self._served = 0
        self._stride = 1

    def close(self) -> None:
        """Ends what still runs."""
        if self._rewinder is not None:
            self._rewinder.close()
            self._rewinder = None
        self.place.close()

    def record(self) -> Recorded:
        """See `Swept.record`: it was recorded when the baseline was made."""
        return self._recorded

    def groups(self, fault_class: FaultClass, recorded: Recorded, *, exhaustive: bool) -> Iterator[Group]:
        """See `Swept.groups`."""
        if fault_class is FaultClass.ERROR:
            return points.errors(recorded, exhaustive=exhaustive, rewinds=not self.baseline.rewinds)
        if fault_class is FaultClass.POWER:
            return self.power.groups(self._profiles, exhaustive=exhaustive)
        if fault_class is FaultClass.INTERRUPT:
            return points.interrupts(recorded, self.audited.signals, exhaustive=exhaustive)
        return points.kills(recorded, exhaustive=exhaustive, limits=self._dies_of_limit(recorded))

    def void(self, fault_class: FaultClass) -> str:
        """See `Swept.void`: signals that a program does not handle kill it (KVS-FAULT-1, KVS-AUDIT-3)."""
        if fault_class is FaultClass.INTERRUPT and not self.audited.signals:
            return "the program is not said to handle signals (--signal), so one ends it as class kill does"
        return ""

    def affordable_points(self, group: Group) -> int:
        """See `Swept.affordable_points`: a program that has to be run from the start for each of them is slow."""
        first = group.faults[0]
        rewinds = not self.baseline.rewinds and first.fault_class is FaultClass.ERROR
        return 1_000_000 if rewinds and first.form is not Form.FILE_LIMIT else RERUN_POINTS_MAX

    def notes(self) -> list[str]:
        """See `Swept.notes`."""
        return list(self.baseline.notes)

    def regions(self) -> Mapping[str, tuple[int, int]]:
        """See `Swept.regions`: one for each file that the program makes or changes, laid end to end."""
        return self._regions

    def cause(self, fault: Fault, finding: Finding) -> Hashable:
        """See `Swept.cause`: what a program leaves under one name is one mistake, wherever the fault hits."""
        profile = fault.what if fault.fault_class is FaultClass.POWER else ""
        return fault.fault_class, profile, finding.kind, self.baseline.canonical(finding.name)

    def operation(self, fault: Fault, recorded: Recorded) -> str:
        """See `Swept.operation`."""
        return super().operation(fault, recorded) if fault.index < len(recorded.trace) else "after the end"

    def run(self, fault: Fault) -> Result:
        """See `Swept.run`."""
        reason = self.unmeasurable(fault)
        if reason:
            return Result((), reason)
        if fault.fault_class is FaultClass.POWER:
            return Result(self.power.run(fault), executor=SYNTHESISED)
        if fault.form is Form.FILE_LIMIT:
            return self._rerun(fault)
        if fault.fault_class is FaultClass.KILL:
            findings = self.aftermath.of_crash(self.baseline.crashes.state(fault), self._acknowledged(fault))
            return Result(findings, executor=SYNTHESISED)
        result = self._rewind(fault) if fault.fault_class is FaultClass.ERROR else None
        return result or self._rerun(fault)

    def script(self, fault: Fault, finding: Finding) -> str:
        """See `Swept.script`; no public tool takes the power away from a file system."""
        if fault.fault_class is FaultClass.POWER:
            return ""
        return script_of(self.baseline, fault, finding, returns=(fault.index, fault.what) in self._returned)

    def repair(self, fault: Fault, finding: Finding) -> str:
        """See `Swept.repair`; where a command decides on content, nobody here knows what would help."""
        if fault.form is not Form.POWER_LOSS or finding.kind in LEFT_OVER or self.audited.check is not None:
            return ""
        return self.power.repair(fault.what)

    def unmeasurable(self, fault: Fault) -> str:
        """Why a fault cannot be injected into this program at all; empty where it can."""
        return _STORED if fault.op is Op.STORE and fault.fault_class is not FaultClass.POWER else ""

    def perform(self, fault: Fault) -> Performed:
        """Runs a fault for real, on the start; the place is left as the program left it."""
        self.place.restore()
        if fault.form is Form.FILE_LIMIT:
            ran = self._run_limited(fault)
            fired, otherwise = self._met_limit(fault, ran), "another file met the limit first, or none did"
        else:
            ran = self.place.run(fault, self.baseline.trace, keep=False)
            fired, otherwise = ran.fired > 0, "the program did not come to the operation"
        reported = ran.reported
        if ran.handled and ran.ending.signal == signal.Signals[fault.what]:
            reported = Reported.FAILURE  # it has cleaned up and then let the signal end it, as it should
        reason = "" if fired else otherwise
        if ran.ending.timed_out:
            reason = f"it did not end within {self._program.timeout_seconds:g} s after the fault"
        return Performed(ran, reported, reason)

    def trace(self, fault: Fault) -> Trace:
        """See `Swept.trace`."""
        self.place.restore()
        if fault.form is Form.FILE_LIMIT:
            return self._run_limited(fault).trace
        return self.place.run(fault, self.baseline.trace).trace

    def beyond(self, fault_class: FaultClass, recorded: Recorded) -> Fault | None:
        """See `Swept.beyond`."""
        if fault_class in (FaultClass.KILL, FaultClass.POWER):
            return None
        end = len(recorded.trace)
        if fault_class is FaultClass.INTERRUPT:
            return Fault(fault_class, Form.SIGNAL, end, what=self.audited.signals[0])
        return Fault(fault_class, Form.ERRNO, end, error=errno.EIO)

    def samples(self, fault_class: FaultClass, recorded: Recorded) -> Iterator[Fault]:
        """See `Swept.samples`: of what was computed or rewound."""
        if fault_class is FaultClass.POWER:
            return  # what a disk has lost no real run on this machine could show; `faultinject powercut` can
        if fault_class is FaultClass.KILL:
            groups = points.kills(recorded, exhaustive=False)
            found = [fault for group in groups for fault in group.faults if fault.form is Form.KILL]
        else:
            found = self._rewound
        yield from islice(found, 0, None, max(1, len(found) // CONFIRMED))

    def confirm(self, fault: Fault) -> None:
        """See `Swept.confirm`."""
        if fault.op in (Op.STORE, Op.ACKNOWLEDGE):
            return  # no calls on watched files, at which a program could be stopped
        self.place.restore()
        ran = self.place.run(fault, self.baseline.trace, keep=False)
        if not ran.fired:
            raise HarnessError(f"{fault.id}: it did not fire when it was run for real")
        real = self.place.read()
        if fault.fault_class is FaultClass.KILL:
            computed, executor = self.baseline.crashes.state(fault), SYNTHESISED
            # By its exit a program can report success while another process of it still works.
            reported = self._acknowledged(fault) if self._program.acknowledgement else ran.reported
        else:
            rewound = self._rewinder.run(fault) if self._rewinder is not None else None
            if rewound is None:
                return
            computed, reported, executor = rewound.state, rewound.reported, REWIND
        if reported is not ran.reported or not self._alike(computed, real):
            raise HarnessError(f"{fault.id}: what {executor} says differs from what a real run leaves")

    def _alike(self, one: State, other: State) -> bool:
        first = {self.baseline.canonical(key): node for key, node in one.items()}
        second = {self.baseline.canonical(key): node for key, node in other.items()}
        if first.keys() == second.keys():
            return all(self._same(path, node, second[path]) for path, node in first.items())
        # Names that only a broken run makes vary as well: then what they hold is compared.
        ours, theirs = (sorted(nodes.values(), key=_size_and_data) for nodes in (first, second))
        return len(ours) == len(theirs) and all(self._same("", *nodes) for nodes in zip(ours, theirs, strict=True))

    def _same(self, path: str, one: Node, other: Node) -> bool:
        """Of a temp file nobody knows where in it is what differs from run to run: then its size is compared."""
        if self.baseline.masks.same(path, one, other):
            return True
        temporary = path not in self.baseline.old and path not in self.baseline.new
        return temporary and self.baseline.varies and one.kind is other.kind and len(one.data) == len(other.data)

    def _acknowledged(self, fault: Fault) -> Reported:
        """What had been reported when the kill came."""
        at = self._acknowledged_at
        return Reported.SUCCESS if at is not None and at < fault.index else Reported.NOTHING

    # Runs

    def _rewind(self, fault: Fault) -> Result | None:
        """By the rewinding executor; None where it cannot serve this point."""
        point = fault.index, fault.form
        if self._aside is None or point in self._given_up or not 0 <= fault.index < len(self.baseline.trace):
            return None
        if self._rewinder is None:
            self._rewinder = rewinder(self.baseline, self._aside)
        rewound = self._rewinder.run(fault)
        if rewound is None:
            self._given_up.add(point)
            return None
        self._sample(fault)
        findings = self.aftermath.of_run(rewound.reported, lambda: rewound.state, rewound.key)
        return Result(findings, executor=REWIND)

    def _sample(self, fault: Fault) -> None:
        """Keeps some of what was rewound, to be confirmed: spread over all of it, and few however much that is."""
        if self._served % self._stride == 0:
            self._rewound.append(fault)
        self._served += 1
        if len(self._rewound) == 2 * CONFIRMED:
            del self._rewound[1::2]
            self._stride *= 2

    def _rerun(self, fault: Fault) -> Result:
        done = self.perform(fault)
        if done.ran.returned:
            self._returned.add((fault.index, fault.what))
        if done.reason:
            return Result((), done.reason, RERUN)
        # Whichever process has gone on against the limit was killed: it was told so (EFBIG) and then got the signal.
        if fault.what == DEADLY and not any(one.error == errno.EFBIG for one in done.ran.trace):
            return Result((), "the limit cut a write short, and SIGXFSZ did not come: no more was written", RERUN)
        if fault.fault_class is FaultClass.KILL:
            return Result(self.aftermath.of_crash(self.place.read(), done.reported, there=True), executor=RERUN)
        return Result(self.aftermath.of_run(done.reported, self.place.read, there=True), executor=RERUN)

    def _run_limited(self, fault: Fault) -> Ran:
        operation = self._point(fault)
        limits = Limits((operation.offset or 0) + (fault.byte or 0), fault.what != DEADLY)
        return self.place.run(None, self.baseline.trace, until=fault.index, limits=limits)

    def _dies_of_limit(self, recorded: Recorded) -> bool:
        """Whether SIGXFSZ kills the program: some ignore it themselves, CPython for one, whatever they inherit."""
        transfers = recorded.transfers()
        if not transfers or self._program.acknowledgement:
            return True  # the points themselves say why they are not measured
        first = transfers[0].operation
        self.place.restore()
        ran = self._run_limited(Fault(FaultClass.KILL, Form.FILE_LIMIT, first.index, first.op, 0, what=DEADLY))
        return ran.ending.signal == signal.SIGXFSZ

    def _met_limit(self, fault: Fault, ran: Ran) -> bool:
        """Whether the transfer that the fault is for was the one that met the limit, by what it returned."""
        point = self._point(fault)
        here = next((one for one in ran.trace if (one.task, one.nth) == (point.task, point.nth)), None)
        if here is None or here.op is not point.op:
            return False
        if fault.byte:
            return here.result == fault.byte and not here.error
        return here.error == errno.EFBIG

    def _point(self, fault: Fault) -> Operation:
        return self.baseline.trace[fault.index]


def _size_and_data(node: Node) -> tuple[int, bytes]:
    return len(node.data), node.data


def _regions(baseline: Baseline) -> dict[str, tuple[int, int]]:
    regions = {}
    start = 0
    for key, node in baseline.new.items():
        if node.kind is NodeKind.FILE and node.data and baseline.old.get(key) != node:
            regions[key] = start, start + len(node.data)
            start += len(node.data)
    return regions


def _recorded(baseline: Baseline) -> Recorded:
    """The trace, with the place that each written file has among the regions at the end."""
    regions = _regions(baseline)
    tree = baseline.crashes.end
    shifts = {}
    for key, (start, _) in regions.items():
        inode = tree.inode_of(key)
        if inode is not None:
            shifts[inode] = start
    there = {one.inode for one in baseline.trace if one.op is Op.OPEN and one.name in baseline.old}
    # Whole or not at all is only a write over bytes that are there (KVS-ATOM-1).
    grown = {one.inode for one in baseline.trace if one.op.transfers and not one.error and _grows(baseline, one)}
    published = frozenset(inode for inode in there - grown if inode is not None)
    return Recorded(baseline.trace, None, shifts, published)


def _grows(baseline: Baseline, transfer: Operation) -> bool:
    """Whether it writes behind the end that its file has by then."""
    _, contents, by_inode = baseline.crashes.before(transfer.index).parts()
    identity = by_inode.get(transfer.inode or -1)
    size_bytes = 0 if identity is None else contents[identity].size_bytes
    return (transfer.offset or 0) + transfer.result > size_bytes


def exhaustive_seconds(baseline: Baseline, classes: Iterable[FaultClass]) -> float:
    """How long it is expected to take to run every point of the classes, one after the other."""
    recorded = _recorded(baseline)
    signals = baseline.key.audited.signals
    seconds = 0.0
    for fault_class in classes:
        if fault_class is FaultClass.ERROR:
            groups = points.errors(recorded, exhaustive=True, rewinds=not baseline.rewinds)
            each = baseline.run_seconds if baseline.rewinds else _REWIND_SECONDS
        elif fault_class is FaultClass.INTERRUPT:
            groups, each = points.interrupts(recorded, signals, exhaustive=True), baseline.run_seconds
        elif fault_class is FaultClass.POWER:
            continue  # the same points in every case
        else:
            groups, each = points.kills(recorded, exhaustive=True), 2 * baseline.run_seconds
        seconds += each * sum(group.points for group in groups)
    return seconds


def rewinder(baseline: Baseline, place: Place) -> Rewinder:
    """The rewinding executor of a program, which has the place for itself."""
    return Rewinder(place.program(), place.roots, baseline.trace, baseline.crashes, place.restore)


def why_not_rewound(baseline: Baseline, place: Place) -> str:
    """Tries the rewinding executor at the first and the last transfer; why it cannot serve, empty where it can."""
    transfers = [operation for operation in baseline.trace if operation.op.transfers and operation.result > 0]
    if not transfers:
        return "it writes nothing that could be cut"
    if baseline.key.audited.directories:
        return "directories besides the scratch directory cannot be had twice"
    try:
        with rewinder(baseline, place) as one:
            for operation in (transfers[0], transfers[-1]):
                if one.run(Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=errno.EIO)) is None:
                    return one.why
    except HarnessError as error:
        return str(error)  # what cannot be trusted here is left alone: running anew needs none of it
    return ""
