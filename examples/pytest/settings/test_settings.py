"""`pytest test_settings.py`: the first test fails, and says what is wrong; the second one passes."""

from savers import save_right, save_wrong

SETTINGS = {"theme": "dark", "size": 12}


def test_wrong(fault_sweep):
    fault_sweep(lambda directory: save_wrong(directory, SETTINGS))


def test_right(fault_sweep):
    assert fault_sweep(lambda directory: save_right(directory, SETTINGS)).level == 3
