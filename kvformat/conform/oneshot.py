"""An adapter that is started anew for each question (spec/conformance.md, chapter 4, "One shot")."""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvformat.conform.answer import (
    Answer,
    Claims,
    Fault,
    GarbageError,
    NoAnswer,
    Reply,
    Unsupported,
    accept,
    parse_claims,
    read_object,
    reject,
)
from kvformat.conform.case import Operation
from kvformat.conform.child import Child, describe_status
from kvformat.conform.memory import MEASURED, Watch
from kvformat.conform.question import START_SECONDS, Question
from kvformat.profiles import AUTO

ACCEPTED, REJECTED, NOT_SUPPORTED = 0, 1, 77


class OneShot:
    """Runs the program for each question; nothing of it lives between two."""

    def __init__(self, command: Sequence[str], stop: Callable[[], bool]) -> None:
        self._command = command
        self._stop = stop
        self._started = False
        self._idle_bytes = 0

    def start(self) -> Claims | NoAnswer:
        """Asks what it is; a program that does not know the question claims `read`. Raises StartError."""
        ended = self._run(["start"], START_SECONDS, math.inf)
        if isinstance(ended.result, NoAnswer):
            return ended.result
        # What the program needs for being there at all is no memory of a case.
        self._idle_bytes = ended.peak_bytes or 0
        self._started = True
        if ended.result == NOT_SUPPORTED:
            return Claims(self._command[0], frozenset({str(Operation.READ)}))
        if ended.result != ACCEPTED:
            return NoAnswer(Fault.CRASHED, f"start: exit status {ended.result}, expected 0 or {NOT_SUPPORTED}")
        try:
            return parse_claims(read_object(ended.output))
        except GarbageError as error:
            return NoAnswer(Fault.GARBAGE, f"start: {error}")

    def ask(self, question: Question) -> Reply:
        """Asks once. Raises StartError."""
        if not self._started:
            started = self.start()
            if isinstance(started, NoAnswer):
                return Reply(NoAnswer(started.fault, f"at its start: {started.detail}"), 0.0)
        most = None if question.memory_bytes is None else question.memory_bytes + self._idle_bytes
        began = time.monotonic()
        ended = self._run(arguments(question), question.seconds, most)
        seconds = time.monotonic() - began
        rise_bytes = None if ended.peak_bytes is None else max(0, ended.peak_bytes - self._idle_bytes)
        answer = ended.result if isinstance(ended.result, NoAnswer) else _answer(ended.result, ended.output, question)
        if question.memory_bytes is not None and rise_bytes is not None and rise_bytes > question.memory_bytes:
            answer = NoAnswer(Fault.TOO_MUCH_MEMORY, f"{rise_bytes:,} bytes, the limit is {question.memory_bytes:,}")
        return Reply(answer, seconds, rise_bytes, ended.stderr)

    def finish(self) -> None:
        """Nothing runs that could end badly."""

    def close(self) -> None:
        """Nothing runs that could be ended."""

    def _run(self, arguments: Sequence[str], seconds: float, memory_bytes: float | None) -> _Ended:
        """Runs it. `memory_bytes` of None: nobody asks how much it has, and it is not looked at again and again."""
        child = Child([*self._command, *arguments], stop=self._stop, wants_input=False)
        try:
            watch = None if memory_bytes is None else child.watch(fresh=True)

            def over() -> bool:
                return watch is not None and memory_bytes is not None and watch.look() > memory_bytes

            trouble = child.wait_for(child.has_ended, seconds=seconds, over=None if memory_bytes is None else over)
            # What it has written is in the pipe, whoever else may hold that open.
            child.read_rest()
            result = trouble if trouble is not None else child.exit_status
            output, stderr = bytes(child.output), child.take_stderr()
        finally:
            child.close()
        return _Ended(result, output, _peak_bytes(watch, child.max_rss_bytes), stderr)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A process that is gone: its exit status, or why it was ended; what it wrote; the most memory it had."""

    result: int | NoAnswer
    output: bytes
    peak_bytes: int | None
    stderr: str


def _peak_bytes(watch: Watch | None, max_rss_bytes: int) -> int | None:
    """What wait4(2) says includes the pages of this process from before execve(2): true only where it is more."""
    own_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if MEASURED and max_rss_bytes > own_bytes:
        return max_rss_bytes
    return None if watch is None else watch.rise_bytes


def arguments(question: Question) -> list[str]:
    """What stands behind the name of the program."""
    found = [question.operation, question.input]
    if question.profile != AUTO:
        found += ["--profile", question.profile]
    if question.name is not None:
        found += ["--name", question.name]
    if question.output is not None:
        found += ["--output", question.output]
    if question.arguments:
        found += ["--arguments", json.dumps(dict(question.arguments))]
    return found


def _answer(status: int, output: bytes, question: Question) -> Answer | NoAnswer:
    try:
        if status == ACCEPTED:
            view = read_object(output) if output.strip() or question.needs_view else None
            return accept(view, needs_view=question.needs_view)
        if status == REJECTED:
            return reject(read_object(output))
    except GarbageError as error:
        return NoAnswer(Fault.GARBAGE, str(error))
    if status == NOT_SUPPORTED:
        return Unsupported()
    return NoAnswer(Fault.CRASHED, describe_status(status))
