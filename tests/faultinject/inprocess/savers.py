"""Savers of one JSON file, right and wrong ones; each wrong one has one mistake."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

SETTINGS = {"theme": "dark", "size": 12}


def sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def written(temp: Path) -> None:
    with open(temp, "w") as file:
        json.dump(SETTINGS, file)
        file.flush()
        os.fsync(file.fileno())


def right(directory: Path) -> None:
    temp = directory / "s.json.tmp"
    try:
        written(temp)
        os.replace(temp, directory / "s.json")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    sync_directory(directory)


def right_random(directory: Path) -> None:
    """With a name of its own for each temp file; nobody but its recovery finds those that a kill leaves."""
    fd, temp = tempfile.mkstemp(suffix=".tmp", dir=directory)
    try:
        with os.fdopen(fd, "w") as file:
            json.dump(SETTINGS, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, directory / "s.json")
    except BaseException:
        os.unlink(temp)
        raise
    sync_directory(directory)


def reclaim(directory: Path) -> None:
    for temp in directory.glob("*.tmp"):
        temp.unlink()


def no_unlink(directory: Path) -> None:
    written(directory / "s.json.tmp")
    os.replace(directory / "s.json.tmp", directory / "s.json")
    sync_directory(directory)


def in_place(directory: Path) -> None:
    written(directory / "s.json")
    sync_directory(directory)


def no_sync(directory: Path) -> None:
    temp = directory / "s.json.tmp"
    try:
        temp.write_text(json.dumps(SETTINGS))
        os.replace(temp, directory / "s.json")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    sync_directory(directory)


def no_directory_sync(directory: Path) -> None:
    temp = directory / "s.json.tmp"
    try:
        written(temp)
        os.replace(temp, directory / "s.json")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def swallows(directory: Path) -> None:
    with suppress(OSError):
        right(directory)


def removes_first(directory: Path) -> None:
    temp = directory / "s.json.tmp"
    try:
        written(temp)
        (directory / "s.json").unlink(missing_ok=True)
        os.rename(temp, directory / "s.json")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    sync_directory(directory)


def exclusive(directory: Path) -> None:
    """A kill leaves the temp file, and then no later save can make it."""
    temp = directory / "s.json.tmp"
    file = open(temp, "x")  # noqa: SIM115 - what is there already is somebody else's and must stay
    try:
        with file:
            json.dump(SETTINGS, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, directory / "s.json")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    sync_directory(directory)
