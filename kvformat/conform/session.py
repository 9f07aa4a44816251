"""An adapter that is started once and answers line by line (spec/conformance.md, chapter 4, "Session")."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence

from kvformat.conform.answer import (
    ANSWER_BYTES_MAX,
    Claims,
    Fault,
    GarbageError,
    NoAnswer,
    Reply,
    parse_answer,
    parse_claims,
    read_object,
)
from kvformat.conform.child import Child
from kvformat.conform.question import START_SECONDS, STOP_SECONDS, Question

PROTOCOL = 1
"""The version of the messages."""


class Session:
    """One process of an adapter at a time; a new one for the next question where one did not answer."""

    def __init__(self, command: Sequence[str], suite_version: str, stop: Callable[[], bool]) -> None:
        self._command = command
        self._suite_version = suite_version
        self._stop = stop
        self._child: Child | None = None
        self._seq = 0

    def start(self) -> Claims | NoAnswer:
        """Starts the program, and asks what it is. Raises StartError where the system does not start it."""
        self.close()
        self._child = Child(self._command, stop=self._stop, wants_input=True)
        message = {"cmd": "start", "protocol": PROTOCOL, "suite": self._suite_version}
        answer = self._exchange(self._child, message, START_SECONDS)
        if not isinstance(answer, NoAnswer):
            try:
                return parse_claims(answer)
            except GarbageError as error:
                answer = NoAnswer(Fault.GARBAGE, str(error))
        return self._child.blamed(answer)

    def ask(self, question: Question) -> Reply:
        """Asks once. Raises StartError."""
        if self._child is None:
            started = self.start()
            if isinstance(started, NoAnswer):
                return self._ended(NoAnswer(started.fault, f"at its start: {started.detail}"), 0.0, None)
        child = self._child
        if child is None:
            raise AssertionError("start has made a process")
        self._seq += 1
        watch = child.watch()
        most = question.memory_bytes
        began = time.monotonic()
        message = {"cmd": "run", "seq": self._seq, **question.message()}

        def over() -> bool:
            return watch is not None and most is not None and watch.look() > most

        answer = self._exchange(child, message, question.seconds, None if most is None else over)
        seconds = time.monotonic() - began
        # Once more at the end: what rose and fell between two looks is in the peak.
        memory_bytes = None if watch is None else watch.look()
        if memory_bytes is not None and most is not None and memory_bytes > most and not isinstance(answer, NoAnswer):
            answer = NoAnswer(Fault.TOO_MUCH_MEMORY, f"{memory_bytes:,} bytes, the limit is {most:,}")
        if isinstance(answer, NoAnswer):
            return self._ended(answer, seconds, memory_bytes)
        try:
            parsed = parse_answer(answer, self._seq, needs_view=question.needs_view)
        except GarbageError as error:
            return self._ended(NoAnswer(Fault.GARBAGE, str(error)), seconds, memory_bytes)
        return Reply(parsed, seconds, memory_bytes, child.take_stderr())

    def finish(self) -> str | None:
        """Tells it to stop. Says what is wrong with how it ends, None where nothing is or nothing runs."""
        child = self._child
        if child is None:
            return None
        child.send(_line({"cmd": "stop"}))
        trouble = child.wait_for(lambda: child.has_ended() or bool(child.output), seconds=STOP_SECONDS)
        child.read_rest()
        wrong = None
        if trouble is not None:
            wrong = f"told to stop, it did not end in {STOP_SECONDS:g} s"
        elif child.output:
            wrong = "it wrote something that it was not asked for"
        elif child.exit_status != 0:
            wrong = f"told to stop, it {child.ending()}"
        self.close()
        return wrong

    def close(self) -> None:
        """Ends the process at once."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _exchange(
        self,
        child: Child,
        message: Mapping[str, object],
        seconds: float,
        over: Callable[[], bool] | None = None,
    ) -> dict[str, object] | NoAnswer:
        child.send(_line(message))
        seen = 0

        def has_line() -> bool:
            # Searched from where the last search ended: a huge line comes in thousands of pieces.
            nonlocal seen
            found = child.output.find(b"\n", seen) >= 0
            seen = len(child.output)
            return found

        trouble = child.wait_for(has_line, seconds=seconds, over=over)
        if trouble is not None:
            if trouble.fault is Fault.CRASHED and child.output:
                return NoAnswer(Fault.CRASHED, f"{trouble.detail} in the middle of a line")
            return trouble
        line, _, rest = bytes(child.output).partition(b"\n")
        child.output.clear()
        if len(line) > ANSWER_BYTES_MAX:
            return NoAnswer(Fault.GARBAGE, f"a line of more than {ANSWER_BYTES_MAX:,} bytes")
        try:
            found = read_object(line)
        except GarbageError as error:
            return NoAnswer(Fault.GARBAGE, str(error))
        # What comes later than this look is found by its number, or at the end.
        return NoAnswer(Fault.GARBAGE, "more than one line for one question") if rest else found

    def _ended(self, why: NoAnswer, seconds: float, memory_bytes: int | None) -> Reply:
        """A reply of a process that cannot be believed any more; it is ended."""
        stderr = "" if self._child is None else self._child.take_stderr()
        self.close()
        return Reply(why, seconds, memory_bytes, stderr)


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode("ascii") + b"\n"
