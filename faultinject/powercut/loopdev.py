"""Loop devices: a file as a disk of the kernel. Sources: loop(4), linux/loop.h.

Ours have a name in the kernel (`lo_file_name`) that begins with `cleaning.PREFIX`, so that what a killed command has
left can be told apart, and clear themselves when the last user is gone (LO_FLAGS_AUTOCLEAR).
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import struct
import time
from contextlib import suppress

_BLKFLSBUF = 0x1261
_LOOP_CLR_FD, _LOOP_GET_STATUS64, _LOOP_CONFIGURE = 0x4C01, 0x4C05, 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_AUTOCLEAR, _DIRECT_IO = 4, 16

_INFO = struct.Struct("<QQQQQIIII64s64s32sQQ")  # struct loop_info64
_NAME_AT = 9
_CONFIG_BYTES = 304  # struct loop_config: fd, block size, loop_info64, and reserved words
_TRIES = 50
_TRY_SECONDS = 0.02


class LoopDevice:
    """A file attached to a free loop device under a name, with direct I/O. Raises OSError where there is none."""

    def __init__(self, file: str, sector_bytes: int, name: str) -> None:
        backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.path, self._fd = _attached(backing, sector_bytes, name)
        finally:
            os.close(backing)

    def forget(self) -> None:
        """Drops what the kernel remembers of the content, since the disk holds something else now."""
        fcntl.ioctl(self._fd, _BLKFLSBUF, 0)

    def close(self) -> None:
        """Detaches it; where something still uses it, the kernel does so when that ends."""
        with suppress(OSError):  # it has cleared itself: its disk was gone
            fcntl.ioctl(self._fd, _LOOP_CLR_FD, 0)
        os.close(self._fd)


def attached(prefix: str) -> dict[str, str]:
    """The loop devices whose name begins so, each with its name."""
    found = {path: _name(path) for path in sorted(glob.glob("/dev/loop[0-9]*"))}
    return {path: name for path, name in found.items() if name is not None and name.startswith(prefix)}


def detach_abandoned(prefix: str) -> None:
    """Detaches those with such a name that nobody uses; the kernel leaves one that is in use as it is."""
    for path in attached(prefix):
        with suppress(OSError):  # it has just gone by itself
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _LOOP_CLR_FD, 0)
            finally:
                os.close(fd)


def _attached(backing: int, sector_bytes: int, name: str) -> tuple[str, int]:
    info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR | _DIRECT_IO, os.fsencode(name)[:63], b"", b"", 0, 0)
    config = bytearray(_CONFIG_BYTES)
    struct.pack_into("<II", config, 0, backing, sector_bytes)
    config[8 : 8 + len(info)] = info
    for left in reversed(range(_TRIES)):
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
        finally:
            os.close(control)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            if not left:
                raise
            time.sleep(_TRY_SECONDS)  # the name of a new device comes a moment later
            continue
        try:
            fcntl.ioctl(fd, _LOOP_CONFIGURE, config)
        except OSError as error:
            os.close(fd)
            if error.errno != errno.EBUSY or not left:  # somebody else has taken it
                raise
            time.sleep(_TRY_SECONDS)
        else:
            return path, fd
    raise OSError(errno.EBUSY, "no loop device is free")


def _name(path: str) -> str | None:
    """The name that the kernel has for what is attached; None where nothing is, or nobody may ask."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = bytearray(_INFO.size)
            fcntl.ioctl(fd, _LOOP_GET_STATUS64, status)
        finally:
            os.close(fd)
        name: bytes = _INFO.unpack(bytes(status))[_NAME_AT]
        return os.fsdecode(name.rstrip(b"\0"))
    return None
