"""Bytes into an open file: how much one call is asked for, and what is copied by whom (KVS-SAVE-3, KVS-STAGED-2)."""

from __future__ import annotations

import errno

import pytest

from faultinject.memory import MemoryFileSystem
from kvformat.temp import TempFile
from kvformat.temp_names import Purpose, TempKind
from kvformat.transfer import Transfer

MIB = 1024 * 1024


class _Asked(MemoryFileSystem):
    """Notes how many bytes each call is asked for, and moves none: sizes that memory could not hold cost nothing."""

    __slots__ = ("copies", "reads")

    def __init__(self, *, copies: bool) -> None:
        super().__init__()
        self.copies: list[int] | None = [] if copies else None
        self.reads: list[int] = []

    def copy_range(
        self, source_fd: int, target_fd: int, size_bytes: int, source_offset: int, target_offset: int
    ) -> int:
        if self.copies is None:
            raise OSError(errno.EXDEV, "not between these")
        self.copies.append(size_bytes)
        return size_bytes

    def pread(self, fd: int, size_bytes: int, offset: int) -> bytes:
        self.reads.append(size_bytes)
        return b"xyz"


def _copied(fs: MemoryFileSystem, size_bytes: int) -> TempFile:
    target = TempFile(fs, Purpose.SAVE)
    target.create(TempKind.NAMED, 0o600)
    offset = 0
    while offset < size_bytes:
        offset += target.copy_some(99, offset, size_bytes - offset)
    assert target.offset == size_bytes
    return target


def test_one_call_copies_at_most_64_mib() -> None:
    """KVS-STAGED-2: the kernel is asked again and again, so that Ctrl-C has not to wait for a large file."""
    fs = _Asked(copies=True)
    target = _copied(fs, 130 * MIB + 5)
    assert fs.copies == [64 * MIB, 64 * MIB, 2 * MIB + 5]
    assert target.copied_by_kernel
    assert fs.reads == []


def test_one_call_reads_at_most_8_mib() -> None:
    """Where the kernel does not copy, a piece has to fit into memory, whatever the size of the source."""
    fs = _Asked(copies=False)
    target = TempFile(fs, Purpose.SAVE)
    target.create(TempKind.NAMED, 0o600)
    assert [target.copy_some(99, 0, size) for size in (20 * MIB, 8 * MIB + 1, 8 * MIB, 7)] == [3] * 4
    assert fs.reads == [8 * MIB, 8 * MIB, 8 * MIB, 7]
    assert target.step == "pwrite"


@pytest.mark.parametrize("copies", [True, False])
def test_who_has_copied_is_told(copies: bool) -> None:
    """KVS-STAGED-2: False until the kernel has copied something."""
    fs = MemoryFileSystem()
    assert Transfer(fs).copied_by_kernel is False
    assert Transfer(fs).step == "open"
    assert _copied(_Asked(copies=copies), 9).copied_by_kernel is copies


def test_the_kernel_is_not_asked_twice_after_it_has_refused() -> None:
    """What it says of two files holds for all of their bytes: each more call would be in vain."""

    class Refusing(_Asked):
        __slots__ = ("asked",)

        def __init__(self) -> None:
            super().__init__(copies=False)
            self.asked = 0

        def copy_range(
            self, source_fd: int, target_fd: int, size_bytes: int, source_offset: int, target_offset: int
        ) -> int:
            self.asked += 1
            return super().copy_range(source_fd, target_fd, size_bytes, source_offset, target_offset)

    fs = Refusing()
    _copied(fs, 9)
    assert fs.asked == 1
    assert fs.reads == [9, 6, 3]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EINVAL, errno.ENOSYS])
def test_what_is_read_and_written_instead_is_the_range(number: int) -> None:
    """KVS-STAGED-2: the very bytes of the range, from its offset to its end."""

    class NoCopy(MemoryFileSystem):
        __slots__ = ()

        def copy_range(self, *_: int) -> int:
            raise OSError(number, "cannot")

    fs = NoCopy()
    source, target = TempFile(fs, Purpose.STAGE), TempFile(fs, Purpose.SAVE)
    for temp in (source, target):
        temp.create(TempKind.NAMED, 0o600)
    source.write(b"0123456789")
    target.write(b"ab")
    assert target.copy_some(source.fd, 2, 5) == 5
    assert target.step == "pwrite"
    assert fs.pread(target.fd, 99, 0) == b"ab23456"
