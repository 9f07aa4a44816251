"""open() whose files make their calls where they can be seen: C buffers and text layers over a raw file of ours.

Put together as `_pyio.open` of the standard library shows it; the layers above the raw file are those of `io`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

from faultinject.inprocess.hooks import HOOKS, Current
from faultinject.inprocess.real import REAL_OPEN
from faultinject.ops import Op

Opener = Callable[[Any, int], int]


class WatchedFile(io.FileIO):
    """A raw file. On the directory's files its calls go through the watch, on others they are those of FileIO."""

    def __init__(self, file: Any, mode: str = "r", closefd: bool = True, opener: Opener | None = None) -> None:
        super().__init__(file, mode, closefd, opener if opener is not None or isinstance(file, int) else _opened)
        watch = Current.watch
        if watch is not None and closefd and (known := watch.opened.get(self.fileno())) is not None:
            known.owned = True

    def write(self, data: Any, /) -> int:
        """See `io.FileIO.write`."""
        if not self.writable():
            return super().write(data)  # which says why not
        written: int = HOOKS["write"](self.fileno(), data)
        return written

    def read(self, size: int | None = -1, /) -> bytes:
        """See `io.FileIO.read`."""
        data: bytes = self._on(Op.READ, super().read, size)
        return data

    def readall(self) -> bytes:
        """See `io.FileIO.readall`."""
        data: bytes = self._on(Op.READ, super().readall)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """See `io.FileIO.readinto`."""
        size_bytes: int = self._on(Op.READ, super().readinto, buffer)
        return size_bytes

    def truncate(self, size: int | None = None, /) -> int:
        """See `io.FileIO.truncate`."""
        if not self.writable():
            return super().truncate(size)
        wanted = self.tell() if size is None else size
        HOOKS["ftruncate"](self.fileno(), wanted)
        return wanted

    def close(self) -> None:
        """See `io.FileIO.close`."""
        watch = Current.watch
        if self.closed or watch is None or not self.closefd or self.fileno() not in watch.opened:
            super().close()
        else:
            watch.close(self.fileno(), super().close)

    def _on(self, op: Op, method: Callable[..., Any], *arguments: Any) -> Any:
        watch = Current.watch
        if watch is None or self.closed or self.fileno() not in watch.opened:
            return method(*arguments)
        return watch.on(self.fileno(), op, lambda: method(*arguments))


def _opened(path: Any, flags: int) -> int:
    fd: int = HOOKS["open"](path, flags, 0o666)
    return fd


def _is_mode(mode: str) -> bool:
    """Whether open() takes it."""
    letters = set(mode)
    only_once = len(mode) == len(letters) and not letters - set("rwxabt+")
    return only_once and len(letters & set("rwxa")) == 1 and not letters >= set("bt")


def _is_watched(file: Any, opener: Opener | None) -> bool:
    watch = Current.watch
    if watch is None:
        return False
    if isinstance(file, int):
        return file in watch.opened
    return opener is not None or watch.key(file, follow=True) is not None


def watched_open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Opener | None = None,
) -> Any:
    """See `io.open`, which does what has nothing to do with the directory, and refuses what makes no sense."""
    binary = "b" in mode
    text_only = (encoding, errors, newline) != (None, None, None) or buffering == 1
    sound = _is_mode(mode) and not (text_only if binary else buffering == 0)
    if not sound or not _is_watched(file, opener):
        return REAL_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if not binary:
        encoding = io.text_encoding(encoding)
    raw = WatchedFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
    result: Any = raw
    try:
        line_buffering = buffering == 1 or (buffering < 0 and raw.isatty())
        if buffering < 0 or line_buffering:
            buffering = max(getattr(os.fstat(raw.fileno()), "st_blksize", 0), io.DEFAULT_BUFFER_SIZE)
        if buffering == 0:
            return raw
        layer: type[Any] = io.BufferedReader
        if "+" in mode:
            layer = io.BufferedRandom
        elif "r" not in mode:
            layer = io.BufferedWriter
        result = layer(raw, buffering)
        if binary:
            return result
        result = io.TextIOWrapper(result, encoding, errors, newline, line_buffering)
        result.mode = mode
    except BaseException:
        result.close()
        raise
    return result
