"""Arrays in a .npz file: as numpy saves them, and in a way that a kill leaves the old ones."""

import os

import numpy


def arrays():
    """What is saved."""
    return {"weights": numpy.arange(4, dtype=numpy.float32)}


def save_wrong(directory):
    """Writes over the only copy."""
    numpy.savez(directory / "model.npz", **arrays())


def save_right(directory):
    """To a temp file, with everything that a loss of power needs."""
    temp = directory / "model.npz.tmp"
    try:
        with open(temp, "wb") as file:
            numpy.savez(file, **arrays())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, directory / "model.npz")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
