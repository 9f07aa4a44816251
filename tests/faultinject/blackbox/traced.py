"""Programs to trace: C where there is a compiler, Python always."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from faultinject.blackbox.abi import UnsupportedError, native
from faultinject.blackbox.tracer import Finished, Stop, Tracer


def _traces() -> bool:
    try:
        native()
    except UnsupportedError:
        return False
    return True


needs_linux = pytest.mark.skipif(not _traces(), reason="programs can be traced on Linux on x86-64 and aarch64 only")


@cache
def _directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="traced-"))
    atexit.register(shutil.rmtree, directory)
    return directory


@cache
def compiled(source: str, *flags: str) -> str:
    """The path of a C program; skips where it cannot be made."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (gcc, cc) on this machine")
    path = _directory() / f"program-{abs(hash((source, flags))):x}"
    path.with_suffix(".c").write_text("#define _GNU_SOURCE\n" + source)
    command = [compiler, "-O1", "-pthread", "-o", str(path), str(path) + ".c", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        if "-static" in flags:
            pytest.skip(f"no static C library on this machine: {done.stderr.splitlines()[-1]}")
        raise AssertionError(done.stderr)
    return str(path)


def python(code: str, *arguments: str) -> list[str]:
    """The command of a Python program."""
    return [sys.executable, "-S", "-E", "-c", code, *arguments]


def run(tracer: Tracer, act: Callable[[Stop], object] | None = None) -> list[Stop]:
    """Runs to the end; `act` decides about each stop, which otherwise goes on. All stops, in order."""
    stops = []
    while (event := tracer.next()) is not None:
        assert not isinstance(event, Finished)
        stops.append(event)
        if act is None:
            tracer.go(event)
        else:
            act(event)
    return stops


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
