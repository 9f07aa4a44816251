"""The store under everything at once: in memory with losses of power, on real files with real kills."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.kvformat.stateful.grounds import RealGround
from tests.kvformat.stateful.machine import StoreMachine

EXAMPLES, STEPS = 150, 30
REAL_EXAMPLES = 25


def run(machine: type[StoreMachine], examples: int) -> None:
    """So many; a profile that explores runs its own number."""
    exploring = settings().max_examples > 100  # the default of Hypothesis
    chosen = settings(max_examples=settings().max_examples if exploring else examples, stateful_step_count=STEPS)
    run_state_machine_as_test(machine, settings=chosen)


def test_in_memory() -> None:
    """Everything was met that may go wrong: what did not happen was not tested."""

    class InMemory(StoreMachine):
        steps = 0
        seen: ClassVar[Counter[str]] = Counter()

    run(InMemory, EXAMPLES)
    assert InMemory.steps >= 2_000
    wanted = {
        *(f"{change} {form}" for change in ("Save", "Touch", "ReplaceToolMap", "Remove") for form in ("errno", "kill")),
        *("Save cut", "Save short"),
        *(f"{change} during Save" for change in ("Save", "Touch", "ReplaceToolMap", "Remove")),
        *("recovery errno", "recovery kill", "power lost", "power lost in a save"),
    }
    assert wanted - InMemory.seen.keys() == set()


def test_on_real_files() -> None:
    """A kill is a SIGKILL of a process; power is not lost here."""

    class OnRealFiles(StoreMachine):
        steps = 0
        seen: ClassVar[Counter[str]] = Counter()
        ground_type = RealGround

    run(OnRealFiles, REAL_EXAMPLES)
    assert OnRealFiles.steps >= 500
    assert {"Save kill", "Save errno"} <= OnRealFiles.seen.keys()
