"""Every form of fault does what it says, once, where it says, and nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from faultinject.faults import INJECTED_ERROR, KEYBOARD_INTERRUPT, Fault, FaultClass, Form, InjectedError
from faultinject.inject import HarnessError, InjectingFileSystem, Killed, exception_named
from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op
from faultinject.signals import InjectedInterrupt, InjectedTermination, signals_raise
from kvformat.filesystem import CREATE_EXCLUSIVE


def at(
    form: Form, index: int, op: Op, byte: int | None = None, error: int = 0, sticky: bool = False, what: str = ""
) -> Fault:
    return Fault(FaultClass.ERROR, form, index, op, byte, error, sticky, what)


def opened(fault: Fault | None) -> tuple[MemoryFileSystem, InjectingFileSystem, int]:
    """A file system whose operation 0 was to open a new file "f"."""
    memory = MemoryFileSystem()
    fs = InjectingFileSystem(memory, fault)
    return memory, fs, fs.open("f", CREATE_EXCLUSIVE)


def test_nothing_is_injected_without_a_fault() -> None:
    memory, fs, fd = opened(None)
    assert fs.pwrite(fd, b"abc", 0) == 3
    fs.close(fd)
    assert (fs.count, fs.fired, memory.contents()) == (3, 0, {"f": b"abc"})


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_errno_is_one_shot_and_without_effect(number: int) -> None:
    memory, fs, fd = opened(at(Form.ERRNO, 1, Op.PWRITE, error=number))
    with pytest.raises(OSError) as caught:
        fs.pwrite(fd, b"abc", 0)
    assert (caught.value.errno, fs.fired, memory.content("f")) == (number, 1, b"")
    assert fs.pwrite(fd, b"abc", 0) == 3
    assert fs.fired == 1


def test_a_sticky_fault_stays_for_its_kind_only() -> None:
    _, fs, fd = opened(at(Form.ERRNO, 1, Op.FSYNC, error=errno.EIO, sticky=True))
    for _ in range(3):
        with pytest.raises(OSError):
            fs.sync(fd)
    assert fs.pwrite(fd, b"x", 0) == 1
    fs.close(fd)
    assert fs.fired == 1


@pytest.mark.parametrize(
    "needs_space",
    [
        lambda fs, fd: fs.open_unnamed(),
        lambda fs, fd: fs.pwrite(fd, b"x", 0),
        lambda fs, fd: fs.copy_range(fd, fd, 1, 0, 5),
        lambda fs, fd: fs.link_unnamed(fd, "g"),
        lambda fs, fd: fs.open("new", CREATE_EXCLUSIVE),
    ],
)
def test_a_full_disk_is_full_for_whatever_needs_space(
    needs_space: Callable[[InjectingFileSystem, int], object],
) -> None:
    _, fs, fd = opened(at(Form.ERRNO, 1, Op.FSYNC, error=errno.ENOSPC, sticky=True))
    with pytest.raises(OSError):
        fs.sync(fd)
    with pytest.raises(OSError) as caught:
        needs_space(fs, fd)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("byte", [0, 1, 2])
def test_short_accepts_so_many_bytes_and_goes_on(byte: int) -> None:
    memory, fs, fd = opened(at(Form.SHORT, 1, Op.PWRITE, byte))
    assert fs.pwrite(fd, b"abc", 0) == byte
    assert memory.content("f") == b"abc"[:byte]
    assert fs.pwrite(fd, b"abc"[byte:], byte) == 3 - byte
    assert (memory.content("f"), fs.fired) == (b"abc", 1)


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("byte", [1, 2])
def test_cut_accepts_so_many_bytes_and_the_next_transfer_fails(byte: int, sticky: bool) -> None:
    memory, fs, fd = opened(at(Form.CUT, 1, Op.PWRITE, byte, errno.ENOSPC, sticky))
    assert fs.pwrite(fd, b"abc", 0) == byte
    fs.sync(fd)  # not a transfer
    with pytest.raises(OSError) as caught:
        fs.pwrite(fd, b"abc"[byte:], byte)
    assert (caught.value.errno, memory.content("f")) == (errno.ENOSPC, b"abc"[:byte])
    if sticky:
        with pytest.raises(OSError):
            fs.pwrite(fd, b"z", 0)
    else:
        assert fs.pwrite(fd, b"z", 0) == 1


def test_cut_after_no_byte_fails_at_once() -> None:
    memory, fs, fd = opened(at(Form.CUT, 1, Op.PWRITE, 0, errno.EIO))
    with pytest.raises(OSError):
        fs.pwrite(fd, b"abc", 0)
    assert memory.content("f") == b""
    assert fs.pwrite(fd, b"abc", 0) == 3


def test_a_copy_is_cut_too() -> None:
    memory = MemoryFileSystem()
    memory.put("source", b"abcdef")
    fs = InjectingFileSystem(memory, at(Form.SHORT, 2, Op.COPY_RANGE, 4))
    source, target = fs.open("source", os.O_RDONLY), fs.open("f", CREATE_EXCLUSIVE)
    assert fs.copy_range(source, target, 6, 0, 0) == 4
    assert memory.content("f") == b"abcd"


@pytest.mark.parametrize(("what", "kind"), [(INJECTED_ERROR, InjectedError), (KEYBOARD_INTERRUPT, InjectedInterrupt)])
@pytest.mark.parametrize(("form", "content"), [(Form.RAISE_BEFORE, b""), (Form.RAISE_AFTER, b"abc")])
def test_an_exception_comes_before_or_after_the_effect(
    form: Form, content: bytes, what: str, kind: type[BaseException]
) -> None:
    memory, fs, fd = opened(at(form, 1, Op.PWRITE, what=what))
    with pytest.raises(kind):
        fs.pwrite(fd, b"abc", 0)
    assert memory.content("f") == content
    assert fs.pwrite(fd, b"abc", 0) == 3


@pytest.mark.parametrize(
    "fault",
    [
        at(Form.ERRNO, 1, Op.CLOSE, error=errno.EIO),
        at(Form.RAISE_BEFORE, 1, Op.CLOSE, what=INJECTED_ERROR),
        at(Form.RAISE_AFTER, 1, Op.CLOSE, what=INJECTED_ERROR),
    ],
    ids=lambda fault: fault.form,
)
def test_close_always_takes_effect(fault: Fault) -> None:
    memory, fs, fd = opened(fault)
    with pytest.raises((OSError, InjectedError)):
        fs.close(fd)
    assert memory.open_descriptors() == 0


@pytest.mark.parametrize("op", [Op.FSYNC, Op.CLOSE])
def test_a_failed_sync_or_close_loses_what_was_not_synced(op: Op) -> None:
    memory, fs, fd = opened(at(Form.ERRNO, 4, op, error=errno.EIO))
    fs.pwrite(fd, b"kept", 0)
    fs.sync(fd)
    fs.pwrite(fd, b"lost", 4)
    with pytest.raises(OSError):
        (fs.sync if op is Op.FSYNC else fs.close)(fd)
    content = memory.content("f") or b""
    assert content.startswith(b"kept")
    assert b"lost" not in content


@pytest.mark.parametrize(("op", "left"), [(Op.CLOSE, b"good"), (Op.FSYNC, b"\0\0\0\0")])
def test_what_a_close_has_reported_as_good_a_later_close_does_not_lose(op: Op, left: bytes) -> None:
    """KVS-SAVE-5: so closing a duplicate before publication is enough, but for a disk that fails afterwards."""
    memory = MemoryFileSystem()
    fs = InjectingFileSystem(memory, Fault(FaultClass.ERROR, Form.ERRNO, 5, op, error=errno.EIO))
    fd = fs.open("f", os.O_RDWR | os.O_CREAT)
    fs.pwrite(fd, b"good", 0)
    fs.close(fs.dup(fd))
    fs.pwrite(fd, b"lost", 4)
    with pytest.raises(OSError, match="Input/output"):
        (fs.sync if op is Op.FSYNC else fs.close)(fd)
    assert memory.content("f") == left + bytes(4)


def test_a_failed_sync_loses_nothing_where_it_was_synced_before() -> None:
    memory, fs, fd = opened(at(Form.ERRNO, 3, Op.FSYNC, error=errno.EIO))
    fs.pwrite(fd, b"kept", 0)
    fs.sync(fd)
    with pytest.raises(OSError):
        fs.sync(fd)
    assert memory.content("f") == b"kept"


@pytest.mark.parametrize("sticky", [False, True])
def test_the_second_fault_of_a_pair_is_counted_on_its_own(sticky: bool) -> None:
    first = at(Form.ERRNO, 1, Op.PWRITE, error=errno.ENOSPC, sticky=sticky)
    memory, fs, fd = opened(first.then(at(Form.ERRNO, 3, Op.UNLINK, error=errno.EIO)))
    with pytest.raises(OSError):
        fs.pwrite(fd, b"abc", 0)
    assert fs.fired == 1
    fs.close(fd)
    with pytest.raises(OSError) as caught:
        fs.unlink("f")
    assert (caught.value.errno, fs.fired, memory.names()) == (errno.EIO, 2, ["f"])


@pytest.mark.parametrize(("what", "kind"), [("SIGINT", InjectedInterrupt), ("SIGTERM", InjectedTermination)])
def test_a_signal_arrives_before_the_operation(what: str, kind: type[BaseException]) -> None:
    memory, fs, fd = opened(at(Form.SIGNAL, 1, Op.PWRITE, what=what))
    with signals_raise(), pytest.raises(kind):
        fs.pwrite(fd, b"abc", 0)
    assert (fs.fired, memory.content("f")) == (1, b"")


@pytest.mark.parametrize(("byte", "left"), [(None, b""), (0, b""), (1, b"a"), (2, b"ab")])
def test_a_kill_ends_everything_after_so_many_bytes(byte: int | None, left: bytes) -> None:
    memory, fs, fd = opened(at(Form.KILL, 1, Op.PWRITE, byte))
    with pytest.raises(Killed):
        fs.pwrite(fd, b"abc", 0)
    for dying in (lambda: fs.unlink("f"), lambda: fs.close(fd), fs.names):
        with pytest.raises(Killed):
            dying()
    assert memory.contents() == {"f": left}


def test_a_kill_calls_what_it_is_given() -> None:
    calls: list[str] = []
    fs = InjectingFileSystem(MemoryFileSystem(), at(Form.KILL, 0, Op.READDIR), kill=lambda: calls.append("dead"))
    with pytest.raises(Killed):
        fs.names()
    assert calls == ["dead"]


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (at(Form.ERRNO, 1, Op.UNLINK, error=errno.EIO), "differs from the recorded"),
        (at(Form.RAISE_BEFORE, 1, Op.PWRITE, what="Nothing"), "no such exception"),
        (at(Form.PAYLOAD_ENDS, 1, Op.PWRITE, 2), "cannot be injected"),
        (at(Form.NONE, 1, Op.PWRITE), "cannot be injected"),
    ],
)
def test_a_fault_that_does_not_fit_is_the_harness_s_error(fault: Fault, what: str) -> None:
    _, fs, fd = opened(fault)
    with pytest.raises(HarnessError, match=what):
        fs.pwrite(fd, b"abc", 0)


def test_what_moves_no_bytes_is_not_cut() -> None:
    _, fs, fd = opened(at(Form.SHORT, 1, Op.FSYNC, 1))
    with pytest.raises(HarnessError, match="cannot be cut"):
        fs.sync(fd)


def test_a_fault_beyond_the_end_does_not_fire() -> None:
    _, fs, fd = opened(at(Form.ERRNO, 2, Op.FSYNC, error=errno.EIO))
    fs.close(fd)
    assert (fs.count, fs.fired) == (2, 0)


def test_exceptions_are_known_by_name() -> None:
    assert isinstance(exception_named(KEYBOARD_INTERRUPT), KeyboardInterrupt)
    assert isinstance(exception_named(INJECTED_ERROR), InjectedError)
    with pytest.raises(HarnessError):
        exception_named("")
