from __future__ import annotations

import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from faultinject.blackbox.limits import Limits
from faultinject.blackbox.nursery import Nursery
from faultinject.blackbox.tracer import Stop, Tracer, TracerError
from tests.faultinject.blackbox.traced import alive, compiled, descriptors, needs_linux, python, run

pytestmark = needs_linux

SAVE = "import os, sys; os.getppid(); open(sys.argv[1], 'w').write(os.getcwd())"


def nursery_pid(tracer: Tracer) -> int:
    (task,) = tracer.tasks.values()
    return int(Path(f"/proc/{task.pid}/stat").read_text().rpartition(")")[2].split()[1])


def zombies_of(pid: int) -> list[str]:
    """Children of a process, dead or alive."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_one_program_after_another(tmp_path: Path) -> None:
    with Nursery(calls=["getppid"]) as nursery:
        before = descriptors()
        parents = set()
        for number in range(50):
            with Tracer(["/bin/sh", "-c", f"exit {number}"], nursery=nursery) as tracer:
                parents.add(nursery_pid(tracer))
                run(tracer)
            assert tracer.ending.status == number
        assert descriptors() == before
        (parent,) = parents
        assert zombies_of(parent) == []
        assert alive(parent)
    assert not alive(parent)


def test_a_program_is_as_if_it_had_been_forked(tmp_path: Path) -> None:
    """Signals, descriptors, limits, seccomp, personality, session: nothing of the nursery shows."""
    shell = (
        "grep -E '^(Sig(Ign|Blk|Pnd)|ShdPnd|Seccomp|NoNewPrivs|TracerPid|Threads)' /proc/self/status;"
        "ls /proc/self/fd; cat /proc/self/personality /proc/self/limits; pwd; cat /proc/self/cmdline; env;"
        'cut -d\' \' -f 5-7 /proc/self/stat | sed "s/$$/own/g"; ps -o sid= -p $$ | sed "s/$$/own/g"; umask'
    )
    texts = []
    for fast in (False, True):
        with (tmp_path / str(fast)).open("w+b") as out:
            os.chdir("/")
            try:
                if fast:
                    with (
                        Nursery(calls=["getppid"], stdout=out.fileno(), stderr=out.fileno()) as nursery,
                        Tracer(["sh", "-c", shell], nursery=nursery) as tracer,
                    ):
                        run(tracer)
                else:
                    with Tracer(
                        ["sh", "-c", shell], calls=["getppid"], stdout=out.fileno(), stderr=out.fileno()
                    ) as tracer:
                        run(tracer)
            finally:
                os.chdir(os.path.dirname(__file__))
            out.seek(0)
            texts.append(out.read())
    assert texts[0] == texts[1]
    assert b"own own" in texts[0] or b"own" in texts[0]
    assert b"SigIgn:\t0000000000000000" in texts[0]


def test_addresses_repeat_between_the_two_ways() -> None:
    argv = [compiled("int main(void) { return 0; }")]
    with Nursery(calls=["mprotect", "munmap"]) as nursery:
        runs = []
        for _ in range(2):
            with Tracer(argv, nursery=nursery) as tracer:
                runs.append([stop.args for stop in run(tracer)])
    assert runs[0] == runs[1] != []


def test_working_directories(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    before = os.getcwd()
    out = tmp_path / "out"
    try:
        os.chdir(tmp_path)
        with Nursery(calls=[]) as nursery:

            def where(cwd: str | None) -> str:
                with Tracer(python(SAVE, str(out)), nursery=nursery, cwd=cwd) as tracer:
                    run(tracer)
                assert tracer.ending.status == 0
                return out.read_text()

            assert where(None) == str(tmp_path)
            assert where("inner") == str(inner)
            assert where("/") == "/"
            os.chdir("inner")
            assert where(None) == str(inner)
            # The same name for another directory.
            os.chdir("/")
            inner.rename(tmp_path / "other")
            inner.mkdir()
            assert where(str(inner)) == str(inner)
            os.chdir(inner)
            assert where(None) == str(inner)
    finally:
        os.chdir(before)


def test_every_call_is_trapped_but_those_of_the_nursery() -> None:
    argv = [compiled("int main(void) { return 4; }")]
    with Tracer(argv, calls=None) as tracer:
        forked = [stop.call for stop in run(tracer)]
    with Nursery(calls=None) as nursery, Tracer(argv, nursery=nursery) as tracer:
        assert [stop.call for stop in run(tracer)] == forked
    assert tracer.ending.status == 4


def test_each_program_has_its_own_limits(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Nursery(calls=[]) as nursery:
        for limits, expected in ((Limits(4, True), b"0123"), (Limits(6), b"012345"), (None, b"0123456789\n")):
            path = tmp_path / "saved"
            with Tracer(["sh", "-c", "echo 0123456789 >$0", str(path)], nursery=nursery, limits=limits) as tracer:
                run(tracer)
            assert path.read_bytes() == expected
            if limits is not None:
                assert tracer.ending.signal == (None if limits.ignore_sigxfsz else signal.SIGXFSZ)
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before


def test_program_of_many_processes() -> None:
    code = "import os\nfor _ in range(3): os.fork()\nos.getppid()"
    with Nursery(calls=["getppid"]) as nursery:
        for _ in range(3):
            with Tracer(python(code), nursery=nursery) as tracer:
                pid = nursery_pid(tracer)
                assert len(run(tracer, lambda stop: tracer.finish(stop))) == 8
            assert tracer.ending.status == 0
            assert zombies_of(pid) == []


def test_kill_and_time_out_spare_the_nursery() -> None:
    code = "import os, time; os.fork(); os.getppid(); time.sleep(60)"
    with Nursery(calls=["getppid"]) as nursery:
        for way in ("kill", "time", "leave"):
            with Tracer(python(code), nursery=nursery, timeout_seconds=0.3 if way == "time" else 60) as tracer:
                stops = [tracer.next(), tracer.next()]
                pids = list(tracer.tasks)
                assert len(pids) == 2
                for stop in stops:
                    assert isinstance(stop, Stop)
                    tracer.go(stop)
                if way == "kill":
                    tracer.kill()
                if way != "leave":
                    assert tracer.next() is None
            assert not any(alive(pid) for pid in pids)
            assert (tracer.ending.killed, tracer.ending.timed_out) == (way == "kill", way == "time")
        with Tracer(["true"], nursery=nursery) as tracer:
            run(tracer)
        assert tracer.ending.status == 0


def test_a_signal_to_its_own_group_does_not_reach_the_nursery() -> None:
    with Nursery(calls=[]) as nursery:
        for _ in range(2):
            with Tracer(["sh", "-c", "kill -TERM 0; sleep 9"], nursery=nursery) as tracer:
                run(tracer)
            assert tracer.ending.signal == signal.SIGTERM


def test_a_killed_nursery_is_reported() -> None:
    with Nursery(calls=[]) as nursery:
        with Tracer(["true"], nursery=nursery) as tracer:
            pid = nursery_pid(tracer)
            run(tracer)
        os.kill(pid, signal.SIGKILL)
        while alive(pid):
            pass
        with pytest.raises(TracerError, match="has been killed: make another"), Tracer(["true"], nursery=nursery):
            pass
    with pytest.raises(TracerError, match="is closed"), Tracer(["true"], nursery=nursery):
        pass


def test_the_setup_is_that_of_the_nursery() -> None:
    with Nursery(calls=["write"]) as nursery:
        with pytest.raises(TracerError, match="belong to the nursery"):
            Tracer(["true"], calls=["read"], nursery=nursery)
        with Tracer(["sh", "-c", "echo"], calls=["write"], nursery=nursery) as tracer:
            assert [stop.call for stop in run(tracer)] == ["write"]
        with pytest.raises(TracerError, match="entered already"), nursery:
            pass


def test_a_nursery_belongs_to_its_thread() -> None:
    said: list[str] = []

    def work() -> None:
        with pytest.raises(TracerError) as caught, Tracer(["true"], nursery=nursery):
            pass
        said.append(str(caught.value))

    with Nursery(calls=[]) as nursery:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert said == ["the nursery belongs to the thread that entered it: make one for each thread"]


def test_a_program_can_outlive_its_nursery() -> None:
    with Nursery(calls=["getppid"]) as nursery:
        tracer = Tracer(python("import os; os.getppid(); os._exit(7)"), nursery=nursery)
        with tracer:
            nursery.close()
            assert len(run(tracer)) == 1
        assert tracer.ending.status == 7
