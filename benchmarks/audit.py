"""Audits of a C program that saves 64 KiB with stdio: byte offsets a second and core, beside what a shell can do.

Offsets a second are by processor time, of the tracer and of the program, so that a shared machine does not matter much;
elapsed time is shown as well. What a tool loop needs is given generously: it looks at the exit status and whether the
file is there, and judges no content. `--quick` takes fewer samples.
"""

from __future__ import annotations

import argparse
import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from faultinject.blackbox.audit import opened
from faultinject.blackbox.baseline import Baseline, prepare
from faultinject.blackbox.executor import REWIND, AuditExecutor
from faultinject.blackbox.place import Place, remove
from faultinject.blackbox.subject import Audited, Format
from faultinject.blackbox.tracer import Stop, Tracer
from faultinject.faults import Fault, FaultClass, Form

SIZE_BYTES = 65536
GOAL_RATE, GOAL_RATIO, GOAL_SECONDS = 10_000, 5, 30

WRITER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char temp[4096], record[64];

    if (argc != 3 || snprintf(temp, sizeof temp, "%s.tmp", argv[1]) >= (int)sizeof temp)
        return 2;
    long size = strtol(argv[2], NULL, 10), number = 0;
    FILE *file = fopen(temp, "w");
    if (file == NULL)
        return 1;
    int failed = 0;
    for (long done = 0; done < size && !failed; done += sizeof record) {
        memset(record, (int)(number++ % 251), sizeof record);
        failed = fwrite(record, sizeof record, 1, file) != 1;
    }
    failed |= fclose(file) != 0;
    failed = failed || rename(temp, argv[1]) != 0;
    if (failed)
        unlink(temp);
    return failed;
}
"""

CALLER = r"""
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    for (long left = strtol(argv[1], NULL, 10); left > 0; left--)
        syscall(SYS_getppid);
    return 0;
}
"""

LIMIT_LOOP = r"""
trap '' XFSZ
for offset in $OFFSETS; do
    rm -f "$DIRECTORY/x"
    if prlimit --fsize=$offset "$WRITER" "$DIRECTORY/x" "$SIZE" || [ -e "$DIRECTORY/x" ]; then
        echo "wrong at $offset"
    fi
done
"""

INJECT_LOOP = r"""
for call in $OFFSETS; do
    rm -f "$DIRECTORY/x"
    if strace -o "$DIRECTORY/log" -e trace=write -e "inject=write:error=ENOSPC:when=$call+" \
        "$WRITER" "$DIRECTORY/x" "$SIZE" || [ -e "$DIRECTORY/x" ]; then
        echo "wrong at $call"
    fi
done
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many points have taken: elapsed, and processor time of this process and its children."""

    points: int
    elapsed_seconds: float
    processor_seconds: float

    @property
    def rate(self) -> float:
        return self.points / self.processor_seconds


def processor_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measured(points: int, work: Callable[[], object]) -> Cost:
    elapsed, processor = time.perf_counter(), processor_seconds()
    work()
    return Cost(points, time.perf_counter() - elapsed, processor_seconds() - processor)


def compiled(base: Path, name: str, source: str) -> str:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("benchmarks/audit.py: it needs a C compiler (gcc, cc)")
    path = base / name
    path.with_suffix(".c").write_text(source)
    subprocess.run([compiler, "-O2", "-o", path, path.with_suffix(".c")], check=True)
    return str(path)


# Ours


@contextmanager
def executor(writer: str, size_bytes: int, base: Path, *, rewinds: bool) -> Iterator[AuditExecutor]:
    audited = Audited((writer, "{dir}/x", str(size_bytes)), None, None, Format.BYTES, "", (), (), None, ".", None, 60.0)
    base.mkdir()
    baselines, _ = prepare(audited, base)
    baseline: Baseline = baselines[0]
    place = Place(audited, Path(tempfile.mkdtemp(dir=base)), baseline.seed, aside=True)
    aside = Place(audited, Path(tempfile.mkdtemp(dir=base)), baseline.seed) if rewinds else None
    one = opened(baseline, place, aside)
    try:
        yield one
    finally:
        one.close()


def faults(one: AuditExecutor, form: Fault, step: int) -> list[Fault]:
    """At every `step`-th byte that is written, from the beginning to the end."""
    found = []
    start = 0
    for operation in one.baseline.trace:
        if operation.op.transfers:
            bytes_ = range(-start % step, operation.result, step)
            found += [
                Fault(form.fault_class, form.form, operation.index, operation.op, byte, form.error, form.sticky)
                for byte in bytes_
                if byte or form.form is not Form.SHORT
            ]
            start += operation.result
    return found


FULL_DISK = Fault(FaultClass.ERROR, Form.CUT, error=errno.ENOSPC, sticky=True)
SHORT = Fault(FaultClass.ERROR, Form.SHORT)


def swept(one: AuditExecutor, form: Fault, step: int) -> Cost:
    """One start of the program for all of them, which is part of what they cost."""
    wanted = faults(one, form, step)

    def work() -> None:
        for fault in wanted:
            result = one.run(fault)
            if result.reason is not None or result.findings:
                sys.exit(f"benchmarks/audit.py: {fault.id}: {result.reason or result.findings}")
            if one._aside is not None and result.executor != REWIND:
                sys.exit(f"benchmarks/audit.py: {fault.id} was not rewound")
        if one._rewinder is not None:
            one._rewinder.close()  # the program's own time counts when it has ended

    return measured(len(wanted), work)


# What a shell can do


def looped(script: str, tool: str, writer: str, base: Path, offsets: range) -> Cost | None:
    """None where the tool is missing."""
    if shutil.which(tool) is None:
        return None
    base.mkdir()
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "OFFSETS": " ".join(map(str, offsets)),
        "DIRECTORY": str(base),
        "WRITER": writer,
        "SIZE": str(SIZE_BYTES),
    }
    said: list[str] = []

    def work() -> None:
        done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
        said.append(done.stdout)

    cost = measured(len(offsets), work)
    if said[0]:
        sys.exit(f"benchmarks/audit.py: {tool}: {said[0].splitlines()[0]}")
    return cost


def rates(writer: str, base: Path, *, quick: bool) -> Table:
    rows: list[tuple[str, Cost | None]] = []
    with executor(writer, SIZE_BYTES, base / "rewind", rewinds=True) as one:
        step = 4 if quick else 1
        rows.append(("rewind, full disk", swept(one, FULL_DISK, step)))
        rows.append(("rewind, short write", swept(one, SHORT, step)))
    with executor(writer, SIZE_BYTES, base / "rerun", rewinds=False) as one:
        rows.append(("re-run, full disk", swept(one, FULL_DISK, 1024 if quick else 128)))
    samples = range(1, SIZE_BYTES, 1024 if quick else 128)
    rows.append(("loop, prlimit --fsize", looped(LIMIT_LOOP, "prlimit", writer, base / "limit", samples)))
    calls = range(1, 1 + SIZE_BYTES // 4096)
    rows.append(("loop, strace -e inject", looped(INJECT_LOOP, "strace", writer, base / "inject", calls)))
    fastest = max((cost.rate for name, cost in rows if cost is not None and not name.startswith("rewind")), default=0.0)
    table = Table("one core", "offsets", "elapsed, s", "offsets/s", "us each", "of the fastest other", "goals")
    for name, cost in rows:
        if cost is None:
            table.add_row(name, "the tool is missing")
            continue
        ratio = cost.rate / fastest
        goals = f"{verdict(cost.rate >= GOAL_RATE)}, {verdict(ratio >= GOAL_RATIO)}" if "rewind" in name else ""
        elapsed, each = f"{cost.elapsed_seconds:.2f}", f"{1e6 / cost.rate:,.1f}"
        table.add_row(name, f"{cost.points:,}", elapsed, f"{cost.rate:,.0f}", each, f"{ratio:.1f}", goals)
    table.caption = (
        f"goals of rewinding: {GOAL_RATE:,} offsets a second, {GOAL_RATIO} times the fastest other way; "
        f"load of the machine {os.getloadavg()[0]:.1f}"
    )
    return table


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def growth(writer: str, base: Path, *, quick: bool) -> Table:
    """Both forms that come after every byte of a program that is rewound."""
    table = Table("rewind, one core", "points", "processor, s", "us a point", "of that at 16 KiB")
    first = 0.0
    for size_kib in (16, 32) if quick else (16, 32, 64, 128):
        with executor(writer, size_kib * 1024, base / f"growth-{size_kib}", rewinds=True) as one:
            costs = [swept(one, form, 4 if quick else 2) for form in (FULL_DISK, SHORT)]
        points = sum(cost.points for cost in costs)
        seconds = sum(cost.processor_seconds for cost in costs)
        each = 1e6 * seconds / points
        first = first or each
        table.add_row(f"{size_kib} KiB", f"{points:,}", f"{seconds:.2f}", f"{each:.1f}", f"{each / first:.2f}")
    return table


def whole(writer: str) -> Table:
    """The command as people use it, on two cores."""
    command = [
        sys.executable,
        "-c",
        "from faultinject.cli import main; main()",
        "audit",
        "--class",
        "error",
        "--class",
        "kill",
        "--jobs",
        "2",
    ]
    said: list[subprocess.CompletedProcess[str]] = []

    def work() -> None:
        all_ = [*command, "--", writer, "{dir}/x", str(SIZE_BYTES)]
        said.append(subprocess.run(all_, capture_output=True, text=True, check=False))

    load = os.getloadavg()[0]
    cost = measured(1, work)
    if said[0].returncode:
        sys.exit(f"benchmarks/audit.py: the audit ended with {said[0].returncode}: {said[0].stdout}{said[0].stderr}")
    table = Table("whole audit, 64 KiB, error and kill, 2 jobs", "elapsed, s", "goal", "load before")
    points = next((line for line in said[0].stdout.splitlines() if "fault points" in line), "")
    reached = f"{GOAL_SECONDS} s {verdict(cost.elapsed_seconds < GOAL_SECONDS)}"
    table.add_row(points, f"{cost.elapsed_seconds:.1f}", reached, f"{load:.1f}")
    table.caption = "elapsed time counts: with a load before it, it is that of a shared machine"
    return table


def calls(caller: str, *, quick: bool) -> Table:
    count = 10_000 if quick else 100_000

    def plain() -> None:
        subprocess.run([caller, str(count)], check=True)

    def traced() -> None:
        stops = 0
        with Tracer((caller, str(count)), calls=("getppid",)) as tracer:
            while (event := tracer.next()) is not None:
                if isinstance(event, Stop):
                    stops += 1
                    tracer.go(event)
        if stops != count:
            sys.exit(f"benchmarks/audit.py: {stops} of {count} calls were seen")

    table = Table("a program of cheap calls", "calls", "us a call")
    for name, work in (("alone", plain), ("each call traced", traced)):
        cost = measured(count, work)
        table.add_row(name, f"{count:,}", f"{1e6 * cost.processor_seconds / count:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples: under a minute")
    quick = parser.parse_args().quick
    console = Console(width=110)
    base = Path(tempfile.mkdtemp(prefix="benchmark-"))
    processors = os.sched_getaffinity(0)
    try:
        writer, caller = compiled(base, "writer", WRITER), compiled(base, "caller", CALLER)
        os.sched_setaffinity(0, {max(processors)})
        console.print(rates(writer, base, quick=quick))
        console.print(growth(writer, base, quick=quick))
        console.print(calls(caller, quick=quick))
        os.sched_setaffinity(0, processors)
        console.print(whole(writer))
    finally:
        remove(base)


if __name__ == "__main__":
    main()
