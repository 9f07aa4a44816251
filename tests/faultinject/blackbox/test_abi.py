from __future__ import annotations

import re
from pathlib import Path

import pytest

from faultinject.blackbox import abi, calls
from faultinject.blackbox.abi import AARCH64, X86_64, Abi, UnsupportedError, native

HEADERS = [
    (X86_64, Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")),
    (X86_64, Path("/usr/include/asm/unistd_64.h")),
]


@pytest.mark.parametrize("machine", [X86_64, AARCH64], ids=lambda one: one.machine)
class TestTables:
    def test_names_are_unique(self, machine: Abi) -> None:
        assert len(machine.numbers) == len(machine.names)
        assert all(re.fullmatch(r"[a-z_0-9]+", name) for name in machine.names.values())

    def test_numbers_are_those_that_no_filter_mixes_up(self, machine: Abi) -> None:
        assert min(machine.names) == 0
        assert max(machine.names) < abi.X32_BIT

    def test_registers_are_distinct(self, machine: Abi) -> None:
        places = [*machine.arguments, machine.instruction_pointer, machine.stack_pointer]
        assert len(set(places)) == len(places) == 8
        assert max(*places, machine.result, machine.call_register) < machine.register_count

    def test_calls_that_the_package_makes_exist(self, machine: Abi) -> None:
        for name in ("clone", "execve", "setsid", "chdir", "mmap", "rt_sigaction", "tgkill", "fcntl", "ioctl"):
            assert machine.names[machine.numbers[name]] == name

    def test_calls_of_files_exist(self, machine: Abi) -> None:
        wanted = "openat openat2 close write pwrite64 pwritev2 renameat2 unlinkat fsync fdatasync copy_file_range"
        assert len(machine.select(wanted.split())) == len(wanted.split())


# From the manual of the kernel (Documentation/arch/arm64, include/uapi/asm-generic/unistd.h), written by hand.
@pytest.mark.parametrize(
    ("number", "name"),
    [(25, "fcntl"), (29, "ioctl"), (56, "openat"), (57, "close"), (64, "write"), (68, "pwrite64"), (71, "sendfile"),
     (80, "fstat"), (82, "fsync"), (93, "exit"), (94, "exit_group"), (129, "kill"), (215, "munmap"), (220, "clone"),
     (221, "execve"), (222, "mmap"), (260, "wait4"), (276, "renameat2"), (291, "statx"), (435, "clone3")],
)  # fmt: skip
def test_known_numbers_of_aarch64(number: int, name: str) -> None:
    assert AARCH64.names[number] == name


def test_numbers_from_424_on_are_the_same_everywhere() -> None:
    late = {number: name for number, name in calls.X86_64.items() if number >= 424}
    assert late == {number: name for number, name in calls.AARCH64.items() if number >= 424}
    assert sorted(late) == list(range(424, 470))


def test_table_agrees_with_the_headers_of_this_machine() -> None:
    header = next((path for _, path in HEADERS if path.exists()), None)
    if header is None:
        pytest.skip("no kernel headers for x86-64 (linux-libc-dev) on this machine")
    found = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
    assert len(found) > 300
    known = {name: int(number) for name, number in found.items() if name in X86_64.numbers}
    assert known == {name: X86_64.numbers[name] for name in known}
    # Newer headers than this table may know more, older ones only numbers that the table has too.
    assert all(int(number) > max(X86_64.names) for name, number in found.items() if name not in known)


def test_select_leaves_out_what_only_another_machine_has() -> None:
    assert AARCH64.select(["open", "openat"]) == {56}
    assert X86_64.select(["open", "openat"]) == {2, 257}


def test_select_refuses_a_name_that_no_machine_knows() -> None:
    with pytest.raises(ValueError, match=r"no system call has the name pwrite$"):
        X86_64.select(["openat", "pwrite"])


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "riscv64")])
def test_an_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    native.cache_clear()
    try:
        with pytest.raises(UnsupportedError, match="darwin" if system == "darwin" else "riscv64"):
            native()
    finally:
        native.cache_clear()
