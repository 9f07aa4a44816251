"""How far the resident memory of a program and of what it started rises (proc(5), Linux only)."""

from __future__ import annotations

import re
import sys

MEASURED = sys.platform == "linux"
"""Whether this system says it."""

_FIELD = re.compile(rb"^(VmHWM|VmRSS):\s+(\d+) kB$", re.MULTILINE)


class Watch:
    """The rise from the moment this is made. The programs are the process `pid` and its descendants.

    A process that starts meanwhile may be a copy of one that was there, whose pages it shares: only what it has
    more than the largest of these had counts. That is too little for a program that it starts, never too much.
    """

    def __init__(self, pid: int, *, fresh: bool = False) -> None:
        """`fresh`: the process has just been started, and all that it has counts."""
        self._pid = pid
        self._before: dict[int, int] = {}
        self._reset: set[int] = set()
        self.rise_bytes = 0
        for one in () if fresh else _family(pid):
            resident = _read(one).get("VmRSS")
            if resident is not None:
                self._before[one] = resident
                if _reset_peak(one):
                    self._reset.add(one)

    def look(self) -> int:
        """The greatest rise seen so far, this moment included."""
        total = 0
        largest = max(self._before.values(), default=0)
        for pid in _family(self._pid):
            sizes = _read(pid)
            # A peak that could not be reset is not the case's.
            from_before = pid in self._before and pid not in self._reset
            peak = sizes.get("VmRSS" if from_before else "VmHWM", 0)
            total += max(0, peak - self._before.get(pid, largest))
        self.rise_bytes = max(self.rise_bytes, total)
        return self.rise_bytes


def _family(pid: int) -> list[int]:
    """The process and its descendants; those that have ended are left out."""
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        try:
            with open(f"/proc/{one}/task/{one}/children", "rb") as stream:
                left += map(int, stream.read().split())
        except OSError:
            continue  # it has ended, or the kernel lacks CONFIG_PROC_CHILDREN: then only the process itself counts
    return found


def _read(pid: int) -> dict[str, int]:
    try:
        with open(f"/proc/{pid}/status", "rb") as stream:
            return {key.decode(): int(size) * 1024 for key, size in _FIELD.findall(stream.read())}
    except OSError:
        return {}


def _reset_peak(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as stream:
            stream.write("5")
    except OSError:
        return False
    return True
