"""Runs the program on a new file system and writes down what reaches the disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from faultinject.blackbox.baseline import APART_SECONDS, UnusableError
from faultinject.blackbox.formats import Known, format_of
from faultinject.blackbox.masks import Masks
from faultinject.blackbox.place import Plainly
from faultinject.blackbox.state import State
from faultinject.oracle import Reported
from faultinject.powercut.case import Case
from faultinject.powercut.confined import Inside
from faultinject.powercut.disk import Entry, Survivors
from faultinject.powercut.programs import run
from faultinject.powercut.scene import MountedScene
from faultinject.powercut.session import Session, UnmountableError


@dataclass(frozen=True, slots=True)
class Recording:
    """What is known of a run without a loss of power.

    log: from the program's start on. acknowledged_at: how many entries it had when success was reported. old, new:
    before and after. again: after one more run on top, None where that fails. masks: what differs between two runs.
    """

    log: tuple[Entry, ...]
    acknowledged_at: int
    old: State
    new: State
    again: State | None
    masks: Masks
    notes: tuple[str, ...]


def record(case: Case, inside: Inside, session: Session, scene: MountedScene) -> Recording:
    """Makes the start, runs the program, and lets the file system write all of it.

    Raises UnusableError where the program cannot be judged from this start.
    """
    known = format_of(case.audited)
    _make(session, scene, known)
    marks: list[int] = []
    with session.mounted():
        old = scene.read()
        session.sync()
        inside.disk.begin()
        ran = run(scene.program(), lambda: marks.append(inside.disk.position()))
        _check(ran)
        scene.sync_witness()
        inside.wait(max(case.settle_seconds, APART_SECONDS))
        session.sync()
        log = tuple(inside.disk.log())
        new = scene.read()
    if new == old:
        raise UnusableError("it changes nothing in the watched directories")
    inside.disk.show(Survivors(0))
    with session.mounted():
        _check(scene.run_plainly(scene.program()))
        other = scene.read()
        again = scene.read() if scene.run_plainly(scene.program()).reported is Reported.SUCCESS else None
    masks = Masks.of(new, other, old, known.normalise)
    notes = list(masks.sentences())
    if again is None:
        notes.append("run once more on its own result, the program fails: repetitions on that are not judged")
    return Recording(log, marks[0], old, new, again, masks, tuple(notes))


def _make(session: Session, scene: MountedScene, known: Known) -> None:
    try:
        with session.mounted():
            scene.make(known)
            session.sync()
    except UnmountableError as error:
        raise UnusableError(f"{error} (are the mount options right?)") from error
    except OSError as error:
        why = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise UnusableError(f"what it is to start with, {scene.audited.given}, cannot be copied: {why}") from error


def _check(ran: Plainly) -> None:
    if ran.timed_out:
        raise UnusableError(f"without a fault it {ran.said}")
    if ran.reported is not Reported.SUCCESS:
        how = f"reported {ran.reported}"
        raise UnusableError(f"without a fault it did not report success ({how}): {ran.said or 'it said nothing'}")
