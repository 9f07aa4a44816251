"""Puts the hooks in the place of the functions that programs call, and takes them out again."""

from __future__ import annotations

import builtins
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any

from faultinject.inprocess.files import WatchedFile, watched_open
from faultinject.inprocess.hooks import PAIRS, Current
from faultinject.inprocess.real import REAL_OPEN
from faultinject.inprocess.watch import Watch

_SUPPORTS = ("supports_dir_fd", "supports_fd", "supports_follow_symlinks")
"""Sets in which modules look for a function before they use it (os)."""

_in_use = threading.RLock()
_depth = 0


class NestedError(Exception):
    """A function that is swept tried to sweep one; the calls of the inner one would be those of the outer."""


@contextmanager
def patched() -> Iterator[None]:
    """Meanwhile the functions of `os`, `open` and `io.FileIO` are ours, also where a module has them by other names.

    The patches are the process's. Another thread that wants them waits. Raises NestedError in the same thread.
    """
    global _depth
    with _in_use:
        if _depth:
            raise NestedError("a sweep is under way in this thread: sweep one function after the other")
        _depth += 1
        try:
            with ExitStack() as undo:
                _put_in(undo)
                yield
        finally:
            _depth -= 1


def _put_in(undo: ExitStack) -> None:
    hooks = {id(real): hook for real, hook in [*PAIRS, (REAL_OPEN, watched_open), (io.FileIO, WatchedFile)]}
    for name in _SUPPORTS:
        supported = getattr(os, name)
        added = {hook for real, hook in PAIRS if real in supported}
        undo.callback(supported.difference_update, added)
        supported.update(added)
    for module_name, module in list(sys.modules.items()):
        if module is None or module_name.split(".")[0] in ("faultinject", "_io", "posix"):
            continue
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict):
            _replace(names, hooks, undo)
    _replace_defaults(hooks, undo)


def _replace(names: dict[str, Any], hooks: dict[int, Any], undo: ExitStack) -> None:
    for name, value in list(names.items()):
        hook = hooks.get(id(value))
        if hook is not None:
            undo.callback(names.__setitem__, name, value)
            names[name] = hook


def _replace_defaults(hooks: dict[int, Any], undo: ExitStack) -> None:
    """tempfile keeps os.unlink as the default of an argument."""
    for one in vars(tempfile).values():
        for function in vars(one).values() if isinstance(one, type) else (one,):
            if isinstance(function, FunctionType) and function.__defaults__:
                before = function.__defaults__
                after = tuple(hooks.get(id(value), value) for value in before)
                if after != before:
                    undo.callback(setattr, function, "__defaults__", before)
                    function.__defaults__ = after


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Meanwhile the calls on the directory of this watch go through it. Inside `patched`."""
    assert Current.watch is None, "one run at a time"
    Current.watch = watch
    try:
        yield
    finally:
        Current.watch = None


def is_patched() -> bool:
    """Whether hooks are in place."""
    return builtins.open is not REAL_OPEN
