"""Points a second of sweeps of Python functions in process, and what a call costs that is watched.

python benchmarks/inprocess.py
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import faultinject.inprocess.baseline
from faultinject.blackbox.state import Root, Roots
from faultinject.inprocess.patches import patched, watching
from faultinject.inprocess.scratch import parent
from faultinject.inprocess.sweep import sweep_function
from faultinject.inprocess.watch import Watch

CLASSES = ("error", "interrupt", "kill", "power")


def save(directory: Path, size: int) -> None:
    temp = directory / "s.tmp"
    try:
        with open(temp, "w") as file:
            json.dump({"theme": "dark", "text": "x" * size}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, directory / "s.json")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def main() -> None:
    vars(faultinject.inprocess.baseline)["APART_SECONDS"] = 0.0  # what is saved has no clock in it
    print(f"{'bytes':>8} {'class':<10} {'points':>8} {'executed':>9} {'points/s':>9}")
    for size in (10, 400, 100_000):
        for fault_class in CLASSES:
            began = time.perf_counter()
            swept = sweep_function(partial(save, size=size), classes=[fault_class], jobs=1)
            seconds = time.perf_counter() - began
            executed = sum(count.executed for run in swept.runs for count in run.classes.values())
            print(f"{size:>8} {fault_class:<10} {swept.points:>8} {executed:>9} {swept.points / seconds:>9,.0f}")
    with tempfile.TemporaryDirectory(dir=parent()) as name:
        directory = Path(os.path.realpath(name))
        rounds = 2000
        times = {}
        for how in ("plain", "patched", "watched"):
            began = time.perf_counter()
            if how == "plain":
                repeat(directory, rounds)
            else:
                with patched():
                    if how == "watched":
                        with watching(Watch(Roots([Root(str(directory))]))):
                            repeat(directory, rounds)
                    else:
                        repeat(directory, rounds)
            times[how] = (time.perf_counter() - began) / rounds
        print("one save: " + ", ".join(f"{how} {seconds * 1e6:.0f} us" for how, seconds in times.items()))


def repeat(directory: Path, rounds: int) -> None:
    for _ in range(rounds):
        save(directory, 10)


if __name__ == "__main__":
    main()
