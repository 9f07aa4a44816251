"""What the descriptors of a stopped program stand for, and where they stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faultinject.blackbox.describe import Describer
from faultinject.blackbox.descriptors import Descriptor, Descriptors, Kind
from faultinject.blackbox.state import Root, Roots
from faultinject.blackbox.unrewindable import UnrewindableError
from tests.faultinject.blackbox.rewound import PRELUDE, single, until
from tests.faultinject.blackbox.traced import compiled, needs_linux

pytestmark = needs_linux

OPENER = (
    PRELUDE
    + r"""
int main(int n, char **a) {
    if (chdir(a[1])) return 1;
    int file = open("file", O_RDWR | O_APPEND), outside = open("../outside", O_WRONLY | O_CREAT, 0600);
    int directory = open(".", O_RDONLY), null = open("/dev/null", O_RDWR), unwatched = open("/", O_RDONLY);
    int other = open("odd\n\xff", O_WRONLY | O_CREAT, 0600), copy = dup(other);
    lseek(file, 4, SEEK_SET);
    lseek(-1, 0, 0);
    return 0;
}
"""
)


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = Path(os.path.realpath(tmp_path)) / "d"
    directory.mkdir()
    (directory / "file").write_bytes(b"0123456789")
    return directory


def test_each_kind_is_told(watched: Path) -> None:
    with single(watched.parent, [compiled(OPENER), str(watched)]) as process:
        stop = until(process, "lseek", 1)
        process.finish()
        stop = until(process, "lseek")
        roots = Roots([Root(str(watched))])
        streams = {}
        for file, kind in ((process.output, Kind.OUTPUT), (process.errors, Kind.ERRORS)):
            status = os.fstat(file.fileno())
            streams[status.st_dev, status.st_ino] = kind
        inodes = {os.stat(watched / name).st_ino: number for number, name in enumerate(os.listdir(watched), 10)}
        found = Descriptors(stop.task, Describer(roots), streams, inodes)
        kinds = [None if (one := found.get(fd)) is None else one.kind for fd in range(11)]
        assert kinds == [
            Kind.NULL, Kind.OUTPUT, Kind.ERRORS, Kind.FILE, Kind.OTHER, Kind.DIRECTORY, Kind.NULL, Kind.OTHER,
            Kind.FILE, Kind.FILE, None,
        ]  # fmt: skip
        entry = found.get(3)
        assert entry is not None
        assert (entry.identity, entry.offset, entry.real, entry.shared) == (
            inodes[os.stat(watched / "file").st_ino],
            4,
            3,
            False,
        )
        assert entry.flags & os.O_ACCMODE == os.O_RDWR
        assert entry.flags & os.O_APPEND
        for fd in (8, 9):
            one = found.get(fd)
            assert one is not None
            assert one.shared, "a copy has the same offset"
        assert set(found.numbers) == set(range(10))
        with pytest.raises(UnrewindableError, match="the model does not know"):
            Descriptors(stop.task, Describer(roots), streams, {}).get(3)


def test_a_copy_can_be_changed_and_its_key_tells() -> None:
    one = Descriptor(Kind.FILE, 5, os.O_WRONLY, 7, real=3)
    other = one.copy()
    assert other.key() == one.key()
    other.offset += 1
    assert one.offset == 7
    assert other.key() != one.key()
    assert one.watched
    assert not Descriptor(Kind.OTHER, 0, 0, 0).watched
