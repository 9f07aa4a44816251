"""Runs an audited program under one fault at a time, by the fastest way that is sound, and judges what is left."""

from __future__ import annotations

import errno
import signal
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from faultinject.blackbox import points
from faultinject.blackbox.aftermath import Aftermath, Judged
from faultinject.blackbox.baseline import Baseline
from faultinject.blackbox.cost import CONFIRMED
from faultinject.blackbox.file_limit import limits_for, why_not_measured
from faultinject.blackbox.likeness import are_alike
from faultinject.blackbox.place import Place
from faultinject.blackbox.power import PowerAudit, Rerun
from faultinject.blackbox.regions import recorded_of, regions_of
from faultinject.blackbox.rewind import Rewinder
from faultinject.blackbox.run import Ran
from faultinject.blackbox.script import script_of
from faultinject.blackbox.series import Series
from faultinject.blackbox.trial import rewinder
from faultinject.faults import DEADLY, Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Finding, Reported
from faultinject.persistence.profiles import STRICT
from faultinject.plan import EXHAUSTIVE_BYTES, Group, Recorded
from faultinject.repair import LEFT_OVER
from faultinject.swept import Result, Swept

REWIND, RERUN, SYNTHESISED = "rewind", "re-run", "synthesised"
"""The executors, as the report names them."""

RERUN_POINTS_MAX = 5_000
"""A group whose lemma does not apply is run anew for every point up to this size; --exhaustive knows no limit."""

_TRIES = 3
"""So often a point is tried whose threads wait for each other."""

_STORED = "stores to a mapped file cannot be seen one by one, nor made to fail"


@dataclass(frozen=True, slots=True)
class Performed:
    """A fault that was run for real. reason: why nothing is measured by it, empty where something is."""

    ran: Ran
    reported: Reported
    reason: str


class AuditExecutor(Swept):
    """One program from one start, in one place; the rewinding executor works `aside`. `close` gives back what it holds.

    aside: None where the program is not rewound. `dense`: as in Baseline, where nothing else is wanted.
    """

    def __init__(
        self,
        baseline: Baseline,
        place: Place,
        aside: Place | None,
        aftermath: Aftermath,
        profiles: Sequence[str] = (STRICT,),
    ) -> None:
        self.baseline = baseline
        self.place = place
        self.audited = baseline.key.audited
        self.aftermath = aftermath
        self._program = place.program()
        self._regions = regions_of(baseline)
        self._recorded = recorded_of(baseline)
        self.dense = baseline.dense
        self._exhaustive = False
        self._patience_seconds = 1 + 4 * baseline.run_seconds
        self._begun: set[Hashable] = set()
        self._series = Series(baseline.canonical)
        self._profiles = profiles
        self.power = PowerAudit(baseline, aftermath, self._recorded.published, self._rerun_recorded)
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
        self._exhaustive = exhaustive
        if fault_class is FaultClass.ERROR:
            return points.errors(recorded, exhaustive=exhaustive, dense=self.dense)
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
        if fault.fault_class is FaultClass.POWER:
            return self.power.operation(fault)
        return super().operation(fault, recorded)

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
            judged = self.aftermath.of_crash(self.baseline.crashes.state(fault), self._acknowledged(fault))
            return Result(judged.findings, executor=SYNTHESISED)
        result = self._rewind(fault) if fault.fault_class is FaultClass.ERROR else None
        return result or self._rerun(fault)

    def late(self, until: float) -> Iterator[tuple[Fault, Result]]:
        """See `Swept.late`: faults inside large transfers, whose repetitions are alike."""
        return self._series.settle(self._followed, REWIND, RERUN_POINTS_MAX, until)

    def script(self, fault: Fault, finding: Finding) -> str:
        """See `Swept.script`; none where power is lost, or where questions are asked on standard input."""
        if fault.fault_class is FaultClass.POWER or self.place.audited.stdin_text is not None:
            return ""
        return script_of(self.baseline, fault, finding, returns=(fault.index, fault.what) in self._returned)

    def repair(self, fault: Fault, finding: Finding) -> str:
        """See `Swept.repair`; where a command decides on content, nobody here knows what would help."""
        if fault.form is not Form.POWER_LOSS or finding.kind in LEFT_OVER or self.audited.check is not None:
            return ""
        return self.power.repair(fault)

    def _rerun_recorded(self, fault: Fault) -> Rerun | None:
        """A run under a fault as class power needs it; None where the fault was not injected."""
        self.place.restore()
        inodes = {path: inode for path, (_, inode) in self.place.roots.inodes().items()}
        ran = self.place.run(fault, self.baseline.trace)
        return Rerun(ran.trace, ran.reported, inodes) if ran.fired and not ran.ending.timed_out else None

    def unmeasurable(self, fault: Fault) -> str:
        """Why a fault cannot be injected into this program at all; empty where it can."""
        return _STORED if fault.op is Op.STORE and fault.fault_class is not FaultClass.POWER else ""

    def perform(self, fault: Fault) -> Performed:
        """Runs a fault for real, on the start; the place is left as the program left it."""
        self.place.restore()
        if fault.form is Form.FILE_LIMIT:
            ran = self._run_limited(fault)
            reason = why_not_measured(fault, self._point(fault), ran)
        else:
            ran = self._run(fault)
            reason = "" if ran.fired else "the program did not come to the operation"
        reported = ran.reported
        if ran.handled and ran.ending.signal == signal.Signals[fault.what]:
            reported = Reported.FAILURE  # it has cleaned up and then let the signal end it, as it should
        reason = ran.stalled or reason
        if ran.ending.timed_out:
            reason = f"it did not end within {self._program.timeout_seconds:g} s after the fault"
        return Performed(ran, reported, reason)

    def trace(self, fault: Fault) -> Trace:
        """See `Swept.trace`."""
        self.place.restore()
        if fault.form is Form.FILE_LIMIT:
            return self._run_limited(fault).trace
        return self._run(fault, keep=True).trace

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
        ran = self._run(fault)
        if ran.stalled:
            raise HarnessError(f"{fault.id}: it could not be run for real: {ran.stalled}")
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
        if reported is not ran.reported or not are_alike(self.baseline, computed, real):
            raise HarnessError(f"{fault.id}: what {executor} says differs from what a real run leaves")

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
        # Once more: that its process was killed from outside, or was too slow, says nothing of the next one.
        rewound = self._rewinder.run(fault) or self._rewinder.run(fault)
        if rewound is None:
            self._given_up.add(point)
            return None
        self._sample(fault)
        family = self._family(fault)
        if family is None or family not in self._begun or self.aftermath.known(rewound.key) is not None:
            self._begun.add(family)  # where all of them leave what the first one does, it is known from here on
            judged = self.aftermath.of_run(rewound.reported, lambda: rewound.state, rewound.key)
            return Result(judged.findings, executor=REWIND)
        state = rewound.state
        self._series.add(fault, family, rewound.reported, state, self.aftermath.now(rewound.reported, state))
        return Result((), executor=REWIND, late=True)

    def _family(self, fault: Fault) -> Hashable:
        """The faults at every byte of one large transfer, None for a fault that is none of such (KVS-CLASS-1)."""
        is_one = self.dense and not self._exhaustive and points.is_dense(fault)
        return (fault.index, fault.form) if is_one and self._point(fault).result > EXHAUSTIVE_BYTES else None

    def _followed(self, fault: Fault) -> Judged:
        """A fault that was rewound before, with all that follows it."""
        rewound = None if self._rewinder is None else self._rewinder.run(fault)
        if rewound is None:
            raise HarnessError(f"{fault.id}: it was rewound once and is not rewound again")
        return self.aftermath.of_run(rewound.reported, lambda: rewound.state, rewound.key)

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
        if fault.fault_class is FaultClass.KILL:
            judged = self.aftermath.of_crash(self.place.read(), done.reported, there=True)
        else:
            judged = self.aftermath.of_run(done.reported, self.place.read, there=True)
        return Result(judged.findings, executor=RERUN)

    def _run(self, fault: Fault, *, keep: bool = False) -> Ran:
        """Threads that came in another order than recorded may come in that one when tried again."""
        for tried in range(1, _TRIES + 1):
            ran = self.place.run(fault, self.baseline.trace, keep=keep, patience_seconds=self._patience_seconds)
            if not ran.stalled or tried == _TRIES:
                break
            self.place.restore()
        return ran

    def _run_limited(self, fault: Fault) -> Ran:
        limits = limits_for(fault, self._point(fault))
        return self.place.run(
            None, self.baseline.trace, until=fault.index, limits=limits, patience_seconds=self._patience_seconds
        )

    def _dies_of_limit(self, recorded: Recorded) -> bool:
        """Whether SIGXFSZ kills the program: some ignore it themselves, CPython for one, whatever they inherit."""
        transfers = recorded.transfers()
        if not transfers or self._program.acknowledgement:
            return True  # the points themselves say why they are not measured
        first = transfers[0].operation
        self.place.restore()
        ran = self._run_limited(Fault(FaultClass.KILL, Form.FILE_LIMIT, first.index, first.op, 0, what=DEADLY))
        return ran.ending.signal == signal.SIGXFSZ

    def _point(self, fault: Fault) -> Operation:
        return self.baseline.trace[fault.index]
