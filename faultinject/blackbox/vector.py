"""The arrays of the vectored calls (readv(2)): which pieces of memory, and the same cut short."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
from collections.abc import Iterator

from faultinject.blackbox.lookup import descriptor
from faultinject.blackbox.tracer import Stop, Tracer
from faultinject.inject import HarnessError

PIECE = struct.Struct("QQ")
"""struct iovec (readv(2))."""

PIECES_MAX = 1024
"""UIO_MAXIOV: the kernel refuses longer arrays."""

_COUNT = {"write": 2, "pwrite64": 2, "sendfile": 3, "copy_file_range": 4, "splice": 4}
"""Which argument says how many bytes are to be moved; the vectored calls have an array instead."""


def pieces(stop: Stop, size_bytes: int | None = None) -> Iterator[tuple[int, int]]:
    """Address and length of each piece, of the first `size_bytes` bytes only where that is given. Raises OSError."""
    count = min(stop.args[2], PIECES_MAX)
    left = size_bytes
    array = stop.task.read(stop.args[1], count * PIECE.size)
    if len(array) < count * PIECE.size:
        raise OSError(errno.EFAULT, f"no memory for {count} pieces at {stop.args[1]:#x}")
    for address, length in PIECE.iter_unpack(array):
        if left is not None:
            if left <= 0:
                return
            kept = min(length, left)
            left -= kept
            yield address, kept
        else:
            yield address, length


def printed(stop: Stop) -> Iterator[tuple[int, int]]:
    """Address and length of each piece that write(2) or writev(2) is about to write. Raises OSError."""
    return pieces(stop) if stop.call == "writev" else iter([(stop.args[1], stop.args[2])])


def shortened(tracer: Tracer, stop: Stop, size_bytes: int) -> int:
    """Lets a transfer move at most `size_bytes` bytes, 1 or more; what it returned. Its memory is as before.

    Raises HarnessError for splice(2) of a pipe that holds fewer bytes: it would wait for a task that waits for us.
    """
    if stop.call == "splice" and (held_bytes := _pipe_bytes(stop)) < size_bytes:
        raise HarnessError(
            f"splice was to be cut after {size_bytes} bytes and its pipe holds {held_bytes} so far: not measured"
        )
    position = _COUNT.get(stop.call)
    if position is not None:
        return tracer.shorten(stop, position, min(size_bytes, stop.args[position]))
    kept = list(pieces(stop, size_bytes))
    last = stop.args[1] + (len(kept) - 1) * PIECE.size
    before = stop.task.read(last, PIECE.size)
    stop.task.write(last, PIECE.pack(*kept[-1]))
    result = tracer.shorten(stop, 2, len(kept))  # where the task dies in it there is no memory to put back
    stop.task.write(last, before)
    return result


def _pipe_bytes(stop: Stop) -> int:
    """How many bytes the pipe holds that splice(2) reads from. Raises OSError (FIONREAD of ioctl_pipe, pipe(7))."""
    fd = os.open(descriptor(stop.task, stop.args[0]), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        (held_bytes,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    finally:
        os.close(fd)
    return int(held_bytes)
