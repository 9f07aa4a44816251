"""A file system on the recorded disk: made, mounted, unmounted. Sources: loop(4), mount(2), umount2(2)."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faultinject.inject import HarnessError
from faultinject.powercut.cleaning import MOUNT
from faultinject.powercut.confined import Inside
from faultinject.powercut.filesystems import Kind
from faultinject.powercut.kernel import MNT_DETACH, mount, sync_file_system, unmount
from faultinject.powercut.loopdev import LoopDevice
from faultinject.powercut.programs import end_all

_UNMOUNT_SECONDS = 10
_TRY_SECONDS = 0.002


class UnmountableError(HarnessError):
    """The kernel does not mount the disk; nothing is known of what is on it."""


class Session:
    """A disk of one kind of file system, attached."""

    def __init__(self, kind: Kind, device: LoopDevice, top: Path) -> None:
        self.kind = kind
        self.top = top
        self._device = device

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Mounts what the disk holds now at `top`; so the file system recovers, as it does after a loss of power.

        All processes are ended before it is unmounted. Raises UnmountableError.
        """
        self._device.forget()
        try:
            mount(self._device.path, str(self.top), self.kind.name, 0, self.kind.options)
        except OSError as error:
            raise UnmountableError(f"{self.kind} cannot be mounted: {error.strerror}; dmesg says why") from error
        try:
            yield
        finally:
            end_all()
            self._unmount()

    def sync(self) -> None:
        """Everything is on the disk after it."""
        fd = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_file_system(fd)
        finally:
            os.close(fd)

    def _unmount(self) -> None:
        end = time.monotonic() + _UNMOUNT_SECONDS
        while True:
            try:
                unmount(str(self.top))
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                if time.monotonic() > end:
                    unmount(str(self.top), MNT_DETACH)
                    raise HarnessError(f"{self.kind} stays in use, and nothing says by whom") from error
                time.sleep(_TRY_SECONDS)
            else:
                return


@contextmanager
def made(inside: Inside, kind: Kind) -> Iterator[Session]:
    """A new file system. Raises HarnessError where it cannot be made."""
    top = inside.directory / MOUNT
    top.mkdir()
    file_system = kind.file_system
    try:
        device = LoopDevice(str(inside.file), file_system.sector_bytes, inside.directory.name)
    except OSError as error:
        raise HarnessError(f"no loop device can be had: {error}; is /dev/loop-control there?") from error
    try:
        done = subprocess.run(
            [*file_system.make, device.path], capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
        inside.check()
        if done.returncode:
            raise HarnessError(f"{file_system.make[0]} has failed: {done.stderr.decode('utf-8', 'replace').strip()}")
        yield Session(kind, device, top)
    finally:
        device.close()
