"""Runs one target under one fault, judges what is left, and lets the program try again."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from faultinject.aftermath import KILLED, Aftermath, rebooted
from faultinject.blackout import Blackout
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ground import Ground, MemoryGround
from faultinject.inject import HarnessError, InjectingFileSystem
from faultinject.interpose import Interposed
from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Finding, Outcome, Reported
from faultinject.persistence.profiles import STRICT
from faultinject.plan import Group, Recorded, beyond, pairs, plan
from faultinject.record import RecordingFileSystem
from faultinject.repair import LEFT_OVER
from faultinject.signals import InjectedInterrupt, RealTermination, signals_raise
from faultinject.swept import Result, Swept, UnsoundRunError
from faultinject.target import File, Files, PayloadFault, Prepared
from kvformat.filesystem import FileSystem
from kvformat.interrupts import InterruptGate

_SUCCEEDED = Outcome(Reported.SUCCESS)
_FAILED = Outcome(Reported.FAILURE)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run that is shown to people: what happened, and what the oracle says then.

    said: the last words of a program that is not ours.
    """

    name: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    said: str = ""


CONFIRMED_KILLS = 16
"""Computed kills of a run that are executed too, and compared (KVS-FAULT-5)."""


class Executor(Swept):
    """Executes faults of one prepared target on one ground. What repeats itself is judged once."""

    def __init__(self, prepared: Prepared, ground: Ground, profiles: Sequence[str] = (STRICT,)) -> None:
        self.prepared = prepared
        self._profiles = profiles
        self._blackout: Blackout | None = None
        self.ground = ground
        self.aftermath = Aftermath(prepared, ground)
        self.before = self.aftermath.before
        self._states: list[tuple[Operation, MemoryFileSystem]] | None = None

    def signals(self, fault_class: FaultClass) -> AbstractContextManager[object]:
        """The context in which faults of a class run.

        Faults with signals need handlers that raise; they are not measured outside the main thread. For the
        others one gate is held over all runs, so that the gates of the single saves find it and cost nothing. It is
        open: where most points are computed, a Ctrl-C would have to wait long for the next save.
        """
        if threading.current_thread() is not threading.main_thread():
            return nullcontext()
        return signals_raise() if fault_class is FaultClass.INTERRUPT else _open_gate()

    def record(self) -> Recorded:
        """Runs without a fault and records it. Raises HarnessError where that run is not a clean success."""
        fs = self.ground.fresh()
        recorder = RecordingFileSystem(fs)
        try:
            self.prepared.act(recorder)
        except Exception as error:
            raise HarnessError(f"the run without a fault failed: {error!r}") from error
        findings = self.aftermath.judged(self.ground.files(fs), _SUCCEEDED, recovered=False)
        if findings:
            raise UnsoundRunError(tuple(findings))
        return _recorded(self.prepared, recorder.trace, self.before)

    def groups(self, fault_class: FaultClass, recorded: Recorded, *, exhaustive: bool) -> Iterator[Group]:
        """See `Swept.groups`: those of the plan, and for errors the pairs."""
        if fault_class is FaultClass.POWER:
            yield from self._power().groups(self._profiles, exhaustive=exhaustive)
            return
        yield from plan(fault_class, self.prepared, recorded, exhaustive=exhaustive)
        if fault_class is FaultClass.ERROR:
            yield from pairs(recorded, self.trace, exhaustive=exhaustive)

    def beyond(self, fault_class: FaultClass, recorded: Recorded) -> Fault | None:
        """See `Swept.beyond`: an exception after the last operation."""
        return beyond(fault_class, recorded)

    def samples(self, fault_class: FaultClass, recorded: Recorded) -> Iterator[Fault]:
        """See `Swept.samples`: kills are computed in memory; on real files all of them are executed."""
        if fault_class is not FaultClass.KILL or not isinstance(self.ground, MemoryGround):
            return
        points = [
            fault
            for group in plan(FaultClass.KILL, self.prepared, recorded, exhaustive=False)
            for fault in group.faults
        ]
        yield from points[:: max(1, len(points) // CONFIRMED_KILLS)]

    def regions(self) -> Mapping[str, tuple[int, int]]:
        """See `Swept.regions`."""
        return self.prepared.regions()

    def region_of(self, offset: int) -> str | None:
        """See `Swept.region_of`."""
        return self.prepared.region_of(offset)

    def run(self, fault: Fault) -> Result:
        """Executes one fault. Raises HarnessError where the harness itself cannot be trusted."""
        if fault.fault_class is FaultClass.KILL:
            return self._kill(fault)
        if fault.fault_class is FaultClass.POWER:
            return Result(self._power().run(fault))
        if fault.form is Form.SIGNAL and threading.current_thread() is not threading.main_thread():
            return Result((), "signals are handled in the main thread alone, and this is another one")
        fs = self.ground.fresh()
        injector = InjectingFileSystem(fs, fault)
        outcome, fired = self._act(injector, injector, fault)
        if not fired:
            return Result((), "the operation or byte of the fault was not reached")
        return Result(self.aftermath.of_run(fs, outcome))

    def _power(self) -> Blackout:
        if self._blackout is None:
            self._blackout = Blackout(self.prepared)
        return self._blackout

    def operation(self, fault: Fault, recorded: Recorded) -> str:
        """See `Swept.operation`."""
        if fault.fault_class is FaultClass.POWER:
            return self._power().operation(fault)
        return super().operation(fault, recorded)

    def repair(self, fault: Fault, finding: Finding) -> str:
        """See `Swept.repair`."""
        mends = fault.form is Form.POWER_LOSS and finding.kind not in LEFT_OVER
        return self._power().repair(fault) if mends else ""

    def cause(self, fault: Fault, finding: Finding) -> Hashable:
        """See `Swept.cause`: of what a loss of power takes, all that shows the same is one mistake."""
        if fault.fault_class is FaultClass.POWER:
            return fault.fault_class, fault.what, finding.kind
        return super().cause(fault, finding)

    def stages(self, fault: Fault) -> Iterator[Stage]:
        """The same as `run`, stage by stage, with the directory as it is at each. Raises HarnessError.

        The fault; after a kill, a loss of power or where a file is left, the recovery; the repetition without a fault.
        """
        aftermath, lost_power = self.aftermath, fault.form is Form.POWER_LOSS
        expectation = rebooted(self.prepared.expectation) if lost_power else None
        if lost_power:
            left, acknowledged = self._power().files(fault)
            fs, outcome = self.ground.put(left), KILLED
            files = self.ground.files(fs)
            findings = aftermath.at_power_loss(files, acknowledged=acknowledged)
        else:
            fs, outcome = self._run_once(fault)
            files = self.ground.files(fs)
            findings = aftermath.judged(files, outcome, recovered=False)
        yield Stage("the fault", outcome, tuple(findings))
        if outcome.reported is Reported.NOTHING or outcome.excused:
            failed = aftermath.recover(fs)
            files = self.ground.files(fs)
            found = failed + aftermath.judged(files, outcome, recovered=True, expectation=expectation)
            yield Stage("the recovery", _SUCCEEDED, tuple(found))
        yield Stage("the repetition", _SUCCEEDED, aftermath.heal(fs, files, after_reboot=lost_power))

    def _run_once(self, fault: Fault) -> tuple[FileSystem, Outcome]:
        """The operation under the fault, on a fresh directory. Raises HarnessError where it does not fire."""
        if fault.fault_class is FaultClass.KILL and fault.form is not Form.NONE:
            fs, fired = self.ground.kill(fault)
            outcome = KILLED
        else:
            fs = self.ground.fresh()
            injector = InjectingFileSystem(fs, None if fault.form is Form.NONE else fault)
            with self.signals(fault.fault_class):
                outcome, fired = self._act(injector, injector, fault, keep=True)
        if not fired and fault.form is not Form.NONE:
            raise HarnessError(f"{fault.id}: the operation or byte of the fault was not reached")
        return fs, outcome

    def trace(self, fault: Fault) -> Trace:
        """The operations of the run under `fault`, for the side condition of a lemma."""
        fs = self.ground.fresh()
        injector = InjectingFileSystem(fs, fault)
        recorder = RecordingFileSystem(injector, probe=fs)
        self._act(recorder, injector, fault)
        return recorder.trace

    def _act(
        self, fs: Interposed, injector: InjectingFileSystem, fault: Fault, *, keep: bool = False
    ) -> tuple[Outcome, bool]:
        """The outcome, and whether every part of the fault was injected. `keep`: with the error, for people."""
        prepared = self.prepared
        payload = PayloadFault(fault) if fault.form.on_payload else None
        try:
            prepared.act(fs, payload)
        except HarnessError:
            raise
        except BaseException as error:
            if isinstance(error, RealTermination):
                raise
            if isinstance(error, KeyboardInterrupt) and not isinstance(error, InjectedInterrupt):
                raise  # the user's own Ctrl-C
            left = prepared.names_left(error)
            if keep or left:
                _forget_frames(error)
                outcome = Outcome(Reported.FAILURE, error, left)
            else:
                outcome = _FAILED
        else:
            outcome = _SUCCEEDED
        if payload is not None:
            return outcome, payload.fired
        return outcome, injector.fired == (1 if fault.second is None else 2)

    def _kill(self, fault: Fault) -> Result:
        crashed = self._synthesised(fault) if isinstance(self.ground, MemoryGround) else None
        if crashed is None:
            left, killed = self.ground.kill(fault)
            if not killed:
                return Result((), "the program ended before the point")
            return Result(self.aftermath.of_crash(left))
        return Result(self.aftermath.of_crash(crashed))

    def _synthesised(self, fault: Fault) -> MemoryFileSystem | None:
        """The state after a kill, computed from the recorded run; None where only an execution can tell.

        A kill is not noticed by the program, so the run up to it is the recorded one (KVS-FAULT-5).
        """
        if fault.byte is not None and fault.op is not Op.PWRITE:
            return None
        if self._states is None:
            self._states = self._record_states()
        if fault.index >= len(self._states):
            raise HarnessError(f"{fault.id}: the recorded run has only {len(self._states)} operations")
        operation, state = self._states[fault.index]
        if operation.op is not fault.op:
            raise HarnessError(f"{fault.id}: operation {fault.index} was recorded as {operation.op}")
        crashed = state.snapshot()
        if fault.byte and operation.data is not None:
            crashed.write_inode(operation.inode, operation.data[: fault.byte], operation.offset or 0)
        return crashed

    def _record_states(self) -> list[tuple[Operation, MemoryFileSystem]]:
        fs = self.ground.fresh()
        assert isinstance(fs, MemoryFileSystem)
        states: list[tuple[Operation, MemoryFileSystem]] = []
        self.prepared.act(RecordingFileSystem(fs, lambda operation: states.append((operation, fs.snapshot()))))
        return states

    def confirm(self, fault: Fault) -> None:
        """See `Swept.confirm`: a kill that was computed."""
        computed = self._synthesised(fault)
        if computed is None:
            return
        executed, killed = self.ground.kill(fault)
        if not killed or not _same_state(self.prepared, computed.files(), self.ground.files(executed)):
            raise HarnessError(f"{fault.id}: the computed state differs from that of a real execution")


@contextmanager
def _open_gate() -> Iterator[None]:
    with InterruptGate() as gate:
        gate.open()
        yield


def _forget_frames(error: BaseException) -> None:
    """Drops the tracebacks: their frames hold the outcome that holds the error, a cycle for every run."""
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def _same_state(prepared: Prepared, one: Files, other: Files) -> bool:
    """Whether two directories hold the same, the random names of temp files aside."""
    return len(one) == len(other) and all(
        name == other_name and file.same_content(other_file)
        for (name, file), (other_name, other_file) in zip(
            _in_order(prepared, one), _in_order(prepared, other), strict=True
        )
    )


def _in_order(prepared: Prepared, files: Files) -> list[tuple[str, File]]:
    """Names of entries as they are, all others as an empty one; these by size."""
    named = [(name if prepared.is_entry(name) else "", file) for name, file in files.items()]
    return sorted(named, key=lambda item: (item[0], item[1].size_bytes))


def _recorded(prepared: Prepared, trace: Trace, before: Files) -> Recorded:
    target = prepared.expectation.target
    entry_inode = next(
        (operation.inode for operation in trace if operation.op is Op.RENAME and operation.target == target), None
    )
    staged = {
        operation.source_inode: (operation.offset or 0) - (operation.source_offset or 0)
        for operation in trace
        if operation.op is Op.COPY_RANGE and operation.inode == entry_inode and operation.source_inode is not None
    }
    published = frozenset(_published(prepared, trace, before))
    return Recorded(trace, entry_inode, {k: v for k, v in staged.items() if k not in published}, published)


def _published(prepared: Prepared, trace: Trace, before: Files) -> Iterator[int]:
    """Inodes that were entries before the operation: what writes to them changes what readers see."""
    for operation in trace:
        if (
            operation.op is Op.OPEN
            and operation.name is not None
            and operation.name in before
            and prepared.is_entry(operation.name)
            and operation.inode is not None
        ):
            yield operation.inode
