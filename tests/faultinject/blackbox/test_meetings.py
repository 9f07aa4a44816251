"""Which tails are recorded, and what is kept of them."""

from __future__ import annotations

import errno
from pathlib import Path

from faultinject.blackbox.meetings import Meetings, Step
from faultinject.blackbox.overlay import Base, Overlay
from faultinject.blackbox.rewound import Rewound
from faultinject.blackbox.tree import Tree
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ops import Op
from faultinject.oracle import Reported
from tests.faultinject.blackbox.rewound import checkpoint, cut, single, until
from tests.faultinject.blackbox.test_checkpoint import CHANGER, calls_after
from tests.faultinject.blackbox.traced import compiled, needs_linux

pytestmark = needs_linux


def outcome(said: str = "") -> Rewound:
    tree = Tree.of({}, {}, 10)
    return Rewound(Reported.SUCCESS, said, said, Overlay(Base(tree.copy(), tree, lambda _: None)))


def test_steps_are_found_by_state_and_by_how_soon_they_come(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            meetings = Meetings(point)
            steps = {}
            for nth, result in ((0, 1), (0, 2), (1, 1)):
                point.proceed(result)
                calls_after(process, 1)
                assert meetings.find(nth, b"registers") is None
                steps[nth, result] = meetings.record(nth, b"registers", 32, (0,))
                point.restore(mask=False)
            for nth, result in ((0, 2), (0, 1), (1, 1), (0, 2)):
                point.proceed(result)
                calls_after(process, 1)
                assert meetings.find(nth, b"registers") is steps[nth, result]
                assert meetings.find(nth, b"other registers") is None
                assert meetings.find(2, b"registers") is None
                assert [meetings.expects(one) for one in range(3)] == [True, True, False]
                point.restore(mask=False)


def test_states_that_nobody_comes_to_are_forgotten(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            meetings = Meetings(point)
            for result in (1, 2, 2, 2, 2, 1):
                point.proceed(result)
                calls_after(process, 1)
                if result == 2:
                    assert meetings.find(0, b"") is None
                elif not meetings._steps:
                    meetings.record(0, b"", 32, (0,))
                else:
                    assert meetings.find(0, b"") is None, "it was compared four times for nothing"
                point.restore(mask=False)


def test_what_comes_late_is_recorded_and_not_found(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            meetings = Meetings(point)
            assert meetings.record(1000, b"", 32, (0,)).snapshot is None
            assert meetings.find(1000, b"") is None


def test_of_many_tails_that_meet_none_few_are_recorded(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            meetings = Meetings(point)
            recorded = []
            for number in range(40):
                if meetings.wants(cut(3, number)):
                    recorded.append(number)
                meetings.count(cut(3, number))
            assert recorded == [1, 2, 3, 4, 8, 16, 32]
            assert not meetings.wants(Fault(FaultClass.ERROR, Form.SHORT, 3, Op.WRITE, 5))
            assert not meetings.wants(Fault(FaultClass.ERROR, Form.CUT, 3, Op.WRITE, 5, error=errno.EIO))


def test_outcomes_are_kept_where_they_help() -> None:
    helps, barren = Step(b"", 0, (), None), Step(b"", 0, (), None)
    helps.learn("model", outcome("first"))
    found = helps.outcome("model")
    assert found is not None
    assert found.said == "first"
    for number in range(100):
        helps.learn(number, outcome())
        barren.learn(number, outcome())
    assert helps.learns
    assert helps.outcome("model") is not None
    assert not barren.learns
    assert barren.outcome(1) is None


def test_of_large_tails_only_so_much_is_kept(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            meetings = Meetings(point)
            step = Step(b"", 0, (), None)
            step.handed[0, 0] = bytes(1 << 24)
            assert meetings.has_room
            for _ in range(2):
                meetings.keep(step)
            assert not meetings.has_room
