from journal import save


def test_save(fault_sweep):
    fault_sweep(lambda directory: save(directory, ["rain", "sun"]), level=3)
