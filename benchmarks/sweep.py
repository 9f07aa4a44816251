"""Fault points a second of an in-process sweep: a 64 KiB payload, one strategy, classes error and kill, one core."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table

from faultinject.faults import FaultClass
from faultinject.kvc import KvcTarget, Operation
from faultinject.kvc_content import Source
from faultinject.sweep import sweep, units
from kvformat.temp_names import TempKind


def main() -> None:
    table = Table("temp file", "class", "points", "seconds", "points/s")
    for temp in (TempKind.UNNAMED, TempKind.NAMED):
        total_points, total_seconds = 0, 0.0
        for fault_class in (FaultClass.ERROR, FaultClass.KILL):
            target = KvcTarget(Operation.SAVE, "direct", "old-same-size", temp, Source(None, 65536, 65536))
            start = time.perf_counter()
            (run,) = sweep(units([target], [fault_class], exhaustive=True))
            seconds = time.perf_counter() - start
            points = run.classes[fault_class].points
            total_points, total_seconds = total_points + points, total_seconds + seconds
            table.add_row(str(temp), str(fault_class), f"{points:,}", f"{seconds:.2f}", f"{points / seconds:,.0f}")
        rate = total_points / total_seconds
        table.add_row(str(temp), "both", f"{total_points:,}", f"{total_seconds:.2f}", f"{rate:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
