"""Saves the day's lines in one file, whole or not at all."""

import os


def save(directory, lines):
    """Writes journal.txt anew. Nothing is left where it fails, and nothing is lost with the power."""
    temp, path = directory / "journal.txt.new", directory / "journal.txt"
    try:
        with open(temp, "wb") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
