"""A file system is mounted as often as wanted, always with what the disk holds now, and never left mounted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from functools import partial

import pytest

from faultinject.inject import HarnessError
from faultinject.powercut.confined import Inside, confined
from faultinject.powercut.disk import Request, Survivors
from faultinject.powercut.filesystems import FILE_SYSTEMS, Kind
from faultinject.powercut.session import UnmountableError, made
from tests.faultinject.powercut.rooted import needs, usual

names = [pytest.param(name, marks=[pytest.mark.root, needs(name)]) for name in FILE_SYSTEMS]


def showing(name: str, inside: Inside) -> Generator[tuple[str, list[str]], None, None]:
    """What is in the file system on several disks that one record gives."""
    with made(inside, usual(name)) as session:
        with session.mounted():
            (session.top / "one").write_bytes(b"x")
            session.sync()
            inside.disk.begin()
            (session.top / "two").write_bytes(b"y" * 10_000)
            session.sync()
            log = inside.disk.log()
        assert Request.FLUSH in [entry.request for entry in log], "a sync is a flush of the disk"
        for when, place in (("before", 0), ("after", len(log)), ("before", 0)):
            inside.disk.show(Survivors(place))
            with session.mounted():
                content = [name for name in sorted(os.listdir(session.top)) if name != "lost+found"]
                (session.top / "not on the next image").write_bytes(b"z")
                session.sync()
            yield when, content


@pytest.mark.parametrize("name", names)
def test_what_is_mounted_is_what_the_disk_holds_now(name: str) -> None:
    with confined(partial(showing, name), FILE_SYSTEMS[name].size_bytes) as messages:
        assert list(messages) == [("before", ["one"]), ("after", ["one", "two"]), ("before", ["one"])]


def busy(inside: Inside) -> Generator[bool, None, None]:
    with made(inside, usual("ext4")) as session:
        with session.mounted():
            subprocess.Popen(["sleep", "1000"], cwd=session.top)
        yield os.path.ismount(session.top)


@pytest.mark.root
@needs("ext4")
def test_whoever_still_uses_it_is_ended() -> None:
    with confined(busy, FILE_SYSTEMS["ext4"].size_bytes) as messages:
        assert list(messages) == [False]


def ruined(inside: Inside) -> Generator[str, None, None]:
    with made(inside, usual("ext4")) as session:
        inside.file.write_bytes(bytes(1 << 20))
        try:
            with session.mounted():
                yield "mounted"
        except UnmountableError as error:
            yield str(error)


@pytest.mark.root
@needs("ext4")
def test_a_disk_that_is_no_file_system_cannot_be_mounted() -> None:
    with confined(ruined, FILE_SYSTEMS["ext4"].size_bytes) as messages:
        assert list(messages) == ["ext4 cannot be mounted: Invalid argument; dmesg says why"]


def too_small(inside: Inside) -> Generator[int, None, None]:
    with made(inside, Kind("btrfs", "")):
        yield 1


@pytest.mark.root
@needs("btrfs")
def test_a_file_system_that_cannot_be_made() -> None:
    with pytest.raises(HarnessError, match=r"mkfs\.btrfs has failed: "), confined(too_small, 1 << 20) as messages:
        list(messages)
