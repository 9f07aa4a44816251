"""The disk is driven over a connection, and its end is noticed on either side."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from faultinject.inject import HarnessError
from faultinject.powercut.control import RemoteDisk, serve
from faultinject.powercut.disk import Disk, Entry, Request, Survivors


@pytest.fixture
def served() -> Iterator[tuple[Connection, Disk, threading.Thread]]:
    here, there = Pipe()
    disk = Disk(1 << 20)
    silent, _kept_open = os.pipe()  # a kernel that asks nothing
    thread = threading.Thread(target=serve, args=(disk, silent, there), daemon=True)
    thread.start()
    yield here, disk, thread
    here.close()
    thread.join(10)
    assert not thread.is_alive(), "it ends with the other side"
    for fd in (silent, _kept_open):
        os.close(fd)
    there.close()


def test_a_disk_is_driven_from_afar(served: tuple[Connection, Disk, threading.Thread]) -> None:
    connection, disk, _ = served
    remote = RemoteDisk(connection)
    remote.mounted()
    remote.begin()
    assert remote.position() == 0
    disk.write(0, b"x" * 512)
    disk.flush()
    assert remote.position() == 2
    assert remote.log() == [Entry(Request.WRITE, 0, 512), Entry(Request.FLUSH)]
    assert remote.show(Survivors(0)) != remote.show(Survivors(2))
    assert disk.read(0, 1) == b"x"
    remote.show(Survivors(0))
    assert disk.read(0, 1) == b"\0"


def test_a_server_that_has_died_is_told() -> None:
    here, there = Pipe()
    there.close()
    with here, pytest.raises(HarnessError, match="has ended; was it killed"):
        RemoteDisk(here).position()
