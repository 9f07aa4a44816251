"""What can be done in the time that was given: everything, or the equivalence classes, or as much of them as fits."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from faultinject.blackbox.cost import Prices, samples
from faultinject.blackbox.executor import AuditExecutor
from faultinject.faults import FaultClass

_KEPT = 0.95
"""So much of the time is for the points: the rest is for what runs when the time is over, and for the report."""

_MEASURING = 0.15
"""So much of the time goes into finding out what points take, at most."""


Expected = dict[tuple[object, FaultClass], float]
"""What the points of a class from a start take, one after the other, in seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is time for. dense: as in Baseline, where it could be. told: for whoever reads the report."""

    exhaustive: bool
    dense: bool
    expected: Expected
    told: str


class Budget:
    """Time for an audit by so many workers, from `began` (time.monotonic) on."""

    def __init__(self, seconds: float, began: float, jobs: int) -> None:
        self._seconds = seconds
        self._began = began
        self._jobs = jobs

    def plan(self, executors: list[AuditExecutor], classes: list[FaultClass]) -> Plan:
        """The most that there is time for; where there is time for nothing of that, the least."""
        prices = [self._measured(executor, classes, len(executors)) for executor in executors]
        for exhaustive, dense in ((True, True), (False, True), (False, False)):
            expected: Expected = {}
            for executor, price in zip(executors, prices, strict=True):
                executor.dense = executor.baseline.dense and dense
                expected |= self._expected(executor, price, classes, exhaustive=exhaustive)
            seconds, left_seconds = sum(expected.values()) / self._jobs, self.left_seconds
            if seconds <= left_seconds:
                break
        if exhaustive:
            told = f"running every point is expected to take {seconds:,.0f} s: every point is run"
        else:
            told = f"no time to run every point: equivalence classes are used, expected to take {seconds:,.0f} s"
        if seconds > left_seconds:
            told += f" where {left_seconds:,.0f} s are left: some points are not measured"
        return Plan(exhaustive, dense, expected, told)

    @property
    def left_seconds(self) -> float:
        """For points, from now on."""
        return max(0.0, self.ends - time.monotonic())

    @property
    def ends(self) -> float:
        """When no more points are begun (time.monotonic)."""
        return self._began + _KEPT * self._seconds

    def shares(self, seconds: list[float]) -> list[float]:
        """How much of the time that is left when it begins each unit of work may take, begun in this order.

        A unit that needs less leaves its time to the ones behind it.
        """
        found, left = [], math.fsum(seconds)
        for own in seconds:
            found.append(min(1.0, own * self._jobs / left) if left > 0 else 1.0)
            left -= own
        return found

    def _measured(self, executor: AuditExecutor, classes: list[FaultClass], programs: int) -> Prices:
        prices = Prices(executor.baseline)
        until = time.monotonic() + _MEASURING * self._seconds / programs
        recorded = executor.record()
        for fault_class in classes:
            if not executor.void(fault_class):
                groups = executor.groups(fault_class, recorded, exhaustive=True)
                prices.measure(executor, executor.aftermath, samples(groups), until)
        return prices

    def _expected(
        self, executor: AuditExecutor, prices: Prices, classes: list[FaultClass], *, exhaustive: bool
    ) -> Expected:
        recorded = executor.record()
        dense = not exhaustive and executor.dense
        limit_seconds = self.left_seconds * self._jobs if exhaustive else math.inf
        found: Expected = {}
        for fault_class in classes:
            key = executor.baseline.key, fault_class
            found[key] = 0.0
            if not executor.void(fault_class):
                groups = executor.groups(fault_class, recorded, exhaustive=exhaustive)
                found[key] = prices.seconds(groups, dense=dense, limit_seconds=limit_seconds)
        return found
