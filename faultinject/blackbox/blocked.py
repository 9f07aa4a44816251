"""Signals to this thread that wait while a process is between being made and being known, or dying.

`signal.pthread_sigmask` names each of the 64 signals that it returns, which takes longer than to start a process.
Source: pthread_sigmask(3).
"""

from __future__ import annotations

import ctypes
import signal
from functools import cache

from faultinject.blackbox.ptrace import c_library

_SET_BYTES = 128
"""sizeof(sigset_t) of glibc and musl."""

SignalSet = ctypes.Array[ctypes.c_char]


@cache
def _all() -> SignalSet:
    return ctypes.create_string_buffer(b"\xff" * _SET_BYTES, _SET_BYTES)


def block_signals() -> SignalSet:
    """From now on every signal to this thread waits; what was blocked before, for `restore_signals`."""
    before = ctypes.create_string_buffer(_SET_BYTES)
    c_library().pthread_sigmask(signal.SIG_BLOCK, _all(), before)
    return before


def restore_signals(before: SignalSet) -> None:
    """Those wait that did before. Python runs the handlers of what has arrived meanwhile in here; they may raise."""
    c_library().pthread_sigmask(signal.SIG_SETMASK, before, None)
    signal.pthread_sigmask(signal.SIG_BLOCK, ())  # changes nothing, and runs them
