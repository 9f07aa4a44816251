"""The way of a program to an operation of its recorded run, with a model that holds what is there at each."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultinject.blackbox.journey import Journey, References
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.ops import Op
from tests.faultinject.blackbox.rewound import Rewinding, program, rewinding
from tests.faultinject.blackbox.traced import needs_linux

pytestmark = needs_linux

SAVER = r"""
    char old[100]; int fd = open("there", O_RDWR);
    ssize_t got = read(fd, old, sizeof old);
    int new = open("new", O_WRONLY | O_CREAT, 0600);
    write(new, old, got); write(new, " and more", 9);
    ftruncate(fd, 3); mkdir("dir", 0700); rename("new", "dir/new"); close(new);
    symlink("there", "link"); fsync(fd); close(fd);
    return 0;
"""


def journey(one: Rewinding) -> Journey:
    one.place.restore()
    return Journey(one.place.program(), one.place.roots, References(one.trace, one.crashes))


def test_the_model_holds_what_is_there_at_each_operation(tmp_path: Path) -> None:
    with rewinding(tmp_path, program(SAVER), seed={"there": b"was there"}) as one:
        way = journey(one)
        try:
            for operation in one.trace:
                if operation.nth < 0 or operation.op is Op.EXIT:
                    continue
                stop, held = way.reach(operation.nth)
                assert (held.op, held.name) == (operation.op, operation.name)
                assert stop.task.tid == way.process.task.tid
                assert way.tree.state() == one.place.read()
            assert way.reach(0 if way.nth == 0 else way.nth) == way.held
        finally:
            way.close()
        assert not way.process.alive


def test_files_are_known_by_what_they_hold_in_the_end(tmp_path: Path) -> None:
    with rewinding(tmp_path, program(SAVER), seed={"there": b"was there"}) as one:
        way = journey(one)
        try:
            rename = next(operation for operation in one.trace if operation.op is Op.RENAME)
            way.reach(rename.nth)
            names, _, _ = way.tree.parts()
            reference = way.reference(names["new"])
            assert reference is not None
            assert reference.data == b"was there and more"
            assert way.reference(12345) is None
        finally:
            way.close()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('if (access("../repeated", F_OK)) open("../repeated", O_CREAT, 0600); else mkdir("other", 0700); '
         'write(open("x", O_WRONLY | O_CREAT, 0600), "abc", 3); return 0;', "it does not repeat itself"),
        ('int fd = open("x", O_RDWR | O_CREAT, 0600); ftruncate(fd, 10); mmap(0, 10, 3, MAP_SHARED, fd, 0); '
         'write(fd, "abc", 3); return 0;', "maps a watched file"),
        ('if (!fork()) _exit(0); wait(0); write(open("x", O_WRONLY | O_CREAT, 0600), "abc", 3); return 0;', "other tasks"),
    ],
)  # fmt: skip
def test_a_program_that_cannot_be_followed_is_given_up(body: str, why: str, tmp_path: Path) -> None:
    with rewinding(tmp_path, program(body)) as one:
        last = next(operation for operation in one.trace if operation.op is Op.WRITE)
        way = journey(one)
        try:
            with pytest.raises(UnrewindableError, match=why):
                way.reach(last.nth)
        finally:
            way.close()


def test_an_operation_that_never_comes_is_said_so(tmp_path: Path) -> None:
    with rewinding(tmp_path, program('write(open("x", O_WRONLY | O_CREAT, 0600), "abc", 3); return 0;')) as one:
        way = journey(one)
        try:
            with pytest.raises(UnrewindableError, match=r"ended before|not repeat"):
                way.reach(1000)
        finally:
            way.close()
