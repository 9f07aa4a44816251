from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.abi import AARCH64, X32_BIT, X86_64, Abi
from faultinject.blackbox.seccomp import Instruction, instructions

TRACE = 0x7FF00000
ALLOW = 0x7FFF0000
SHARED_WRITE = (0, 4096, 3, 1, 3, 0)

machines = st.sampled_from([X86_64, AARCH64])
words = st.integers(0, (1 << 64) - 1)
arguments = st.tuples(words, words, words, words, words, words)


def evaluate(program: list[Instruction], arch: int, number: int, args: tuple[int, ...]) -> int:
    """What the kernel's machine makes of a filter (linux/filter.h)."""
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *args)
    at = accumulator = 0
    for _ in range(len(program)):
        code, true, false, operand = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x06:
            return operand
        else:
            holds = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: bool(accumulator & operand)}
            at += true if holds[code] else false
    raise AssertionError("the filter does not return")


@given(machines, st.data(), arguments)
def test_stops_at_the_chosen_calls_and_no_others(machine: Abi, data: st.DataObject, args: tuple[int, ...]) -> None:
    plain = sorted(set(machine.numbers) - {"ioctl", "fcntl", "mmap"})
    chosen = data.draw(st.sets(st.sampled_from(plain)))
    program = instructions(machine, chosen)
    number = data.draw(st.one_of(st.sampled_from(sorted(machine.names)), st.integers(0, X32_BIT - 1)))
    stops = machine.names.get(number, "") in chosen
    assert evaluate(program, machine.audit_arch, number, args) == (TRACE if stops else ALLOW)


@given(machines, st.integers(0, 0xFFFFFFFF), st.integers(0, 500), arguments, st.booleans())
def test_a_call_of_another_machine_is_never_missed(
    machine: Abi, arch: int, number: int, args: tuple[int, ...], everything: bool
) -> None:
    if arch != machine.audit_arch:
        program = instructions(machine, None if everything else ["write"], ["read"])
        assert evaluate(program, arch, number, args) == TRACE


@given(st.integers(X32_BIT, 0xFFFFFFFF), arguments)
def test_x32_is_never_missed(number: int, args: tuple[int, ...]) -> None:
    assert evaluate(instructions(X86_64, ["write"]), X86_64.audit_arch, number, args) == TRACE


@given(machines, st.integers(0, X32_BIT - 1), arguments)
def test_every_call_but_the_ignored(machine: Abi, number: int, args: tuple[int, ...]) -> None:
    ignored = {"mmap", "brk", "read"}
    passes = machine.names.get(number) in ignored
    program = instructions(machine, None, ignored)
    assert evaluate(program, machine.audit_arch, number, args) == (ALLOW if passes else TRACE)


@pytest.mark.parametrize("machine", [X86_64, AARCH64], ids=lambda one: one.machine)
@pytest.mark.parametrize(
    ("call", "args", "stops"),
    [
        ("ioctl", (3, 0x40049409, 0, 0, 0, 0), True),
        ("ioctl", (3, 0xFFFFFFFF40049409, 0, 0, 0, 0), True),
        ("ioctl", (3, 0x4020940D, 0, 0, 0, 0), True),
        ("ioctl", (3, 0x5401, 0, 0, 0, 0), False),
        ("fcntl", (3, 0, 0, 0, 0, 0), True),
        ("fcntl", (3, 1, 0, 0, 0, 0), False),
        ("fcntl", (3, 5, 0, 0, 0, 0), False),
        ("fcntl", (3, 6, 0, 0, 0, 0), True),
        ("fcntl", (3, 7, 0, 0, 0, 0), True),
        ("fcntl", (3, 37, 0, 0, 0, 0), True),
        ("fcntl", (3, 38, 0, 0, 0, 0), True),
        ("fcntl", (3, 1030, 0, 0, 0, 0), True),
        ("mmap", SHARED_WRITE, True),
        ("mmap", (0, 4096, 3, 3, 3, 0), True),  # MAP_SHARED_VALIDATE
        ("mmap", (0, 4096, 1, 1, 3, 0), False),
        ("mmap", (0, 4096, 3, 2, 3, 0), False),
        ("mmap", (0, 4096, 3, 0x22, 3, 0), False),
    ],
)
def test_calls_that_are_chosen_by_their_arguments(machine: Abi, call: str, args: tuple[int, ...], stops: bool) -> None:
    number = machine.numbers[call]
    program = instructions(machine, ["ioctl", "fcntl", "mmap", "write"])
    assert evaluate(program, machine.audit_arch, number, args) == (TRACE if stops else ALLOW)
    assert evaluate(instructions(machine, None), machine.audit_arch, number, args) == TRACE
    assert evaluate(instructions(machine, ["write"]), machine.audit_arch, number, args) == ALLOW


@pytest.mark.parametrize("machine", [X86_64, AARCH64], ids=lambda one: one.machine)
def test_all_calls_at_once_fit(machine: Abi) -> None:
    program = instructions(machine, machine.numbers)
    assert len(program) < 4096  # BPF_MAXINSNS
    assert all(0 <= true < 256 and 0 <= false < 256 for _, true, false, _ in program)
