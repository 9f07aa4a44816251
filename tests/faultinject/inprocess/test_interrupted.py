"""Ctrl-C ends a sweep with all that it has started, at once and without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from faultinject.inprocess.scratch import parent

SAVER = """
import os
DATA = os.urandom(60_000)
def save(directory):
    with open(directory / "state", "wb", buffering=0) as file:
        for start in range(0, len(DATA), 500):
            file.write(DATA[start:start + 500])
"""

DRIVER = """
import multiprocessing, saver, threading, time
from faultinject.inprocess.sweep import sweep_function
def tell():
    while not multiprocessing.active_children():
        time.sleep(0.01)
    time.sleep(2)
    print("sweeping", flush=True)
threading.Thread(target=tell, daemon=True).start()
if __name__ == "__main__":
    sweep_function(saver.save, classes=["error", "kill"], exhaustive=True, jobs=2)
"""


def left_in_memory() -> set[Path]:
    return set(Path(parent() or "/tmp").glob("faultinject-*"))


def test_ctrl_c_ends_the_processes_of_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "saver.py").write_text(SAVER)
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    with subprocess.Popen(
        [sys.executable, str(driver)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    ) as sweeping:
        assert sweeping.stdout is not None
        assert sweeping.stdout.readline() == "sweeping\n"
        group = os.getpgid(sweeping.pid)
        before = time.monotonic()
        os.killpg(group, signal.SIGINT)
        _, said = sweeping.communicate(timeout=60)
        took = time.monotonic() - before
    assert said.rstrip().endswith("KeyboardInterrupt"), said
    assert said.count("Traceback (most recent call last)") == 1, said
    assert took < 20, "it waits for no unit"
    processes = {int(path.name.split("-")[1]) for path in left_in_memory()}
    assert sweeping.pid not in processes
    assert not [number for number in processes if not Path(f"/proc/{number}").exists()], "dead ones have left nothing"
