"""What tests that mount need: why they cannot run here, and what would be left of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faultinject.blackbox.subject import Audited, Format
from faultinject.powercut import loopdev
from faultinject.powercut.case import Case
from faultinject.powercut.filesystems import FILE_SYSTEMS, Kind, why_not

MIB = 1 << 20

SAVER = """
import os, sys
directory, how = sys.argv[1], sys.argv[2].split(",")
path = os.path.join(directory, "final")
temp = path + ".tmp"
with open(path if "direct" in how else temp, "wb") as file:
    file.write(bytes(range(1, 256)) * 257)
    file.flush()
    if "sync" in how:
        os.fsync(file.fileno())
if "direct" not in how:
    os.rename(temp, path)
if "directory" in how:
    os.fsync(os.open(directory, os.O_RDONLY))
if "daemon" in how and not os.fork():
    import time
    time.sleep(1000)
print("saved", flush=True)
if "hang" in how:
    import time
    time.sleep(1000)
"""
RIGHT = "sync,directory"


def usual(name: str) -> Kind:
    return Kind(name, FILE_SYSTEMS[name].usual)


def harsh(name: str) -> Kind:
    return Kind(name, FILE_SYSTEMS[name].harsh or "")


def needs(name: str) -> pytest.MarkDecorator:
    why = why_not(usual(name)) if sys.platform == "linux" else "it needs Linux"
    return pytest.mark.skipif(why is not None, reason=why or "")


def case(
    kind: Kind, how: str, *, ack: str = "", judged: bool = True, images_max: int = 40, settle: float = 2.5
) -> Case:
    argv = (sys.executable, "-S", "-c", SAVER, "{dir}", how)
    audited = Audited(argv, None, None, Format.BYTES, ack, directory="/", timeout_seconds=60)
    return Case(audited, kind, judged=judged, images_max=images_max, settle_seconds=settle)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def awaited(what: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it becomes so in time."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def left_in(temporary: Path) -> list[str]:
    """What is left of commands that had this directory for temporary files: in it, mounted, attached or running."""
    found = [str(path) for path in temporary.iterdir()]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(temporary) in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mounts = (process / "mounts").read_text()
        except OSError:
            continue  # it has just ended
        if str(temporary) in mounts:
            found.append(f"process {process.name} has a mount")
    return found


def devices_of(directory: str) -> list[str]:
    return [path for path, name in loopdev.attached(directory).items() if name == directory]
