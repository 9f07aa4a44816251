"""A whole sweep in a real directory, with real SIGKILLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultinject.kvc import Operation, Scenario, targets
from faultinject.kvc_content import Source
from faultinject.sweep import CLASSES, sweep, units
from kvformat.temp_names import TempKind


def swept_on_real(tmp_path: Path, scenarios: tuple[Scenario, ...], *temps: TempKind) -> None:
    found = targets(source=Source(None, 40, 40), operations=(Operation.SAVE,), scenarios=scenarios, temps=temps)
    for run in sweep(units(found, CLASSES, real=True, real_parent=str(tmp_path))):
        assert run.violations == []
        assert run.problems == []
        assert run.level == 3
        assert all(run.covered_bytes(name) == end - start for name, (start, end) in run.regions.items())
    assert list(tmp_path.iterdir()) == []


def test_every_strategy_reaches_l3(tmp_path: Path) -> None:
    swept_on_real(tmp_path, (Scenario.EMPTY,), TempKind.NAMED)


@pytest.mark.slow
def test_every_strategy_reaches_l3_in_every_scenario(tmp_path: Path) -> None:
    swept_on_real(tmp_path, tuple(Scenario), TempKind.NAMED, TempKind.UNNAMED)
