"""Tries the rewinding executor on a program: whether it serves, and what a point takes."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from faultinject.blackbox.baseline import Baseline
from faultinject.blackbox.place import Place
from faultinject.blackbox.rewind import Rewinder
from faultinject.blackbox.state import State
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Operation
from faultinject.oracle import Reported

_POINTS = 64
_FIRST = 16
"""The first points take longer: what they learn and compare serves the ones behind them."""

_SECONDS_MAX = 1.0
"""A slow program is measured at fewer points."""

Look = Callable[[Reported, State], object]
"""Judges a state, as it is done for every point."""


@dataclass(frozen=True, slots=True)
class Trial:
    """why: for what reason the program cannot be rewound, empty where it can. point_seconds: what a point takes."""

    why: str
    point_seconds: float = 0.0


def rewinder(baseline: Baseline, place: Place) -> Rewinder:
    """The rewinding executor of a program, which has the place for itself."""
    return Rewinder(place.program(), place.roots, baseline.trace, baseline.crashes, place.restore)


def try_rewinding(baseline: Baseline, place: Place, look: Look) -> Trial:
    """Tries it at the first and the last transfer."""
    transfers = [operation for operation in baseline.trace if operation.op.transfers and operation.result > 0]
    if not transfers:
        return Trial("it writes nothing that could be cut")
    if baseline.key.audited.directories:
        return Trial("directories besides the scratch directory cannot be had twice")
    try:
        with rewinder(baseline, place) as one:
            for operation in (transfers[0], transfers[-1]):
                if one.run(Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=errno.EIO)) is None:
                    return Trial(one.why)
            return Trial("", _point_seconds(one, transfers[-1], look))
    except HarnessError as error:
        return Trial(str(error))  # what cannot be trusted here is left alone: running anew needs none of it


def _point_seconds(one: Rewinder, operation: Operation, look: Look) -> float:
    """What a cut takes that leaves another state, at neighbouring bytes in the middle of a transfer."""
    half = operation.result // 2
    seconds: list[float] = []
    for byte in range(half, min(half + _POINTS, operation.result)):
        began = time.monotonic()
        fault = Fault(FaultClass.ERROR, Form.CUT, operation.index, operation.op, byte, errno.ENOSPC, sticky=True)
        rewound = one.run(fault)
        if rewound is not None:
            look(rewound.reported, rewound.state)
        seconds.append(time.monotonic() - began)
        if sum(seconds) > _SECONDS_MAX:
            break
    return median(seconds[_FIRST:] or seconds)
