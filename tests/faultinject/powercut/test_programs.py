"""Programs on a mounted disk: when they acknowledge, and that nothing of them goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from functools import partial

import pytest

from faultinject.blackbox.acknowledged import Acknowledgement
from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.place import Plainly
from faultinject.blackbox.started import Program
from faultinject.oracle import Reported
from faultinject.powercut.confined import Inside, confined
from faultinject.powercut.programs import run
from tests.faultinject.powercut.rooted import MIB, needs

pytestmark = [pytest.mark.root, needs("ext4")]


def running(program: Program, _: Inside) -> Generator[tuple[Plainly, int, list[str]], None, None]:
    """How it has run, how often it has succeeded, and which processes are left."""
    heard: list[int] = []
    ran = run(program, lambda: heard.append(1))
    yield ran, len(heard), [name for name in os.listdir("/proc") if name.isdigit()]


def ran(
    text: str, acknowledgement: bytes = b"", seconds: float = 20, argv: tuple[str, ...] = ()
) -> tuple[Plainly, int, list[str]]:
    program = Program(
        argv or (sys.executable, "-S", "-c", text),
        tuple(os.environ.items()),
        "/",
        Acknowledgement(acknowledgement),
        None,
        seconds,
    )
    with confined(partial(running, program), MIB) as messages:
        return next(messages)


@pytest.mark.parametrize(
    ("text", "acknowledgement", "reported", "times", "said"),
    [
        ("pass", b"", Reported.SUCCESS, 1, ""),
        ("print('OK' * 100000)", b"", Reported.SUCCESS, 1, ""),
        ("import sys; sys.exit('it failed')", b"", Reported.FAILURE, 0, "it failed"),
        ("import os; os.kill(os.getpid(), 15)", b"", Reported.NOTHING, 0, "died of SIGTERM"),
        ("print('not yet')", b"OK", Reported.FAILURE, 0, ""),
        ("print('OK', 'OK')", b"OK", Reported.SUCCESS, 1, ""),
        ("import sys; print('OK'); sys.exit(3)", b"OK", Reported.SUCCESS, 1, ""),
        ("print('O', end='', flush=True); import time; time.sleep(.1); print('K')", b"OK", Reported.SUCCESS, 1, ""),
        ("import os; print('OK', flush=True); os.kill(os.getpid(), 9)", b"OK", Reported.SUCCESS, 1, "died of SIGKILL"),
        ("import os; os.close(1); os.kill(os.getpid(), 9)", b"OK", Reported.NOTHING, 0, "died of SIGKILL"),
    ],
)
def test_what_reports_success(text: str, acknowledgement: bytes, reported: Reported, times: int, said: str) -> None:
    plainly, heard, left = ran(text, acknowledgement)
    assert (plainly.reported, heard, plainly.said) == (reported, times, said)
    assert not plainly.timed_out
    assert left == ["1"]


def test_what_a_program_leaves_running_is_ended() -> None:
    text = "import os, time\nfor _ in range(3):\n  if not os.fork():\n    os.setsid()\n    os.fork()\n    time.sleep(1000)\n"
    plainly, heard, left = ran(text)
    assert (plainly.reported, heard, left) == (Reported.SUCCESS, 1, ["1"])


def test_a_program_that_does_not_end_is_ended() -> None:
    plainly, heard, left = ran("import time; print('OK', flush=True); time.sleep(1000)", seconds=0.5)
    assert plainly.timed_out
    assert "did not end within 0.5 s" in plainly.said
    assert (heard, left) == (0, ["1"])


def test_a_program_that_cannot_be_started() -> None:
    with pytest.raises(LaunchError, match="no such program"):
        ran("", argv=("/nowhere/program",))
    with pytest.raises(LaunchError, match="is a directory"):
        ran("", argv=("/etc",))
    with pytest.raises(LaunchError, match="NUL"):
        ran("", argv=("true", "\0"))
