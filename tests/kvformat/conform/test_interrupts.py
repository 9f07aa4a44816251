"""Ctrl-C and SIGTERM at every stage: no process and no folder stays, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kvformat.conform.running import ONE_SHOT, RIGHT, leaves_nothing, wrong

WAIT_SECONDS = 20


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(folder: Path, *args: str) -> subprocess.Popen[bytes]:
    program = "from kvformat.cli import main; main(prog_name='kvformat')"
    command = [sys.executable, "-c", program, "conform", "--suite", str(folder), *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def has_case(temporary: Path, name: str) -> bool:
    return any(temporary.glob(f"kvformat-conform-*/case-{name}"))


@pytest.mark.parametrize(
    ("number", "status", "args", "stage"),
    [
        (signal.SIGINT, 130, ("--case", "read-hostile", "--", *wrong("hangs")), "read-hostile"),
        (signal.SIGTERM, 143, ("--case", "read-hostile", "--", *wrong("hangs")), "read-hostile"),
        (
            signal.SIGHUP,
            129,
            ("--jobs", "2", "--case", "read-h*", "--case", "read-c*", "--", *wrong("hangs")),
            "read-hostile",
        ),
        (signal.SIGINT, 130, ("--one-shot", "--case", "read-hostile", "--", *ONE_SHOT, "hang"), "read-hostile"),
        (signal.SIGINT, 130, ("--", sys.executable, "-c", "import time; time.sleep(60)"), None),
        (signal.SIGINT, 130, ("--case", "read-cut", "--", *wrong("never_stops")), None),
    ],
    ids=["case", "sigterm", "jobs", "one-shot", "start", "stop"],
)
def test_an_interrupted_run_leaves_nothing(
    folder: Path, number: signal.Signals, status: int, args: tuple[str, ...], stage: str | None
) -> None:
    with leaves_nothing() as temporary:
        process = start(folder, *args)
        if stage is None:
            until(lambda: bool(os.listdir(temporary)))
            time.sleep(1)
        else:
            until(lambda: has_case(temporary, stage))
        process.send_signal(number)
        out, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == status
    assert err == f"interrupted by {number.name}\n".encode()
    assert out == b""


def test_grandchildren_of_an_interrupted_run_end_too(folder: Path) -> None:
    with leaves_nothing() as temporary:
        process = start(folder, "--case", "read-hostile", "--", *wrong("hangs_with_grandchildren"))
        until(lambda: has_case(temporary, "read-hostile"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 130


def test_a_signal_at_any_time_of_a_run_leaves_nothing(folder: Path) -> None:
    for delay_seconds in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8):
        with leaves_nothing() as temporary:
            process = start(folder, "--", *RIGHT)
            until(lambda: process.poll() is not None or bool(os.listdir(temporary)))  # noqa: B023 - called at once
            time.sleep(delay_seconds)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode in (0, 130)
        assert b"Traceback" not in err


def test_a_program_that_was_started_with_sigchld_ignored_still_sees_how_children_end(folder: Path) -> None:
    ignore = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    program = "from kvformat.cli import main; main(prog_name='kvformat')"
    command = (sys.executable, "-c", ignore, sys.executable, "-c", program, "conform", "--suite", str(folder))
    with leaves_nothing():
        done = subprocess.run((*command, "--case", "read-cut", "--", *RIGHT), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
