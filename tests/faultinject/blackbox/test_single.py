"""A program of one task, from call to call; one that starts others is let go of, and none is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.unrewindable import UnrewindableError
from tests.faultinject.blackbox.rewound import PRELUDE, single, until
from tests.faultinject.blackbox.traced import alive, compiled, descriptors, needs_linux

pytestmark = needs_linux


def of(body: str) -> list[str]:
    return [compiled(PRELUDE + "#include <signal.h>\nint main(void) {" + body + "}", "-w")]


def ended(base: Path, body: str, *, answer: tuple[str, int] | None = None) -> tuple[int, bytes]:
    """The status in the end, and what it has printed."""
    with single(base, of(body)) as process:
        while (stop := process.next()) is not None:
            if answer is not None and stop.call == answer[0]:
                process.answer(answer[1])
        assert not process.alive
        assert process.output.seek(0) == 0
        return process.task.pid, process.output.read()


def test_calls_come_one_by_one_and_their_results_can_be_had(tmp_path: Path) -> None:
    with single(tmp_path, of('close(open("new", O_CREAT | O_WRONLY, 0600)); return 0;')) as process:
        stop = until(process, "close")
        assert process.finish() == 0
        while stop.call != "exit_group":
            following = process.next()
            assert following is not None
            stop = following
        assert process.next() is None
    assert (tmp_path / "new").exists()


def test_an_answer_takes_the_place_of_the_call(tmp_path: Path) -> None:
    body = 'printf("%d", (int)lseek(7, 1, 2)); return 0;'
    assert ended(tmp_path, body, answer=("lseek", 4321))[1] == b"4321"
    assert ended(tmp_path, body)[1] == b"-1"


def test_signals_are_delivered_on_the_way(tmp_path: Path) -> None:
    body = 'signal(SIGUSR1, SIG_IGN); raise(SIGUSR1); puts("lived"); return 0;'
    assert ended(tmp_path, body)[1] == b"lived\n"
    assert ended(tmp_path, 'puts("dies"); fflush(stdout); raise(SIGUSR1); puts("lives");')[1] == b"dies\n"


@pytest.mark.parametrize(
    "body", ["return fork() < 0;", "return vfork() < 0 ? 1 : (_exit(0), 0);", 'return system("true");']
)
def test_a_program_that_starts_others_is_let_go_of(body: str, tmp_path: Path) -> None:
    with single(tmp_path, of(body)) as process:
        with pytest.raises(UnrewindableError, match="starts other tasks"):
            while process.next() is not None:
                pass
        pid = process.task.pid
    assert not alive(pid)


def test_a_program_that_stops_itself_is_let_go_of(tmp_path: Path) -> None:
    stopper = of("raise(SIGSTOP); return 0;")
    with single(tmp_path, stopper) as process, pytest.raises(UnrewindableError, match="stopped by a signal"):
        while process.next() is not None:
            pass


def test_calls_of_another_machine_are_let_go_of(tmp_path: Path) -> None:
    body = 'long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20)); return r < 0;'
    if os.uname().machine != "x86_64":
        pytest.skip("int 0x80 is of x86-64")
    with single(tmp_path, of(body)) as process, pytest.raises(UnrewindableError, match="another machine"):
        while process.next() is not None:
            pass


def test_another_program_by_exec_is_followed(tmp_path: Path) -> None:
    assert ended(tmp_path, 'execl("/bin/echo", "echo", "other", (char *)0); return 1;')[1] == b"other\n"


def test_a_program_that_does_not_exist_leaves_nothing(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(LaunchError), single(tmp_path, [str(tmp_path / "none")]):
        pass
    assert descriptors() <= before + 1


def test_it_stays_on_one_processor(tmp_path: Path) -> None:
    """Where the kernel put it elsewhere, its memory would say so (rseq(2))."""
    with single(tmp_path, of("return lseek(-1, 0, 0) == 0;")) as process:
        until(process, "lseek")
        assert len(os.sched_getaffinity(process.task.tid)) == 1
