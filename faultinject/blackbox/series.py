"""Faults in the middle of one transfer, of which only representatives are followed by a recovery and a repetition.

Each was run, and what it left was judged. Where neighbours leave states that differ in the bytes of one file alone, and
that are judged alike, what comes after them is alike too (KVS-CLASS-1): the writer reads a left-over as a prefix of
some length, and looks at no length in particular. The first, second, middle and last of such a run are followed. If
those are judged differently, all are (KVS-CLASS-3).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from faultinject.blackbox.aftermath import Findings, Judged
from faultinject.blackbox.state import State
from faultinject.faults import Fault
from faultinject.inject import HarnessError
from faultinject.oracle import Finding
from faultinject.plan import INTERIOR, spread_out
from faultinject.swept import Result

_NO_TIME = "the time given was over (--budget) before what follows could be run"
_TOO_MANY = (
    f"what follows is judged differently inside one transfer, so {INTERIOR} does not apply, and these are too many to"
    " be followed each: --exhaustive does it"
)


@dataclass(slots=True)
class _Neighbours:
    """Faults one after the other. look: how they were judged; file: the only one in which their states differ."""

    family: Hashable
    look: Hashable
    first: State
    file: str | None = None
    members: list[tuple[Fault, Findings]] = field(default_factory=list)

    def takes(self, family: Hashable, look: Hashable, state: State) -> bool:
        """Whether a state is one of these: it is, and differs from the first one where the others do."""
        if (family, look) != (self.family, self.look) or state.keys() != self.first.keys():
            return False
        file = self.file
        for key, node in state.items():
            known = self.first[key]
            if node is known or node == known:
                continue
            if file not in (None, key) or node.kind is not known.kind:
                return False
            file = key
        self.file = file
        return True


class Series:
    """Collects them, in the order of the faults. canonical: one name for all that a temp file has.

    followed, spared: how many states have been followed, and how many were not since they are like those.
    """

    def __init__(self, canonical: Callable[[str], str]) -> None:
        self.followed = 0
        self.spared = 0
        self._canonical = canonical
        self._runs: list[_Neighbours] = []

    def add(self, fault: Fault, family: Hashable, outcome: Hashable, state: State, now: Findings) -> None:
        """One more. family: the transfer, and how it was made to fail; outcome: what the program reported."""
        look = outcome, self._kinds(now)
        if not self._runs or not self._runs[-1].takes(family, look, state):
            self._runs.append(_Neighbours(family, look, state))
        self._runs[-1].members.append((fault, now))

    def settle(
        self, judge: Callable[[Fault], Judged], executor: str, affordable: int, until: float = math.inf
    ) -> Iterator[tuple[Fault, Result]]:
        """The results of all, which are forgotten then.

        judge: runs a fault again and judges all that follows. affordable: up to so many are followed each for itself.
        until: nothing more is followed after that (time.monotonic).
        """
        runs, self._runs = self._runs, []
        for run in runs:
            if time.monotonic() > until:
                yield from ((fault, Result((), _NO_TIME, executor)) for fault, _ in run.members)
                continue
            followed = {fault: self._followed(fault, now, judge) for fault, now in spread_out(run.members)}
            laters = list(followed.values())
            if len({self._kinds(later) for later in laters}) == 1:
                yield from self._alike(run, followed, executor)
            elif len(run.members) > affordable:
                yield from ((fault, Result((), _TOO_MANY, executor)) for fault, _ in run.members)
            else:
                yield from self._each(run, followed, judge, executor, until)

    def _alike(
        self, run: _Neighbours, followed: dict[Fault, Findings], executor: str
    ) -> Iterator[tuple[Fault, Result]]:
        common = next(iter(followed.values()))
        for fault, now in run.members:
            later = followed.get(fault)
            self.spared += later is None
            findings = Judged(now, common if later is None else later).findings
            yield fault, Result(findings, executor=executor, lemma=INTERIOR if later is None else "")

    def _each(
        self,
        run: _Neighbours,
        followed: dict[Fault, Findings],
        judge: Callable[[Fault], Judged],
        executor: str,
        until: float,
    ) -> Iterator[tuple[Fault, Result]]:
        for fault, now in run.members:
            later = followed.get(fault)
            if later is None and time.monotonic() > until:
                yield fault, Result((), _NO_TIME, executor)
                continue
            if later is None:
                later = self._followed(fault, now, judge)
            yield fault, Result(Judged(now, later).findings, executor=executor)

    def _followed(self, fault: Fault, now: Findings, judge: Callable[[Fault], Judged]) -> Findings:
        judged = judge(fault)
        if judged.now != now:
            raise HarnessError(f"{fault.id}: run again it leaves something else: it does not repeat itself")
        self.followed += 1
        return judged.later

    def _kinds(self, findings: tuple[Finding, ...]) -> frozenset[tuple[str, str]]:
        return frozenset((str(finding.kind), self._canonical(finding.name)) for finding in findings)
