from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.nursery import Nursery
from faultinject.blackbox.tracer import Tracer
from tests.faultinject.blackbox.traced import compiled, descriptors, needs_linux, python, run

pytestmark = needs_linux

Start = Callable[..., Tracer]


@pytest.fixture(params=["fork", "nursery"])
def start(request: pytest.FixtureRequest) -> object:
    """Both ways to start a program must say the same."""
    if request.param == "fork":
        yield lambda argv, **more: Tracer(argv, calls=[], **more)
        return
    with Nursery(calls=[]) as nursery:
        yield lambda argv, **more: Tracer(argv, nursery=nursery, **more)


def refused(start: Start, argv: list[str], **more: object) -> str:
    before = descriptors()
    with pytest.raises(LaunchError) as caught, start(argv, **more):
        pytest.fail("it was started")
    assert descriptors() == before
    with start(["true"]) as tracer:
        run(tracer)
    assert tracer.ending.status == 0
    return str(caught.value)


class TestRefusals:
    def test_not_in_path(self, start: Start) -> None:
        assert refused(start, ["no-such-program-here"]) == (
            "no-such-program-here: no such program in PATH: give its path, or install it"
        )

    def test_no_such_file(self, start: Start) -> None:
        assert "/no/such: No such file or directory" in refused(start, ["/no/such"])

    def test_in_path_but_not_executable(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("#!/bin/sh\n")
        if os.access(tmp_path / "tool", os.X_OK):
            pytest.skip("every file here may be executed")
        assert "chmod +x" in refused(start, ["tool"], env={"PATH": str(tmp_path)})

    def test_not_executable(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("#!/bin/sh\n")
        assert "chmod +x" in refused(start, [str(tmp_path / "tool")])

    def test_a_directory(self, start: Start, tmp_path: Path) -> None:
        assert "is a directory" in refused(start, [str(tmp_path)])

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"#!/no/such/interpreter -x\n", "the interpreter '/no/such/interpreter -x'"),
            (b"echo hello\n", "neither a program for this machine nor a script that begins with #!"),
            (b"", "neither a program for this machine"),
            (b"\x7fELF\x02\x01\x01" + bytes(100), "neither a program for this machine"),
        ],
    )
    def test_what_cannot_run(self, start: Start, tmp_path: Path, content: bytes, text: str) -> None:
        (tmp_path / "tool").write_bytes(content)
        (tmp_path / "tool").chmod(0o755)
        assert text in refused(start, [str(tmp_path / "tool")])

    def test_a_missing_loader(self, start: Start, tmp_path: Path) -> None:
        path = compiled("int main(void) { return 0; }", "-Wl,--dynamic-linker=/no/such/loader")
        assert "the loader (ELF interpreter) that runs it does not" in refused(start, [path])

    def test_a_missing_directory(self, start: Start) -> None:
        assert refused(start, ["true"], cwd="/no/such") == (
            "/no/such: cannot be the working directory: No such file or directory"
        )

    def test_arguments_that_are_too_long(self, start: Start) -> None:
        assert "Argument list too long" in refused(start, ["true", "x" * (1 << 18)])
        assert "Argument list too long" in refused(start, ["true", *["x" * 100000] * 130])

    def test_nothing_and_nul(self, start: Start) -> None:
        assert "empty" in refused(start, [])
        assert "NUL" in refused(start, ["true", "a\0b"])
        assert "environment" in refused(start, ["true"], env={"A=B": "c"})
        assert "environment" in refused(start, ["true"], env={"A": "c\0"})

    def test_a_child_that_dies_before_its_exec(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "setsid", lambda: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(LaunchError, match="was killed before it became"), Tracer(["true"], calls=[]):
            pass

    def test_a_limit_that_cannot_be_set(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        def no(*_: object) -> None:
            raise PermissionError(errno.EPERM, "not permitted")

        monkeypatch.setattr(resource, "prlimit", no)
        assert refused(start, ["true"], limits=Limits(3)) == "true: its limit cannot be set: not permitted"

    def test_a_descriptor_that_is_closed(self) -> None:
        with (
            pytest.raises(LaunchError, match="standard descriptors failed: OSError"),
            Tracer(["true"], calls=[], stdout=9999),
        ):
            pass


class TestStarts:
    def test_a_relative_path_belongs_to_the_directory_of_the_program(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("#!/bin/sh\nexit 5\n")
        (tmp_path / "tool").chmod(0o755)
        with start(["./tool"], cwd=str(tmp_path)) as tracer:
            run(tracer)
        assert tracer.ending.status == 5

    def test_the_path_of_the_given_environment(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("#!/bin/sh\nexit 6\n")
        (tmp_path / "tool").chmod(0o755)
        with start(["tool"], env={"PATH": f"/no/such:{tmp_path}"}) as tracer:
            run(tracer)
        assert tracer.ending.status == 6

    def test_hostile_arguments_arrive_unchanged(self, start: Start, tmp_path: Path) -> None:
        words = ["", " ", "a\nb", "\udcff\udc80", "ü", "x" * 100000, *map(str, range(2000))]
        (tmp_path / "words").write_bytes(b"\0".join(os.fsencode(word) for word in words))
        code = (
            "import os, sys\n"
            "sys.exit(open(sys.argv[1], 'rb').read().split(b'\\0') != [os.fsencode(word) for word in sys.argv[2:]])"
        )
        with start(python(code, str(tmp_path / "words"), *words)) as tracer:
            run(tracer)
        assert tracer.ending.status == 0


IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTERM, signal.SIGRTMAX)


def test_no_signal_is_ignored_or_blocked_whatever_this_process_ignores(tmp_path: Path) -> None:
    """As under nohup, in the background of a shell without job control, and in a worker that leaves Ctrl-C alone."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        with (
            (tmp_path / "out").open("w+b") as out,
            Tracer(["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"], calls=[], stdout=out.fileno()) as tracer,
        ):
            run(tracer)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (tmp_path / "out").read_text() == f"SigBlk:\t{0:016x}\nSigIgn:\t{0:016x}\n"
