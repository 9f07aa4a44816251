"""Class `power` on one core: states a second of the model, all states of small saves, and a save of 1 GiB.

Points between two bytes of a transfer are left out: they are counted, and not gone through. Saves that do not sync have
more states with the entry's name, so that more is compared; they are not judged here, since they are wrong.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial

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


def target(strategy: str, payload_bytes: int, piece_bytes: int, *, durable: bool = True) -> KvcTarget:
    source = Source(None, payload_bytes, piece_bytes)
    return KvcTarget(Operation.SAVE, strategy, Scenario.SAME_SIZE, TempKind.NAMED, source, durable)


def timed(act: Callable[[], int]) -> tuple[int, float]:
    start = time.process_time()
    states = act()
    return states, time.process_time() - start


def model(strategy: str, payload_bytes: int, piece_bytes: int, *, durable: bool) -> tuple[int, float]:
    """Every state is found and labelled; none is put together or judged."""
    blackout = Blackout(target(strategy, payload_bytes, piece_bytes, durable=durable).prepare())
    groups = blackout.groups(["strict"], exhaustive=False)
    return timed(lambda: sum(group.points for group in groups if group.faults[0].byte is None))


def whole(strategy: str, payload_bytes: int, piece_bytes: int) -> tuple[int, float]:
    """The sweep of the class: states are found, some of each class are put together, recovered and repeated."""

    def act() -> int:
        (run,) = sweep(units([target(strategy, payload_bytes, piece_bytes)], [FaultClass.POWER]))
        count = run.classes[FaultClass.POWER]
        if count.held != count.points:
            sys.exit(f"not all held: {run.violations} {run.problems}")
        return count.points

    states, _ = model(strategy, payload_bytes, piece_bytes, durable=True)
    return states, timed(act)[1]


def peak_mib() -> float:
    """What this process has used at most so far; ru_maxrss is in KiB on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB


def main() -> None:
    table = Table("strategy", "payload", "piece", "what", "states", "CPU seconds", "states/s", "peak MiB")
    measures: dict[str, Callable[[str, int, int], tuple[int, float]]]
    measures = {"model": partial(model, durable=True), "no sync": partial(model, durable=False), "sweep": whole}
    for strategy, payload_bytes, piece_bytes in SWEPT:
        for name, measure in measures.items():
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
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
