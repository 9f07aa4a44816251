"""What stays behind where a command could not clear up after itself, and how the next one reclaims it.

A command that dies takes its mounts with it (they are in a mount namespace of its own), its processes (PID namespace)
and its loop devices (they clear themselves). What SIGKILL can leave is a directory in the one for temporary files. It
is locked as long as its command or the process that serves its disk lives, so nothing that is in use is touched.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from faultinject.powercut import loopdev

PREFIX = "faultinject-powercut-"
"""How the names of our directories begin."""

MOUNT, DISK = "mount", "fuse"
"""In each of them: where the file system is mounted, and where the one with the disk in it is."""


def make_directory() -> tuple[Path, int]:
    """A new directory, and the descriptor that keeps it in use. Raises OSError."""
    while True:
        path = Path(os.path.realpath(tempfile.mkdtemp(prefix=PREFIX)))
        with suppress(FileNotFoundError):  # somebody reclaimed it before it was in use
            fd = in_use(path)
            if path.exists():
                return path, fd
            os.close(fd)


def in_use(directory: Path) -> int:
    """A descriptor that keeps others from reclaiming the directory as long as it is open. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def reclaim() -> list[str]:
    """Removes what dead commands have left, and says what it was. Raises OSError where that is not possible."""
    parent = Path(os.path.realpath(tempfile.gettempdir()))
    found = [str(path) for path in sorted(parent.glob(f"{PREFIX}*")) if _reclaimed(path)]
    loopdev.detach_abandoned(PREFIX)
    return found


def remove(directory: Path) -> None:
    """Removes one of our directories; nothing is ever mounted in it where this runs. Raises OSError."""
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)


def _reclaimed(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # gone by now, or none of ours: we make directories
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        remove(path)
        return True
    finally:
        os.close(fd)
