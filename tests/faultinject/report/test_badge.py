"""The badge never says more than was measured."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from faultinject.coverage import ClassCount, Run
from faultinject.faults import FaultClass
from faultinject.kvc import KvcTarget, Operation
from faultinject.persistence.profiles import STRICT
from faultinject.report.badge import badge
from kvformat.badge import GREEN, RED, YELLOW
from kvformat.temp_names import TempKind

ALL = (FaultClass.ERROR, FaultClass.INTERRUPT, FaultClass.KILL, FaultClass.POWER)


def run(classes: tuple[FaultClass, ...] = ALL, wrong: FaultClass | None = None, verdict: str = "violated") -> Run:
    """Two points of each class, all held, but for one in the class `wrong`."""
    counts = {}
    for fault_class in classes:
        more = {verdict: 1, "held": 1} if fault_class is wrong else {"held": 2}
        counts[fault_class] = ClassCount(points=2, **more)  # type: ignore[arg-type]
        if fault_class is FaultClass.POWER:
            counts[fault_class].profiles[STRICT] = 2
    return Run(KvcTarget(Operation.SAVE, "direct", "empty", TempKind.NAMED), counts)


@pytest.mark.parametrize(
    ("runs", "message", "colour"),
    [
        ([run()], "L3 power-safe", GREEN),
        ([run(ALL[:3])], "L2 kill-safe", GREEN),
        ([run(ALL[:2])], "L1 error-safe", GREEN),
        ([run(wrong=FaultClass.POWER)], "L2 kill-safe", YELLOW),
        ([run(wrong=FaultClass.KILL)], "L1 error-safe", YELLOW),
        ([run(wrong=FaultClass.ERROR)], "not even L1", RED),
        ([run(), run(wrong=FaultClass.INTERRUPT)], "not even L1", RED),
        ([run((FaultClass.KILL,), FaultClass.KILL)], "violated", RED),
        ([run((FaultClass.KILL,))], "not measured", YELLOW),
        ([run(wrong=FaultClass.ERROR, verdict="not_measured")], "not measured", YELLOW),
        ([run(wrong=FaultClass.POWER, verdict="not_measured")], "L2 kill-safe", YELLOW),
        ([run(wrong=FaultClass.POWER, verdict="harness_errors")], "harness error", YELLOW),
        ([run(wrong=FaultClass.ERROR), run(wrong=FaultClass.KILL, verdict="harness_errors")], "harness error", YELLOW),
        ([], "not measured", YELLOW),
    ],
)
def test_what_it_says(runs: list[Run], message: str, colour: str) -> None:
    """KVS-LEVEL-1, KVS-LEVEL-2, KVS-LEVEL-3."""
    made = badge(runs)
    assert json.loads(made.rendered("badge.json")) == {
        "schemaVersion": 1,
        "label": "crash safety",
        "message": message,
        "color": colour,
    }
    svg = made.rendered("badge.svg")
    assert ET.fromstring(svg).get("aria-label") == f"crash safety: {message}"
    assert colour in svg.decode()
