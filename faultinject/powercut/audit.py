"""Loss of power on real file systems from start to end: every case, its images counted and its violations told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from faultinject.blackbox.baseline import UnusableError
from faultinject.blackbox.formats import format_of
from faultinject.blackbox.place import TEMPORARY_LABEL
from faultinject.blackbox.state import Node, NodeKind, State
from faultinject.blackbox.subject import Audited, Start
from faultinject.coverage import ClassCount, Run, Violation
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.oracle import Finding
from faultinject.powercut.case import Case
from faultinject.powercut.disk import Request
from faultinject.powercut.filesystems import Kind, why_not
from faultinject.powercut.images import Choice, existing, images
from faultinject.powercut.keeping import script
from faultinject.powercut.outcomes import Outcome, cause_of, examined
from faultinject.powercut.recording import Recording

_EXACT_MAX = 10**6
_SHOWN_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """Of one case: how many images are to be tried, and how many have been."""

    case: Case
    planned: int
    tried: int


Told = Callable[[Progress], None]


def audit(cases: list[Case], told: Told) -> Iterator[Run]:
    """A run for each case, and one more where what the program makes can be there already, with other content.

    `cases` have the start that is given or empty. A case that this machine cannot do is not measured. Raises
    LaunchError where the program cannot be started, and UnusableError where it can be judged on no file system.
    """
    refused: list[UnusableError] = []
    measured = False
    for case in cases:
        why = why_not(case.kind)
        if why is not None:
            yield _not_measured(case, why)
            continue
        try:
            yield from _starts(case, told)
        except UnusableError as error:
            refused.append(error)
            yield _not_measured(case, f"{case.subject.scenario}: {error}")
        else:
            measured = True
    if refused and not measured:
        raise refused[0]


def _starts(case: Case, told: Told) -> list[Run]:
    tally = Tally(case)
    run = tally.all(told)
    if tally.recording is None:
        return [run]  # its problems say why
    made = older(case.audited, tally.recording)
    if not made:
        run.notes.append(f"not run from the start {Start.OLD}: the program makes no new file there that could be old")
        return [run]
    again = replace(case, start=Start.OLD, older=made)
    try:
        return [run, Tally(again).all(told)]
    except UnusableError as error:
        run.notes.append(f"{case.kind}: not run from the start {Start.OLD}: {error}")
        return [run]


def older(audited: Audited, recording: Recording) -> State:
    """Every file that the program has made, with other content, to be there before it runs."""
    known = format_of(audited)
    return {
        key: Node(NodeKind.FILE, known.older(key, node.data))
        for key, node in recording.new.items()
        if node.kind is NodeKind.FILE and key not in recording.old and not key.startswith(TEMPORARY_LABEL)
    }


class Tally:
    """Counts the outcomes of one case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.recording: Recording | None = None
        self.count = ClassCount()
        self.run = Run(case.subject, {FaultClass.POWER: self.count})

    def all(self, told: Told) -> Run:
        """Examines the case to its end. Images that were not come to are not measured."""
        try:
            with closing(examined(self.case)) as examination:
                for one in examination:
                    if isinstance(one, Recording):
                        self._begin(one)
                    else:
                        self._add(one)
                    told(Progress(self.case, self.count.points, self.count.images.get("tried", 0)))
        except HarnessError as error:
            self._problem(f"{self.case.subject.scenario}: {error}")
            self.count.harness_errors += 1
            self.count.points = max(self.count.points, self.count.images.get("tried", 0) + 1)
        self.count.not_measured = self.count.points - self.count.covered - self.count.harness_errors
        return self.run

    def _begin(self, recording: Recording) -> None:
        self.recording = recording
        sector_bytes = self.case.kind.file_system.sector_bytes
        listed = len(images(recording.log, recording.acknowledged_at, sector_bytes, self.case.seed))
        exist = existing(recording.log, recording.acknowledged_at, sector_bytes)
        self.count.points = min(listed, self.case.images_max)
        self.count.images = {"exist": exist, "listed": listed, "tried": 0, "distinct": 0}
        self.run.notes = [self._summary(recording, listed, exist), *recording.notes]

    def _summary(self, recording: Recording, listed: int, exist: int) -> str:
        flushes = sum(entry.request is Request.FLUSH for entry in recording.log)
        chosen = f"{self.count.points}" + (f" of {listed} listed (--images)" if listed > self.count.points else "")
        return (
            f"{self.case.subject.scenario}, mounted with {self.case.kind.options or 'no options'}: "
            f"{len(recording.log)} disk requests, {flushes} of them flushes; "
            f"of {_about(exist)} possible images {chosen} were chosen"
        )

    def _add(self, outcome: Outcome) -> None:
        count = self.count
        count.images["tried"] += 1
        if outcome.same_as is None:
            count.images["distinct"] += 1
            count.executed += 1
        if outcome.problem:
            count.harness_errors += 1
            self._problem(outcome.problem)
            return
        if outcome.image.choice is Choice.RANDOM:
            count.by_sampling += 1
        else:
            count.by_execution += 1
        if not outcome.findings:
            count.held += 1
            return
        count.violated += 1
        for finding in outcome.findings:
            self._violated(outcome, finding)

    def _violated(self, outcome: Outcome, finding: Finding) -> None:
        assert self.recording is not None, "outcomes come after the recording"
        self.run.note(
            Violation(
                Fault(FaultClass.POWER, Form.IMAGE, outcome.number),
                finding,
                outcome.image.describe(self.recording.log),
                None,
                None,
                cause_of(finding, self.recording.masks),
                operations={str(outcome.image.choice): 1},
                script=script(self.case, outcome.kept) if outcome.kept else "",
            )
        )

    def _problem(self, problem: str) -> None:
        if len(self.run.problems) < _SHOWN_PROBLEMS and problem not in self.run.problems:
            self.run.problems.append(problem)


def _not_measured(case: Case, why: str) -> Run:
    """A run without points: no verdict counts for it."""
    return Run(case.subject, {FaultClass.POWER: ClassCount()}, problems=[f"not measured: {why}"])


def _about(count: int) -> str:
    """Exact where it can be read; above, the power of two."""
    return f"{count:,}" if count < _EXACT_MAX else f"about 2^{count.bit_length() - 1}"


def cases(
    audited: Audited,
    kinds: list[Kind],
    *,
    directory_name: str,
    images_max: int,
    seed: int,
    kept_in: str | None = None,
) -> list[Case]:
    """The first case of each kind of file system."""
    start = Start.EMPTY if audited.given is None else Start.GIVEN
    return [
        Case(audited, kind, start, directory_name, images_max=images_max, seed=seed, kept_in=kept_in) for kind in kinds
    ]
