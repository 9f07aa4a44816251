"""Injected signals and the user's own are told apart."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from faultinject.execute import Executor
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ground import MemoryGround
from faultinject.ops import Op
from faultinject.signals import (
    InjectedInterrupt,
    InjectedTermination,
    RealTermination,
    send_signal,
    signals_raise,
)
from kvformat.filesystem import FileSystem
from tests.faultinject.programs import Tiny, saver


def test_an_injected_signal_and_a_real_one_raise_different_exceptions() -> None:
    with signals_raise():
        with pytest.raises(InjectedInterrupt):
            send_signal("SIGINT")
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(signal.SIGINT)
        assert type(caught.value) is KeyboardInterrupt
        with pytest.raises(InjectedTermination):
            send_signal("SIGTERM")
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
        assert type(ended.value) is RealTermination


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ValueError, match="x"), signals_raise():
        raise ValueError("x")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def raising(error: Callable[[], object]) -> Callable[[FileSystem], None]:
    def act(fs: FileSystem) -> None:
        error()
        saver()(fs)

    return act


FAULTS = [
    Fault(FaultClass.INTERRUPT, Form.RAISE_BEFORE, 0, Op.OPEN, what="InjectedError"),
    Fault(FaultClass.ERROR, Form.ERRNO, 0, Op.OPEN, error=5),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_real_interrupt_ends_the_sweep(fault: Fault) -> None:
    prepared = Tiny(raising(lambda: signal.raise_signal(signal.SIGINT)))
    executor = Executor(prepared, MemoryGround(prepared))
    with pytest.raises(KeyboardInterrupt) as caught, executor.signals(fault.fault_class):
        executor.run(fault)
    assert type(caught.value) is KeyboardInterrupt


def test_a_real_termination_ends_the_sweep() -> None:
    prepared = Tiny(raising(lambda: signal.raise_signal(signal.SIGTERM)))
    executor = Executor(prepared, MemoryGround(prepared))
    with pytest.raises(SystemExit), executor.signals(FaultClass.INTERRUPT):
        executor.run(FAULTS[0])


def test_a_real_interrupt_while_a_kill_is_confirmed_ends_the_sweep() -> None:
    def act(fs: FileSystem) -> None:
        try:
            saver()(fs)
        except BaseException:  # noqa: BLE001 - a real Ctrl-C takes the place of any
            raise KeyboardInterrupt from None  # as if Ctrl-C came while it dies

    prepared = Tiny(act)
    with pytest.raises(KeyboardInterrupt):
        MemoryGround(prepared).kill(Fault(FaultClass.KILL, Form.KILL, 1, Op.PWRITE))


_IN_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from faultinject.faults import FaultClass
from faultinject.kvc import targets
from faultinject.sweep import sweep, units
with ThreadPoolExecutor(1) as pool:
    (run,) = sweep(units(targets()[:1], [FaultClass.INTERRUPT]), pool)
count = run.classes[FaultClass.INTERRUPT]
assert count.not_measured and not count.harness_errors, count
"""


def test_outside_the_main_thread_signals_are_not_measured() -> None:
    done = subprocess.run([sys.executable, "-c", _IN_THREADS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
