"""Every image of a case, mounted and looked at: what a program finds after the loss of power, and whether it may."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from faultinject.blackbox.aftermath import aftermath_of
from faultinject.blackbox.masks import Masks
from faultinject.blackbox.state import NodeKind, State
from faultinject.inject import HarnessError
from faultinject.oracle import Finding, Kind, Reported
from faultinject.powercut.case import Case
from faultinject.powercut.confined import Inside, confined
from faultinject.powercut.images import Image, chosen, images
from faultinject.powercut.keeping import image_name, write_sparse
from faultinject.powercut.recording import Recording, record
from faultinject.powercut.scene import MountedScene
from faultinject.powercut.session import Session, made


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one image came to.

    number: of the image, among those tried. same_as: the number of an earlier image that is the same disk with the same
    report, so that this one was not mounted; None where it was. state: what the watched directories held, None where it
    could not be read. problem: why nothing was measured, else empty. kept: the file that holds the image, else empty.
    """

    number: int
    image: Image
    same_as: int | None
    state: State | None
    findings: tuple[Finding, ...]
    problem: str = ""
    kept: str = ""


def cause_of(finding: Finding, masks: Masks) -> tuple[Kind, str, str]:
    """What two images must share to show one violation: numbers in the sentence do not count."""
    return finding.kind, masks.path(finding.name), re.sub(r"\d+", "0", finding.detail)


def examined(case: Case) -> Generator[Recording | Outcome, None, None]:
    """The recording, and then the outcome of each image. When the iterator is closed, nothing of it is left.

    Needs root. Raises UnusableError where the program cannot be judged from the start, LaunchError where it cannot be
    started, and HarnessError where a file system cannot be set up.
    """
    with confined(partial(_work, case), case.kind.file_system.size_bytes) as messages:
        yield from messages


@dataclass(frozen=True, slots=True)
class CrashState:
    """A state that a real file system was found in after a loss of power.

    description: which of the logged writes had reached the disk. acknowledged: whether the program had reported
    success. state: what the watched directories held, by key; $TMPDIR is one of them.
    """

    description: str
    acknowledged: bool
    state: State


def crash_states(case: Case) -> Iterator[CrashState]:
    """Every distinct image of a case as a program finds it, for models of persistence to be held against.

    Raises as `examined`, and HarnessError for an image that cannot be mounted or read: it is in no model.
    """
    recording = None
    examination = examined(replace(case, judged=False))
    try:
        for one in examination:
            if isinstance(one, Recording):
                recording = one
            elif one.problem:
                raise HarnessError(one.problem)
            elif one.same_as is None:
                assert recording is not None and one.state is not None, "a recording comes first"
                yield CrashState(one.image.describe(recording.log), one.image.acknowledged, one.state)
    finally:
        examination.close()


def _work(case: Case, inside: Inside) -> Generator[Recording | Outcome, None, None]:
    with made(inside, case.kind) as session:
        scene = MountedScene(case, session)
        recording = record(case, inside, session, scene)
        yield recording
        listed = images(recording.log, recording.acknowledged_at, case.kind.file_system.sector_bytes, case.seed)
        tried = chosen(listed, case.images_max, case.seed)
        yield from _Examination(case, inside, session, scene, recording).outcomes(tried)


class _Examination:
    """Goes through the images of a recording."""

    def __init__(self, case: Case, inside: Inside, session: Session, scene: MountedScene, recording: Recording) -> None:
        self._case = case
        self._inside = inside
        self._session = session
        self._scene = scene
        self._recording = recording
        self._aftermath = aftermath_of(recording, scene) if case.judged else None
        self._known: dict[tuple[int, bool], Outcome] = {}
        self._kept: set[tuple[Kind, str, str]] = set()

    def outcomes(self, tried: Iterable[Image]) -> Iterator[Outcome]:
        for number, image in enumerate(tried):
            key = self._inside.disk.show(image.survivors), image.acknowledged
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = self._outcome(number, image)
                yield replace(known, kept=self._keep(known))
            else:
                yield replace(known, number=number, image=image, same_as=known.number, state=None)

    def _outcome(self, number: int, image: Image) -> Outcome:
        try:
            with self._session.mounted():
                state = self._scene.read()
                return Outcome(number, image, None, state, self._judged(state, acknowledged=image.acknowledged))
        except HarnessError as error:
            self._inside.check()
            return Outcome(number, image, None, None, (), f"{image.describe(self._recording.log)}: {error}")

    def _keep(self, outcome: Outcome) -> str:
        """Writes the image to a file where it is the first one that shows some violation; the name of the file."""
        causes = {cause_of(finding, self._recording.masks) for finding in outcome.findings} - self._kept
        if self._case.kept_in is None or not causes:
            return ""
        self._kept |= causes
        path = os.path.join(self._case.kept_in, image_name(self._case, outcome.number))
        self._inside.disk.show(outcome.image.survivors)  # without what mounting it has changed
        write_sparse(self._inside.file, Path(path))
        return path

    def _judged(self, state: State, *, acknowledged: bool) -> tuple[Finding, ...]:
        if self._aftermath is None:
            return ()
        reported = Reported.SUCCESS if acknowledged else Reported.NOTHING
        found = self._aftermath.of_power_loss(state, reported, there=True)
        return tuple(dict.fromkeys(_in_zeros(finding, state) for finding in found))


def _in_zeros(finding: Finding, state: State) -> Finding:
    """The same, in the words of disks: a file that lost its data can be full of zeros."""
    node = state.get(finding.name)
    zeros = node is not None and node.kind is NodeKind.FILE and node.data and not any(node.data)
    if finding.kind is Kind.PARTIAL_VISIBLE and node is not None and zeros:
        return replace(finding, detail=f"the file has {len(node.data)} bytes, and all are zeros")
    return finding
