"""One program after another must find what the first one found."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultinject.blackbox.acknowledged import BY_EXIT, Acknowledgement
from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.launcher import Launcher
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.started import Program
from faultinject.oracle import Reported
from tests.faultinject.blackbox.traced import alive, compiled, descriptors, needs_linux, python

pytestmark = needs_linux

NONE: frozenset[str] = frozenset()


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    before = descriptors()
    with Launcher() as one:
        yield one
    assert descriptors() == before


def program(argv: list[str], *, stdin: str | None = None, ack: bytes = b"", seconds: float = 20) -> Program:
    return Program(tuple(argv), tuple(os.environ.items()), "/", Acknowledgement(ack), stdin, seconds)


def said(
    launcher: Launcher, one: Program, limits: Limits | None = None, calls: frozenset[str] = NONE
) -> tuple[str, int]:
    """The last line on its standard error, and its parent."""
    with launcher.started(one, calls, limits) as running:
        (task,) = running.tracer.tasks.values()
        parent = int(Path(f"/proc/{task.pid}/stat").read_text().rpartition(")")[2].split()[1])
        while (event := running.tracer.next()) is not None:
            running.tracer.go(event)  # type: ignore[arg-type] # nothing is followed
        return running.said(), parent


# What it does to its streams lasts as long as they are open, and the nursery keeps them open.
SPOILS = """
import fcntl, os, sys
state = []
for fd in (0, 1, 2):
    status = os.fstat(fd)
    state.append((fcntl.fcntl(fd, fcntl.F_GETFL), os.lseek(fd, 0, 1), status.st_size, status.st_mode))
again = os.open('/proc/self/fd/1', os.O_RDWR)
try:
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    state.append('locked')
os.close(again)
first = os.read(0, 3)
for fd in (0, 1, 2):
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND)
fcntl.flock(1, fcntl.LOCK_EX)
os.write(1, b'said before')
os.fchmod(1, 0)
os.write(2, b'much more than the next one says\\n' * 50 + repr((state, first)).encode())
"""


def test_streams_are_as_if_they_had_just_been_opened(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("abcdef")
    for stdin in (None, str(tmp_path / "in")):
        one = program(python(SPOILS), stdin=stdin)
        words = [said(launcher, one) for _ in range(3)]
        assert words[0][0].startswith("([(")
        assert "locked" not in words[0][0]
        assert words[0] == words[1] == words[2]


def test_an_acknowledgement_of_the_program_before_does_not_count(launcher: Launcher) -> None:
    for code, reported in (("print('done')", Reported.SUCCESS), ("pass", Reported.FAILURE)):
        with launcher.started(program(python(code), ack=b"done"), NONE) as running:
            assert running.tracer.next() is None
            assert running.reported() is reported


def test_a_fifo_is_opened_anew_for_each_program(launcher: Launcher, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for words in ("first", "second"):
        writer = threading.Thread(target=fifo.write_text, args=(words,))
        writer.start()
        assert said(launcher, program(["sh", "-c", "cat >&2"], stdin=str(fifo)))[0] == words
        writer.join()


def test_standard_input_that_is_not_there(launcher: Launcher, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        said(launcher, program(["true"], stdin=str(tmp_path / "nothing")))


def test_programs_with_the_same_calls_have_one_parent(launcher: Launcher) -> None:
    parents = {
        said(launcher, program(["true"]), calls=calls)[1] for calls in (NONE, frozenset({"write"})) for _ in range(3)
    }
    assert len(parents) == 2
    assert os.getpid() not in parents
    launcher.close()
    assert not any(alive(parent) for parent in parents)
    assert said(launcher, program(["true"]))[1] not in parents


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_program_that_signals_its_parent(number: int, launcher: Launcher) -> None:
    shell = program(["sh", "-c", f"kill -{number} $PPID; echo sent >&2"])
    parents = []
    for _ in range(3):
        words, parent = said(launcher, shell)
        assert words == "sent"
        parents.append(parent)
    assert len(set(parents)) == (3 if number == signal.SIGKILL else 1)
    assert said(launcher, program(["sh", "-c", "echo works >&2"]))[0] == "works"


def test_what_cannot_be_started_spoils_nothing(launcher: Launcher) -> None:
    for _ in range(2):
        with pytest.raises(LaunchError, match="no such program"):
            said(launcher, program(["/nowhere/program"]))
        assert said(launcher, program(["sh", "-c", "echo works >&2"]))[0] == "works"


def test_words_and_variables_are_those_of_each_program(launcher: Launcher) -> None:
    """What lay in the nursery's memory for the last program is used again for the same one alone."""
    shell = ["sh", "-c", 'echo "$0 $V" >&2']
    for words in ("a", "a", "b", "a"):
        for value in ("1", "2", "2"):
            one = Program((*shell, words), (("V", value), ("PATH", os.defpath)), "/", BY_EXIT, None, 20)
            assert said(launcher, one)[0] == f"{words} {value}"


def test_a_name_in_the_path_may_come_to_mean_another_program(launcher: Launcher, tmp_path: Path) -> None:
    one = Program(("tool",), (("PATH", f"{tmp_path}/a:{tmp_path}/b"),), "/", BY_EXIT, None, 20)
    for directory in ("b", "a"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "tool").write_text(f"#!/bin/sh\necho {directory} >&2\n")
        (tmp_path / directory / "tool").chmod(0o755)
        assert said(launcher, one)[0] == directory


def test_a_limit_is_of_one_program(launcher: Launcher, tmp_path: Path) -> None:
    code = compiled(
        "#include <unistd.h>\n#include <fcntl.h>\nint main(int n, char **a) { (void)n; int f = open(a[1], O_CREAT | O_TRUNC | O_WRONLY, 0600);"
        ' return write(f, "abcdefgh", 8); }'
    )
    one = program([code, str(tmp_path / "x")])
    for limits, size_bytes in ((Limits(3), 3), (None, 8), (Limits(5, ignore_sigxfsz=True), 5), (Limits(), 8)):
        said(launcher, one, limits)
        assert (tmp_path / "x").stat().st_size == size_bytes
