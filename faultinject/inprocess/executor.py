"""Runs a function under one fault at a time, or computes what a kill or a loss of power leaves, and judges that."""

from __future__ import annotations

import io
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from faultinject.blackbox import points
from faultinject.blackbox.aftermath import Aftermath, Judged
from faultinject.blackbox.likeness import are_alike
from faultinject.blackbox.power import PowerAudit, Rerun, reported, state_of
from faultinject.blackbox.regions import recorded_of, regions_of
from faultinject.blackbox.state import State
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.inprocess.baseline import Baseline
from faultinject.inprocess.oracle import FunctionOracle
from faultinject.inprocess.run import run, run_killed, run_plainly
from faultinject.inprocess.saver import Saver
from faultinject.inprocess.scratch import Scratch
from faultinject.ops import Trace
from faultinject.oracle import Finding, Kind, Reported
from faultinject.persistence.profiles import STRICT
from faultinject.plan import INTERIOR, Group, Recorded, beyond, pairs, plan, spread_out
from faultinject.repair import LEFT_OVER
from faultinject.signals import signals_raise
from faultinject.swept import Result, Swept, UnsoundRunError

RERUN, SYNTHESISED = "re-run", "synthesised"
"""The executors, as reports name them."""

CONFIRMED_KILLS = 16
"""Computed kills that are executed too, and compared (KVS-FAULT-5)."""


POINTS_MAX = 20_000
"""A group whose lemma does not apply is run point by point up to this size."""


@dataclass(frozen=True, slots=True)
class _NoPayload:
    """Nobody knows of a producer here: what the function saves it makes itself."""

    payload_bytes: int | None = None
    payload_is_counted: bool = False


class FunctionExecutor(Swept):
    """One function from one start, in one directory. Inside `patched`."""

    def __init__(self, saver: Saver, baseline: Baseline, scratch: Scratch, profiles: Sequence[str] = (STRICT,)) -> None:
        self.baseline = baseline
        self._save = saver.save
        self._scratch = scratch
        self._profiles = profiles
        recovery = None if saver.recover is None else partial(run_plainly, saver.recover, scratch)
        self.aftermath = Aftermath(
            baseline,
            scratch,
            partial(run_plainly, saver.save, scratch),
            recovery,
            judge=None if saver.oracle is None else FunctionOracle(saver, scratch),
            content=not saver.oracle_is_told,
        )
        self._content = not saver.oracle_is_told
        self._recorded = recorded_of(baseline)
        self._power_audit: PowerAudit | None = None

    def record(self) -> Recorded:
        """See `Swept.record`: it was recorded when the baseline was made."""
        found = self.aftermath.now(Reported.SUCCESS, self.baseline.new)
        if found:
            raise UnsoundRunError(found)
        return self._recorded

    def signals(self, fault_class: FaultClass) -> AbstractContextManager[object]:
        """See `Swept.signals`: signals are handled in the main thread alone."""
        is_main = threading.current_thread() is threading.main_thread()
        return signals_raise() if fault_class is FaultClass.INTERRUPT and is_main else nullcontext()

    def groups(self, fault_class: FaultClass, recorded: Recorded, *, exhaustive: bool) -> Iterator[Group]:
        """See `Swept.groups`; pairs are of two errors."""
        if fault_class is FaultClass.ERROR:
            for group in points.errors(recorded, exhaustive=exhaustive, dense=exhaustive, limits=False):
                yield from _finer(group, recorded)
            for group in pairs(recorded, self.trace, exhaustive=exhaustive, errnos=points.true_errnos):
                second = group.faults[0].second
                if second is not None and second.form is Form.ERRNO:  # an exception in a cleaning-up nobody survives
                    yield group
        elif fault_class is FaultClass.INTERRUPT:
            yield from plan(fault_class, _NoPayload(), recorded, exhaustive=exhaustive)
        elif fault_class is FaultClass.KILL:
            yield from points.kills(recorded, exhaustive=exhaustive, limits=False)
        else:
            yield from self._power.groups(self._profiles, exhaustive=exhaustive)

    def run(self, fault: Fault) -> Result:
        """See `Swept.run`."""
        if fault.fault_class is FaultClass.POWER:
            return Result(self._power.run(fault), executor=SYNTHESISED)
        if fault.fault_class is FaultClass.KILL:
            return Result(self.aftermath.of_crash(self.baseline.crashes.state(fault)).findings, executor=SYNTHESISED)
        if fault.form is Form.SIGNAL and threading.current_thread() is not threading.main_thread():
            return Result((), "signals are handled in the main thread alone, and this is another one")
        self._scratch.put(self.baseline.old)
        ran = run(self._save, self._scratch, fault)
        if not ran.fired:
            return Result((), "the function did not come to the operation", RERUN)
        judged = self.aftermath.of_run(ran.reported, self._scratch.read, there=True)
        return Result(_excused(judged, ran.excused), executor=RERUN)

    def trace(self, fault: Fault) -> Trace:
        """See `Swept.trace`."""
        self._scratch.put(self.baseline.old)
        ran = run(self._save, self._scratch, fault, record=True)
        self._scratch.read()
        return ran.trace

    def beyond(self, fault_class: FaultClass, recorded: Recorded) -> Fault | None:
        """See `Swept.beyond`."""
        return beyond(fault_class, recorded)

    def samples(self, fault_class: FaultClass, recorded: Recorded) -> Iterator[Fault]:
        """See `Swept.samples`: of the kills, which are computed."""
        if fault_class is FaultClass.KILL:
            found = [
                fault for group in points.kills(recorded, exhaustive=False, limits=False) for fault in group.faults
            ]
            yield from found[:: max(1, len(found) // CONFIRMED_KILLS)]

    def confirm(self, fault: Fault) -> None:
        """See `Swept.confirm`."""
        self._scratch.put(self.baseline.old)
        if not run_killed(self._save, self._scratch, fault):
            raise HarnessError(f"{fault.id}: it did not fire when it was run for real")
        real = self._scratch.read()
        if not are_alike(self.baseline, self.baseline.crashes.state(fault), real):
            raise HarnessError(f"{fault.id}: the computed state differs from what a real kill leaves")

    def left(self, fault: Fault) -> State:
        """What is in the directory after a fault, for people. Raises HarnessError."""
        if fault.form is Form.NONE:
            return self.baseline.new
        if fault.fault_class is FaultClass.POWER:
            return state_of(self._power.left(fault))
        if fault.fault_class is FaultClass.KILL:
            return self.baseline.crashes.state(fault)
        self._scratch.put(self.baseline.old)
        with self.signals(fault.fault_class):
            run(self._save, self._scratch, fault)
        return self._scratch.read()

    def acknowledged(self, fault: Fault) -> bool:
        """Whether success had been reported when the power failed."""
        return fault.form is Form.POWER_LOSS and reported(self._power.left(fault)) is Reported.SUCCESS

    def notes(self) -> list[str]:
        """See `Swept.notes`."""
        return list(self.baseline.notes)

    def regions(self) -> Mapping[str, tuple[int, int]]:
        """See `Swept.regions`: one for each file that the function makes or changes, laid end to end."""
        return regions_of(self.baseline)

    def affordable_points(self, group: Group) -> int:  # noqa: ARG002 - each costs the same
        """See `Swept.affordable_points`: what a user waits for. With exhaustive=True no group has a lemma."""
        return POINTS_MAX

    def operation(self, fault: Fault, recorded: Recorded) -> str:
        """See `Swept.operation`."""
        if fault.fault_class is FaultClass.POWER:
            return self._power.operation(fault)
        return super().operation(fault, recorded)

    def repair(self, fault: Fault, finding: Finding) -> str:
        """See `Swept.repair`; where an oracle decides on content alone, nobody here knows what would help."""
        if fault.form is not Form.POWER_LOSS or finding.kind in LEFT_OVER or not self._content:
            return ""
        return self._power.repair(fault)

    def cause(self, fault: Fault, finding: Finding) -> Hashable:
        """See `Swept.cause`: what a function leaves under one name is one mistake, wherever the fault hits."""
        profile = fault.what if fault.fault_class is FaultClass.POWER else ""
        return fault.fault_class, profile, finding.kind, self.baseline.canonical(finding.name)

    @property
    def _power(self) -> PowerAudit:
        if self._power_audit is None:
            self._power_audit = PowerAudit(self.baseline, self.aftermath, self._recorded.published, self._rerun)
        return self._power_audit

    def _rerun(self, fault: Fault) -> Rerun | None:
        self._scratch.put(self.baseline.old)
        inodes = {path: inode for path, (_, inode) in self._scratch.roots.inodes().items()}
        ran = run(self._save, self._scratch, fault, record=True)
        self._scratch.read()
        return Rerun(ran.trace, ran.reported, inodes) if ran.fired else None


def _finer(group: Group, recorded: Recorded) -> Iterator[Group]:
    """A large transfer that is cut, in two classes: what is left over goes into a buffer of `io`, or does not fit.

    A smaller class under the same lemma (KVS-CLASS-1): a rest that fits is written later, and only then fails.
    """
    first = group.faults[0]
    size_bytes = recorded.trace[first.index].result
    border = size_bytes - io.DEFAULT_BUFFER_SIZE
    if group.lemma != INTERIOR or border <= 1:
        yield group
        return
    start = group.ranges[0][0] - 1 if group.ranges else None
    for cut_at in (range(1, border), range(border, size_bytes)):
        some = [replace(first, byte=byte) for byte in spread_out(cut_at)]
        ranges = () if start is None else ((start + cut_at.start, start + cut_at.stop),)
        every = partial(_each, first, cut_at)
        yield Group(tuple(some), len(cut_at), INTERIOR if len(cut_at) > 1 else None, ranges, every)


def _each(first: Fault, cut_at: range) -> Iterator[Fault]:
    return (replace(first, byte=byte) for byte in cut_at)


def _excused(judged: Judged, names: frozenset[str]) -> tuple[Finding, ...]:
    """Without what could not be removed, where the failure says so (KVS-FAIL-3)."""
    return tuple(one for one in judged.findings if one.kind is not Kind.TEMP_LEAKED or one.name not in names)


class OneFault(FunctionExecutor):
    """Runs one fault alone: a finding, shown again."""

    fault: Fault

    def groups(self, fault_class: FaultClass, recorded: Recorded, *, exhaustive: bool) -> Iterator[Group]:  # noqa: ARG002 - there is one
        """See `Swept.groups`."""
        yield Group((self.fault,), 1)

    def beyond(self, fault_class: FaultClass, recorded: Recorded) -> Fault | None:  # noqa: ARG002 - there is no end to it
        """See `Swept.beyond`."""
        return None

    def samples(self, fault_class: FaultClass, recorded: Recorded) -> Iterator[Fault]:  # noqa: ARG002 - it is asked for itself
        """See `Swept.samples`."""
        return iter(())
