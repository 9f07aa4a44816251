"""Two ways to save settings as JSON: the one that everybody writes, and one that loses nothing."""

import json
import os


def save_wrong(directory, settings):
    """Writes a temp file and renames it."""
    temp = directory / "settings.json.tmp"
    with open(temp, "w") as file:
        json.dump(settings, file)
    os.replace(temp, directory / "settings.json")


def save_right(directory, settings):
    """The same; nothing is left where it fails, and nothing is lost with the power."""
    temp = directory / "settings.json.tmp"
    try:
        with open(temp, "w") as file:
            json.dump(settings, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, directory / "settings.json")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
