"""Reclaiming what dead writers left, and only that (spec/saving.md, KVS-RECOVER)."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from kvformat.errors import CleanupFailure
from kvformat.filesystem import FileSystem
from kvformat.listing import is_foreign_temp
from kvformat.temp_names import is_temp_name

_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO})
"""Errors by which open(2) says that a name is a symbolic link, or a socket."""


class _NotRegularError(OSError):
    """A directory, link, FIFO, socket or device (KVS-RECOVER-4)."""

    def __init__(self) -> None:
        super().__init__("not a regular file, so no writer made it; remove it by hand (KVS-RECOVER-4)")


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """Names by what became of them: removed, left to a living writer, left to other programs, not removable."""

    reclaimed: tuple[str, ...]
    live: tuple[str, ...]
    foreign: tuple[str, ...]
    failed: tuple[CleanupFailure, ...]


def recover(fs: FileSystem, *, foreign_older_than_seconds: float | None = None, now_ns: int = 0) -> RecoveryReport:
    """Removes every temp file whose writer is dead. Raises OSError where the directory cannot be read.

    A writer holds an exclusive flock(2) on its temp file from creation to publication, and the system gives
    it up when the writer dies, in whatever PID namespace: who gets the lock knows that nobody writes (KVS-RECOVER-2).
    """
    reclaimed: list[str] = []
    live: list[str] = []
    foreign: list[str] = []
    failed: list[CleanupFailure] = []
    for name in sorted(fs.names()):
        ours = is_temp_name(name)
        if not ours and not is_foreign_temp(name):
            continue
        if not ours and foreign_older_than_seconds is None:
            foreign.append(name)
            continue
        oldest_ns = None if ours else now_ns - int((foreign_older_than_seconds or 0) * 1e9)
        try:
            taken = _reclaim(fs, name, oldest_ns)
        except FileNotFoundError:
            continue  # published, removed, or reclaimed by another recovery in the meantime
        except _NotRegularError as error:
            # Another program's is that program's business, whatever it is.
            if ours:
                failed.append(CleanupFailure("reclaim", name, error))
            else:
                foreign.append(name)
            continue
        except OSError as error:
            failed.append(CleanupFailure("reclaim", name, error))
            continue
        (reclaimed if taken else live if ours else foreign).append(name)
    return RecoveryReport(tuple(reclaimed), tuple(live), tuple(foreign), tuple(failed))


def _reclaim(fs: FileSystem, name: str, oldest_ns: int | None) -> bool:
    """Removes `name` if nobody holds it (and, given `oldest_ns`, if it was last written before that)."""
    try:
        fd = fs.open(name, os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _NotRegularError from error
        raise
    try:
        status = fs.fstat(fd)
        if not stat.S_ISREG(status.mode):
            raise _NotRegularError
        if oldest_ns is not None and status.modified_ns > oldest_ns:
            return False
        if not fs.try_lock(fd):
            return False
        # The lock is on the file, not on the name: a name that belongs to another file now is left alone.
        if fs.stat(name).inode != status.inode:
            return False
        fs.unlink(name)
        return True
    finally:
        fs.close(fd)
