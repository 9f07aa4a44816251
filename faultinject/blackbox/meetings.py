"""States of the task in which tails were stopped, to be recognised when another tail comes to one of them.

At the same call, with equal registers and equal memory, a program goes on as it did before, as long as its calls are
answered as they were. So the faults at neighbouring bytes, after which most programs do the same, need not run to the
end each: a tail that meets another one is walked from there on the model alone (see `course`). Equality is exact, of
every register and every page that any tail at this point has changed, dead stack included.
"""

from __future__ import annotations

from collections.abc import Hashable

from faultinject.blackbox.checkpoint import Checkpoint, Snapshot
from faultinject.blackbox.rewound import Rewound
from faultinject.faults import Fault

Written = tuple[tuple[int, bytes], ...]
"""What the answer to a call puts into memory: addresses and bytes."""

_KEPT_BYTES_MAX = 1 << 25
_FINDABLE_MAX = 16
"""Tails meet soon after the fault or never."""

_MISSES_MAX = 4
_OUTCOMES_MAX = 64


class Step:
    """One call of a recorded tail: what it handed over when it was answered, and what the program did next.

    handed, strings: what was read of its memory. real: the task itself has to be there when it is answered.
    onward: by answer (the result, and what was written to memory) the call that came next, or the status of an exit.
    """

    __slots__ = (
        "_helped",
        "_outcomes",
        "arguments",
        "handed",
        "misses",
        "number",
        "onward",
        "real",
        "registers",
        "snapshot",
        "strings",
    )

    def __init__(self, registers: bytes, number: int, arguments: tuple[int, ...], snapshot: Snapshot | None) -> None:
        self.registers = registers
        self.number = number
        self.arguments = arguments
        self.snapshot = snapshot
        self.handed: dict[tuple[int, int], bytes] = {}
        self.strings: dict[int, bytes] = {}
        self.real = False
        self.onward: dict[tuple[int, Written], Step | int] = {}
        self.misses = 0
        self._outcomes: dict[Hashable, Rewound] | None = {}
        self._helped = False

    @property
    def learns(self) -> bool:
        """Whether outcomes are kept here; not so where no model has ever been the same as an earlier one."""
        return self._outcomes is not None

    def outcome(self, model: Hashable) -> Rewound | None:
        """What comes of a tail that is here with this model (`Tail.key`), where that is known."""
        known = None if self._outcomes is None else self._outcomes.get(model)
        self._helped = self._helped or known is not None
        return known

    def learn(self, model: Hashable, rewound: Rewound) -> None:
        """A tail that was here with this model has ended so."""
        if self._outcomes is None:
            return
        if len(self._outcomes) < _OUTCOMES_MAX:
            self._outcomes[model] = rewound
        elif not self._helped:
            self._outcomes = None


class Meetings:
    """The steps recorded at one point. They are kept by how many calls after the fault they come."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._steps: dict[int, dict[bytes, list[Step]]] = {}
        self._kept_bytes = 0
        self._counted: dict[Hashable, int] = {}

    def wants(self, fault: Fault) -> bool:
        """Whether the tail after a fault is to be recorded.

        Not the first after a fault of its kind, which often is the only one (an errno) or another than the rest
        (no byte accepted); then some, and ever fewer of those that meet none.
        """
        number = self._counted.get(_kind(fault), 0)
        return bool(number) and (number < 4 or not number & (number - 1))

    @property
    def has_room(self) -> bool:
        """Whether more may be recorded: what is kept of large tails is much."""
        return self._kept_bytes < _KEPT_BYTES_MAX

    def keep(self, step: Step) -> None:
        """A step has been answered; what it handed over for that counts as kept."""
        self._kept_bytes += sum(map(len, step.handed.values()))

    def count(self, fault: Fault) -> None:
        """The tail after this fault has met none, or was recorded."""
        self._counted[_kind(fault)] = self._counted.get(_kind(fault), 0) + 1

    def expects(self, nth: int) -> bool:
        """Whether there may be a step to be found at the nth call after the fault."""
        return nth in self._steps

    def find(self, nth: int, registers: bytes) -> Step | None:
        """The step at which the task is: stopped at the same call, as the nth after the fault, in an equal state."""
        here = self._steps.get(nth, {})
        steps = here.get(registers)
        if not steps:
            return None
        found = self._checkpoint.find([step.snapshot for step in steps if step.snapshot is not None])
        if found is not None:
            steps[found].misses = 0
            return steps[found]
        for step in steps:
            step.misses += 1
        here[registers] = [step for step in steps if step.misses < _MISSES_MAX]
        return None

    def record(self, nth: int, registers: bytes, number: int, arguments: tuple[int, ...]) -> Step:
        """A new step where the task is; it can be found where it comes soon and is not too much to compare."""
        snapshot = self._checkpoint.snapshot() if nth < _FINDABLE_MAX else None
        step = Step(registers, number, arguments, snapshot)
        if snapshot is not None:
            self._kept_bytes += snapshot.size_bytes
            self._steps.setdefault(nth, {}).setdefault(registers, []).append(step)
        return step


def _kind(fault: Fault) -> Hashable:
    return fault.form, fault.error, fault.sticky
