"""The run: the smoke questions, then every case, by as many processes of the adapter as are wanted at a time."""

from __future__ import annotations

import queue
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kvformat.conform import disk
from kvformat.conform.answer import Accept, Claims
from kvformat.conform.case import Case
from kvformat.conform.child import StartError, Stopped
from kvformat.conform.inputs import CannotHoldError, prepared, remove_tree
from kvformat.conform.oneshot import OneShot
from kvformat.conform.question import question_of
from kvformat.conform.session import Session
from kvformat.conform.smoke import Adapter, BrokenAdapterError, smoke
from kvformat.conform.verdict import Outcome, Verdict, is_asserted, judge, not_declared
from kvformat.interrupts import InterruptGate

_TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run. `on_outcome` is told of each case as it ends, by any thread.

    `patience` is by how much longer an answer may take than its case says.
    """

    command: Sequence[str]
    suite_version: str
    cases: Sequence[Case]
    one_shot: bool = False
    jobs: int = 1
    patience: float = 1.0
    on_outcome: Callable[[Outcome], None] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it. `endings` says how processes ended that were told to stop and did not end well."""

    claims: Claims
    outcomes: Mapping[str, Outcome]
    endings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """What the threads share."""

    plan: Plan
    scratch: Path
    left: queue.SimpleQueue[Case] = field(default_factory=queue.SimpleQueue)
    stop: threading.Event = field(default_factory=threading.Event)

    def adapter(self) -> Adapter:
        if self.plan.one_shot:
            return OneShot(self.plan.command, self.stop.is_set)
        return Session(self.plan.command, self.plan.suite_version, self.stop.is_set)


def run(plan: Plan) -> Run:
    """Runs it all. Raises BrokenAdapterError, and OSError where the scratch folder fails.

    Whatever comes out of here, also Ctrl-C: no process of the adapter runs any more, and the scratch folder is gone.
    """
    with _children_are_kept(), InterruptGate() as gate:
        scratch = Path(tempfile.mkdtemp(prefix="kvformat-conform-"))
        try:
            work = _Work(plan, scratch)
            # Threads are not interrupted, so that none loses a process between its start and its first line.
            with ThreadPoolExecutor(max_workers=plan.jobs) as pool:
                try:
                    claims = _result(pool.submit(_smoke, work), gate)
                    outcomes, endings = _run_cases(work, claims, pool, gate)
                finally:
                    gate.shut()
                    work.stop.set()
        finally:
            remove_tree(scratch)
    ordered = {case.id: outcomes[case.id] for case in plan.cases}
    return Run(claims, ordered, tuple(endings))


@contextmanager
def _children_are_kept() -> Iterator[None]:
    """Where SIGCHLD is ignored, as some services start programs, the system forgets how a child ended (wait(2))."""
    ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    if ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            yield
        finally:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    else:
        yield


def _smoke(work: _Work) -> Claims:
    adapter = work.adapter()
    try:
        return smoke(adapter, work.scratch)
    except StartError as error:
        raise BrokenAdapterError(str(error)) from error
    finally:
        adapter.close()


def _run_cases(
    work: _Work, claims: Claims, pool: ThreadPoolExecutor, gate: InterruptGate
) -> tuple[dict[str, Outcome], list[str]]:
    for case in work.plan.cases:
        work.left.put(case)
    outcomes: dict[str, Outcome] = {}
    endings: list[str] = []
    threads = [pool.submit(_worker, work, claims, outcomes) for _ in range(work.plan.jobs)]
    for thread in _all(threads, gate):
        ending = thread.result()
        if ending is not None:
            endings.append(ending)
    return outcomes, endings


def _all(threads: Sequence[Future[str | None]], gate: InterruptGate) -> Sequence[Future[str | None]]:
    """Waits for all, or for the first that fails: the others are stopped by the caller then."""
    while True:
        gate.checkpoint()
        done, left = wait(threads, timeout=_TICK_SECONDS, return_when=FIRST_EXCEPTION)
        if not left or any(thread.exception() is not None for thread in done):
            return sorted(done, key=lambda thread: thread.exception() is None)


def _result(future: Future[Claims], gate: InterruptGate) -> Claims:
    while not wait([future], timeout=_TICK_SECONDS).done:
        gate.checkpoint()
    return future.result()


def _worker(work: _Work, claims: Claims, outcomes: dict[str, Outcome]) -> str | None:
    """Runs cases until none is left; says how its adapter ended where that was not well."""
    adapter = work.adapter()
    try:
        while True:
            try:
                case = work.left.get_nowait()
            except queue.Empty:
                break
            outcome = _run_case(work, adapter, claims, case)
            outcomes[case.id] = outcome
            if work.plan.on_outcome is not None:
                work.plan.on_outcome(outcome)
        return adapter.finish()
    except StartError as error:
        raise BrokenAdapterError(str(error)) from error
    except Stopped:
        return None
    finally:
        adapter.close()


def _run_case(work: _Work, adapter: Adapter, claims: Claims, case: Case) -> Outcome:
    if work.stop.is_set():
        raise Stopped
    if not is_asserted(case, claims):
        return not_declared(case, claims)
    try:
        with prepared(case, work.scratch / f"case-{case.id}") as ready:
            before = disk.snapshot(ready.input)
            reply = adapter.ask(question_of(case, ready, work.plan.patience))
            accepted = isinstance(reply.answer, Accept) and case.expected.accept
            found = disk.differences(case, accepted, before, ready.input, ready.output)
            return judge(case, reply, claims, found)
    except CannotHoldError as error:
        return Outcome(case, Verdict.NOT_ASSERTED, (str(error),))
