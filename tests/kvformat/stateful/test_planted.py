"""The machine is itself tested: it finds what is planted, soon, and shows it in a few lines."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.kvformat.stateful.machine import StoreMachine
from tests.kvformat.stateful.model import ViolationError
from tests.kvformat.stateful.planted import PLANTED

STEPS_MAX = 8_000
"""Within so many steps, shrinking aside, each must be found."""

LINES_MAX = 8  # at most 8 steps are made; temp names are random, so that shrinking ends now here, now there
"""Of an example: changes, and what goes wrong in them."""


@pytest.mark.parametrize("machine", PLANTED, ids=lambda machine: machine.__name__)
def test_what_is_planted_is_found_and_shown_in_a_few_lines(machine: type[StoreMachine]) -> None:
    violation, clause = PLANTED[machine]
    machine.steps = 0
    found = settings(
        max_examples=STEPS_MAX // 8,
        stateful_step_count=8,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
    )
    with pytest.raises(ViolationError, match=f"{violation}|at once left") as caught:
        run_state_machine_as_test(machine, settings=found)
    shown = [line.strip() for line in "\n".join(caught.value.__notes__).splitlines()]
    steps = [line for line in shown if "state." in line and "a_listing_is" not in line and "teardown" not in line]
    assert 1 <= len(steps) <= LINES_MAX, f"{clause}: {steps}"
