"""Runs adapters on the small suite, and looks for what they leave."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kvformat.conform.runner import Plan, Run, run
from kvformat.conform.suite import Suite

PACKAGE = "tests.kvformat.conform.miniatures"
RIGHT = (sys.executable, "-m", f"{PACKAGE}.right")
ADAPTER = (sys.executable, "-m", "kvformat.conform.adapter")
ONE_SHOT = (sys.executable, "-m", f"{PACKAGE}.oneshot")
_MARK = "KVFORMAT_CONFORM_TEST"


def wrong(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"{PACKAGE}.wrong", name)


def run_cases(
    suite: Suite,
    command: tuple[str, ...],
    *case_ids: str,
    one_shot: bool = False,
    jobs: int = 1,
    patience: float = 1.0,
) -> Run:
    """Runs these cases, all for none. Nothing may be left of it."""
    cases = [suite.cases[case_id] for case_id in case_ids] or list(suite.cases.values())
    with leaves_nothing():
        return run(Plan(command, suite.version, cases, one_shot=one_shot, jobs=jobs, patience=patience))


@contextmanager
def leaves_nothing() -> Iterator[Path]:
    """A folder for temporary files of its own, which must be empty, and no process that started in here left."""
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as folder:
        before = tempfile.tempdir
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        os.environ[_MARK] = mark
        try:
            yield Path(folder)
            assert not os.listdir(folder)
            assert not _marked(mark)
        finally:
            tempfile.tempdir = before
            del os.environ[_MARK], os.environ["TMPDIR"]


def _marked(mark: str) -> list[int]:
    """The processes, this one aside, that have the mark in the environment that they were started with."""
    if sys.platform != "linux":
        return []  # no /proc
    found = []
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if f"{_MARK}={mark}".encode() in environment:
            found.append(pid)
    return found
