"""What comes after a fault: the state is judged, the recovery runs, the program runs once more, and all is judged."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from faultinject.blackbox.checkers import Checker, CommandChecker, Stage
from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.formats import format_of
from faultinject.blackbox.judge import Judge
from faultinject.blackbox.masks import Masks
from faultinject.blackbox.place import Plainly
from faultinject.blackbox.started import Program
from faultinject.blackbox.state import State
from faultinject.blackbox.subject import Audited, with_directory
from faultinject.ops import Trace
from faultinject.oracle import Finding, Kind, Reported

Findings = tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One stage, judged. reported, said: of what ran in it; said is empty after the fault."""

    stage: Stage
    reported: Reported
    said: str
    findings: Findings


@dataclass(frozen=True, slots=True)
class Judged:
    """now: what the state after the fault shows. later: what shows after the recovery and after the repetition."""

    now: Findings
    later: Findings

    @property
    def findings(self) -> Findings:
        """All of them, each once."""
        return tuple(dict.fromkeys(self.now + self.later))


class Known(Protocol):
    """What runs without a fault have shown; see `Baseline`."""

    @property
    def old(self) -> State:
        """What is there before a run."""

    @property
    def new(self) -> State:
        """What is there after one."""

    @property
    def again(self) -> State | None:
        """What is there after one more on top, None where that fails."""

    @property
    def masks(self) -> Masks:
        """What is not compared."""


class RecordedRun(Known, Protocol):
    """With the run that was recorded."""

    @property
    def trace(self) -> Trace:
        """Its operations."""

    @property
    def crashes(self) -> Crashes:
        """Every state that it goes through."""


class Directories(Protocol):
    """Where states are put."""

    directory: str

    def put(self, state: State) -> None:
        """Makes the watched directories hold this state."""

    def read(self) -> State:
        """What is there now."""


class Scene(Directories, Protocol):
    """Where programs run on states; see `Place`."""

    audited: Audited

    def program(self, command: tuple[str, ...] | None = None) -> Program:
        """The audited program, or another command, to be run here."""

    def run_plainly(self, program: Program) -> Plainly:
        """A run at which nobody looks."""


class ContentJudge(Protocol):
    """Judges what a directory holds; see `CommandChecker`."""

    def judge(self, directory: str, reported: Reported, stage: Stage, *, acknowledged: bool) -> Findings:
        """The violations that its content shows. Raises HarnessError where there is no verdict."""


class Aftermath:
    """Judges outcomes in one place. Outcomes that are alike are judged once, and repeated once.

    again: runs the program once more. recovery: runs its recovery, None where it has none. checker: what the format
    knows of its files. judge: of content. content: whether the byte rules hold as well. states, seconds: how many
    different ones have been judged in full, and how long that took.
    """

    def __init__(
        self,
        baseline: Known,
        place: Directories,
        again: Callable[[], Plainly],
        recovery: Callable[[], Plainly] | None,
        checker: Checker | None = None,
        judge: ContentJudge | None = None,
        *,
        content: bool = True,
    ) -> None:
        self.checker = checker
        self._place = place
        self._again = again
        self._recovery = recovery
        self._content_judge = judge
        self._judge = Judge(baseline.old, baseline.new, baseline.masks, checker, content=content)
        onward = baseline.again
        self._onward = None if onward is None else Judge(baseline.old, onward, baseline.masks, checker, content=content)
        self.states = 0
        self.seconds = 0.0
        self._known: dict[Hashable, Judged] = {}
        self._repeated: dict[Hashable, Step | None] = {}

    def of_run(
        self, reported: Reported, read: Callable[[], State], key: Hashable = None, *, there: bool = False
    ) -> Judged:
        """After a run that ended by itself. `key`: equal for equal outcomes. there: it is what the place holds now."""
        known = self.known(key)
        if known is None:
            known = self._of_run(reported, read(), there=there)
            if key is not None:
                self._known[key] = known
        return known

    def known(self, key: Hashable) -> Judged | None:
        """What `of_run` has found for this key, None where it was not asked."""
        return None if key is None else self._known.get(key)

    def now(self, reported: Reported, state: State) -> Findings:
        """What a state shows after a run that ended by itself, before anything follows."""
        return next(self.steps(reported, state, crashed=reported is Reported.NOTHING)).findings

    def of_crash(self, state: State, reported: Reported = Reported.NOTHING, *, there: bool = False) -> Judged:
        """After a kill: judged as it is, after the recovery, and after a repetition (KVS-INV-3, KVS-INV-9).

        Where the program has no recovery, its next run is all the recovery that there is.
        """
        known: Hashable = ("crash", reported, _digest(state))
        if known not in self._known:
            self._known[known] = self._all(reported, state, crashed=True, there=there)
        return self._known[known]

    def of_power_loss(self, state: State, reported: Reported, *, there: bool = False) -> Findings:
        """As after a kill; what had been reported as done and is not there was lost after it (KVS-INV-7)."""
        return tuple(map(lost, self.of_crash(state, reported, there=there).findings))

    def steps_of_power_loss(self, state: State, reported: Reported) -> Iterator[Step]:
        """The same stage by stage, with the place as each leaves it."""
        self._put(state, there=False, now=True)
        for step in self.steps(reported, state, crashed=True, there=True):
            yield replace(step, findings=tuple(map(lost, step.findings)))

    def at_power_loss(self, state: State, reported: Reported) -> Findings:
        """The violations that show at once, by the byte rules: no command is asked."""
        return tuple(map(lost, self._judge.judge(state, reported, Stage.FAULT)))

    def steps(self, reported: Reported, state: State, *, crashed: bool, there: bool = False) -> Iterator[Step]:
        """Stage by stage. With `there` the place holds the state, and then what each stage has left, until the next.

        crashed: the program was killed, so that its recovery runs (KVS-INV-3); reported: what it had said before.
        """
        there = self._put(state, there=there)
        found = self._judged(state, reported, Stage.FAULT)
        if crashed:  # whatever it had reported before, it could not clean up
            found = tuple(finding for finding in found if finding.kind is not Kind.TEMP_LEAKED)
        yield Step(Stage.FAULT, reported, "", found)
        # What was left when the program lived has been reported as that; it may stay where it is.
        left = {finding.name for finding in found if finding.kind is Kind.TEMP_LEAKED}
        if crashed and self._recovery is not None:
            self._put(state, there=there, now=True)
            ran = self._recovery()
            found = ()
            if ran.timed_out or ran.reported is not Reported.SUCCESS:
                found = (Finding(Kind.ORPHAN_UNRECLAIMED, "", f"the recovery failed: {ran.said}"),)
            state, there = self._place.read(), True
            yield Step(Stage.RECOVERED, ran.reported, ran.said, found + self._judged(state, reported, Stage.RECOVERED))
        repeated = self._repeat(state, there=there)
        if repeated is not None:
            late = (one for one in repeated.findings if one.kind is not Kind.ORPHAN_UNRECLAIMED or one.name not in left)
            yield replace(repeated, findings=tuple(late))

    def _of_run(self, reported: Reported, state: State, *, there: bool) -> Judged:
        if reported is Reported.NOTHING:
            return self.of_crash(state, there=there)
        known: Hashable = (reported, _digest(state))
        if known not in self._known:
            self._known[known] = self._all(reported, state, crashed=False, there=there)
        return self._known[known]

    def _all(self, reported: Reported, state: State, *, crashed: bool, there: bool) -> Judged:
        began = time.monotonic()
        first, *others = self.steps(reported, state, crashed=crashed, there=there)
        self.states += 1
        self.seconds += time.monotonic() - began
        return Judged(first.findings, tuple(finding for step in others for finding in step.findings))

    def _put(self, state: State, *, there: bool, now: bool = False) -> bool:
        """Makes the place hold the state, where a command is to look at it or a program to run on it."""
        if not there and (now or self._content_judge is not None):
            self._place.put(state)
            return True
        return there

    def _judged(self, state: State, reported: Reported, stage: Stage) -> Findings:
        found = self._judge.judge(state, reported, stage)
        if stage is Stage.REPEATED and found and self._onward is not None:
            # On top of the new content a program that adds to it comes to what two runs come to.
            found = self._onward.judge(state, reported, stage) and found
        if self._content_judge is not None:
            acknowledged = reported is Reported.SUCCESS
            found += self._content_judge.judge(self._place.directory, reported, stage, acknowledged=acknowledged)
        return found

    def _repeat(self, state: State, *, there: bool) -> Step | None:
        known = _digest(state)
        if known not in self._repeated:
            self._repeated[known] = self._repetition(state, there=there)
        return self._repeated[known]

    def _repetition(self, state: State, *, there: bool) -> Step | None:
        if self._onward is None and not self._judge.judge(state, Reported.SUCCESS, Stage.FAULT):
            return None  # it has succeeded, and a second run on top fails without any fault too
        self._put(state, there=there, now=True)
        ran = self._again()
        if ran.timed_out:
            found: Findings = (Finding(Kind.NEVER_HEALS, "", f"the repetition {ran.said}"),)
        else:
            found = self._judged(self._place.read(), ran.reported, Stage.REPEATED)
        return Step(Stage.REPEATED, ran.reported, ran.said, found)


def lost(finding: Finding) -> Finding:
    """A false success is one that the loss of power has made false."""
    if finding.kind is not Kind.FALSE_SUCCESS:
        return finding
    return replace(finding, kind=Kind.LOST_AFTER_ACK, detail=f"{finding.detail} after the loss of power")


def aftermath_of(baseline: Known, place: Scene) -> Aftermath:
    """With the checkers that the user of the program has asked for."""
    audited = place.audited
    again = partial(place.run_plainly, place.program())
    recovery = None if audited.recover is None else partial(place.run_plainly, place.program(audited.recover))
    command = None
    if audited.check is not None:
        command = CommandChecker(
            with_directory(audited.check, place.directory),
            working_directory=place.program().directory,
            timeout_seconds=audited.timeout_seconds,
        )
    checker = format_of(audited).checker
    return Aftermath(baseline, place, again, recovery, checker, command, content=command is None)


def _digest(state: State) -> bytes:
    """The same for states that are the same. The states themselves would be far too much to remember."""
    digest = hashlib.blake2b(digest_size=32)
    for key, node in state.items():
        name = os.fsencode(key)
        digest.update(f"{node.kind} {len(name)} {len(node.data)} ".encode())
        digest.update(name)
        digest.update(node.data)
    return digest.digest()
