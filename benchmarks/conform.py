"""How fast the conformance runner is: `python benchmarks/conform.py [REPEATS]`.

The whole suite against kvformat's own adapter, in one process and in two, and a part of it by starting a program for
each case. The times are those of one run after another on this machine; the ratios are to the first row.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from kvformat.conform.case import Case, Operation
from kvformat.conform.runner import Plan, run
from kvformat.conform.suite import load_suite
from kvformat.conform.verdict import Verdict

ADAPTER = (sys.executable, "-m", "kvformat.conform.adapter")
DENIES = (
    "sh",
    "-c",
    'case "$1" in read) head -c 3 "$2" | grep -q KVC && echo "{}" && exit; echo "{}"; exit 1;; esac; exit 77',
    "adapter",
)
"""A one-shot program that looks at the magic alone: what it costs is what starting it costs."""


ANSWERS = (Verdict.PASSED, Verdict.FAILED, Verdict.WARNED)


@dataclass(frozen=True)
class Row:
    name: str
    cases: int
    seconds: float
    answered: int


def measured(name: str, plan: Plan, repeats: int) -> Row:
    """The best of several runs."""
    seconds = []
    answered = 0
    for _ in range(repeats):
        began = time.perf_counter()
        done = run(plan)
        seconds.append(time.perf_counter() - began)
        answered = sum(one.verdict in ANSWERS for one in done.outcomes.values())
    return Row(name, len(plan.cases), min(seconds), answered)


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    began = time.perf_counter()
    suite = load_suite()
    load_seconds = time.perf_counter() - began
    cases: list[Case] = list(suite.cases.values())
    reads = [case for case in cases if case.operation is Operation.READ]
    rows = [
        measured("session", Plan(ADAPTER, suite.version, cases), repeats),
        measured("session, 2 jobs", Plan(ADAPTER, suite.version, cases, jobs=2), repeats),
        measured("one shot, sh", Plan(DENIES, suite.version, reads, one_shot=True), repeats),
        measured("one shot, sh, 2 jobs", Plan(DENIES, suite.version, reads, one_shot=True, jobs=2), repeats),
    ]
    print(f"suite {suite.version}: {len(cases):,} cases loaded and checked in {load_seconds:.2f} s")
    print(f"{'':22} {'cases':>6} {'answered':>9} {'seconds':>8} {'ms a case':>10} {'ratio':>6}")
    first = rows[0].seconds / rows[0].cases
    for row in rows:
        each = row.seconds / row.cases
        print(
            f"{row.name:22} {row.cases:6,} {row.answered:9,} {row.seconds:8.2f} {each * 1000:10.2f} {each / first:6.1f}"
        )


if __name__ == "__main__":
    main()
