"""The programs in `foreign` do what they say: the audit of them rests on it."""

from __future__ import annotations

import platform
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from faultinject.selftest.manifest import COMPILER_FLAGS, PROGRAMS
from tests.faultinject.selftest.planted import content

FOREIGN = Path(__file__).parent / "foreign"
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the programs are for Linux alone")


def compile_static_raw(directory: Path) -> Path:
    if COMPILER is None:
        pytest.skip("no C compiler (cc, gcc) on PATH")
    if platform.machine() != "x86_64":
        pytest.skip(f"static_raw.c makes the system calls of x86-64, and this is {platform.machine()}")
    program = directory / "static_raw"
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-nostdlib", "-static", "-ffreestanding"]
    flags += ["-fno-stack-protector", "-fno-pie", "-no-pie"]
    subprocess.run([COMPILER, *flags, "-o", str(program), str(FOREIGN / "static_raw.c")], check=True)
    return program


def compile_two_processes(directory: Path) -> Path:
    if COMPILER is None:
        pytest.skip("no C compiler (cc, gcc) on PATH")
    program = directory / "two_processes"
    source = FOREIGN / "two_processes.c"
    subprocess.run([COMPILER, *COMPILER_FLAGS, "-Werror", f"-I{PROGRAMS}", "-o", str(program), str(source)], check=True)
    return program


def no_room() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (70, 70))


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(params=["static_raw", "two_processes", "shell_save"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command line that saves 150 bytes of seed 1 in `dir`."""
    (tmp_path / "dir").mkdir()
    directory = str(tmp_path / "dir")
    if request.param == "static_raw":
        return [str(compile_static_raw(tmp_path)), directory, "150", "1"]
    if request.param == "two_processes":
        return [str(compile_two_processes(tmp_path)), directory, "150", "1"]
    (tmp_path / "source").write_bytes(content(150, 1))
    return ["sh", str(FOREIGN / "shell_save.sh"), directory, str(tmp_path / "source")]


@pytest.mark.parametrize("old", [None, b"old"], ids=["empty", "old"])
def test_it_saves_exactly_the_bytes(command: list[str], old: bytes | None, tmp_path: Path) -> None:
    if old is not None:
        (tmp_path / "dir" / "data.bin").write_bytes(old)
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert files(tmp_path / "dir") == {"data.bin": content(150, 1)}


def test_without_room_it_fails_and_leaves_what_was_there(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "dir" / "data.bin").write_bytes(b"old")
    done = subprocess.run(command, preexec_fn=no_room, restore_signals=False, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr
    assert files(tmp_path / "dir") == {"data.bin": b"old"}


def test_a_wrong_call_exits_with_2(command: list[str], tmp_path: Path) -> None:
    for call in (command[:-1], [*command, "more"]):
        assert subprocess.run(call, capture_output=True, check=False).returncode == 2
    assert files(tmp_path / "dir") == {}


def test_the_static_one_has_no_dynamic_loader(tmp_path: Path) -> None:
    program = compile_static_raw(tmp_path)
    assert b"ld-linux" not in program.read_bytes()
