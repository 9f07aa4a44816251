"""What answers to calls do to the task itself: only what the kernel would."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultinject.blackbox.access import Live
from faultinject.blackbox.checkpoint import Checkpoint
from faultinject.blackbox.single import Single
from tests.faultinject.blackbox.rewound import PRELUDE, checkpoint, single, until
from tests.faultinject.blackbox.traced import compiled, needs_linux

pytestmark = needs_linux

ASKER = (
    PRELUDE
    + r"""
int main(void) {
    static char room[8192] = "a string"; static const char fixed[] = "fixed";
    char *none = mmap(0, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pwrite(3, room, (size_t)fixed, (off_t)none);
    lseek(0, 5, SEEK_SET);
    return 0;
}
"""
)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[Single, Checkpoint, Live, tuple[int, ...]]]:
    with single(tmp_path, [compiled(ASKER, "-w")]) as process:
        stop = until(process, "pwrite64")
        with checkpoint(process) as point:
            yield process, point, Live(process.abi, process.ptrace, process.task, point.pages), stop.args


def test_memory_is_read_and_written_as_far_as_it_goes(asked: tuple[Single, Checkpoint, Live, tuple[int, ...]]) -> None:
    _, point, live, (_, room, fixed, none, *_) = asked
    assert live.read_string(room) == b"a string"
    assert live.read(room + 2, 6) == b"string"
    assert live.write(room + 4090, b"over a page")
    assert live.read(room + 4090, 11) == b"over a page"
    point.restore(mask=False)
    assert live.read(room + 4090, 11) == bytes(11)
    assert live.read(fixed, 5) == b"fixed"
    for address in (fixed, none, 8, (1 << 64) - 4096):
        assert not live.write(address, b"where nobody may write")
    for address in (8, 1 << 63):
        with pytest.raises(OSError, match=r"."):
            live.read(address, 8)
        with pytest.raises(OSError, match=r"."):
            live.read_string(address)


def test_a_call_really_runs_with_another_argument_and_keeps_its_own(
    asked: tuple[Single, Checkpoint, Live, tuple[int, ...]],
) -> None:
    process, point, live, _ = asked
    point.back()
    process.answer(0)
    until(process, "lseek")
    process.ptrace.load(process.task.tid)
    first, second = process.abi.arguments[:2]
    # The second argument stands for something else: 7 in place of 5; the file is /dev/null.
    assert live.really(second, 7) == 0
    process.ptrace.load(process.task.tid)
    assert process.ptrace.registers[second] == 5
    assert process.ptrace.registers[first] == 0


def test_what_an_answer_writes_is_taken_back_though_the_task_had_no_page_fault(
    asked: tuple[Single, Checkpoint, Live, tuple[int, ...]],
) -> None:
    _, point, live, (_, room, *_) = asked
    point.pages.usage = resource.getrusage(resource.RUSAGE_SELF)
    point.pages.look()
    assert live.write(room + 4096, b"written")
    point.restore(mask=False)
    point.pages.verify()


def test_what_a_call_writes_is_taken_back_though_the_task_had_no_page_fault(
    asked: tuple[Single, Checkpoint, Live, tuple[int, ...]],
) -> None:
    process, point, live, (_, room, *_) = asked
    point.back()
    process.ptrace.load(process.task.tid)
    registers, abi = process.ptrace.registers, process.abi
    registers[abi.call_register] = abi.numbers["getcwd"]
    if abi.number_register is not None:
        registers[abi.number_register] = abi.numbers["getcwd"]
    registers[abi.arguments[0]], registers[abi.arguments[1]] = room + 4096, 4096
    process.ptrace.store(process.task.tid)
    point.pages.usage = resource.getrusage(resource.RUSAGE_SELF)
    point.pages.look()
    assert live.really(abi.arguments[2], None) > 0
    assert live.read(room + 4096, 1) == b"/"
    point.restore(mask=False)
    point.pages.verify()
