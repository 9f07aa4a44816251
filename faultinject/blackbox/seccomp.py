"""Seccomp filters: the kernel stops a program at the chosen calls, and all the others cost nothing.

Sources: seccomp(2), linux/filter.h. A call of another machine (int 0x80, x32) is always stopped at: its number means
another thing, so that a filter by numbers would miss it.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable

from faultinject.blackbox.abi import X32_BIT, X86_64, Abi

_LOAD = 0x20
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_IF_SET = 0x45
_RETURN = 0x06

_ALLOW = 0x7FFF0000
_TRACE = 0x7FF00000

# struct seccomp_data
_NUMBER_AT = 0
_ARCH_AT = 4
_ARGUMENTS_AT = 16

FICLONE, FICLONERANGE = 0x40049409, 0x4020940D
"""The requests of ioctl(2) that are stopped at (ioctl_ficlonerange(2))."""

F_DUPFD, F_DUPFD_CLOEXEC = 0, 1030
F_LOCKS = (6, 7, 37, 38)
"""The commands of fcntl(2) that are stopped at: copies of descriptors; F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW."""

_PROT_WRITE = 2
_MAP_SHARED = 1

Instruction = tuple[int, int, int, int]
"""Code, jump where true, jump where false, operand (struct sock_filter)."""

_STOP: Instruction = (_RETURN, 0, 0, _TRACE)
_PASS: Instruction = (_RETURN, 0, 0, _ALLOW)


def _load_argument(position: int) -> Instruction:
    # The low half; both machines are little-endian, and the kernel looks at no more of these arguments.
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * position)


def _one_of(position: int, values: tuple[int, ...]) -> list[Instruction]:
    tests = [(_IF_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [_load_argument(position), *tests, _PASS, _STOP]


# Calls of which only some forms touch what a file holds: a rule decides by the arguments and always returns.
_RULES: dict[str, list[Instruction]] = {
    "ioctl": _one_of(1, (FICLONE, FICLONERANGE)),
    "fcntl": _one_of(1, (F_DUPFD, *F_LOCKS, F_DUPFD_CLOEXEC)),
    "mmap": [
        _load_argument(3),
        (_IF_SET, 0, 2, _MAP_SHARED),
        _load_argument(2),
        (_IF_SET, 1, 0, _PROT_WRITE),
        _PASS,
        _STOP,
    ],
}


def instructions(abi: Abi, calls: Iterable[str] | None, ignore: Iterable[str] = ()) -> list[Instruction]:
    """The filter that stops at `calls` (None: at every call) but not at those of `ignore`."""
    filter_ = [(_LOAD, 0, 0, _ARCH_AT), (_IF_EQUAL, 1, 0, abi.audit_arch), _STOP, (_LOAD, 0, 0, _NUMBER_AT)]
    if abi is X86_64:
        filter_ += [(_IF_AT_LEAST, 0, 1, X32_BIT), _STOP]
    ignored = abi.select(ignore)
    if calls is None:
        for number in sorted(ignored):
            filter_ += [(_IF_EQUAL, 0, 1, number), _PASS]
        return [*filter_, _STOP]
    rules = {abi.numbers[name]: rule for name, rule in _RULES.items()}
    for number in sorted(abi.select(calls) - ignored):
        then = rules.get(number, [_STOP])
        filter_ += [(_IF_EQUAL, 0, len(then), number), *then]
    return [*filter_, _PASS]


class Filter:
    """A filter as prctl(PR_SET_SECCOMP) takes it: `program` is a struct sock_fprog."""

    __slots__ = ("_code", "program")

    def __init__(self, filter_: list[Instruction]) -> None:
        self._code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in filter_))
        self.program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(filter_), ctypes.addressof(self._code)))
