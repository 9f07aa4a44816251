"""The command line as a process: signals, pipes that close, full disks, odd names, plain terminals."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kvformat.cli_runner import put
from tests.kvformat.samples import PLAIN, PLAIN_NAME

KVFORMAT = [sys.executable, "-c", "from kvformat.cli import main; main(prog_name='kvformat')"]
WAIT_SECONDS = 20
MANY = 600


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python loses output in other ways where its streams have no buffer."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


def start(*args: str | os.PathLike[str], **options: object) -> subprocess.Popen[bytes]:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*KVFORMAT, *args], **{**streams, **options})  # type: ignore[call-overload,no-any-return]


def finished(*args: str | os.PathLike[str], **options: object) -> tuple[int, bytes, bytes]:
    process = start(*args, **options)
    out, err = process.communicate(timeout=WAIT_SECONDS)
    assert b"Traceback" not in (err or b"")
    assert b"Exception ignored" not in (err or b"")
    return process.returncode, out, err


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    where = tmp_path / "store"
    where.mkdir()
    put(where / PLAIN_NAME, PLAIN)
    return where


@pytest.mark.parametrize(
    ("number", "code", "strategy"),
    [(signal.SIGTERM, 143, "staged"), (signal.SIGINT, 130, "backpatch"), (signal.SIGHUP, 129, "backpatch")],
)
def test_a_signal_during_a_slow_save_leaves_nothing(
    directory: Path, tmp_path: Path, number: signal.Signals, code: int, strategy: str
) -> None:
    text = put(tmp_path / "text", PLAIN[52:56])
    process = start(
        *("save", directory, "--text", text, "--payload", "-", "--tokens", "1"),
        *("--strategy", strategy, "--temp", "named"),
    )
    assert process.stdin is not None
    process.stdin.write(bytes(100_000))
    process.stdin.flush()
    until(lambda: any(path.stat().st_size > 50_000 for path in directory.glob(".kvc-*")))
    process.send_signal(number)
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == code
    assert err.startswith(f"interrupted by {number.name}\n".encode())
    assert b"nothing changed under this name" in err
    assert b"Traceback" not in err
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == {PLAIN_NAME: PLAIN}


def test_a_signal_while_the_text_is_read(directory: Path, tmp_path: Path) -> None:
    payload = put(tmp_path / "payload", b"state")
    process = start("save", directory, "--text", "-", "--payload", payload, "--tokens", "1", "--budget", "0")
    assert process.stdin is not None
    process.stdin.write(b"text")
    process.stdin.flush()
    time.sleep(0.7)  # until it reads; earlier the default action ends it with the same absence of effects
    process.terminate()
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode in (143, -signal.SIGTERM)
    assert b"Traceback" not in err
    assert os.listdir(directory) == [PLAIN_NAME]


def test_a_killed_save_is_reclaimed_by_the_next_command(directory: Path, tmp_path: Path) -> None:
    text = put(tmp_path / "text", b"other")
    save = ("save", directory, "--text", text, "--payload", "-", "--tokens", "1", "--temp", "named")
    process = start(*save)
    assert process.stdin is not None
    process.stdin.write(bytes(100_000))
    process.stdin.flush()
    until(lambda: any(directory.glob(".kvc-*")))
    code, out, _ = finished("recover", directory)
    assert (code, out.splitlines()[-1]) == (0, b"0 reclaimed, 1 live, 0 foreign, 0 failed")
    process.kill()
    process.communicate(timeout=WAIT_SECONDS)
    code, _, err = finished("touch", directory, PLAIN_NAME)
    assert code == 0
    assert err.startswith(b"reclaimed 1 temp file of dead writers: .kvc-save-")
    assert os.listdir(directory) == [PLAIN_NAME]


def test_a_full_disk(directory: Path, tmp_path: Path) -> None:
    text, payload = put(tmp_path / "text", PLAIN[52:56]), put(tmp_path / "payload", bytes(200_000))
    code, out, err = finished(
        *("save", directory, "--text", text, "--payload", payload, "--tokens", "1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert (code, out) == (1, b"")
    assert b"pwrite at offset 100000: File too large; nothing changed under this name" in err
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == {PLAIN_NAME: PLAIN}


@pytest.mark.parametrize("command", [["ls"], ["ls", "--json"]])
@pytest.mark.usefixtures("buffering")
def test_a_reader_that_has_seen_enough(directory: Path, command: list[str]) -> None:
    for number in range(MANY):
        put(directory / f"{number:040x}.kv", PLAIN)
    process = start(*command, directory)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(WAIT_SECONDS) == 141
    process.stdin.close()  # type: ignore[union-attr]


@pytest.mark.usefixtures("buffering")
def test_a_pipe_that_is_closed_from_the_start(directory: Path) -> None:
    commands: list[list[str | Path]] = [["inspect", directory / PLAIN_NAME], ["recover", directory], ["--help"]]
    for command in commands:
        reading, writing = os.pipe()
        os.close(reading)
        code, _, err = finished(*command, stdout=writing)
        os.close(writing)
        assert (code, err) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.usefixtures("buffering")
def test_output_that_cannot_be_written(directory: Path) -> None:
    commands: list[list[str | Path]] = [["inspect", directory / PLAIN_NAME], ["ls", "--json", directory]]
    for command in commands:
        with open("/dev/full", "wb") as full:
            code, _, err = finished(*command, stdout=full)
        assert (code, err) == (2, b"Error: standard output: No space left on device\n")
    with open("/dev/full", "wb") as full:
        assert finished("--help", stdout=full)[0] == 2


def test_closed_streams(directory: Path) -> None:
    closed = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *KVFORMAT, "inspect", "-"], capture_output=True, check=False)
    assert (closed.returncode, closed.stderr) == (2, b"Error: standard input is closed\n")
    script = '"$@" >&- 2>&-'
    silent = subprocess.run(["sh", "-c", script, "sh", *KVFORMAT, "ls", directory], capture_output=True, check=False)
    assert silent.returncode == 0


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_odd_names(tmp_path: Path, locale: str) -> None:
    odd = tmp_path / os.fsdecode(b"st[red]ore\x1b[2J\n\xff")
    odd.mkdir()
    put(odd / PLAIN_NAME, PLAIN[:-1])
    environment = {**os.environ, "LC_ALL": locale}
    shown = rb"st[red]ore\x1b[2J\n\xff/" + PLAIN_NAME.encode()
    assert shown in finished("inspect", odd / PLAIN_NAME, env=environment)[1]
    assert shown in finished("verify", odd, env=environment)[1]
    code, _, err = finished("verify", odd / "none", odd.parent / f"{odd.name}.x", env=environment)
    assert code == 2
    assert err.count(b"\n") == 2


def test_a_terminal_without_unicode(directory: Path) -> None:
    text = "é中".encode()
    put(
        directory / f"{'0' * 40}.kv",
        PLAIN[:6] + b"\0" + PLAIN[7:48] + len(text).to_bytes(4, "little") + text + PLAIN[56:60],
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    assert rb'"\xe9\u4e2d"' in finished("ls", directory, env=environment)[1]
    code, out, _ = finished("inspect", directory / f"{'0' * 40}.kv", env=environment)
    assert (code, out.isascii()) == (1, True)


def test_inspect_of_a_pipe(directory: Path) -> None:
    with subprocess.Popen(["cat", directory / PLAIN_NAME], stdout=subprocess.PIPE) as cat:
        code, out, _ = finished("inspect", "-", stdin=cat.stdout)
    assert code == 0
    assert b"the content calls for " + PLAIN_NAME.encode() in out


def test_a_terminal_sees_progress(directory: Path, tmp_path: Path) -> None:
    text = put(tmp_path / "text", b"other")
    master, slave = pty.openpty()
    script = "import kvformat.commands.progress as p; p.SHOWN_AFTER_SECONDS = 0; " + KVFORMAT[2]
    args = ["save", str(directory), "--text", str(text), "--payload", "-", "--tokens", "1", "--not-durable"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=slave
    )
    os.close(slave)
    assert process.stdin is not None
    process.stdin.write(bytes(3_000_000))
    process.stdin.flush()
    seen = b""
    while b"saving" not in seen:
        seen += os.read(master, 4096)
    out, _ = process.communicate(timeout=WAIT_SECONDS)
    os.close(master)
    assert process.returncode == 0
    assert out.startswith(b"saved ")
