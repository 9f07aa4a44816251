"""Who else has a say in what is right: a format's own reader, or a command in any language."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from faultinject.blackbox.checked import copied
from faultinject.blackbox.state import HERE, Node
from faultinject.inject import HarnessError
from faultinject.oracle import Finding, Kind, Reported

_OUTPUT_BYTES_MAX = 64 * 1024


class Stage(StrEnum):
    """When a state is judged: after the fault, after the recovery, after the repetition without a fault."""

    FAULT = "fault"
    RECOVERED = "recovered"
    REPEATED = "repeated"


class Checker(Protocol):
    """What a format knows of its files. Paths are keys of the watched directories."""

    def normalise(self, path: str, data: bytes) -> bytes:
        """The content with bytes that do not count, such as times, set to a fixed value. The size stays."""

    def uncounted(self, path: str) -> tuple[tuple[int, int], ...]:
        """The bytes that `normalise` sets in a complete file under a canonical key, as (start, end)."""

    def complaint(self, path: str, node: Node) -> str | None:
        """What a public reader has against a visible entry, None where it accepts it."""

    def is_entry(self, path: str, node: Node) -> bool | None:
        """Whether readers take it for an entry; None leaves it to the rule that all the program saves are entries."""


class CommandChecker:
    """A command that judges the scratch directory (KVS-AUDIT-8).

    It gets a copy of the directory, which it may change, as its last argument; words of the command and of its working
    directory that name the directory name the copy. In the environment it gets FAULTINJECT_REPORTED (success, failure
    or nothing), FAULTINJECT_STAGE (fault, recovered or repeated) and FAULTINJECT_ACKNOWLEDGED (0 or 1: whether the
    program had acknowledged). Exit status 0: acceptable. 1: violated, and the first line of its output says why; a line
    that begins with the name of a violation and ": " says which. It decides on content alone; leaks are still searched
    for.
    """

    def __init__(
        self, command: Sequence[str], *, working_directory: str | None = None, timeout_seconds: float = 60
    ) -> None:
        if not command:
            raise ValueError("a checker is a command with at least a name")
        self.command = tuple(command)
        self.working_directory = working_directory
        self.timeout_seconds = timeout_seconds

    def judge(self, directory: str, reported: Reported, stage: Stage, *, acknowledged: bool) -> tuple[Finding, ...]:
        """Runs the command. Raises HarnessError where it gives no verdict: then nothing is known of this state."""
        with copied(directory) as copy:
            return self._judge(directory, copy, reported, stage, acknowledged=acknowledged)

    def _judge(
        self, directory: str, copy: str, reported: Reported, stage: Stage, *, acknowledged: bool
    ) -> tuple[Finding, ...]:
        environment = {
            **os.environ,
            "FAULTINJECT_REPORTED": reported,
            "FAULTINJECT_STAGE": stage,
            "FAULTINJECT_ACKNOWLEDGED": "1" if acknowledged else "0",
        }
        # Files, not pipes: nobody has to wait for a process that the command has left behind with them open.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    [*(word.replace(directory, copy) for word in self.command), copy],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env=environment,
                    cwd=None if self.working_directory is None else self.working_directory.replace(directory, copy),
                    start_new_session=True,
                )
            except OSError as error:
                raise HarnessError(f"the checker {self} cannot be started: {error}; is it executable?") from error
            status = self._status(process)
            output.seek(0)
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _OUTPUT_BYTES_MAX))
            # What it says is about the original: of the copy nothing will be there.
            said = _text(output.read(_OUTPUT_BYTES_MAX)).split("\n")[0].replace(copy, directory)
            complained = _text(errors.read()).split("\n")[-1].replace(copy, directory)
        if status == 0:
            return ()
        if status == 1:
            return (_finding(said, stage),)
        how = f"exit status {status}" if status >= 0 else _signal_name(-status)
        raise HarnessError(
            f"the checker {self} gave no verdict on {directory!r} ({how}; only 0 and 1 are verdicts)"
            + (f": {complained}" if complained else "")
        )

    def __str__(self) -> str:
        return shlex.join(self.command)

    def _status(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(self.timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise HarnessError(f"the checker {self} has not ended within {self.timeout_seconds:g} seconds") from error
        finally:
            if process.returncode is None:  # not waited for yet, so that the group is still its own
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _text(said: bytes) -> str:
    return said.decode("utf-8", "backslashreplace").strip()


def _finding(said: str, stage: Stage) -> Finding:
    name, colon, why = said.partition(": ")
    if colon and name in list(Kind):
        return Finding(Kind(name), HERE, why)
    kind = Kind.NEVER_HEALS if stage is Stage.REPEATED else Kind.PARTIAL_VISIBLE
    return Finding(kind, HERE, said or "the checker rejects it and does not say why")


def _signal_name(number: int) -> str:
    try:
        return f"ended by {signal.Signals(number).name}"
    except ValueError:
        return f"ended by signal {number}"
