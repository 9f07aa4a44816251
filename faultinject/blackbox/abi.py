"""What differs between machines: numbers of system calls, places of registers, the instruction that enters the kernel.

Sources: syscall(2), ptrace(2), struct user_regs_struct of x86-64, struct user_pt_regs of aarch64, linux/audit.h.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from faultinject.blackbox import calls

X32_BIT = 0x40000000


class UnsupportedError(Exception):
    """This system or machine cannot trace programs the way this package does."""


@dataclass(frozen=True)
class Abi:
    """One machine.

    audit_arch: as seccomp and PTRACE_GET_SYSCALL_INFO name it. register_count: 64-bit words of the general registers
    (NT_PRSTATUS). The others are places in them: arguments, result, instruction_pointer, stack_pointer.
    call_register: where a program puts the number before it enters the kernel. number_register: where the kernel keeps
    the number while the call is being made, None where it is a register set of its own (NT_ARM_SYSTEM_CALL).
    enter, trap: the instruction that makes a system call and the one that raises SIGTRAP.
    """

    machine: str
    audit_arch: int
    names: Mapping[int, str]
    register_count: int
    arguments: tuple[int, int, int, int, int, int]
    result: int
    instruction_pointer: int
    stack_pointer: int
    call_register: int
    number_register: int | None
    enter: bytes
    trap: bytes
    numbers: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {name: number for number, name in self.names.items()})

    def select(self, names: Iterable[str]) -> frozenset[int]:
        """The numbers of the calls with these names; a name that only another machine knows is left out.

        Raises ValueError for a name that no machine knows: nobody should wait for a call that never comes.
        """
        wanted = frozenset(names)
        unknown = wanted - _EVERY_NAME
        if unknown:
            raise ValueError(f"no system call has the name {', '.join(sorted(unknown))}")
        return frozenset(self.numbers[name] for name in wanted if name in self.numbers)


_EVERY_NAME = frozenset(calls.X86_64.values()) | frozenset(calls.AARCH64.values())

X86_64 = Abi(
    machine="x86_64",
    audit_arch=0xC000003E,
    names=calls.X86_64,
    register_count=27,
    arguments=(14, 13, 12, 7, 9, 8),
    result=10,
    instruction_pointer=16,
    stack_pointer=19,
    call_register=10,
    number_register=15,
    enter=b"\x0f\x05",
    trap=b"\xcc",
)

AARCH64 = Abi(
    machine="aarch64",
    audit_arch=0xC00000B7,
    names=calls.AARCH64,
    register_count=34,
    arguments=(0, 1, 2, 3, 4, 5),
    result=0,
    instruction_pointer=32,
    stack_pointer=31,
    call_register=8,
    number_register=None,
    enter=b"\x01\x00\x00\xd4",
    trap=b"\x00\x00\x20\xd4",
)

_MACHINES = {abi.machine: abi for abi in (X86_64, AARCH64)}


@cache
def native() -> Abi:
    """The machine that this process runs on; raises UnsupportedError where it is none that we know."""
    if sys.platform != "linux":
        raise UnsupportedError(f"programs can be traced on Linux only, and this is {sys.platform}")
    abi = _MACHINES.get(platform.machine())
    if abi is None or sys.maxsize < 1 << 32:
        known = " and ".join(_MACHINES)
        raise UnsupportedError(f"programs can be traced by a 64-bit Python on {known}, not on {platform.machine()}")
    return abi
