"""A task is brought back exactly: general and vector registers, memory, blocked signals; and goes on as if nothing had been."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import pytest

from faultinject.blackbox.checkpoint import Checkpoint, Snapshot
from faultinject.blackbox.ptrace import EXIT_STOP, PTRACE_CONT, PTRACE_SYSCALL, SECCOMP_STOP, WALL, Vector
from faultinject.blackbox.single import Single
from faultinject.blackbox.unrewindable import UnrewindableError
from tests.faultinject.blackbox.rewound import PRELUDE, checkpoint, single, until
from tests.faultinject.blackbox.traced import alive, compiled, descriptors, needs_linux

pytestmark = needs_linux

CHANGER = (
    PRELUDE
    + r"""
static double sums[64]; static int count;
int main(int n, char **a) {
    double kept = 1.25; sigset_t all; sigfillset(&all);
    char *heap = malloc(100000); memset(heap, 'h', 100000);
    long got = lseek(-1, 111, 0);
    kept = kept * got + 0.5;
    for (int i = 0; i < 64; i++) sums[i] += kept + i;
    heap[(got * 997) % 100000] ^= 1; count++;
    if (got == 5) sigprocmask(SIG_BLOCK, &all, 0);
    int fd = dup(0); lseek(fd, (long)(kept * 1000), 0); close(fd);
    printf("%ld %d %.2f\n", got, count, kept); fflush(stdout);
    return count != 1;
}
"""
)


def state(process: Single) -> tuple[bytes, bytes, dict[int, bytes], int]:
    """All that a program can see of itself: registers, vector registers, memory, blocked signals."""
    ptrace, tid = process.ptrace, process.task.tid
    ptrace.load(tid)
    buffer = ctypes.create_string_buffer(1 << 14)
    vector = Vector(ctypes.addressof(buffer), len(buffer))
    kind = 0x202 if process.abi.machine == "x86_64" else 2
    ptrace.load_set(tid, kind, ctypes.byref(vector))
    memory = {}
    for line in Path(f"/proc/{tid}/maps").read_text().splitlines():
        bounds, rights, *_ = line.split()
        start, end = (int(one, 16) for one in bounds.split("-"))
        if rights.startswith("rw"):
            memory[start] = process.task.read(start, end - start)
    return bytes(ptrace.registers), buffer.raw[: vector.size_bytes], memory, ptrace.signal_mask(tid)


def go(process: Single, request: int = PTRACE_CONT) -> int:
    process.ptrace.resume(request, process.task.tid)
    return os.waitpid(process.task.tid, WALL)[1]


def calls_after(process: Single, count: int) -> list[tuple[int, ...]]:
    """The next calls, which are left out."""
    found = []
    for _ in range(count):
        assert go(process) == SECCOMP_STOP
        found.append(process.ptrace.entry(process.task.tid)[2:6])
        process.answer(0)
    return found


def test_a_task_is_brought_back_exactly(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        before = state(process)
        with checkpoint(process) as point:
            seen: dict[int, object] = {}
            for result in (1, 2, 5, 1, 70000, 2, 5, 5, 1):
                point.proceed(result)
                calls = calls_after(process, 2)
                assert seen.setdefault(result, calls) == calls
                point.restore(mask=True)
                point.pages.verify()
            point.back()
            assert state(process) == before
        # It runs to its end as if nothing had been.
        assert process.finish() == -9  # EBADF
        process.ptrace.resume(PTRACE_CONT, process.task.tid)
        while process.alive:
            status = process.wait()
            if process.alive:
                process.ptrace.resume(PTRACE_CONT, process.task.tid)
        assert os.waitstatus_to_exitcode(status) == 0
        assert process.output.seek(0) == 0
        assert process.output.read() == b"-1 1 -0.75\n"


def test_blocked_signals_are_brought_back_where_asked(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        mask = process.ptrace.signal_mask(process.task.tid)
        with checkpoint(process) as point:
            for masked in (True, False):
                point.proceed(5)
                assert go(process) == SECCOMP_STOP  # rt_sigprocmask
                assert go(process, PTRACE_SYSCALL) == EXIT_STOP
                assert process.ptrace.signal_mask(process.task.tid) != mask
                point.restore(mask=masked)
                assert (process.ptrace.signal_mask(process.task.tid) == mask) == masked


def test_a_call_that_is_not_its_own_changes_nothing_else(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        before = state(process)
        numbers = process.abi.numbers
        with checkpoint(process) as point:
            assert point.inject(numbers["dup"], 1) == 3
            assert point.inject(numbers["close"], 3) == 0
            assert point.inject(numbers["close"], 3) == -9
            point.back()
            assert state(process) == before


def test_a_state_is_found_again_by_vector_registers_and_memory(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            snapshots: list[Snapshot] = []
            for result in (1, 2, 1):
                point.proceed(result)
                calls_after(process, 1)
                found = point.find(snapshots)
                assert found == (0 if len(snapshots) == 2 else None)
                one = point.snapshot()
                assert one is not None
                assert one.size_bytes > len(one.extended) > 0
                snapshots.append(one)
                point.restore(mask=False, at=one)
                point.pages.verify()


VECTOR = (
    PRELUDE
    + r"""
int main(void) {
    long got = syscall(8, -1, 0L, 0L);
    __asm__ volatile("movq %0, %%xmm9; xor %%eax, %%eax" : : "r"(got) : "xmm9", "rax");
    got = 0;
    syscall(8, -1, 1L, 0L);
    return 0;
}
"""
)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the program names registers of x86-64")
def test_states_that_differ_in_a_vector_register_alone_are_not_equal(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(VECTOR)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            states = {}
            for result in (1, 2):
                point.proceed(result)
                calls_after(process, 1)
                one = point.snapshot()
                assert one is not None
                states[result] = one
                assert point.find([one]) == 0
                point.restore(mask=False)
            assert states[1].held.data == states[2].held.data, "or the program shows less than it should"
            point.proceed(1)
            calls_after(process, 1)
            assert point.find([states[2]]) is None
            assert point.find([states[2], states[1]]) == 1


def test_too_much_memory_is_not_compared(tmp_path: Path) -> None:
    source = (
        PRELUDE
        + r"""
    int main(void) {
        char *heap = malloc(1 << 20); memset(heap, 1, 1 << 20);
        if (lseek(-1, 0, 0)) memset(heap, 2, 1 << 20);
        lseek(-1, (long)heap[5], 0);
        return 0;
    }"""
    )
    with single(tmp_path, [compiled(source)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            point.proceed(0)
            calls_after(process, 1)
            small = point.snapshot()
            assert small is not None
            point.restore(mask=False)
            point.proceed(1)
            calls_after(process, 1)
            assert point.snapshot() is None
            assert point.find([small]) is None
            point.restore(mask=False)
            point.pages.verify()


def until_dead(pid: int) -> None:
    """A kill takes a moment; nobody has waited for the process yet."""
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_task_that_has_died_is_said_to_have(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            calls_after(process, 1)
            point.pages.look()
            os.kill(process.task.pid, 9)
            until_dead(process.task.pid)
            for act in (point.back, lambda: point.restore(mask=False), point.pages.restore, point.pages.read):
                with pytest.raises(ProcessLookupError):
                    act()


def test_nothing_is_left_of_the_copy(tmp_path: Path) -> None:
    with single(tmp_path, [compiled(CHANGER)]) as process:
        until(process, "lseek")
        before = descriptors()
        point = Checkpoint(process.abi, process.ptrace, process.task)
        copy = point._holder
        assert alive(copy)
        point.close()
        point.close()
        assert not alive(copy)
        assert descriptors() == before


def test_where_no_process_can_be_made_it_is_given_up_and_goes_on(tmp_path: Path) -> None:
    source = (
        PRELUDE
        + r"""
    #include <sys/resource.h>
    int main(void) {
        struct rlimit none = {0, 0};
        if (!getuid()) { setgid(65534); setuid(65534); }
        if (setrlimit(RLIMIT_NPROC, &none)) return 2;
        return lseek(-1, 0, 0) != -1;
    }"""
    )
    with single(tmp_path, [compiled(source)]) as process:
        until(process, "lseek")
        before = state(process)
        with pytest.raises(UnrewindableError, match="limit of processes"), checkpoint(process):
            pass
        assert state(process) == before
