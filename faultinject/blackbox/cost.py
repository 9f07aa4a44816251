"""What it takes to run the points of a program, measured on this program and this machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import mean

from faultinject.blackbox import points
from faultinject.blackbox.aftermath import Aftermath
from faultinject.blackbox.baseline import Baseline
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.plan import Group, Recorded
from faultinject.swept import Swept

CONFIRMED = 16
"""So many computed or rewound points of a class are run for real each time, and compared (KVS-AUDIT-6)."""

DENSE_SECONDS = 30.0
"""A program that can be rewound is cut at every byte, without being asked, where that takes no longer from a start."""

DENSE_BYTES_MAX = 1 << 18
"""With more bytes than this nobody waits for the report on each of them."""

_SAMPLED_AT = frozenset({0, 7, 63})
"""Of the faults of one kind these are run to see what they take."""

_LOOKED_AT = 100_000
"""Further on in a plan there are no kinds of faults that did not come before."""

Kind = tuple[FaultClass, Form, bool]
"""Faults that take as long as each other. The last: whether it cuts a transfer inside."""


def is_dense(baseline: Baseline, recorded: Recorded) -> bool:
    """Whether the full disk and the short write come after every byte."""
    moved_bytes = points.moved_bytes(recorded)
    seconds = len(points.DENSE) * moved_bytes * baseline.point_seconds
    return not baseline.rewinds and moved_bytes <= DENSE_BYTES_MAX and seconds <= DENSE_SECONDS


@dataclass(slots=True)
class Price:
    """Of one kind of fault: what a run takes, and how many states come of it that were not seen before, 0 to 1."""

    seconds: list[float] = field(default_factory=list)
    states: list[int] = field(default_factory=list)


class Prices:
    """What faults of a program take. state_seconds: the recovery, the repetition and the checker, for each state."""

    def __init__(self, baseline: Baseline) -> None:
        self.state_seconds = 2 * baseline.run_seconds
        self._baseline = baseline
        self._prices: dict[Kind, Price] = {}

    def measure(self, swept: Swept, aftermath: Aftermath, faults: Iterable[Fault], until: float) -> None:
        """Runs some faults, as long as there is time. until: by time.monotonic."""
        for fault in faults:
            began, states, following = time.monotonic(), aftermath.states, aftermath.seconds
            if began > until:
                break
            try:
                swept.run(fault)
            except HarnessError:
                continue  # it has no price; that it cannot be run is said when it is its turn
            price = self._prices.setdefault(_kind(fault), Price())
            price.seconds.append(time.monotonic() - began - (aftermath.seconds - following))
            price.states.append(aftermath.states - states)
        if aftermath.states:
            self.state_seconds = aftermath.seconds / aftermath.states

    def seconds(self, groups: Iterable[Group], *, dense: bool, limit_seconds: float) -> float:
        """What the groups of one class take, one after the other; not added up to its end above the limit.

        dense: of the faults at every byte only few are followed (KVS-CLASS-1), and all are judged.
        """
        total, seen = 0.0, set()
        for group in groups:
            for fault in group.faults:
                if dense and points.is_dense(fault):
                    total += self._baseline.point_seconds
                    continue
                seconds, states = self._of(fault)
                total += seconds
                # Errors of one call mostly end alike, bytes do not.
                place = (_kind(fault), fault.index, fault.sticky)
                if fault.byte or place not in seen:
                    total += states * self.state_seconds
                    seen.add(place)
                if group.lemma is not None and fault.fault_class not in (FaultClass.KILL, FaultClass.POWER):
                    total += self._baseline.run_seconds  # the way that it went is recorded
            if total > limit_seconds:
                break
        return total + CONFIRMED * self._baseline.run_seconds

    def _of(self, fault: Fault) -> tuple[float, float]:
        price = self._prices.get(_kind(fault))
        if price is None or not price.seconds:
            return self._baseline.run_seconds, 1.0
        # The first fault at a call has to get there first; of many at the same call that is no part.
        seconds = min(price.seconds) if fault.byte else mean(price.seconds)
        return seconds, mean(price.states)


def samples(groups: Iterable[Group]) -> Iterator[Fault]:
    """Some faults of each kind."""
    counts: dict[Kind, int] = {}
    for number, group in enumerate(groups):
        if number > _LOOKED_AT:
            return
        for fault in group.faults:
            kind = _kind(fault)
            count = counts.get(kind, 0)
            counts[kind] = count + 1
            if count in _SAMPLED_AT:
                yield fault


def _kind(fault: Fault) -> Kind:
    return fault.fault_class, fault.form, bool(fault.byte)
