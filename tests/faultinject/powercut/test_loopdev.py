"""Loop devices have our name, are given back, and are never taken from somebody who uses them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faultinject.powercut.loopdev import LoopDevice, attached, detach_abandoned
from tests.faultinject.powercut.rooted import MIB, awaited, needs

pytestmark = [pytest.mark.root, needs("ext4")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(b"x" * MIB)
    return path


def test_a_device_is_its_file_until_it_is_closed(file: Path) -> None:
    device = LoopDevice(str(file), 512, "test-of-loopdev-a")
    try:
        assert attached("test-of-loopdev-a") == {device.path: "test-of-loopdev-a"}
        assert Path(device.path).read_bytes() == b"x" * MIB
        with open(file, "r+b") as changed:
            changed.write(b"y")
            os.fsync(changed.fileno())
        device.forget()
        with open(device.path, "rb") as disk:
            assert disk.read(2) == b"yx"
    finally:
        device.close()
    assert awaited(lambda: not attached("test-of-loopdev-a"))


def test_only_what_nobody_uses_is_detached(file: Path) -> None:
    device = LoopDevice(str(file), 4096, "test-of-loopdev-b")
    try:
        detach_abandoned("test-of-loopdev-b")
        assert device.path in attached("test-of-loopdev-b")
        detach_abandoned("test-of-loopdev-no-such")
    finally:
        device.close()


def test_it_clears_itself_when_its_process_is_killed(file: Path) -> None:
    pid = os.fork()
    if not pid:
        LoopDevice(str(file), 512, "test-of-loopdev-c")
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert awaited(lambda: not attached("test-of-loopdev-c"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LoopDevice(str(tmp_path / "nothing"), 512, "test-of-loopdev-d")
    assert not attached("test-of-loopdev-d")
