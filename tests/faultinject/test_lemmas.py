"""KVS-CLASS-4: on a file small enough for both, the verdicts by class are those by execution."""

from __future__ import annotations

import pytest

from faultinject.kvc import KvcTarget, Operation
from faultinject.kvc_content import Source
from faultinject.sweep import CLASSES, sweep, units
from kvformat.temp_names import TempKind


@pytest.mark.parametrize("strategy", ["direct", "staged", "backpatch"])
def test_verdicts_by_class_are_those_by_execution(strategy: str) -> None:
    target = KvcTarget(Operation.SAVE, strategy, "old-same-size", TempKind.NAMED, Source(None, 1300, 1300))
    (by_class,) = sweep(units([target], CLASSES))
    (by_execution,) = sweep(units([target], CLASSES, exhaustive=True))
    for fault_class in CLASSES:
        one, other = by_class.classes[fault_class], by_execution.classes[fault_class]
        assert one.by_class > 0
        assert other.by_class == 0
        assert (one.points, one.held, one.violated) == (other.points, other.held, other.violated)
    assert by_class.level == by_execution.level == 3
