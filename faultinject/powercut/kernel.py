"""Calls of Linux that Python has no function for. Sources: mount(2), umount(2), syncfs(2), unshare(2), prctl(2)."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

CLONE_NEWNS = 0x0002_0000
CLONE_NEWPID = 0x2000_0000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000

MNT_DETACH = 0x2

_PR_SET_IO_FLUSHER = 57

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mounts a file system. Raises OSError that names the target."""
    words = [os.fsencode(word) for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(options)), target)


def unmount(target: str, flags: int = 0) -> None:
    """Raises OSError, EBUSY where something in it is still in use."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def sync_file_system(fd: int) -> None:
    """Writes all that the file system of this file has in memory (syncfs(2))."""
    _check(_libc.syncfs(fd), "syncfs")


def unshare(flags: int) -> None:
    """Gives this process namespaces of its own; a new PID namespace begins with its next child."""
    _check(_libc.unshare(flags), "namespaces")


def serve_disks() -> None:
    """This process answers for a disk: to get memory the kernel must not make it wait for its own disk."""
    # Where a container may not ask for it (CAP_SYS_RESOURCE), all is well as long as there is memory.
    with suppress(PermissionError):
        _check(_libc.prctl(_PR_SET_IO_FLUSHER, 1, 0, 0, 0), "PR_SET_IO_FLUSHER")


def is_linux() -> bool:
    """Whether these calls exist here."""
    return sys.platform.startswith("linux")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
