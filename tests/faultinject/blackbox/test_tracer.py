from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultinject.blackbox.abi import X86_64, native
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.tracer import Finished, Stop, TaskGoneError, Tracer, TracerError, interrupted
from tests.faultinject.blackbox.traced import alive, compiled, descriptors, needs_linux, python, run

pytestmark = needs_linux

SAVE = r"""
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <string.h>
int main(int argc, char **argv) {
    int fd = open(argv[1], O_CREAT | O_WRONLY, 0600);
    if (fd < 0) return errno;
    const char *at = "0123456789";
    for (size_t left = 10; left;) {
        ssize_t done = write(fd, at, left);
        if (done < 0) return errno;
        at += done; left -= done;
    }
    return close(fd) ? errno : 0;
}
"""
PYTHON_SAVE = """
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
left = b"0123456789"
try:
    while left:
        left = left[os.write(fd, left):]
    os.close(fd)
except OSError as error:
    sys.exit(error.errno)
"""
SAVE_CALLS = ("open", "openat", "write", "close")


@pytest.fixture(params=["dynamic", "static", "python"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[str], Path]:
    """A program that writes ten bytes to a file, and that file."""
    path = tmp_path / "saved"
    if request.param == "python":
        return python(PYTHON_SAVE, str(path)), path
    flags = ("-static",) if request.param == "static" else ()
    return [compiled(SAVE, *flags), str(path)], path


def of_file(stop: Stop, path: Path) -> bool:
    """Whether this call opens that file."""
    place = {"openat": 1, "open": 0}.get(stop.call)
    return place is not None and stop.task.read_string(stop.args[place]) == os.fsencode(path)


class Saving:
    """Finds the calls of one save among all that a program does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self.calls: list[tuple[str, int]] = []

    def stops(self, tracer: Tracer) -> Iterator[Stop]:
        """The writes and the close of the file; all else runs."""
        while (stop := tracer.next()) is not None:
            assert isinstance(stop, Stop)
            if self.fd < 0 and of_file(stop, self.path):
                self.fd = tracer.finish(stop)
            elif stop.call in ("write", "close") and stop.args[0] == self.fd >= 0:
                yield stop
            else:
                tracer.go(stop)


class TestOneTask:
    def test_calls_come_before_their_effect(self, save: tuple[list[str], Path]) -> None:
        argv, path = save
        saving = Saving(path)
        seen = []
        with Tracer(argv, calls=SAVE_CALLS) as tracer:
            while (stop := tracer.next()) is not None:
                assert isinstance(stop, Stop)
                if saving.fd < 0 and of_file(stop, path):
                    assert not path.exists()
                    saving.fd = tracer.finish(stop)
                    assert path.exists()
                    assert path.stat().st_size == 0
                elif stop.call == "write" and stop.args[0] == saving.fd:
                    seen.append(stop.task.read(stop.args[1], stop.args[2]))
                    assert path.read_bytes() == b""
                    assert tracer.finish(stop) == 10
                    assert path.read_bytes() == b"0123456789"
                else:
                    tracer.go(stop)
            assert tracer.single
            assert not tracer.foreign
            assert not tracer.tasks
            assert tracer.next() is None
        assert seen == [b"0123456789"]
        assert tracer.ending.status == 0
        assert tracer.ending.signal is None
        assert not tracer.ending.killed
        assert not tracer.ending.timed_out

    def test_a_refused_call_never_happens(self, save: tuple[list[str], Path]) -> None:
        argv, path = save
        saving = Saving(path)
        with Tracer(argv, calls=SAVE_CALLS) as tracer:
            for stop in saving.stops(tracer):
                if stop.call == "write":
                    tracer.answer(stop, -errno.ENOSPC)
                else:
                    tracer.go(stop)
        assert tracer.ending.status == errno.ENOSPC
        assert path.read_bytes() == b""

    def test_a_claimed_call_never_happens_either(self, save: tuple[list[str], Path]) -> None:
        argv, path = save
        saving = Saving(path)
        with Tracer(argv, calls=SAVE_CALLS) as tracer:
            for stop in saving.stops(tracer):
                if stop.call == "write":
                    tracer.answer(stop, 7 if stop.args[2] == 10 else 3)
                else:
                    tracer.go(stop)
        assert tracer.ending.status == 0
        assert path.read_bytes() == b""

    def test_a_shortened_write_goes_on_with_the_rest(self, save: tuple[list[str], Path]) -> None:
        argv, path = save
        saving = Saving(path)
        sizes = []
        with Tracer(argv, calls=SAVE_CALLS) as tracer:
            for stop in saving.stops(tracer):
                if stop.call == "write" and stop.args[2] > 1:
                    before = tracer.registers(stop.task)
                    assert tracer.shorten(stop, 2, stop.args[2] // 2) == stop.args[2] // 2
                    after = tracer.registers(stop.task)
                    for place in native().arguments[1:]:
                        assert after[place] == before[place]
                    sizes.append(path.stat().st_size)
                else:
                    tracer.go(stop)
        assert sizes == [5, 7, 8, 9]
        assert tracer.ending.status == 0
        assert path.read_bytes() == b"0123456789"

    def test_a_failing_close_has_closed(self, save: tuple[list[str], Path]) -> None:
        argv, path = save
        saving = Saving(path)
        real = []
        with Tracer(argv, calls=SAVE_CALLS) as tracer:
            for stop in saving.stops(tracer):
                if stop.call == "close":
                    fds = f"/proc/{stop.task.pid}/fd/{saving.fd}"
                    assert os.path.lexists(fds)
                    real.append(tracer.finish_as(stop, -errno.EIO))
                    assert not os.path.lexists(fds)
                    saving.fd = 1 << 70
                else:
                    tracer.go(stop)
        assert real == [0]
        assert tracer.ending.status == errno.EIO

    def test_kill_at_a_call_leaves_it_undone(self, save: tuple[list[str], Path]) -> None:
        argv, path = save
        saving = Saving(path)
        with Tracer(argv, calls=SAVE_CALLS) as tracer:
            for stop in saving.stops(tracer):
                pid = stop.task.pid
                tracer.kill()
                assert tracer.next() is None
                with pytest.raises(TaskGoneError):
                    tracer.finish(stop)
        assert not alive(pid)
        assert tracer.ending.killed
        assert tracer.ending.signal == signal.SIGKILL
        assert tracer.ending.status is None
        assert path.read_bytes() == b""

    def test_every_call_and_all_but_some(self) -> None:
        argv = [compiled("int main(void) { return 4; }")]
        with Tracer(argv, calls=None) as tracer:
            everything = [stop.call for stop in run(tracer)]
        assert tracer.ending.status == 4
        assert {"mmap", "brk", "mprotect", "exit_group"} <= set(everything)
        assert "" not in everything
        with Tracer(argv, calls=None, ignore=["mmap", "brk"]) as tracer:
            assert [stop.call for stop in run(tracer)] == [one for one in everything if one not in ("mmap", "brk")]

    def test_finish_of_every_call_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "saved"
        results: list[int] = []

        def act(stop: Stop) -> None:
            if stop.call == "exit_group":
                with pytest.raises(TaskGoneError):
                    tracer.finish(stop)
            else:
                results.append(tracer.finish(stop))

        with Tracer(python(PYTHON_SAVE, str(path)), calls=None) as tracer:
            assert len(run(tracer, act)) == len(results) + 1 > 100
        assert tracer.ending.status == 0
        assert path.read_bytes() == b"0123456789"
        assert -errno.ENOENT in results

    def test_addresses_repeat(self) -> None:
        argv = [compiled("int main(void) { return 0; }")]
        runs = []
        for _ in range(2):
            with Tracer(argv, calls=["mprotect"]) as tracer:
                runs.append([stop.args for stop in run(tracer)])
        assert runs[0] == runs[1] != []

    def test_a_stop_is_handed_back_once(self) -> None:
        with Tracer([compiled("int main(void) { return 0; }")], calls=["mprotect"]) as tracer:
            stop = tracer.next()
            assert isinstance(stop, Stop)
            with pytest.raises(TracerError, match="every task is held"):
                tracer.next()
            with pytest.raises(TracerError, match="not at its exit"):
                tracer.replace(stop, 0)
            tracer.go(stop)
            for again in (tracer.go, tracer.finish, tracer.follow, lambda one: tracer.answer(one, 0)):
                with pytest.raises(TracerError, match="waits for nobody"):
                    again(stop)
            run(tracer)
            with pytest.raises(TaskGoneError):
                tracer.go(stop)
        assert tracer.ending.status == 0

    def test_registers_can_be_set(self) -> None:
        """A program that asks for its process id is told what we like, by the registers alone."""
        source = "#include <sys/syscall.h>\n#include <unistd.h>\nint main(void) { return syscall(SYS_getppid) & 63; }"

        def act(stop: Stop) -> None:
            registers = tracer.registers(stop.task)
            registers[native().result] = 42
            tracer.set_registers(stop.task, registers, skip=True)
            tracer.go(stop)

        with Tracer([compiled(source)], calls=["getppid"]) as tracer:
            assert len(run(tracer, act)) == 1
        assert tracer.ending.status == 42


class TestMemory:
    SOURCE = r"""
    #include <sys/mman.h>
    #include <unistd.h>
    #include <string.h>
    int main(void) {
        char *at = mmap(0, 3 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(at + (2 << 20), 1 << 20);
        memset(at, 'x', 2 << 20);
        mprotect(at, 4096, PROT_READ);
        write(-1, at, 1ul << 62);
        write(-1, 0, 5);
        return at[1];
    }
    """

    def test_reads_end_where_the_memory_does(self) -> None:
        with Tracer([compiled(self.SOURCE)], calls=["write"]) as tracer:
            first = tracer.next()
            assert isinstance(first, Stop)
            address, size_bytes = first.args[1:3]
            assert size_bytes == 1 << 62
            data = first.task.read(address, size_bytes)
            assert data[: 2 << 20] == b"x" * (2 << 20)
            assert first.task.read(address, 1500000) == b"x" * 1500000
            assert first.task.read(address, 0) == b""
            with pytest.raises(OSError, match="no end of the string"):
                first.task.read_string(address, 100)
            first.task.write(address + 1, b"\7\0")  # the page is read-only for the program
            assert first.task.read_string(address) == b"x\7"
            assert first.task.read_string(address, 3) == b"x\7"
            with pytest.raises(OSError, match=r"no memory|Input/output error"):
                first.task.write(address + (2 << 20) - 1, b"ab" * 4096)
            tracer.go(first)
            second = tracer.next()
            assert isinstance(second, Stop)
            for address in (0, 1 << 62, 1 << 63, (1 << 64) - 8):
                with pytest.raises(OSError, match=r"no address|Input/output error"):
                    second.task.read(address, 5)
                with pytest.raises(OSError, match=r"no address|Input/output error"):
                    second.task.read_string(address)
            tracer.go(second)
            assert tracer.next() is None
        assert tracer.ending.status == 7

    def test_memory_follows_an_exec(self) -> None:
        """The memory after an exec is that of the new program."""
        code = "import os; os.getppid(); os.execv('/bin/sh', ['sh', '-c', 'cd /nowhere-at-all'])"
        texts: list[bytes] = []

        def act(stop: Stop) -> None:
            if stop.call == "getppid":
                place = native().stack_pointer
                assert len(stop.task.read(tracer.registers(stop.task)[place], 8)) == 8
            elif stop.call == "chdir":
                texts.append(stop.task.read_string(stop.args[0]))
            tracer.go(stop)

        with Tracer(python(code), calls=["getppid", "chdir"]) as tracer:
            run(tracer, act)
        assert texts == [b"/nowhere-at-all"]


class TestSignals:
    HANDLER = r"""
    #include <fcntl.h>
    #include <signal.h>
    #include <string.h>
    #include <unistd.h>
    volatile int seen;
    void on(int number) { seen = number; mkdirat(-1, "", 0); }
    int main(int argc, char **argv) {
        signal(SIGUSR1, on);
        if (argc > 1) { sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR1); sigprocmask(SIG_BLOCK, &set, 0); }
        int result = getppid() > 0 ? 0 : 1;
        return seen * 2 + result;
    }
    """.replace("#include <fcntl.h>", "#include <fcntl.h>\n#include <sys/stat.h>")

    def test_a_delivered_signal_comes_before_the_call(self) -> None:
        seen = []

        def act(stop: Stop) -> None:
            seen.append(stop.call)
            if seen == ["getppid"]:
                tracer.deliver(stop, signal.SIGUSR1)
            elif stop.call == "getppid":
                assert tracer.finish(stop) >= 0
            else:
                tracer.go(stop)

        with Tracer([compiled(self.HANDLER)], calls=["getppid", "mkdirat"]) as tracer:
            run(tracer, act)
        assert seen == ["getppid", "mkdirat", "getppid"]
        assert tracer.ending.status in (signal.SIGUSR1 * 2, signal.SIGUSR1 * 2 + 1)

    def test_a_blocked_signal_stays_pending_and_the_call_comes_again(self) -> None:
        seen = []

        def act(stop: Stop) -> None:
            seen.append(stop.call)
            if len(seen) == 1:
                tracer.deliver(stop, signal.SIGUSR1)
            else:
                tracer.answer(stop, 1)

        with Tracer([compiled(self.HANDLER), "block"], calls=["getppid", "mkdirat"]) as tracer:
            run(tracer, act)
        assert seen == ["getppid", "getppid"]
        assert tracer.ending.status == 0

    def test_a_signal_that_ends_the_program_leaves_the_call_undone(self, tmp_path: Path) -> None:
        path = tmp_path / "saved"

        def act(stop: Stop) -> None:
            if of_file(stop, path):
                tracer.deliver(stop, signal.SIGTERM)
            else:
                tracer.go(stop)

        with Tracer(python(PYTHON_SAVE, str(path)), calls=SAVE_CALLS) as tracer:
            run(tracer, act)
        assert tracer.ending.signal == signal.SIGTERM
        assert tracer.ending.status is None
        assert not tracer.ending.killed
        assert not path.exists()

    def test_signals_of_the_program_pass(self) -> None:
        code = (
            "import os, signal, sys\n"
            "got = []\n"
            "signal.signal(signal.SIGUSR1, lambda *_: got.append(1))\n"
            "for _ in range(3): os.kill(os.getpid(), signal.SIGUSR1)\n"
            "os.getppid()\n"
            "sys.exit(len(got))\n"
        )
        with Tracer(python(code), calls=["getppid", "kill"]) as tracer:
            assert [stop.call for stop in run(tracer)] == ["kill"] * 3 + ["getppid"]
        assert tracer.ending.status == 3

    def test_trap_and_crash(self) -> None:
        with Tracer(
            [compiled("#include <signal.h>\nint main(void) { raise(SIGTRAP); return 0; }")], calls=[]
        ) as tracer:
            assert run(tracer) == []
        assert tracer.ending.signal == signal.SIGTRAP
        with Tracer([compiled("int main(int c, char **v) { return *(int *)(long)(c - 1); }")], calls=[]) as tracer:
            assert run(tracer) == []
        assert tracer.ending.signal == signal.SIGSEGV

    def test_a_stopped_program_goes_on_when_it_is_continued(self) -> None:
        """Both ways: the group stop lasts, and ends with SIGCONT."""
        code = (
            "import os, signal, sys, time\n"
            "child = os.fork()\n"
            "if not child:\n"
            "    os.kill(os.getpid(), signal.SIGSTOP)\n"
            "    os.getppid()\n"
            "    os._exit(5)\n"
            "_, status = os.waitpid(child, os.WUNTRACED)\n"
            "assert os.WIFSTOPPED(status), status\n"
            "time.sleep(0.05)\n"
            "os.getpgid(0)\n"
            "os.kill(child, signal.SIGCONT)\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        )
        with Tracer(python(code), calls=["getppid", "getpgid"], stderr=2) as tracer:
            assert [(stop.task.name, stop.call) for stop in run(tracer)] == [("0", "getpgid"), ("0.0", "getppid")]
        assert tracer.ending.status == 5

    def test_an_interrupted_call_says_so_and_fails_with_eintr(self) -> None:
        source = r"""
        #include <errno.h>
        #include <signal.h>
        #include <unistd.h>
        void on(int number) { (void)number; }
        int main(void) {
            int ends[2]; char byte;
            if (pipe(ends)) return 1;
            struct sigaction act = { .sa_handler = on };
            sigaction(SIGALRM, &act, 0);
            ualarm(20000, 0);
            return read(ends[0], &byte, 1) == -1 && errno == EINTR ? 9 : 8;
        }
        """
        results: list[int] = []

        def act(stop: Stop) -> None:
            if stop.args[2] == 1:
                results.append(tracer.finish(stop))
            else:
                tracer.go(stop)

        with Tracer([compiled(source)], calls=["read"]) as tracer:
            run(tracer, act)
        assert [interrupted(one) for one in results] == [True]
        assert tracer.ending.status == 9
        assert not interrupted(-errno.EINTR)


THREADS = r"""
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sys/syscall.h>
static void *work(void *number) {
    for (int i = 0; i < 20; i++) syscall(SYS_getpgid, (long)number);
    return 0;
}
int main(void) {
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], 0, work, (void *)(1000000 + i));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    return 0;
}
"""


class TestManyTasks:
    @pytest.mark.parametrize("way", ["go", "finish", "follow", "mixed"])
    def test_threads(self, way: str) -> None:
        seen: dict[str, list[int]] = {}
        ended = 0
        count = 0
        with Tracer([compiled(THREADS)], calls=["getpgid"]) as tracer:
            while (event := tracer.next()) is not None:
                if isinstance(event, Finished):
                    assert event.result == -errno.ESRCH
                    ended += 1
                    continue
                seen.setdefault(event.task.name, []).append(event.args[0])
                assert event.task.pid != event.task.tid
                count += 1
                how = ("go", "finish", "follow")[count % 3] if way == "mixed" else way
                assert getattr(tracer, how)(event) in (None, -errno.ESRCH)
        assert seen == {f"0.{one}": [1000000 + one] * 20 for one in range(4)}
        assert ended == {"follow": 80, "mixed": count // 3}.get(way, 0) or (way == "mixed" and ended > 20)
        assert tracer.ending.status == 0
        assert not tracer.single

    def test_a_held_task_does_not_hold_the_others(self) -> None:
        names = []
        held = None
        with Tracer([compiled(THREADS)], calls=["getpgid"]) as tracer:
            while (event := tracer.next()) is not None:
                assert isinstance(event, Stop)
                if held is None:
                    held = event
                    continue
                names.append(event.task.name)
                tracer.go(event)
                if len(names) == 60:
                    assert held.task.name not in names
                    tracer.go(held)
        assert len(names) == 79
        assert tracer.ending.status == 0

    def test_a_call_that_waits_for_another_task_is_followed(self) -> None:
        """The read ends only after the write that comes later: the results arrive in that order."""
        code = (
            "import os\n"
            "out, into = os.pipe()\n"
            "if not os.fork():\n"
            "    os.close(out)\n"
            "    os.getppid()\n"
            "    os.write(into, b'abc')\n"
            "    os._exit(0)\n"
            "os.close(into)\n"
            "assert os.read(out, 77) == b'ab', 'changed'\n"
            "os.wait()\n"
        )
        story = []
        with Tracer(python(code), calls=["read", "write", "getppid"], stderr=2) as tracer:
            while (event := tracer.next()) is not None:
                if isinstance(event, Finished):
                    story.append(("end", event.stop.call, event.result))
                    tracer.replace(event.stop, 2)
                elif event.call == "read" and event.args[2] == 77:
                    story.append(("begin", "read", 0))
                    tracer.follow(event)
                elif event.call == "write":
                    story.append(("done", "write", tracer.finish(event)))
                else:
                    tracer.go(event)
        assert sorted(story[:2]) == [("begin", "read", 0), ("done", "write", 3)]
        assert story[2:] == [("end", "read", 3)]
        assert tracer.ending.status == 0

    def test_a_followed_call_of_a_task_that_dies(self) -> None:
        source = r"""
        #include <pthread.h>
        #include <unistd.h>
        static int ends[2];
        static void *work(void *none) { char byte; read(ends[0], &byte, 1); return none; }
        int main(void) {
            pthread_t thread;
            if (pipe(ends)) return 1;
            pthread_create(&thread, 0, work, 0);
            usleep(20000);
            _exit(6);
        }
        """
        events: list[object] = []
        with Tracer([compiled(source)], calls=["read"]) as tracer:
            while (event := tracer.next()) is not None:
                if isinstance(event, Finished):
                    events.append(event.result)
                elif event.args[2] == 1:
                    tracer.follow(event)
                    events.append("read")
                else:
                    tracer.go(event)
        assert events == ["read", None]
        assert tracer.ending.status == 6

    def test_a_task_that_is_gone_in_its_call(self) -> None:
        """One thread stands at a call; another one ends the process: no call of the first happens, nothing hangs."""
        source = r"""
        #include <pthread.h>
        #include <unistd.h>
        static void *work(void *none) { chdir("/"); return none; }
        int main(void) {
            pthread_t thread;
            pthread_create(&thread, 0, work, 0);
            usleep(50000);
            getpgid(0);
            _exit(6);
        }
        """
        held = None
        with Tracer([compiled(source)], calls=["chdir", "getpgid"]) as tracer:
            while (event := tracer.next()) is not None:
                assert isinstance(event, Stop)
                if event.call == "chdir":
                    held = event
                else:
                    tracer.go(event)
            assert held is not None
            for way in (tracer.finish, tracer.go, lambda one: tracer.answer(one, 0)):
                with pytest.raises(TaskGoneError):
                    way(held)
        assert tracer.ending.status == 6

    @pytest.mark.parametrize("first", ["finish", "shorten", "answer", "finish_as", "deliver"])
    def test_a_process_that_is_killed_from_outside_at_its_call(self, first: str) -> None:
        code = "import os; os.getppid(); os._exit(3)"
        with Tracer(python(code), calls=["getppid"]) as tracer:
            stop = tracer.next()
            assert isinstance(stop, Stop)
            os.kill(stop.task.pid, signal.SIGKILL)
            more = {"shorten": (0, 1), "answer": (0,), "finish_as": (0,), "deliver": (signal.SIGUSR1,)}
            with pytest.raises(TaskGoneError):
                getattr(tracer, first)(stop, *more.get(first, ()))
            assert tracer.next() is None
        assert tracer.ending.signal == signal.SIGKILL
        assert not tracer.ending.killed

    def test_the_memory_of_a_dead_process_is_gone(self) -> None:
        for opened in (False, True):
            with Tracer(python("import os; os.getppid()"), calls=["getppid"]) as tracer:
                stop = tracer.next()
                assert isinstance(stop, Stop)
                address = tracer.registers(stop.task)[native().stack_pointer]
                if opened:
                    assert len(stop.task.read(address, 8)) == 8
                os.kill(stop.task.pid, signal.SIGKILL)
                while alive(stop.task.pid):
                    time.sleep(0.001)
                with pytest.raises(ProcessLookupError):
                    stop.task.read(address, 8)
                with pytest.raises(ProcessLookupError):
                    stop.task.read_string(address)
                with pytest.raises(OSError, match=r"No such process|no memory"):
                    stop.task.write(address, b"x")
                assert tracer.next() is None

    @pytest.mark.parametrize(("way", "error"), [("dead", TaskGoneError), ("astray", None)])
    def test_a_clone3_whose_arguments_cannot_be_read(self, way: str, error: type[Exception] | None) -> None:
        source = "#include <unistd.h>\nint main(void) { return syscall(435, 8, 88) == -1 ? 5 : 6; }"
        with Tracer([compiled(source)], calls=["clone3"]) as tracer:
            stop = tracer.next()
            assert isinstance(stop, Stop)
            if error is not None:
                os.kill(stop.task.pid, signal.SIGKILL)
                with pytest.raises(error):
                    tracer.finish(stop)
            else:
                assert tracer.finish(stop) == -errno.EFAULT
            assert tracer.next() is None
        assert tracer.ending.status == (5 if error is None else None)

    def test_a_process_that_is_killed_from_outside_in_its_call(self) -> None:
        code = "import os; a, b = os.pipe(); os.read(a, 77)"
        with Tracer(python(code), calls=["read"]) as tracer:
            while (stop := tracer.next()) is not None:
                assert isinstance(stop, Stop)
                if stop.args[2] != 77:
                    tracer.go(stop)
                    continue
                timer = threading.Timer(0.05, os.kill, (stop.task.pid, signal.SIGKILL))
                timer.start()
                with pytest.raises(TaskGoneError):
                    tracer.finish(stop)
                timer.join()
        assert tracer.ending.signal == signal.SIGKILL

    def test_twenty_children_and_their_names(self) -> None:
        code = (
            "import os\n"
            "for _ in range(20):\n"
            "    if not os.fork():\n"
            "        if not os.fork(): os.getppid(); os._exit(0)\n"
            "        os.getpgid(0); os.wait(); os._exit(0)\n"
            "for _ in range(20): os.wait()\n"
        )
        with Tracer(python(code), calls=["getppid", "getpgid"]) as tracer:
            names = sorted((stop.task.name, stop.call) for stop in run(tracer, lambda stop: tracer.finish(stop)))
        expected = [(f"0.{one}", "getpgid") for one in range(20)] + [(f"0.{one}.0", "getppid") for one in range(20)]
        assert names == sorted(expected)
        assert tracer.ending.status == 0

    def test_spawned_programs(self, tmp_path: Path) -> None:
        """posix_spawn is a vfork: the parent waits in the call until the child has become a program."""
        code = (
            "import os, sys\n"
            "pid = os.posix_spawn('/bin/sh', ['sh', '-c', 'exit 4'], os.environ)\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        )
        births = ("clone", "clone3", "vfork", "fork")
        refused = 0
        story = []
        with Tracer(python(code), calls=[*births, "execve"], stderr=2) as tracer:
            while (event := tracer.next()) is not None:
                if isinstance(event, Finished):
                    story.append((event.stop.task.name, "end"))
                elif event.call in births:
                    with pytest.raises(TracerError, match="use follow"):
                        tracer.finish(event)
                    refused += 1
                    tracer.follow(event)
                else:
                    story.append((event.task.name, event.call))
                    assert tracer.finish(event) == 0
        assert refused == 1
        assert story == [("0.0", "execve"), ("0", "end")]
        assert tracer.ending.status == 4

    @pytest.mark.parametrize("way", ["go", "finish", "follow"])
    def test_a_thread_that_becomes_a_program(self, way: str) -> None:
        source = r"""
        #include <pthread.h>
        #include <stdlib.h>
        #include <unistd.h>
        static void *idle(void *none) { pause(); return none; }
        static void *work(void *path) { execl(path, path, "again", (char *)0); return path; }
        int main(int argc, char **argv) {
            pthread_t thread;
            if (argc > 1) { getpgid(7); _exit(getpid() == atoi(getenv("FIRST")) ? 8 : 9); }
            char text[30];
            int at = 30, pid = getpid();
            text[--at] = 0;
            while (pid) { text[--at] = '0' + pid % 10; pid /= 10; }
            setenv("FIRST", text + at, 1);
            pthread_create(&thread, 0, idle, 0);
            pthread_create(&thread, 0, work, argv[0]);
            pthread_join(thread, 0);
            pause();
        }
        """
        story: list[object] = []
        with Tracer([compiled(source)], calls=["getpgid", "execve"], timeout_seconds=10) as tracer:
            while (event := tracer.next()) is not None:
                if isinstance(event, Finished):
                    story.append(event.result)
                elif event.call == "execve":
                    assert event.task.tid != event.task.pid
                    result = getattr(tracer, way)(event)
                    assert result in (None, 0)
                else:
                    assert event.task.tid == event.task.pid
                    assert list(tracer.tasks) == [event.task.pid]
                    story.append((event.task.name, event.call))
                    tracer.go(event)
        assert story == ([0] if way == "follow" else []) + [("0.1", "getpgid")]
        assert tracer.ending.status == 8

    def test_a_first_thread_that_ends_first(self) -> None:
        source = r"""
        #include <pthread.h>
        #include <unistd.h>
        static void *work(void *none) { usleep(20000); getpgid(0); _exit(7); }
        int main(void) { pthread_t thread; pthread_create(&thread, 0, work, 0); pthread_exit(0); }
        """
        with Tracer([compiled(source)], calls=["getpgid", "exit"]) as tracer:
            seen = []
            while (stop := tracer.next()) is not None:
                assert isinstance(stop, Stop)
                seen.append((stop.task.name, stop.call))
                if stop.call == "exit":
                    with pytest.raises(TaskGoneError):
                        tracer.finish(stop)
                else:
                    tracer.finish(stop)
        assert seen == [("0", "exit"), ("0.0", "getpgid")]
        assert tracer.ending.status == 7

    def test_what_outlives_the_first_process_is_followed_too(self) -> None:
        code = (
            "import os, sys, time\n"
            "if os.fork(): os._exit(2)\n"
            "os.setsid()\n"
            "if os.fork(): os._exit(0)\n"
            "time.sleep(0.05)\n"
            "os.getpgid(0)\n"
        )
        with Tracer(python(code), calls=["getpgid"]) as tracer:
            (stop,) = run(tracer)
        assert stop.task.name == "0.0.0"
        assert tracer.ending.status == 2

    def test_kill_ends_every_task(self) -> None:
        code = "import os, time\nfor _ in range(5): os.fork()\nos.getppid()\ntime.sleep(60)"
        with Tracer(python(code), calls=["getppid"]) as tracer:
            stops = [tracer.next() for _ in range(10)]
            pids = list(tracer.tasks)
            assert len(pids) >= 10
            tracer.kill()
            assert tracer.next() is None
        assert len({stop.task.pid for stop in stops if isinstance(stop, Stop)}) == 10
        assert not [pid for pid in pids if alive(pid)]
        assert tracer.ending.killed
        assert not group(stops)


def group(stops: list[Stop | Finished | None]) -> list[int]:
    """Processes that are left of the session of a program."""
    first = next(stop.task.pid for stop in stops if isinstance(stop, Stop))
    left = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                session = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[3])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if session == first and alive(int(name)):
                left.append(int(name))
    return left


SLEEPERS = "import os, time\nos.fork(); os.fork()\nos.getppid()\ntime.sleep(60)"


class TestEnds:
    @pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)", SLEEPERS])
    def test_time_runs_out(self, code: str) -> None:
        began = time.monotonic()
        with Tracer(python(code), calls=["getppid"], timeout_seconds=0.3) as tracer:
            run(tracer)
        assert 0.25 < time.monotonic() - began < 3
        assert tracer.ending.timed_out
        assert not tracer.ending.killed
        assert tracer.ending.signal == signal.SIGKILL
        assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)

    def test_time_runs_out_in_a_call_that_is_waited_for(self) -> None:
        code = "import os; a, b = os.pipe(); os.read(a, 77)"
        with Tracer(python(code), calls=["read"], timeout_seconds=0.3) as tracer:
            while (stop := tracer.next()) is not None:
                assert isinstance(stop, Stop)
                if stop.args[2] == 77:
                    with pytest.raises(TaskGoneError):
                        tracer.finish(stop)
                else:
                    tracer.finish(stop)
        assert tracer.ending.timed_out

    def test_time_runs_out_while_a_call_is_held(self) -> None:
        with Tracer(python("import os; os.getppid()"), calls=["getppid"], timeout_seconds=0.1) as tracer:
            stop = tracer.next()
            assert isinstance(stop, Stop)
            time.sleep(0.3)
            with pytest.raises(TaskGoneError):
                tracer.go(stop)
            assert tracer.next() is None
        assert tracer.ending.timed_out

    def test_in_another_thread(self) -> None:
        found: list[object] = []

        def work() -> None:
            with Tracer(python(SLEEPERS), calls=["getppid"], timeout_seconds=0.3) as tracer:
                found.append(len(run(tracer)))
            found.append(tracer.ending.timed_out)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(10)
        assert found == [4, True]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
    def test_an_exception_leaves_no_process(self, error: type[BaseException]) -> None:
        stops: list[Stop | Finished | None] = []
        with pytest.raises(error), Tracer(python(SLEEPERS), calls=["getppid"]) as tracer:
            stops += [tracer.next() for _ in range(3)]
            pids = list(tracer.tasks)
            raise error
        assert len(pids) == 4
        assert not [pid for pid in pids if alive(pid)]
        assert not group(stops)
        assert not tracer.tasks

    def test_control_c_gets_through_at_once(self) -> None:
        pids: list[int] = []
        began = time.monotonic()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), Tracer(python("import time; time.sleep(60)"), calls=[]) as tracer:
            pids += tracer.tasks
            tracer.next()
        assert time.monotonic() - began < 3
        assert pids
        assert not [pid for pid in pids if alive(pid)]

    def test_a_program_dies_with_its_tracer(self) -> None:
        """A tracer that is killed takes the program along."""
        code = (
            "import sys, time\n"
            "from faultinject.blackbox.tracer import Tracer\n"
            "with Tracer([sys.executable, '-c', 'import os, time; os.fork(); os.getppid(); time.sleep(60)'],\n"
            "            calls=['getppid']) as tracer:\n"
            "    tracer.next(); tracer.next()\n"
            "    print(*tracer.tasks, flush=True)\n"
            "    time.sleep(60)\n"
        )
        harness = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert harness.stdout is not None
        pids = [int(one) for one in harness.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        harness.kill()
        harness.wait()
        harness.stdout.close()
        deadline = time.monotonic() + 5
        while any(alive(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_no_descriptor_is_left(self, tmp_path: Path) -> None:
        argv = [compiled(SAVE), str(tmp_path / "saved")]

        def once() -> None:
            def look(stop: Stop) -> None:
                if stop.call == "write":
                    stop.task.read(stop.args[1], 1)
                tracer.go(stop)

            with Tracer(argv, calls=SAVE_CALLS) as tracer:
                run(tracer, look)
            with Tracer(argv, calls=SAVE_CALLS) as tracer:
                stop = tracer.next()
                assert isinstance(stop, Stop)
                stop.task.read_string(stop.args[1])

        once()
        before = descriptors()
        for _ in range(50):
            once()
        assert descriptors() == before

    def test_one_tracer_at_a_time_in_a_thread(self) -> None:
        argv = [compiled("int main(void) { return 0; }")]
        with Tracer(argv, calls=[]) as tracer:
            with pytest.raises(TracerError, match="has a tracer already"), Tracer(argv, calls=[]):
                pass
            assert run(tracer) == []
        with pytest.raises(TracerError, match="make one for each run"), tracer:
            pass
        with Tracer(argv, calls=[]) as another:
            assert run(another) == []

    def test_a_tracer_that_is_not_entered(self) -> None:
        with pytest.raises(TracerError, match="enter the tracer"):
            Tracer(["true"], calls=[]).next()
        with pytest.raises(ValueError, match="future"):
            Tracer(["true"], calls=[], timeout_seconds=0)


class TestNeighbours:
    """Other children of this process are nobody's business of the tracer's."""

    @pytest.mark.parametrize("delay", ["0", "0.1"])
    def test_a_child_of_somebody_else_is_not_reaped(self, delay: str) -> None:
        other = subprocess.Popen(["/bin/sh", "-c", f"sleep {delay}; exit 9"])
        if delay == "0":
            while alive(other.pid):
                time.sleep(0.005)
        code = "import os, time\nfor _ in range(3): os.fork()\nos.getppid()\ntime.sleep(0.2)"
        with Tracer(python(code), calls=["getppid"]) as tracer:
            assert len(run(tracer, lambda stop: tracer.finish(stop))) == 8
        assert tracer.ending.status == 0
        assert other.wait() == 9

    def test_a_timer_of_somebody_else_still_rings(self) -> None:
        rang = []
        before = signal.signal(signal.SIGALRM, lambda *_: rang.append(time.monotonic()))
        try:
            began = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with Tracer(python("pass"), calls=[]) as tracer:
                run(tracer)
            while not rang:
                time.sleep(0.01)
            assert 0.29 < rang[0] - began < 2
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def test_a_call_of_another_machine_is_reported(self) -> None:
        if native() is not X86_64:
            pytest.skip("int 0x80 is an instruction of x86-64")
        source = r"""
        int main(void) {
            int result;
            __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");  /* getpid of i386, writev of x86-64 */
            return result > 0 ? 3 : 4;
        }
        """
        with Tracer([compiled(source)], calls=["write"]) as tracer:
            stops = run(tracer)
        if tracer.ending.signal == signal.SIGSEGV:
            pytest.skip("this kernel makes no calls of i386 (CONFIG_IA32_EMULATION)")
        assert [(stop.call, stop.number) for stop in stops] == [("", 20)]
        assert tracer.foreign
        assert tracer.ending.status == 3

    def test_without_root(self) -> None:
        if os.getuid():
            pytest.skip("not root: every other test of this file shows it")
        code = (
            "import ctypes, os, sys\n"
            "from faultinject.blackbox.tracer import Tracer\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"  # PR_SET_DUMPABLE, as a process of that user would be
            "with Tracer(['/bin/sh', '-c', 'echo hello > ' + sys.argv[1] + '; /bin/true'], calls=['write']) as tracer:\n"
            "    stop = tracer.next()\n"
            "    assert stop.task.read(stop.args[1], stop.args[2]) == b'hello\\n'\n"
            "    assert tracer.finish(stop) == 6\n"
            "    assert tracer.next() is None\n"
            "assert tracer.ending.status == 0, tracer.ending\n"
        )
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o777)
            path = Path(directory) / "said"
            done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert path.read_text() == "hello\n"
            assert path.stat().st_uid == 65534


class TestInheritance:
    def test_the_program_finds_three_descriptors(self, tmp_path: Path) -> None:
        leaked = os.open(os.devnull, os.O_RDONLY)
        os.set_inheritable(leaked, True)
        try:
            with (tmp_path / "out").open("w+") as out:
                code = "import os; print(sorted(os.listdir('/proc/self/fd')))"
                with Tracer(python(code), calls=[], stdout=out.fileno(), stderr=out.fileno()) as tracer:
                    run(tracer)
                out.seek(0)
                assert out.read() == "['0', '1', '2', '3']\n"  # the last one is that of listdir itself
        finally:
            os.close(leaked)

    def test_descriptors_that_are_each_other(self, tmp_path: Path) -> None:
        out, into = os.pipe()
        with (tmp_path / "in").open("w+") as given:
            given.write("to and fro")
            given.flush()
            given.seek(0)
            code = "import os; os.write(1, os.read(0, 99)); os.write(2, b'!')"
            with Tracer(python(code), calls=[], stdin=given.fileno(), stdout=into, stderr=into) as tracer:
                run(tracer)
        os.close(into)
        assert os.read(out, 100) == b"to and fro!"
        os.close(out)

    def test_environment_and_directory(self, tmp_path: Path) -> None:
        code = "import os, sys; sys.exit(os.environ.get('A\\udcff') != 'b' or os.getcwd() != sys.argv[1])"
        with Tracer(python(code, str(tmp_path)), calls=[], env={"A\udcff": "b"}, cwd=str(tmp_path)) as tracer:
            run(tracer)
        assert tracer.ending.status == 0

    def test_signals_begin_with_their_default(self) -> None:
        out, into = os.pipe()
        shell = "grep -E '^Sig(Ign|Blk)' /proc/self/status"
        with Tracer(["/bin/sh", "-c", shell], calls=[], stdout=into) as tracer:
            run(tracer)
        os.close(into)
        assert os.read(out, 200).split() == [b"SigBlk:", b"0" * 16, b"SigIgn:", b"0" * 16]
        os.close(out)

    def test_limits_are_the_program_s_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "saved"
        with Tracer(
            python(PYTHON_SAVE, str(path)),
            calls=["getppid"],
            limits=Limits(4),
        ) as tracer:
            run(tracer)
        assert tracer.ending.signal == signal.SIGXFSZ or tracer.ending.status == errno.EFBIG
        assert path.stat().st_size == 4
        assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4

    def test_registers_have_the_size_of_the_machine(self) -> None:
        with Tracer(python("import os; os.getppid()"), calls=["getppid"]) as tracer:
            stop = tracer.next()
            assert isinstance(stop, Stop)
            assert ctypes.sizeof(tracer.registers(stop.task)) == 8 * native().register_count
