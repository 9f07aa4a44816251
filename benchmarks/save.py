"""A save of 1 GiB to a memory file system, not durable, against a bare write loop with the same buffers.

The bare loop writes as many bytes before the payload as the entry has there: a payload that starts off a page is
slower to write for everybody. The loop that starts on a page is shown beside it.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from kvformat import Entry, Options, Store, Strategy

PIECE = os.urandom(1024 * 1024)
PIECES = 1024
ROUNDS = 3


def pieces() -> Iterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


HEAD_BYTES = 52 + len(b"benchmark")


def bare(directory: str, head_bytes: int) -> float:
    start = time.perf_counter()
    fd = os.open(os.path.join(directory, "bare"), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, bytes(head_bytes))
    for piece in pieces():
        os.write(fd, piece)
    os.close(fd)
    seconds = time.perf_counter() - start
    os.unlink(os.path.join(directory, "bare"))
    return seconds


def saved(directory: str, strategy: Strategy) -> float:
    store = Store.open(directory)
    size_bytes = PIECES * len(PIECE) if strategy is Strategy.DIRECT else None
    start = time.perf_counter()
    result = store.save(
        Entry(text=b"benchmark", tokens=1),
        pieces(),
        payload_bytes=size_bytes,
        strategy=strategy,
        options=Options(durable=False),
    )
    seconds = time.perf_counter() - start
    store.remove(result.name)
    return seconds


def main() -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        for _ in range(ROUNDS):
            times.setdefault("bare loop", []).append(bare(directory, HEAD_BYTES))
            times.setdefault("bare loop on a page", []).append(bare(directory, 0))
            for strategy in Strategy:
                times.setdefault(str(strategy), []).append(saved(directory, strategy))
    base = min(times["bare loop"])
    table = Table("1 GiB", "best of 3, s", "ratio")
    for name, seconds in times.items():
        table.add_row(name, f"{min(seconds):.3f}", f"{min(seconds) / base:.2f}")
    console = Console()
    console.print(table)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    console.print(f"peak memory over the interpreter's: {grown_kib / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
