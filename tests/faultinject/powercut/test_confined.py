"""Nothing stays mounted, attached or running, whoever ends and however."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

import pytest

from faultinject.inject import HarnessError
from faultinject.powercut.cleaning import reclaim
from faultinject.powercut.confined import Inside, confined
from faultinject.powercut.session import made
from tests.faultinject.powercut.rooted import MIB, alive, awaited, children, devices_of, left_in, needs, usual

pytestmark = [pytest.mark.root, needs("ext4")]


def counting(_: Inside) -> Generator[int, None, None]:
    yield from range(3)


def failing(error: type[Exception], _: Inside) -> Generator[int, None, None]:
    yield 1
    raise error("on purpose")


def mounting(name: str, _inside: Inside) -> Generator[tuple[str, list[str]], None, None]:
    """Mounts, has a file open and a process running in it, and goes on until nobody listens any more."""
    inside = _inside
    with made(inside, usual(name)) as session, session.mounted():
        subprocess.Popen(["sleep", "1000"], cwd=session.top)
        while True:
            (session.top / "file").write_bytes(os.urandom(100_000))
            session.sync()
            yield inside.directory.name, os.listdir(session.top)
            inside.wait(0.02)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files in which nothing may be left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path
    assert awaited(lambda: not left_in(tmp_path)), left_in(tmp_path)


def server() -> int:
    """The process that serves the disk: a child that has a child."""
    return next(child for child in children(os.getpid()) if children(child))


def test_work_gives_what_it_gives(temporary: Path) -> None:
    with confined(counting, MIB) as messages:
        assert list(messages) == [0, 1, 2]


@pytest.mark.parametrize("error", [HarnessError, ValueError, KeyError, OSError, ZeroDivisionError])
def test_errors_of_the_work_are_told(temporary: Path, error: type[Exception]) -> None:
    with (
        pytest.raises((HarnessError, ValueError), match="on purpose"),
        confined(partial(failing, error), MIB) as messages,
    ):
        list(messages)


@pytest.mark.parametrize(
    ("name", "killed"),
    [
        ("ext4", "nobody"),
        ("ext4", "server"),
        ("ext4", "mounter"),
        pytest.param("xfs", "server", marks=needs("xfs")),
        pytest.param("btrfs", "server", marks=needs("btrfs")),
    ],
)
def test_whoever_is_killed_while_a_disk_is_written_nothing_is_left(temporary: Path, name: str, killed: str) -> None:
    size_bytes = usual(name).file_system.size_bytes
    directory, processes = "", [0]
    expected = HarnessError if killed != "nobody" else RuntimeError
    with pytest.raises(expected), confined(partial(mounting, name), size_bytes) as messages:
        directory, names = next(messages)
        assert "file" in names
        assert devices_of(directory)
        processes = [server(), *children(server())]
        if killed == "nobody":
            raise RuntimeError("the statement ends in the middle")
        os.kill(processes[killed == "mounter"], signal.SIGKILL)
        for _ in messages:
            pass
    assert awaited(lambda: not [pid for pid in processes if alive(pid)])
    assert awaited(lambda: not devices_of(directory))
    assert not left_in(temporary)


COMMAND = """
import sys
from functools import partial
from faultinject.powercut.confined import confined
from faultinject.terminal import terminable
from tests.faultinject.powercut.test_confined import mounting
if __name__ == "__main__":
    with terminable(), confined(partial(mounting, "ext4"), 64 << 20) as messages:
        for directory, _ in messages:
            print(directory, flush=True)
"""


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        (signal.SIGINT, "command"),
        (signal.SIGTERM, "command"),
        (signal.SIGHUP, "command"),
        (signal.SIGKILL, "command"),
        (signal.SIGTERM, "everybody"),
        (signal.SIGKILL, "everybody"),
    ],
)
def test_however_the_command_is_ended_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, whom: str
) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
        start_new_session=True,
    )
    assert command.stdout is not None
    with command.stdout as output:
        directory = output.readline().strip()
        assert devices_of(directory)
        server_pid = next(child for child in children(command.pid) if children(child))
        processes = [command.pid, server_pid, *children(server_pid)]
        if whom == "command":
            command.send_signal(number)
        else:
            for pid in processes:
                os.kill(pid, number)
        command.wait(30)
    assert awaited(lambda: not [pid for pid in processes if alive(pid)])
    assert awaited(lambda: not devices_of(directory))
    if number is signal.SIGKILL and whom == "everybody":
        # Nobody was left to remove it: it is empty, and the next start reclaims it.
        assert awaited(lambda: left_in(tmp_path) == [str(tmp_path / directory)])
        assert list((tmp_path / directory / "mount").iterdir()) == []
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert awaited(lambda: reclaim() == [str(tmp_path / directory)])
        assert not left_in(tmp_path)
    else:
        assert awaited(lambda: not left_in(tmp_path)), left_in(tmp_path)


def sleeping(_: Inside) -> Generator[int, None, None]:
    yield 1
    time.sleep(1000)


def test_work_that_does_not_end_is_ended(temporary: Path) -> None:
    with confined(sleeping, MIB, grace_seconds=0.5) as messages:
        assert next(messages) == 1
        pids = [server(), *children(server())]
    assert not [pid for pid in pids if alive(pid)]
