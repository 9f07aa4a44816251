"""An oracle judges what the arrays are and not their bytes; it may refuse anything else once success was reported."""

import numpy
import pytest
from savers import arrays, save_right, save_wrong


def good(directory, acknowledged):
    path = directory / "model.npz"
    if not path.exists():
        assert not acknowledged, "saved, and there is no file"
        return
    with numpy.load(path) as loaded:
        for name, expected in arrays().items():
            numpy.testing.assert_array_equal(loaded[name], expected)


@pytest.mark.fault_sweep(level=2)
def test_wrong(fault_sweep):
    fault_sweep(save_wrong, start={}, oracle=good)


def test_right(fault_sweep):
    assert fault_sweep(save_right, start={}, oracle=good).level == 3
