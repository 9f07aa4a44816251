"""Tails that meet: walked on the model where nothing differs, run on where something does, and right in both cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultinject.blackbox import meetings
from faultinject.blackbox.course import Walk
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ops import Op
from tests.faultinject.blackbox.rewound import Rewinding, cut, program, rewinding
from tests.faultinject.blackbox.test_rewind import unlike
from tests.faultinject.blackbox.traced import needs_linux

pytestmark = needs_linux

HEAD = r"""
    static char text[100]; struct stat s = {0};
    /* Computed at once: where the count stayed in a register, no two tails would meet. */
    int fd = open("x", O_RDWR | O_CREAT, 0600);
    static volatile int failed;
    failed = write(fd, "0123456789abcdefghij", 20) != 20;
"""


@pytest.fixture
def caught_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each walk had gone when the task had to catch up."""
    lengths: list[int] = []
    stand = Walk.stand

    def counted(self: Walk) -> None:
        if not self.there:
            lengths.append(len(self._steps))
        stand(self)

    monkeypatch.setattr(Walk, "stand", counted)
    return lengths


def cuts(one: Rewinding) -> list[Fault]:
    return [cut(1, byte, sticky=False) for byte in range(1, 20)]


@pytest.mark.parametrize(
    "rest",
    [
        # Where the file ends differs with each byte, two calls after the tails have met.
        'fsync(fd); fsync(fd); sprintf(text, "%ld", lseek(fd, 0, SEEK_END)); pwrite(fd, text, 2, 40); return failed;',
        # What is read back is the same, so the walk goes on; the second read is not.
        "pread(fd, text, 1, 0); fsync(fd); pread(fd, text + 1, 50, 0); pwrite(fd, text, 50, 60); return failed;",
        # The size is looked at for real.
        'fsync(fd); fstat(fd, &s); sprintf(text, "%ld", (long)s.st_size); pwrite(fd, text, 2, 40); return failed;',
        # A call that runs for real, and memory that is taken, after the meeting.
        'fsync(fd); access("another-entry", F_OK); char *m = malloc(1 << 20); memset(m, lseek(fd, 0, SEEK_CUR), 9); pwrite(fd, m, 9, 30); return failed;',
        # Another file whose name comes from the count.
        'fsync(fd); text[0] = "abcdefghijklmnopqrstuvwxyz"[lseek(fd, 0, SEEK_CUR)]; mkdir(text, 0700); return failed;',
    ],
)
def test_a_walk_that_comes_to_another_answer_goes_on_for_real(rest: str, tmp_path: Path, caught_up: list[int]) -> None:
    with rewinding(tmp_path, program(HEAD + rest)) as one:
        assert {unlike(one, fault) for fault in cuts(one)} == {""}
        assert caught_up


def test_a_walk_goes_many_steps(tmp_path: Path, caught_up: list[int]) -> None:
    rest = 'for (int i = 0; i < 50; i++) pwrite(fd, "again", 5, 30 + i); close(fd); if (failed) unlink("x"); return failed;'
    with rewinding(tmp_path, program(HEAD + rest)) as one:
        assert {unlike(one, fault) for fault in cuts(one)} == {""}
        assert one.rewinder.met > 12
        assert max(caught_up, default=0) <= 1


def test_outcomes_are_taken_over_once_models_are_equal(tmp_path: Path) -> None:
    """A program that completes a short write is the same again after one more call, however long the rest is."""
    rest = """
        off_t at = lseek(fd, 0, SEEK_CUR);
        pwrite(fd, "0123456789abcdefghij" + at, 20 - at, at);
        lseek(fd, 20, SEEK_SET);
        at = 0;
        for (int i = 0; i < 40; i++) write(fd, "more", 4);
        return 0;
    """
    with rewinding(tmp_path, program(HEAD + rest)) as one:
        faults = [Fault(FaultClass.ERROR, Form.SHORT, 1, Op.WRITE, byte) for byte in range(1, 20)]
        assert {unlike(one, fault) for fault in faults} == {""}


def test_a_program_that_goes_different_ways_from_one_state_is_given_up(tmp_path: Path, caught_up: list[int]) -> None:
    """The processor's clock is read after the meeting: no call shows that, and no state."""
    rest = r"""
        fsync(fd); fsync(fd);
        unsigned low, high;
        __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
        fsync(fd); fcntl(fd, 1000000 + low % 100000, lseek(fd, 0, SEEK_CUR));
        return failed;
    """
    with rewinding(
        tmp_path, program(HEAD.replace("fd = open", 'first = open("first", O_CREAT, 0600), fd = open') + rest)
    ) as one:
        served = [one.rewinder.run(cut(2, byte, sticky=False)) for byte in range(1, 12)]
        assert None in served
        assert one.rewinder.why in ("from one and the same state it goes different ways", one.rewinder.why)
        # Another fault is served as before.
        assert (
            one.rewinder.run(Fault(FaultClass.ERROR, Form.ERRNO, 0, Op.OPEN, error=30)) is None or not one.rewinder.why
        )


def test_pages_that_change_while_a_task_catches_up_are_restored(tmp_path: Path, caught_up: list[int]) -> None:
    """They are looked for though the tail is given up just then, and the next one is right."""
    rest = """
        static char pages[30 * 4096]; static volatile int turns;
        fsync(fd); memset(pages, 7, sizeof pages);
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (at % 4 == 1) link("x", "y");
        for (int i = 0; i < 30; i++) turns += pages[i * 4096]++;
        sprintf(text, "%d", turns); pwrite(fd, text, strlen(text), 50);
        return failed;
    """
    with rewinding(tmp_path, program(HEAD + rest)) as one:
        found = {fault.byte: unlike(one, fault) for fault in cuts(one)}
        assert {byte for byte, text in found.items() if text == "given up"} == {1, 5, 9, 13, 17}
        assert set(found.values()) == {"", "given up"}
        here = one.rewinder._here
        assert here is not None
        here.checkpoint.pages.verify()
        assert caught_up


@pytest.mark.parametrize("room_kib", [1, 70, 130, 190, 250])
def test_where_there_is_no_room_for_more_tails_are_right_all_the_same(
    room_kib: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of a tail ends in the middle of it; what it reads after that is no part of the record."""
    monkeypatch.setattr(meetings, "_KEPT_BYTES_MAX", room_kib << 10)
    rest = """
        for (int i = 0; i < 6; i++) { memset(text, 'a' + i, sizeof text); pwrite(fd, text, sizeof text, 20 + i); }
        return failed;
    """
    with rewinding(tmp_path, program(HEAD + rest)) as one:
        assert {unlike(one, fault) for fault in cuts(one)[:8]} == {""}
        here = one.rewinder._here
        assert here is not None
        assert not here.point.meetings.has_room
