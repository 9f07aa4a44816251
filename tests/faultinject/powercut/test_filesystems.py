"""File systems as data, and sentences for machines that cannot do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultinject.powercut import filesystems
from faultinject.powercut.filesystems import FILE_SYSTEMS, Kind, kinds, why_not


def test_every_file_system_comes_with_usual_options_or_with_those_given() -> None:
    assert [str(kind) for kind in kinds(("ext4", "xfs"), (), harsh=False)] == ["ext4", "xfs"]
    assert [str(kind) for kind in kinds(("ext4", "xfs", "btrfs"), (), harsh=True)] == [
        "ext4",
        "ext4 harsh",
        "xfs",
        "btrfs",
    ]
    given = kinds(("ext4",), ("data=journal", "noatime", "data=journal"), harsh=False)
    assert given == [Kind("ext4", "data=journal"), Kind("ext4", "noatime")]
    assert str(given[0]) == "ext4 data=journal"


@pytest.mark.parametrize("one", FILE_SYSTEMS.values(), ids=FILE_SYSTEMS)
def test_no_options_take_a_promise_of_the_disk_away(one: filesystems.FileSystem) -> None:
    """Without barriers, or with an unsynced log, a file system itself breaks: that would say nothing of a program."""
    for options in (one.usual, one.harsh or ""):
        assert not {"nobarrier", "barrier=0", "noload", "norecovery", "nologreplay"} & set(options.split(","))
    assert one.size_bytes % 4096 == 0
    assert one.sector_bytes in (512, 4096)


EXT4 = Kind("ext4", "")


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that can do it, whatever this one can."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.path.exists", lambda _: True)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(filesystems, "_known", lambda _: True)
    return monkeypatch


def test_a_machine_that_can_do_it(able: pytest.MonkeyPatch) -> None:
    assert why_not(EXT4) is None


def test_machines_that_cannot_say_why_and_what_helps(able: pytest.MonkeyPatch) -> None:
    able.setattr(filesystems, "_known", lambda _: False)
    assert "does not know ext4: load its module (modprobe ext4)" in str(why_not(EXT4))
    able.setattr("shutil.which", lambda _: None)
    assert "mkfs.ext4 is not installed: install e2fsprogs" in str(why_not(EXT4))
    able.setattr("os.path.exists", lambda path: path != "/dev/loop-control")
    assert "/dev/loop-control is not there" in str(why_not(EXT4))
    assert "modprobe loop" in str(why_not(EXT4))
    able.setattr("os.path.exists", lambda path: path != "/dev/fuse")
    assert "modprobe fuse" in str(why_not(EXT4))
    able.setattr("os.geteuid", lambda: 1000)
    assert "needs root" in str(why_not(EXT4))


@pytest.mark.skipif(not Path("/proc/filesystems").exists(), reason="it needs Linux")
def test_what_the_kernel_knows() -> None:
    assert filesystems._known("proc")
    assert not filesystems._known("nosuchfs")
