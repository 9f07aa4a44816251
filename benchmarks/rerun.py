"""Re-runs a second of an audit, against a bare start of the same program: a C program and a Python script, one core."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from faultinject.blackbox.audit import close_all, plan_audit
from faultinject.blackbox.executor import AuditExecutor
from faultinject.blackbox.place import remove
from faultinject.blackbox.subject import Audited
from faultinject.faults import Fault, FaultClass, Form
from faultinject.oracle import Reported

SECONDS = 8.0
AT_ONCE = 20
C_WRITER = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int n, char **a) {
    char tmp[4096], data[4096] = "saved";
    snprintf(tmp, sizeof tmp, "%s.tmp", a[n - 1]);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, sizeof data) != sizeof data || close(fd) || rename(tmp, a[n - 1]))
        return unlink(tmp), 1;
    return 0;
}
"""
SCRIPT = """
import os, sys
with open(sys.argv[1] + ".tmp", "wb") as file:
    file.write(b"saved" * 800)
os.replace(sys.argv[1] + ".tmp", sys.argv[1])
"""


def programs(base: Path) -> dict[str, list[str]]:
    found = {"Python script (-S -E)": [sys.executable, "-S", "-E", "-c", SCRIPT, "{dir}/x"]}
    compiler = shutil.which("cc")
    if compiler is not None:
        (base / "writer.c").write_text(C_WRITER)
        subprocess.run([compiler, "-O1", "-o", base / "writer", base / "writer.c"], check=True)
        found = {"C": [str(base / "writer"), "{dir}/x"], **found}
    return found


def rates(*ways: Callable[[], object]) -> list[float]:
    """How often each can be done in a second, in turns: others use the machine as well."""
    done, seconds = [0] * len(ways), [0.0] * len(ways)
    while sum(seconds) < SECONDS:
        for place, once in enumerate(ways):
            start = time.perf_counter()
            for _ in range(AT_ONCE):
                once()
            seconds[place] += time.perf_counter() - start
            done[place] += AT_ONCE
    return [number / spent for number, spent in zip(done, seconds, strict=True)]


def bare(argv: list[str], directory: Path) -> Callable[[], object]:
    """The program started and waited for, as fast as the system does that."""
    words = [word.replace("{dir}", str(directory)) for word in argv]
    return lambda: os.waitpid(os.posix_spawn(words[0], words, os.environ), 0)


def rerun(executor: AuditExecutor) -> Callable[[], object]:
    """The directory restored, the program run under a fault, the directory read, the outcome judged."""
    faults = [
        Fault(FaultClass.ERROR, Form.ERRNO, one.index, one.op, error=5)
        for one in executor.baseline.trace
        if one.op.fails
    ]
    turn = iter(faults * 1_000_000)

    def once() -> None:
        done = executor.perform(next(turn))
        assert done.reported is Reported.FAILURE, done
        executor.aftermath.of_run(done.reported, executor.place.read, there=True)

    for _ in faults:
        once()  # what comes of each is judged, and repeated, once: that is no part of the rate
    return once


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    table = Table("program", "bare starts/s", "re-runs/s", "re-run/bare")
    base = Path(tempfile.mkdtemp(prefix="rerun-"))
    try:
        for name, argv in programs(base).items():
            directory = base / "bare"
            directory.mkdir(exist_ok=True)
            audited = Audited(tuple(argv), directory="/")
            audit = plan_audit(audited, Path(tempfile.mkdtemp(dir=base)), [FaultClass.ERROR], jobs=1)
            with audit.units[0].enter() as executor:
                assert isinstance(executor, AuditExecutor)
                alone, ours = rates(bare(argv, directory), rerun(executor))
            close_all()
            table.add_row(name, f"{alone:,.0f}", f"{ours:,.0f}", f"{ours / alone:.2f}")
    finally:
        close_all()
        remove(base)
    Console().print(table)


if __name__ == "__main__":
    main()
