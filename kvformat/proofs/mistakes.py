"""Mistakes that programs make, each with the theorem that it breaks, and the fault that shows it.

A proof that could not fail would prove nothing: with each of these in the program, the solver must find a path to a
state that a property forbids. The path is told as one fault of one run, which `faultinject replay` shows on real files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import z3

from kvformat.proofs.program import FAILS
from kvformat.proofs.recovery import recovery
from kvformat.proofs.saving import saving
from kvformat.proofs.system import Path, Property, State, Step, System, shortest_path
from kvformat.proofs.updates import remove, touch

STEPS_MAX = 22
"""No counterexample here is longer."""

TEXT_BYTES, PAYLOAD_BYTES = 3, 5
"""The sizes of a counterexample: any would do, small ones are read more easily."""

_TO_THE_DISK = "the new name reaches the disk"


@dataclass(frozen=True)
class Mistake:
    """One mistake in one operation.

    operation, strategy: of the store. on_the_way: the faults, and what the surroundings do, that a counterexample may
    have; a hint that makes the search short, and no assumption: what is found is a path of the whole system.
    """

    name: str
    sentence: str
    operation: str
    violation: str
    strategy: str = "-"
    durable: bool = True
    on_the_way: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """For example `save-direct/no-sync`."""
        strategy = "" if self.strategy == "-" else f"-{self.strategy}"
        return f"{self.operation}{strategy}/{self.name}"

    def system(self) -> System:
        """The program with the mistake."""
        return _SYSTEMS[self.operation](self.strategy, self.name)


_SYSTEMS: dict[str, Callable[[str, str], System]] = {
    "save": saving,
    "replace-tool-map": lambda _, mistake: saving("replace-tool-map", mistake),
    "touch": lambda _, mistake: touch(mistake),
    "remove": lambda _, mistake: remove(mistake),
    "recover": lambda _, mistake: recovery(mistake),
}

_SAVES = (
    ("no-unlink", "A failed save does not remove its temp file", "temp-leaked", True, (f"payload: pwrite, {FAILS}",)),
    (
        "short-write-ignored",
        "A short write is taken for a whole one",
        "partial-visible",
        True,
        ("payload: pwrite, short",),
    ),
    (
        "write-error-ignored",
        "A write that fails is not noticed",
        "partial-visible",
        True,
        (f"payload: pwrite, {FAILS}",),
    ),
    ("no-sync", "The temp file is not synced before it is published", "partial-visible", True, (_TO_THE_DISK,)),
    ("sync-error-ignored", "A sync that fails is not noticed", "partial-visible", True, (f"sync: fsync, {FAILS}",)),
    (
        "close-error-ignored",
        "A close that fails is not noticed",
        "partial-visible",
        False,
        (f"close duplicate: close, {FAILS}",),
    ),
    ("old-removed-first", "The old entry is removed before the new one is published", "entry-lost", True, ()),
    ("no-directory-sync", "The directory is not synced", "lost-after-ack", True, ()),
)

MISTAKES: tuple[Mistake, ...] = (
    *(Mistake(name, says, "save", violation, "direct", durable, way) for name, says, violation, durable, way in _SAVES),
    Mistake(
        "patched-after-publication",
        "The header is patched after the file is published",
        "save",
        "partial-visible",
        "backpatch",
    ),
    Mistake("staged-file-left", "The staged file is not removed", "save", "temp-leaked", "staged"),
    Mistake("no-directory-sync", "The directory is not synced", "replace-tool-map", "lost-after-ack"),
    Mistake("touched-in-two-writes", "Two writes change one field each", "touch", "partial-visible"),
    Mistake("no-sync", "The change is not synced", "touch", "lost-after-ack"),
    Mistake("no-directory-sync", "The directory is not synced", "remove", "lost-after-ack"),
    Mistake(
        "lock-ignored",
        "A locked file is removed all the same",
        "recover",
        "live-temp-removed",
        on_the_way=("the writer",),
    ),
    Mistake(
        "no-unlink",
        "Nothing is removed",
        "recover",
        "orphan-unreclaimed",
        on_the_way=("the writer creates", "the writer is killed"),
    ),
)


def _fixed(system: System, mistake: Mistake) -> System:
    """The same system with the sizes of the counterexample, and with the steps on the way to it alone."""
    start = system.start

    def small(state: State) -> z3.BoolRef:
        fixed = [start(state)]
        if "text" in system.sorts:
            fixed += [state.text == TEXT_BYTES, state.payload == PAYLOAD_BYTES, state.sections == 0, state.named]
        if "durable" in system.sorts:
            fixed.append(state.durable == mistake.durable)
        return z3.And(fixed)

    steps = tuple(
        step
        for step in system.steps
        if (step.at and not step.fault) or any(_is(step, way) for way in mistake.on_the_way)
    )
    return replace(system, start=small, steps=steps)


def _is(step: Step, way: str) -> bool:
    return step.name == way or (not step.at and step.outcome.startswith(way))


@dataclass(frozen=True)
class Refutation:
    """A path on which a mistake breaks a property."""

    mistake: Mistake
    path: Path
    broken: Property


def refute(mistake: Mistake) -> Refutation | None:
    """The shortest counterexample; None where there is none, which means that the proof sees nothing."""
    system = _fixed(mistake.system(), mistake)
    wanted = [one for one in system.properties if one.violation == mistake.violation]
    faults = sum(1 for step in system.steps if step.fault)
    path = shortest_path(
        system,
        lambda state: z3.Not(z3.And([one.holds(state) for one in wanted])),
        steps_max=STEPS_MAX,
        faults_max=min(faults, 1),
    )
    if path is None:
        return None
    last = system.state(len(path.steps))
    broken = next(one for one in wanted if not z3.is_true(path.model.eval(one.holds(last), model_completion=True)))
    return Refutation(mistake, path, broken)
