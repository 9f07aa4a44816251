"""What came of a fault at a program that was rewound."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from faultinject.blackbox.overlay import Overlay
from faultinject.blackbox.state import State
from faultinject.oracle import Reported


@dataclass(frozen=True, slots=True, eq=False)
class Rewound:
    """What came of a fault. key: equal ones mean equal `reported` and `state`. said: the last line of its errors."""

    reported: Reported
    key: Hashable
    said: str
    overlay: Overlay

    @property
    def state(self) -> State:
        """What the watched directories would hold. Raises ModelError where that is more than their limit."""
        return self.overlay.state()
