"""Audits in this process, of a C program that saves in many ways."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faultinject.blackbox.audit import Audit, close_all, plan_audit
from faultinject.blackbox.place import remove
from faultinject.blackbox.subject import Audited, Format
from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.sweep import CLASSES, sweep
from tests.faultinject.blackbox.traced import compiled

SAVER = r"""
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static char tmp[600], final[600];
static const char *durable;
static int fail(int fd) { if (fd >= 0) close(fd); unlink(tmp); return 1; }
static int save(const char *text) {
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) return 1;
    for (size_t done = 0, size = strlen(text); done < size;) {
        ssize_t n = write(fd, text + done, size - done);
        if (n <= 0) return fail(fd);
        done += n;
    }
    if (fsync(fd)) return fail(fd);
    if (close(fd)) return fail(-1);
    if (rename(tmp, final)) return fail(-1);
    if (durable) {
        int directory = open(durable, O_RDONLY | O_DIRECTORY);
        if (directory < 0 || fsync(directory) || close(directory)) return 1;
    }
    return 0;
}
static int is(const char *how, const char *what) { return strstr(how, what) != NULL; }
int main(int n, char **a) {
    char text[1000] = "what is saved\n", real[600];
    const char *how = n > 2 ? a[2] : "plain";
    snprintf(final, sizeof final, "%s/x", a[1]);
    snprintf(tmp, sizeof tmp, "%s/x.tmp", a[1]);
    srand(time(0) ^ getpid() << 8);
    if (is(how, "time")) snprintf(text, sizeof text, "at %ld by %07d: saved\n", (long)time(0), getpid());
    if (is(how, "path")) snprintf(text, sizeof text, "saved in %s\n", realpath(a[1], real));
    if (is(how, "random-size")) snprintf(text, 2 + rand() % 900, "%900s", "x");
    if (is(how, "random-name")) snprintf(tmp, sizeof tmp, "%s/x.%08x.tmp", a[1], rand());
    if (is(how, "durable")) durable = a[1];
    if (is(how, "refuse") && !access(final, F_OK)) { fputs("\033[1mis there already\n", stderr); return 1; }
    if (is(how, "grow")) {
        int fd = open(final, O_RDONLY);
        ssize_t had = fd < 0 ? 0 : read(fd, text, 500);
        if (fd >= 0) close(fd);
        strcpy(text + (had < 0 ? 0 : had), "one more line\n");
    }
    if (is(how, "fifo")) { char p[700]; snprintf(p, sizeof p, "%s/fifo", a[1]); mkfifo(p, 0600); }
    if (is(how, "differ") && getpid() % 2) access("/", F_OK), truncate(final, 0);
    if (is(how, "hang-on-leftover") && !access(tmp, F_OK)) for (;;) pause();
    if (is(how, "fail-on-leftover") && !access(tmp, F_OK)) return 1;
    if (is(how, "clean")) { unlink(tmp); return 0; }
    if (is(how, "destroy")) { unlink(tmp); unlink(final); return 0; }
    if (is(how, "early")) { puts("saved"); fflush(stdout); }
    int status = save(text);
    if (status) return status;
    if (is(how, "closed")) { char p[700]; snprintf(p, sizeof p, "%s/dir", a[1]); mkdir(p, 0700); snprintf(p, sizeof p, "%s/dir/y", a[1]);
        close(creat(p, 0)); snprintf(p, sizeof p, "%s/dir", a[1]); chmod(p, 0); }
    if (is(how, "late")) { puts("saved"); fflush(stdout); }
    return 0;
}
"""
KILL = [FaultClass.KILL]


def saver(how: str = "plain") -> tuple[str, ...]:
    return (compiled(SAVER, "-w"), "{dir}", how)


def of(
    *argv: str,
    recover: tuple[str, ...] | None = None,
    check: tuple[str, ...] | None = None,
    acknowledgement: str = "",
    signals: tuple[str, ...] = (),
    given: str | None = None,
    timeout_seconds: float = 10,
    format: Format = Format.BYTES,  # noqa: A002 - the option's name
) -> Audited:
    return Audited(argv, recover, check, format, acknowledgement, signals, (), given, ".", None, timeout_seconds)


@contextmanager
def planned(
    audited: Audited, base: Path, classes: list[FaultClass] | None = None, *, exhaustive: bool = False
) -> Iterator[Audit]:
    """The plan of an audit, to be swept inside; nothing is left of it."""
    base = base / "audit"
    base.mkdir()
    processors = os.sched_getaffinity(0)
    try:
        yield plan_audit(audited, base, list(CLASSES) if classes is None else classes, jobs=1, exhaustive=exhaustive)
    finally:
        close_all()
        remove(base)
        os.sched_setaffinity(0, processors)


def audit(
    audited: Audited, base: Path, classes: list[FaultClass] | None = None, *, exhaustive: bool = False
) -> list[Run]:
    """An audit from start to end, in this process."""
    with planned(audited, base, classes, exhaustive=exhaustive) as plan:
        return sweep(list(plan.units))


def found(runs: list[Run]) -> set[tuple[str, str]]:
    """Class and kind of each violation."""
    return {(str(one.fault.fault_class), str(one.finding.kind)) for run in runs for one in run.violations}


def problems(runs: list[Run]) -> str:
    return "\n".join(problem for run in runs for problem in run.problems)
