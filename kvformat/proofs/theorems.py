"""Every theorem with its obligations, and every mistake with what the solver must find (spec/proofs/README.md)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kvformat.proofs import lemmas, sizes
from kvformat.proofs.recovery import recovery
from kvformat.proofs.save_flow import STRATEGIES
from kvformat.proofs.saving import saving
from kvformat.proofs.system import Answer, Obligation
from kvformat.proofs.updates import remove, touch

TIMEOUT_MS = 60_000
"""An obligation takes milliseconds; one that takes so long is not proved."""


@dataclass(frozen=True)
class Theorem:
    """One theorem. clauses: of spec/saving.md that it is about."""

    name: str
    sentence: str
    clauses: tuple[str, ...]
    obligations: Callable[[], Iterable[Obligation]]


@dataclass(frozen=True)
class Judged:
    """An obligation, what the solver says of it, and after how long."""

    obligation: Obligation
    answer: Answer
    seconds: float


def _save(strategy: str) -> Theorem:
    name = strategy if strategy == "replace-tool-map" else f"save-{strategy}"
    clauses = ("KVS-TOOLMAP-1",) if strategy == "replace-tool-map" else (f"KVS-{strategy.upper()}-1",)
    return Theorem(
        name,
        "What is published is complete; a failure leaves no temp file and the old entry; a kill leaves nothing that is "
        "seen or cannot be reclaimed; a loss of power leaves the old content or the new, and the new once reported",
        (*clauses, "KVS-SAVE-6", "KVS-FAIL-1", "KVS-DURABLE-2"),
        lambda: saving(strategy).obligations(),
    )


def _alike(strategy: str) -> Theorem:
    name = strategy if strategy == "replace-tool-map" else f"save-{strategy}"
    return Theorem(
        f"{name}-classes",
        "All cuts inside a transfer behave alike, and so do all transfers of one loop",
        ("KVS-CLASS-1", "KVS-CLASS-2"),
        lambda: lemmas.obligations(saving(strategy)),
    )


THEOREMS: tuple[Theorem, ...] = (
    *map(_save, STRATEGIES),
    Theorem(
        "touch",
        "A reader finds the old counts or the new ones, and after success the new, a loss of power included",
        ("KVS-TOUCH-2", "KVS-ATOM-1"),
        lambda: touch().obligations(),
    ),
    Theorem("remove", "What was reported as removed stays so", ("KVS-REMOVE-1",), lambda: remove().obligations()),
    Theorem(
        "recover",
        "A recovery removes what dead writers left, and never what a living one writes",
        ("KVS-RECOVER-2", "KVS-TEMP-3"),
        lambda: recovery().obligations(),
    ),
    Theorem(
        "sizes",
        "The checked sum of sizes does not wrap in 64 bits, and refuses no file that may be",
        ("KVS-SAVE-1", "KVC-FILE-4"),
        sizes.obligations,
    ),
    *map(_alike, STRATEGIES),
)


def prove(theorem: Theorem) -> Iterator[Judged]:
    """Asks the solver each obligation of a theorem."""
    for obligation in theorem.obligations():
        start = time.monotonic()
        answer = obligation.answer(TIMEOUT_MS)
        yield Judged(obligation, answer, time.monotonic() - start)


def lemma_is_looked_at() -> bool:
    """Whether the lemmas are refuted for a program of which they are not true."""
    wrong = lemmas.prying(saving("direct"))
    return any(one.answer(TIMEOUT_MS) is Answer.REFUTED for one in lemmas.interior(wrong))
