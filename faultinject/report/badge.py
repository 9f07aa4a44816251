"""The badge that says which crash-safety level was reached."""

from __future__ import annotations

from faultinject.coverage import Run
from faultinject.oracle import Verdict
from faultinject.report.text import level, verdict
from kvformat.badge import GREEN, RED, YELLOW, Badge

_LABEL = "crash safety"
_MESSAGES = {None: "not measured", 0: "not even L1", 1: "L1 error-safe", 2: "L2 kill-safe", 3: "L3 power-safe"}


def badge(runs: list[Run]) -> Badge:
    """Green where every point held, red where violations leave no level, yellow where a part is missing.

    After a harness error nothing is known, and no level is shown. A level with a violation is one that the class
    above it has missed.
    """
    said, reached = verdict(runs), level(runs)
    if said is Verdict.HARNESS_ERROR:
        return Badge(_LABEL, "harness error", YELLOW)
    if said is Verdict.VIOLATED and not reached:
        return Badge(_LABEL, _MESSAGES[0] if reached == 0 else "violated", RED)
    held = said is Verdict.HELD and reached is not None
    return Badge(_LABEL, _MESSAGES[reached], GREEN if held else YELLOW)
