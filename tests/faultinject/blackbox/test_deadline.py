from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from faultinject.blackbox.deadline import Deadline


def test_acts_while_its_caller_waits_in_a_call() -> None:
    out, into = os.pipe()
    deadline = Deadline(0.05, lambda: os.close(into))
    deadline.arm()
    began = time.monotonic()
    assert os.read(out, 1) == b""  # the handler ran, and the call was made again
    assert 0.04 < time.monotonic() - began < 2
    deadline.disarm()
    os.close(out)


def test_does_not_act_once_it_is_disarmed() -> None:
    acted: list[int] = []
    deadline = Deadline(0.03, lambda: acted.append(1))
    deadline.disarm()
    deadline.arm()
    deadline.disarm()
    deadline.disarm()
    time.sleep(0.06)
    assert not acted


def test_puts_back_the_handler_and_the_timer_of_somebody_else() -> None:
    rang: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 10, 3)
        mine = signal.getsignal(signal.SIGALRM)
        deadline = Deadline(5, lambda: None)
        deadline.arm()
        assert signal.getsignal(signal.SIGALRM) is not mine
        time.sleep(0.02)
        deadline.disarm()
        assert signal.getsignal(signal.SIGALRM) is mine
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 9 < left < 9.99
        assert interval == pytest.approx(3)
        # One that should have rung in the meantime rings at once.
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        deadline = Deadline(5, lambda: None)
        deadline.arm()
        time.sleep(0.03)
        assert not rang
        deadline.disarm()
        time.sleep(0.01)
        assert len(rang) == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread() -> None:
    acted: list[bool] = []

    def work() -> None:
        for wait in (True, False):
            deadline = Deadline(0.03, lambda: acted.append(True))
            deadline.arm()
            time.sleep(0.08 if wait else 0)
            deadline.disarm()
        time.sleep(0.06)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert acted == [True]


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_lies_in_the_future(seconds: float) -> None:
    with pytest.raises(ValueError, match="future"):
        Deadline(seconds, lambda: None)


def test_one_clock_serves_all_threads_in_the_order_of_their_times() -> None:
    acted: list[str] = []

    def work() -> None:
        deadlines = [Deadline(seconds, lambda name=name: acted.append(name)) for name, seconds in TIMES]  # type: ignore[misc]
        for deadline in deadlines:
            deadline.arm()
        deadlines[2].disarm()
        time.sleep(0.25)
        for deadline in deadlines:
            deadline.disarm()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert acted == ["soon"] * 3 + ["later"] * 3
    assert sum(thread.name == "deadlines" for thread in threading.enumerate()) == 1


TIMES = [("later", 0.16), ("soon", 0.04), ("never", 0.1), ("long after", 60.0)]


def test_a_deadline_that_acts_is_waited_for() -> None:
    steps: list[str] = []

    def act() -> None:
        steps.append("begins")
        time.sleep(0.1)
        steps.append("ends")

    def work() -> None:
        deadline = Deadline(0.02, act)
        deadline.arm()
        time.sleep(0.06)
        deadline.disarm()
        steps.append("disarmed")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert steps == ["begins", "ends", "disarmed"]
