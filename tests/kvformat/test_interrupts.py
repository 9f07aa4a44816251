"""Signals at every bytecode of a save and of an update: KVS-FAIL-2, KVS-FAIL-4, KVS-INV-1, KVS-INV-2."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType

import pytest

from kvformat import interrupts
from kvformat.interrupts import InterruptGate
from kvformat.model import ToolEntry
from kvformat.options import SaveResult, Strategy
from kvformat.payload import as_payload
from kvformat.temp_names import TempKind
from kvformat.writer import save
from tests.kvformat.saving import (
    KINDS,
    NAME,
    NEW,
    OLD,
    PAYLOAD,
    SERIAL,
    SignalAt,
    Unsynced,
    counts,
    descriptors,
    links,
    options,
    store_of,
)

_Handler = Callable[[int, FrameType | None], object]

RAISING: dict[int, _Handler] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGALRM: lambda *_: _raise(KeyboardInterrupt("alarm")),
}


def _raise(error: BaseException) -> None:
    raise error


@contextlib.contextmanager
def handled(number: int, handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    before = signal.getsignal(number)
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


class _Sweep:
    """What went wrong where, by kind, when one action was interrupted at every bytecode in turn."""

    def __init__(self, root: Path, action: Callable[[Unsynced], object], number: int, step: int) -> None:
        self.root = root
        self.fs = Unsynced(root)
        self.action = action
        self.number = number
        self.wrong: dict[str, list[str]] = {}
        self.points = 0
        self.new: bytes | None = None
        handler = RAISING[number]
        with handled(number, handler):
            self._prepare()
            action(self.fs)
            self.new = (root / NAME).read_bytes()
            while self._attempt(self.points * step, handler):
                self.points += 1
        self.fs.shut()

    def _prepare(self) -> None:
        for name in os.listdir(self.root):
            (self.root / name).unlink()
        (self.root / NAME).write_bytes(OLD)

    def _attempt(self, due: int, handler: _Handler) -> bool:
        self._prepare()
        before = descriptors_now()
        at = SignalAt(due, self.number)
        error = at.run(lambda: self.action(self.fs))
        left = signal.getsignal(self.number)
        # Whatever was left wrong must not disturb the next attempt, nor the rest of the tests.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(self.number, handler)
        stuck = interrupts._current is not None
        interrupts._current = None
        if at.place is None:
            return False
        if os.listdir(self.root) != [NAME]:
            self._note("temp-leaked", f"{at.place}: {sorted(os.listdir(self.root))}")
        if descriptors_now() != before:
            self._note("descriptor-leaked", at.place)
        now = (self.root / NAME).read_bytes()
        if now not in (OLD, self.new):
            self._note("partial-visible", at.place)
        chain = links(error)
        if sum(isinstance(link, KeyboardInterrupt) for link in chain) != 1:
            self._note("not-raised-once", f"{at.place}: {chain}")
        if not isinstance(error, KeyboardInterrupt):
            self._note("swallowed", f"{at.place}: {error!r}")
        if left is not handler or stuck:
            self._note("not-restored", at.place)
        notes = "\n".join(note for link in chain for note in getattr(link, "__notes__", ()))
        if now == self.new and "IS visible" not in notes:
            self._note("visible-not-said", at.place)
        if now == OLD and "IS visible" in notes:
            self._note("visible-is-untrue", at.place)
        return True

    def _note(self, kind: str, what: str) -> None:
        self.wrong.setdefault(kind, []).append(what)


def descriptors_now() -> int:
    return len(os.listdir("/proc/self/fd"))


def _save(strategy: Strategy, temp: TempKind) -> Callable[[Unsynced], object]:
    def action(fs: Unsynced) -> SaveResult:
        payload = as_payload([PAYLOAD[:60], PAYLOAD[60:]], len(PAYLOAD))
        return save(fs, SERIAL, payload, strategy=strategy, options=options(temp, durable=True))

    return action


def _failing_save(fs: Unsynced) -> None:
    """A save whose producer raises: what is interrupted is mostly cleaning up."""

    def pieces() -> Iterator[bytes]:
        yield PAYLOAD[:60]
        raise ValueError("the producer's own")

    with contextlib.suppress(ValueError):
        save(fs, SERIAL, as_payload(pieces()), strategy=Strategy.STAGED, options=options(TempKind.NAMED))


@cache
def _swept(what: str, temp: TempKind, number: int = signal.SIGINT) -> _Sweep:
    actions: dict[str, Callable[[Unsynced], object]] = {
        "failing": _failing_save,
        "touch": lambda fs: store_of(fs).touch(NAME),
        "replace": lambda fs: store_of(fs).replace_tool_map(NAME, (ToolEntry(b"i", b"b"),), options=options(temp)),
    }
    action = actions.get(what) or _save(Strategy(what), temp)
    # Every bytecode of every save; a replaced tool map goes through the same save, an alarm only needs an example.
    step = 3 if what == "replace" or number != signal.SIGINT else 1
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as root:
        return _Sweep(Path(root), action, number, step)


SWEPT = [(str(strategy), temp) for strategy, temp in KINDS]
UPDATES = [("touch", TempKind.AUTO), ("replace", TempKind.NAMED), ("replace", TempKind.UNNAMED)]
FAILING = [("failing", TempKind.NAMED)]


@pytest.mark.parametrize(("what", "temp"), [*SWEPT, *UPDATES, *FAILING])
@pytest.mark.parametrize(
    "kind", ["temp-leaked", "descriptor-leaked", "partial-visible", "not-raised-once", "swallowed", "visible-is-untrue"]
)
def test_ctrl_c_at_every_bytecode(what: str, temp: TempKind, kind: str) -> None:
    """KVS-FAIL-2, KVS-FAIL-4, KVS-INV-1, KVS-INV-2: SIGINT at bytecode 0, 1, 2, … until the operation ends."""
    sweep = _swept(what, temp)
    assert sweep.points > 300  # it really went through the operation
    assert sweep.wrong.get(kind, []) == []


@pytest.mark.parametrize(("what", "temp"), [*SWEPT, *UPDATES])
def test_ctrl_c_at_every_bytecode_leaves_the_handlers_as_they_were(what: str, temp: TempKind) -> None:
    """KVS-FAIL-4."""
    assert _swept(what, temp).wrong.get("not-restored", []) == []


@pytest.mark.parametrize(("what", "temp"), SWEPT)
def test_an_interrupt_says_whether_the_new_entry_is_visible(what: str, temp: TempKind) -> None:
    """KVS-FAIL-1: what comes out of `save` says so, also where it was raised after publication."""
    wrong = _swept(what, temp).wrong.get("visible-not-said", [])
    # The bytecodes before the gate is up and after it is gone are the caller's.
    assert [place for place in wrong if "publish" in place or "rename" in place or "release" in place] == []


def test_an_alarm_that_raises_leaves_nothing() -> None:
    """KVS-FAIL-4 says "signals that the program turns into exceptions", not three of them."""
    sweep = _swept("direct", TempKind.NAMED, number=signal.SIGALRM)
    assert sweep.wrong.get("temp-leaked", []) == []
    assert sweep.wrong.get("descriptor-leaked", []) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_handler_waits_for_a_checkpoint_and_runs_once(number: int) -> None:
    """KVS-FAIL-4."""
    calls: list[int] = []
    with handled(number, lambda got, _: calls.append(got)), InterruptGate() as gate:
        signal.raise_signal(number)
        gate.shut()
        assert calls == []
        gate.checkpoint()
        assert calls == [number]
        gate.checkpoint()
        gate.open()
        assert calls == [number]
    assert calls == [number]


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGUSR1, signal.SIGQUIT])
def test_every_handler_waits(number: int) -> None:
    """KVS-FAIL-4: an alarm whose handler raises TimeoutError is as bad as Ctrl-C."""
    calls: list[int] = []
    with handled(number, lambda got, _: calls.append(got)):
        with InterruptGate():
            signal.raise_signal(number)
            seen = list(calls)
        assert seen == []
        assert calls == [number]


def test_a_waiting_handler_runs_at_the_end() -> None:
    """KVS-FAIL-4: "and after the end of the save"."""
    calls: list[str] = []
    with handled(signal.SIGTERM, lambda *_: calls.append("handler")):
        with InterruptGate():
            signal.raise_signal(signal.SIGTERM)
            calls.append("body")
        assert calls == ["body", "handler"]
        signal.raise_signal(signal.SIGTERM)
        assert calls == ["body", "handler", "handler"]


def test_what_a_waiting_handler_raises_comes_beside_the_error_of_the_body() -> None:
    """KVS-FAIL-3: neither of the two is lost."""
    with pytest.raises(KeyboardInterrupt) as caught, InterruptGate():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("of the body")
    assert isinstance(caught.value.__context__, ValueError)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_open_gate_lets_handlers_run_at_once_and_shuts_before_they_do() -> None:
    """KVS-FAIL-4: what the handler raises finds the gate shut, so that a second Ctrl-C cannot hurt."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), InterruptGate() as gate:
        gate.open()
        try:
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the handler did not run")
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)  # in the middle of cleaning up: it waits
            done.append("cleaned up")
    assert done == ["cleaned up"]


def test_opening_a_gate_runs_what_waits() -> None:
    """KVS-FAIL-4: "while the payload's producer runs"."""
    with InterruptGate() as gate:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            gate.open()


def test_gates_nest_and_the_outermost_gives_the_handlers_back() -> None:
    calls: list[int] = []
    with handled(signal.SIGINT, lambda got, _: calls.append(got)):
        original = signal.getsignal(signal.SIGINT)
        with InterruptGate() as outer:
            installed = signal.getsignal(signal.SIGINT)
            with InterruptGate():
                signal.raise_signal(signal.SIGINT)
            assert calls == []
            assert signal.getsignal(signal.SIGINT) == installed
            outer.checkpoint()
            assert calls == [signal.SIGINT]
            outer.open()
            with InterruptGate():
                signal.raise_signal(signal.SIGINT)
                assert len(calls) == 1
            signal.raise_signal(signal.SIGINT)
            assert len(calls) >= 2  # the outer one is as open as it was
        assert len(calls) == 3
        assert signal.getsignal(signal.SIGINT) is original


def test_an_inner_gate_inside_an_open_one_delivers_at_its_end() -> None:
    """KVS-FAIL-4: a producer that touches an entry and then computes for an hour must not be deaf to Ctrl-C."""
    calls: list[int] = []
    with handled(signal.SIGINT, lambda got, _: calls.append(got)), InterruptGate() as outer:
        outer.open()
        with InterruptGate():
            signal.raise_signal(signal.SIGINT)
        seen = list(calls)
    assert seen == [signal.SIGINT]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_of_two_waiting_signals_neither_is_lost(first: int) -> None:
    """KVS-FAIL-4: Ctrl-C while the service manager's SIGTERM waits."""
    second = signal.SIGTERM if first == signal.SIGINT else signal.SIGINT
    calls: list[int] = []

    def raising(got: int, _: FrameType | None) -> None:
        calls.append(got)
        raise KeyboardInterrupt

    with handled(first, raising), handled(second, lambda got, _: calls.append(got)):
        with pytest.raises(KeyboardInterrupt), InterruptGate():
            signal.raise_signal(first)
            signal.raise_signal(second)
        assert calls == [first, second]


def test_two_signals_whose_handlers_return_run_in_order() -> None:
    calls: list[int] = []
    with (
        handled(signal.SIGINT, lambda got, _: calls.append(got)),
        handled(signal.SIGTERM, lambda got, _: calls.append(got)),
        InterruptGate(),
    ):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert calls == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]


def test_outside_the_main_thread_a_gate_does_nothing() -> None:
    seen: list[object] = []

    def run() -> None:
        with InterruptGate() as gate:
            seen.append(signal.getsignal(signal.SIGINT))
            gate.open()
            gate.shut()
            gate.checkpoint()
        seen.append(interrupts._current)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler, None]


def test_a_thread_does_not_use_the_gate_of_the_main_thread() -> None:
    """The main thread's gate stays as shut as it was whatever a thread's gate does."""
    calls: list[int] = []
    with handled(signal.SIGTERM, lambda got, _: calls.append(got)), InterruptGate():

        def run() -> None:
            with InterruptGate() as gate:
                gate.open()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        signal.raise_signal(signal.SIGTERM)
        assert calls == []
    assert calls == [signal.SIGTERM]


def test_an_ignored_signal_stays_ignored() -> None:
    with handled(signal.SIGHUP, signal.SIG_IGN):
        with InterruptGate() as gate:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
            gate.checkpoint()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_kills_still_kills(number: int) -> None:
    """A save of many GiB can be ended with plain SIGTERM; recovery is for the rest."""
    code = (
        "import signal\nfrom kvformat.interrupts import InterruptGate\n"
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"
        f"with InterruptGate():\n    signal.raise_signal({int(number)})\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == -number


def test_a_handler_that_the_callers_own_code_installs_stays() -> None:
    """Only what the gate has changed is the gate's to put back."""
    mine: Callable[[int, FrameType | None], object] = lambda *_: None  # noqa: E731 - compared by identity
    with handled(signal.SIGINT, signal.default_int_handler):
        with InterruptGate() as gate:
            gate.open()
            signal.signal(signal.SIGINT, mine)
        assert signal.getsignal(signal.SIGINT) is mine


def test_a_save_goes_on_when_a_handler_returns(tmp_path: Path) -> None:
    """KVS-FAIL-4: a handler that only sets a flag ends no save, wherever it arrives."""
    calls: list[int] = []
    fs = Unsynced(tmp_path)
    before = descriptors()
    with handled(signal.SIGINT, lambda got, _: calls.append(got)):
        due = 0
        while True:
            at = SignalAt(due)
            error = at.run(lambda: _save(Strategy.STAGED, TempKind.NAMED)(fs))
            assert error is None
            assert (tmp_path / NAME).read_bytes() == NEW
            if at.place is None:
                break
            assert len(calls) == 1, at.place
            calls.clear()
            due += 7
    assert due > 300
    assert os.listdir(tmp_path) == [NAME]
    assert descriptors() == before


def test_an_interrupted_touch_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """KVS-TOUCH-2: never one field new and the other old."""
    fs = Unsynced(tmp_path)
    hits, used = counts(OLD)
    for due in range(0, 20000, 7):
        (tmp_path / NAME).write_bytes(OLD)
        at = SignalAt(due)
        at.run(lambda: store_of(fs).touch(NAME, last_used=used + 1))
        assert counts((tmp_path / NAME).read_bytes()) in ((hits, used), (hits + 1, used + 1)), at.place
        if at.place is None:
            return
    pytest.fail("the touch never ended")
