"""How fast crash images are built, mounted and judged on each file system: `python benchmarks/powercut.py` (root).

Building an image as an overlay is held against building it anew from the record, in the same run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import closing
from functools import partial

from rich.console import Console
from rich.table import Table

from faultinject.blackbox.subject import Audited
from faultinject.powercut.case import Case
from faultinject.powercut.confined import Inside, confined
from faultinject.powercut.disk import Disk, Survivors
from faultinject.powercut.filesystems import FILE_SYSTEMS, Kind, why_not
from faultinject.powercut.outcomes import Outcome, examined
from faultinject.powercut.session import made

WRITER = """
import os, sys
path = sys.argv[1] + "/final"
with open(path + ".tmp", "wb") as file:
    file.write(bytes(range(256)) * 256)
    file.flush()
    os.fsync(file.fileno())
os.rename(path + ".tmp", path)
os.fsync(os.open(sys.argv[1], os.O_RDONLY))
"""
TIMES = 20
DISK_BYTES = 64 << 20


def mounts(kind: Kind, inside: Inside) -> Generator[float, None, None]:
    """Seconds that mounting and unmounting the same image take."""
    with made(inside, kind) as session:
        with session.mounted():
            inside.disk.begin()
            (session.top / "file").write_bytes(b"x")
            session.sync()
            entries = len(inside.disk.log())
        began = time.perf_counter()
        for _ in range(TIMES):
            inside.disk.show(Survivors(entries))
            with session.mounted():
                pass
        yield (time.perf_counter() - began) / TIMES


def overlays() -> tuple[float, float]:
    """Seconds to build one image of a record of 2,000 writes as an overlay, and anew from its beginning."""
    disk = Disk(DISK_BYTES)
    disk.begin()
    for number in range(2000):
        disk.write(number * 7 % (DISK_BYTES >> 12) << 12, number.to_bytes(8, "little") * 512)
    image = Survivors(1990, tuple(range(1991, 2000, 2)))
    seconds = []
    for before in (image, Survivors(0)):  # from the beginning of the record nothing can be shared
        spent = 0.0
        for _ in range(TIMES):
            disk.show(before)
            began = time.perf_counter()
            disk.show(image)
            spent += time.perf_counter() - began
        seconds.append(spent / TIMES)
    return seconds[0], seconds[1]


def main() -> None:
    console = Console()
    table = Table("fs", "requests", "images", "distinct", "record s", "images/s", "mounted/s", "mount ms", padding=0)
    for name, file_system in FILE_SYSTEMS.items():
        kind = Kind(name, file_system.usual)
        why = why_not(kind)
        if why is not None:
            sys.exit(f"{name}: {why}")
        with confined(partial(mounts, kind), file_system.size_bytes) as found:
            mount_seconds = next(found)
        began = time.perf_counter()
        with closing(examined(Case(Audited((sys.executable, "-S", "-c", WRITER, "{dir}")), kind))) as examination:
            recording = next(examination)
            assert not isinstance(recording, Outcome), "the recording comes first"
            recorded = time.perf_counter()
            outcomes = [one for one in examination if isinstance(one, Outcome)]
        seconds = time.perf_counter() - recorded
        distinct = sum(one.same_as is None for one in outcomes)
        table.add_row(
            name,
            str(len(recording.log)),
            str(len(outcomes)),
            str(distinct),
            f"{recorded - began:.1f}",
            f"{len(outcomes) / seconds:,.0f}",
            f"{distinct / seconds:,.0f}",
            f"{mount_seconds * 1e3:.1f}",
        )
    console.print(table)
    overlay, anew = overlays()
    console.print(
        f"an image late in a record of 2,000 writes: {overlay * 1e3:.2f} ms as an overlay, {anew * 1e3:.2f} ms anew, "
        f"{anew / overlay:.0f} times as long"
    )


if __name__ == "__main__":
    main()
