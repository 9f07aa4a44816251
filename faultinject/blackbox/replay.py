"""Runs one violation of an audit again: for real, in directories that stay."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faultinject.blackbox.aftermath import Step
from faultinject.blackbox.audit import opened
from faultinject.blackbox.baseline import Baseline, UnusableError, prepare
from faultinject.blackbox.checkers import Stage as Moment
from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.place import Place, remove
from faultinject.blackbox.power import reported, state_of
from faultinject.blackbox.state import NodeKind
from faultinject.blackbox.subject import AuditedStart, check_system
from faultinject.execute import Stage
from faultinject.faults import DEADLY, IGNORED, SIGNALS, Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Trace
from faultinject.oracle import Outcome, Reported
from faultinject.persistence.profiles import profiles
from faultinject.power import Left
from faultinject.report.told import MISUNDERSTOOD, ReplayError, check_usable, make_usable, told

_NAMES = {Moment.FAULT: "the fault", Moment.RECOVERED: "the recovery", Moment.REPEATED: "the repetition"}

_FORMS = {
    FaultClass.ERROR: frozenset({Form.ERRNO, Form.CUT, Form.SHORT, Form.FILE_LIMIT}),
    FaultClass.INTERRUPT: frozenset({Form.SIGNAL}),
    FaultClass.KILL: frozenset({Form.KILL, Form.FILE_LIMIT}),
    FaultClass.POWER: frozenset({Form.POWER_LOSS}),
}


class AuditReplay:
    """One violation of an audit, to be run in `directory`: empty, or not there yet; None for a new one.

    The command of the report is run as it stands there: replay only what you would run yourself. Nothing is made before
    the program was recorded again. Raises ReplayError where the report makes no sense or its program cannot be run,
    NotImplementedError where the system traces no programs, OSError where a directory cannot be looked into.
    """

    def __init__(self, report: dict[str, Any], violation_id: str, directory: Path | None) -> None:
        check_system()
        violation = told(report, violation_id)
        self.kind = violation.kind
        self.fault = violation.fault
        try:
            self.target = AuditedStart.described(violation.target)
            _check_fault(self.fault)
        except MISUNDERSTOOD as error:
            raise violation.misunderstood(error) from error
        self._wanted = directory
        self._place: Place | None = None
        check_usable(directory)
        self._check_directories()

    def run(self) -> Iterator[Stage]:
        """The stages one after the other, up to the one at which the violation shows, or to the last.

        Raises ReplayError where the program cannot be run, or does not come to the fault any more.
        """
        base = Path(tempfile.mkdtemp(prefix="faultinject-"))
        try:
            baseline = self._recorded(base)
            left = self._left(baseline, base)
            directory = make_usable(self._wanted)
            self._place = Place(self.target.audited, directory, baseline.seed, name="directory")
            for step in self._steps(baseline, self._place, left):
                yield step
                if any(finding.kind is self.kind for finding in step.findings):
                    return
        finally:
            remove(base)

    @property
    def place(self) -> Path:
        """The scratch directory as the last stage left it; the one for temporary files is `tmp` beside it."""
        assert self._place is not None, "it is made by `run`"
        return Path(self._place.directory)

    def listing(self) -> list[tuple[int, str]]:
        """What is in all the watched directories: size in bytes and name."""
        assert self._place is not None, "it is made by `run`"
        return [
            (len(node.data), key + ("/" if node.kind is NodeKind.DIRECTORY else ""))
            for key, node in self._place.read().items()
        ]

    def _check_directories(self) -> None:
        """All that is emptied or copied is looked at first: a report may have come from anywhere."""
        audited = self.target.audited
        for path in audited.directories:
            if os.path.realpath(path) != path:
                raise ReplayError(f"the watched directory {path!r} is no absolute path without links")
            check_usable(Path(path))
        if audited.given is not None and not os.path.isdir(audited.given):
            raise ReplayError(f"the directory that the program started from is not there any more: {audited.given!r}")

    def _recorded(self, base: Path) -> Baseline:
        """The program is run without a fault, as often as an audit does it."""
        audited = self.target.audited
        for path in audited.directories:
            os.makedirs(path, exist_ok=True)
        try:
            baselines, refused = prepare(audited, base)
        except (UnusableError, LaunchError) as error:
            raise ReplayError(f"the program cannot be run again: {error}") from error
        for baseline in baselines:
            if baseline.key.start is self.target.start:
                return baseline
        raise ReplayError("; ".join(refused) or f"it has no start {self.target.start}")

    def _left(self, baseline: Baseline, base: Path) -> Left | None:
        """What a loss of power leaves; None for other faults. Raises ReplayError where there is no such point now."""
        if self.fault.fault_class is not FaultClass.POWER:
            _check_point(self.fault, baseline.trace)
            return None
        executor = opened(baseline, Place(self.target.audited, base / "replayed", baseline.seed))
        try:
            return executor.power.left(self.fault)
        except HarnessError as error:
            raise ReplayError(f"{error}: is the program still the same?") from error
        finally:
            executor.close()

    def _steps(self, baseline: Baseline, place: Place, left: Left | None) -> Iterator[Stage]:
        executor = opened(baseline, place)
        try:
            if left is not None:
                # The machine is not really stopped: what the disk may have had then is put into the directories.
                for step in executor.aftermath.steps_of_power_loss(state_of(left), reported(left)):
                    yield _stage(step, f"the power failed: {left.sentence}")
                return
            done = executor.perform(self.fault)
            if done.reason:
                raise ReplayError(f"{self.fault.id}: nothing was measured: {done.reason}")
            crashed = self.fault.fault_class is FaultClass.KILL or done.reported is Reported.NOTHING
            for step in executor.aftermath.steps(done.reported, place.read(), crashed=crashed, there=True):
                yield _stage(step, done.ran.said)
        finally:
            executor.close()


def _stage(step: Step, said: str) -> Stage:
    last_words = said if step.stage is Moment.FAULT else step.said
    return Stage(_NAMES[step.stage], Outcome(step.reported), step.findings, last_words)


def _check_fault(fault: Fault) -> None:
    """Raises ValueError for a fault that no audit injects."""
    sound = fault.form in _FORMS.get(fault.fault_class, ()) and fault.op is not None
    sound = sound and (fault.second is None or (fault.form is Form.POWER_LOSS and fault.second.form is Form.ERRNO))
    if fault.form is Form.FILE_LIMIT:
        sound = sound and fault.what == (DEADLY if fault.fault_class is FaultClass.KILL else IGNORED)
    elif fault.form is Form.SIGNAL:
        sound = sound and fault.what in SIGNALS
    elif fault.form is Form.POWER_LOSS:
        sound = sound and fault.what in profiles() and (fault.state is None) != (fault.byte is None)
    elif fault.form in (Form.ERRNO, Form.CUT):
        sound = sound and fault.error > 0
    if not sound:
        raise ValueError(f"{fault.id} is no fault of an audit")


def _check_point(fault: Fault, trace: Trace) -> None:
    """Raises ReplayError where the program, as it runs now, has no such point."""
    if not 0 <= fault.index < len(trace):
        raise ReplayError(f"{fault.id}: the program has only {len(trace)} operations now: is it still the same?")
    operation = trace[fault.index]
    if operation.op is not fault.op:
        raise ReplayError(f"{fault.id}: the program does {operation} there now: is it still the same?")
    cuts = fault.byte is not None or fault.form in (Form.CUT, Form.SHORT, Form.FILE_LIMIT)
    if cuts and (not operation.op.transfers or (fault.byte or 0) > operation.result):
        raise ReplayError(f"{fault.id}: {operation} cannot be cut there")
    if operation.op is Op.STORE or (fault.form is Form.ERRNO and not operation.op.fails):
        raise ReplayError(f"{fault.id}: {operation.op} cannot be made to fail")
