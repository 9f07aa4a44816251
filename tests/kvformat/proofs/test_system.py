"""The prover itself: what is wrong is refuted, what says nothing is vacuous, and paths are the shortest ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import z3

from kvformat.proofs.program import TRUE
from kvformat.proofs.system import Answer, Obligation, Property, State, Step, System, shortest_path

TIMEOUT_MS = 10_000


def counter(step_by: int = 2, *, bound: int = 100) -> System:
    """A program that adds to a number for ever, and a fault that spoils it."""
    return System(
        "counter",
        {"pc": z3.IntSort(), "n": z3.IntSort()},
        frozenset(),
        frozenset(),
        ("loop",),
        lambda _: TRUE,
        lambda s: z3.And(s.pc == 0, s.n == 0),
        (
            Step("loop", "add", "done", "loop", lambda s: s.n < bound, lambda s: {"n": s.n + step_by}),
            Step("loop", "add", "fails", "loop", lambda s: s.n == 6, lambda s: {"n": s.n + 1}, fault=True),
        ),
        (("it is even", lambda s: s.n % 2 == 0),),
        (Property("it is never odd", "KVS-INV-1", "partial-visible", lambda s: s.n % 2 == 0),),
    )


def answers(system: System) -> dict[str, Answer]:
    return {one.name: one.answer(TIMEOUT_MS) for one in system.obligations()}


def test_an_invariant_that_a_step_breaks_is_refuted_at_that_step() -> None:
    found = answers(counter())
    assert found["loop: add, fails keeps the invariant"] is Answer.REFUTED
    assert set(found.values()) == {Answer.PROVED, Answer.REFUTED}
    assert set(answers(replace(counter(), steps=counter().steps[:1])).values()) == {Answer.PROVED}


def test_a_start_without_the_invariant_is_refuted() -> None:
    wrong = replace(counter(), start=lambda s: z3.And(s.pc == 0, s.n == 1))
    assert answers(wrong)["the start has the invariant"] is Answer.REFUTED


def test_an_invariant_too_weak_for_the_property_is_refuted() -> None:
    weak = replace(counter(), invariant=(("anything", lambda _: TRUE),))
    assert answers(weak)["the invariant implies: it is never odd [KVS-INV-1]"] is Answer.REFUTED


def test_what_assumes_the_impossible_is_vacuous_and_not_proved() -> None:
    """Else a step that can never be taken, or an invariant that nothing has, would look like a proof."""
    never = replace(counter(), steps=(Step("loop", "add", "done", "loop", lambda s: z3.And(s.n < 0, s.n > 0)),))
    assert answers(never)["loop: add, done keeps the invariant"] is Answer.VACUOUS
    nobody = replace(counter(), invariant=(("nothing", lambda s: s.n != s.n),))
    assert Answer.VACUOUS in answers(nobody).values()


def test_what_the_solver_cannot_tell_is_unknown() -> None:
    a, b, c = z3.Ints("a b c")
    hard = Obligation("fermat", "cubes", (a > 1, b > 1, c > 1), a * a * a + b * b * b != c * c * c)
    assert hard.answer(200) is Answer.UNKNOWN


def odd(state: State) -> z3.BoolRef:
    return state.n % 2 == 1


def test_the_shortest_path_is_found_with_its_values() -> None:
    path = shortest_path(counter(), odd, steps_max=10)
    assert path is not None
    assert [step.outcome for step in path.steps] == ["done", "done", "done", "fails"]
    assert [path.value("n", place) for place in range(5)] == [0, 2, 4, 6, 7]


@pytest.mark.parametrize(("steps_max", "faults_max"), [(3, 1), (10, 0)])
def test_no_path_is_made_up(steps_max: int, faults_max: int) -> None:
    assert shortest_path(counter(), odd, steps_max=steps_max, faults_max=faults_max) is None


def test_an_unknown_variable_is_a_mistake_of_the_model() -> None:
    with pytest.raises(AttributeError, match="no variable"):
        _ = counter().state(0).m
