"""Class `power` on one core: states a second of the model, all states of small saves, and a save of 1 GiB."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from faultinject.blackout import Blackout
from faultinject.faults import FaultClass
from faultinject.kvc import KvcTarget, Operation, Scenario
from faultinject.kvc_content import Source
from faultinject.sweep import sweep, units
from kvformat.temp_names import TempKind

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

SWEPT = [
    ("direct", 64 * KIB, 8 * KIB),
    ("staged", 64 * KIB, 8 * KIB),
    ("backpatch", 64 * KIB, 8 * KIB),
    ("direct", 64 * KIB, 100),
    ("staged", 64 * KIB, 100),
    ("backpatch", 64 * KIB, 100),
    ("direct", MIB, 4 * KIB),
    ("direct", GIB, 16 * MIB),
]
"""Strategy, bytes of the payload, bytes of a piece."""


def target(strategy: str, payload_bytes: int, piece_bytes: int) -> KvcTarget:
    source = Source(None, payload_bytes, piece_bytes)
    return KvcTarget(Operation.SAVE, strategy, Scenario.SAME_SIZE, TempKind.UNNAMED, source)


def timed(act: Callable[[], int]) -> tuple[int, float]:
    start = time.perf_counter()
    states = act()
    return states, time.perf_counter() - start


def model(strategy: str, payload_bytes: int, piece_bytes: int) -> tuple[int, float]:
    """Every state is found and labelled; none is put together or judged."""
    blackout = Blackout(target(strategy, payload_bytes, piece_bytes).prepare())
    return timed(lambda: sum(group.points for group in blackout.groups(["strict"], exhaustive=False)))


def whole(strategy: str, payload_bytes: int, piece_bytes: int) -> tuple[int, float]:
    """The sweep of the class: states are found, some of each class are put together, recovered and repeated."""

    def act() -> int:
        (run,) = sweep(units([target(strategy, payload_bytes, piece_bytes)], [FaultClass.POWER]))
        count = run.classes[FaultClass.POWER]
        if count.held != count.points:
            sys.exit(f"not all held: {run.violations} {run.problems}")
        return count.points

    return timed(act)


def peak_mib() -> float:
    """What this process has used at most so far; ru_maxrss is in KiB on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB


def main() -> None:
    table = Table("strategy", "payload", "piece", "what", "states", "seconds", "states/s", "peak MiB")
    for strategy, payload_bytes, piece_bytes in SWEPT:
        for name, measure in (("model", model), ("sweep", whole)):
            states, seconds = measure(strategy, payload_bytes, piece_bytes)
            table.add_row(
                strategy,
                f"{payload_bytes:,}",
                f"{piece_bytes:,}",
                name,
                f"{states:,}",
                f"{seconds:.2f}",
                f"{states / seconds:,.0f}",
                f"{peak_mib():,.0f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
