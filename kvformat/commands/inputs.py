"""Files and standard input that commands are given."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, cast

from kvformat import rules
from kvformat.commands.common import Fatal, system_message
from kvformat.display import exact_bytes, safe
from kvformat.errors import Problem
from kvformat.sources import PIECE_BYTES

STDIN = "-"
SPOOL_BYTES = 16 * 1024 * 1024
"""How much of a pipe is held in memory before a temporary file takes it."""


def shown_path(path: str) -> str:
    """`path` for messages."""
    return "standard input" if path == STDIN else safe(path)


@contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Any file that can be read, pipes included, unbuffered. Raises Fatal."""
    with ExitStack() as stack:
        if path == STDIN:
            stream = _stdin()
        else:
            try:
                stream = cast(BinaryIO, stack.enter_context(open(path, "rb", buffering=0)))
            except OSError as error:
                raise Fatal(system_message(error, path)) from error
        yield stream


def _stdin() -> BinaryIO:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise Fatal("standard input is closed")
    # Unbuffered, a signal is heeded as soon as it comes and nothing is read ahead.
    return cast(BinaryIO, getattr(stream, "raw", stream))


def read_input(path: str, *, bytes_max: int | None = None) -> bytes:
    """All of a file or of standard input. Raises Fatal, also where it has more than `bytes_max`."""
    pieces: list[bytes] = []
    size_bytes = 0
    with open_input(path) as stream:
        try:
            while piece := stream.read(PIECE_BYTES):
                pieces.append(piece)
                size_bytes += len(piece)
                if bytes_max is not None and size_bytes > bytes_max:
                    raise Fatal(f"{shown_path(path)} has more than {exact_bytes(bytes_max)}")
        except OSError as error:
            raise Fatal(f"{shown_path(path)}: {error.strerror or error}") from error
    return b"".join(pieces)


@contextmanager
def open_kvc_file(path: str) -> Iterator[int | BinaryIO | Problem]:
    """The file at `path` once, for several readers: a descriptor; of standard input a stream at its start.

    Where it is no regular file, a link included, the problem that this is (KVC-NAME-7). Raises Fatal.
    """
    if path == STDIN:
        with _seekable(_stdin()) as stream:
            yield stream
        return
    fd = _open_regular(path)
    if fd is None:
        yield rules.not_regular(os.path.basename(path))
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _open_regular(path: str) -> int | None:
    """A descriptor of the file itself, None where it is no regular one. Raises Fatal."""
    try:
        # Asked first, because merely opening some devices has effects; asked again of what was opened.
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            raise Fatal(f"{safe(path)}: Is a directory; kvformat ls and kvformat verify take those")
        if not stat.S_ISREG(mode):
            return None
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        raise Fatal(system_message(error, path)) from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


@contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """`stream` itself where it can seek; else its content, put where it can be."""
    if stream.seekable():
        yield stream
        return
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        try:
            while piece := stream.read(PIECE_BYTES):
                spool.write(piece)
        except OSError as error:
            where = f"while it is kept in {tempfile.gettempdir()}, which TMPDIR chooses"
            raise Fatal(f"standard input: {error.strerror or error}, {where}") from error
        spool.seek(0)
        yield cast(BinaryIO, spool)
