"""Threads whose recorded order cannot be kept: found soon, told, and never counted as held."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest

from faultinject.blackbox.tracer import Tracer
from faultinject.blackbox.turns import Turns
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ops import Op, Operation, Trace
from tests.faultinject.blackbox.audited import of, planned
from tests.faultinject.blackbox.recorded import Watched
from tests.faultinject.blackbox.traced import compiled, needs_linux

pytestmark = needs_linux

# The first thread saves its own file, then lets the second one go. Where its first write fails, the second one is let
# go first, and the first one waits for it: with a lock, by turning round and round, or with a time limit.
TWO = r"""
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static volatile int go, done;
static char one[600], two[600];
static const char *how;
static void set(volatile int *what) { pthread_mutex_lock(&lock); *what = 1; pthread_cond_broadcast(&change); pthread_mutex_unlock(&lock); }
static void await(volatile int *what) {
    if (!strcmp(how, "spin")) { while (!*what) ; return; }
    pthread_mutex_lock(&lock);
    while (!*what) {
        struct timespec soon = {time(0) + 3600, 0};
        if (!strcmp(how, "limit")) pthread_cond_timedwait(&change, &lock, &soon); else pthread_cond_wait(&change, &lock);
    }
    pthread_mutex_unlock(&lock);
}
static void *second(void *unused) {
    await(&go);
    int fd = open(two, O_WRONLY | O_CREAT, 0600);
    write(fd, "two", 3);
    close(fd);
    set(&done);
    return unused;
}
int main(int n, char **a) {
    pthread_t thread;
    how = n > 2 ? a[2] : "lock";
    snprintf(one, sizeof one, "%s/one", a[1]);
    snprintf(two, sizeof two, "%s/two", a[1]);
    pthread_create(&thread, 0, second, 0);
    int fd = open(one, O_WRONLY | O_CREAT, 0600);
    int failed = write(fd, "one", 3) != 3;
    if (failed) { set(&go); await(&done); }
    fsync(fd);
    close(fd);
    set(&go);
    pthread_join(thread, 0);
    return failed;
}
"""


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched.in_directory(tmp_path)


def argv(watched: Watched, how: str) -> list[str]:
    return [compiled(TWO, "-w"), watched.directory, how]


@pytest.mark.parametrize(("how", "seconds_max"), [("lock", 2.0), ("spin", 4.0), ("limit", 4.0)])
def test_an_error_that_turns_the_order_round(how: str, seconds_max: float, watched: Watched) -> None:
    """KVS-AUDIT-2: the order is kept up to an operation that comes after the faulty one, as far as it can be."""
    recorded = watched.run(argv(watched, how)).trace
    assert [(one.task, str(one.op)) for one in recorded] == [
        *[("0", name) for name in ("open", "write", "fsync", "close")],
        *[("0.0", name) for name in ("open", "write", "close")],
        ("0", "exit"),
    ]
    watched.clear()
    fault = Fault(FaultClass.ERROR, Form.ERRNO, 1, Op.WRITE, error=errno.EIO)
    began = time.monotonic()
    ran = watched.run(argv(watched, how), fault, recorded, until=6, keep=False, patience_seconds=1)
    assert time.monotonic() - began < seconds_max
    assert (ran.fired, ran.ending.timed_out, ran.ending.killed) == (1, False, True)
    assert "thread 0.0 is held at openat 'two'" in ran.stalled
    assert "until thread 0 has made its operation 2" in ran.stalled
    assert ("thread 0 waits in futex" in ran.stalled) is (how == "lock")
    assert ("for 1." in ran.stalled) is (how != "lock")


def test_the_order_ends_at_the_fault_so_that_it_stalls_nobody(watched: Watched) -> None:
    recorded = watched.run(argv(watched, "lock")).trace
    watched.clear()
    ran = watched.run(
        argv(watched, "lock"), Fault(FaultClass.ERROR, Form.ERRNO, 1, Op.WRITE, error=errno.EIO), recorded
    )
    assert (ran.stalled, ran.fired, ran.ending.status) == ("", 1, 1)
    assert [one.task for one in ran.trace] == ["0", "0", "0.0", "0.0", "0.0", "0", "0", "0"]


# Who gets the lock first is a matter of chance, as it is recorded the other way round.
RACE = r"""
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char one[600], two[600];
static void save(const char *path) {
    pthread_mutex_lock(&lock);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write(fd, "x", 1);
    close(fd);
    pthread_mutex_unlock(&lock);
}
static void *second(void *unused) { save(two); return unused; }
int main(int n, char **a) {
    pthread_t thread;
    snprintf(one, sizeof one, "%s/one", a[n - 1]);
    snprintf(two, sizeof two, "%s/two", a[n - 1]);
    pthread_create(&thread, 0, second, 0);
    save(one);
    pthread_join(thread, 0);
    return 0;
}
"""


def test_a_lock_that_another_thread_gets_first_is_not_waited_for(watched: Watched) -> None:
    program = [compiled(RACE, "-w"), watched.directory]
    operations = list(watched.run(program).trace)
    first = operations[0].task
    # As if the other thread had been first.
    operations = [one for one in operations[:-1] if one.task != first] + [
        one for one in operations[:-1] if one.task == first
    ]
    trace = Trace(tuple(operations))
    began = time.monotonic()
    watched.clear()
    last = trace.operations[-1]
    ran = watched.run(program, Fault(FaultClass.KILL, Form.KILL, len(trace) - 1, last.op), trace, keep=False)
    assert time.monotonic() - began < 3
    assert ran.stalled == "" or (ran.fired == 0 and "waits in futex" in ran.stalled)


def test_what_stalls_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never held, and never violated: the run was ended by us."""
    monkeypatch.setattr("faultinject.blackbox.baseline.APART_SECONDS", 0.0)
    with (
        planned(of(compiled(TWO, "-w"), "{dir}"), tmp_path, [FaultClass.ERROR]) as plan,
        plan.units[0].enter() as executor,
    ):
        trace = plan.baselines[0].trace
        fault = Fault(FaultClass.ERROR, Form.ERRNO, trace[-2].index, trace[-2].op, error=errno.EIO)
        assert executor.run(fault).reason is None
        monkeypatch.setattr(Turns, "held", property(lambda *_: True))
        monkeypatch.setattr(Turns, "stall", lambda *_: "the order was another one")
        monkeypatch.setattr(Tracer, "quiet", lambda *_: True)
        result = executor.run(fault)
    assert (result.reason, result.findings) == ("the order was another one", ())


def test_turns_of_one_task_hold_nobody() -> None:
    trace = Trace(tuple(Operation(index, Op.WRITE, task="0", nth=index) for index in range(3)))
    turns = Turns(trace, 2, 1)
    assert not turns.active
    assert not turns.is_early(("0", 2))
