"""What is too much to be run is said to be not measured, and can be asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faultinject.faults import FaultClass
from faultinject.inprocess import executor
from faultinject.inprocess.sweep import sweep_function

SIZE_BYTES = 600
"""More than is cut at every byte (KVS-CLASS-1)."""


def save_by_parity(directory: Path) -> None:
    """Leaves its temp file where an odd number of bytes was written, so that no cut speaks for its neighbours."""
    temp = directory / "entry.tmp"
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    done = 0
    try:
        try:
            while done < SIZE_BYTES:
                done += os.write(fd, b"x" * (SIZE_BYTES - done))
        finally:
            os.close(fd)
        os.rename(temp, directory / "entry")
    except OSError:
        if done % 2 == 0:
            temp.unlink(missing_ok=True)
        raise


@pytest.mark.parametrize("exhaustive", [False, True])
def test_exhaustive_knows_no_limit_on_the_points_of_a_group(exhaustive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """KVS-CLASS-3: where the lemma does not apply, points are run or are not measured; never held."""
    monkeypatch.setattr(executor, "POINTS_MAX", 10)
    done = sweep_function(save_by_parity, start={}, classes=["error"], exhaustive=exhaustive, jobs=1)
    count = done.runs[0].classes[FaultClass.ERROR]
    assert count.points > SIZE_BYTES
    if exhaustive:
        assert count.covered == count.points
        assert count.violated > 0
        assert not done.runs[0].problems
    else:
        assert count.not_measured >= SIZE_BYTES - 1
        assert count.held + count.violated + count.not_measured == count.points
        assert any("KVS-CLASS-1 does not apply" in problem for problem in done.runs[0].problems)
