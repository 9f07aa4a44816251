"""What follows a fault inside a transfer: run for representatives, and for all where those are not alike."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox import cost
from faultinject.blackbox.aftermath import Findings, Judged
from faultinject.blackbox.series import Series
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind, State
from faultinject.coverage import ClassCount, Run
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op
from faultinject.oracle import Finding, Kind
from faultinject.plan import INTERIOR
from faultinject.swept import Result
from tests.faultinject.blackbox.audited import audit, found, of, planned
from tests.faultinject.blackbox.traced import compiled, needs_linux

HEALS: Findings = ()
NEVER: Findings = (Finding(Kind.NEVER_HEALS, "x", "after the repetition"),)
PARTIAL: Findings = (Finding(Kind.PARTIAL_VISIBLE, "x", "only some bytes are there"),)


def cut(byte: int) -> Fault:
    return Fault(FaultClass.ERROR, Form.CUT, 1, Op.WRITE, byte, errno.ENOSPC, sticky=True)


def left(byte: int, **others: bytes) -> State:
    return {"x": Node(NodeKind.FILE, b"y" * byte), **{name: Node(NodeKind.FILE, data) for name, data in others.items()}}


class Judges:
    """Stands for a program; `later`: what follows a cut after so many bytes."""

    def __init__(self, later: Callable[[int], Findings]) -> None:
        self.later = later
        self.asked: list[int] = []

    def __call__(self, fault: Fault) -> Judged:
        self.asked.append(fault.byte or 0)
        return Judged(PARTIAL, self.later(fault.byte or 0))


def settled(series: Series, judge: Judges, affordable: int = 10_000) -> dict[int, Result]:
    return {fault.byte or 0: result for fault, result in series.settle(judge, "rewind", affordable)}


def series_of(size_bytes: int, state: Callable[[int], State] = left) -> Series:
    series = Series(lambda name: name)
    for byte in range(1, size_bytes):
        series.add(cut(byte), "transfer", "failure", state(byte), PARTIAL)
    return series


def test_neighbours_that_are_judged_alike_are_followed_at_four_bytes() -> None:
    """KVS-CLASS-1."""
    judge = Judges(lambda _: HEALS)
    results = settled(series_of(1000), judge)
    assert judge.asked == [1, 2, 500, 999]
    assert results.keys() == set(range(1, 1000))
    assert {result.findings for result in results.values()} == {PARTIAL}
    assert {byte for byte, result in results.items() if not result.lemma} == {1, 2, 500, 999}
    assert {result.lemma for result in results.values()} == {"", INTERIOR}


def test_where_the_representatives_differ_all_are_followed() -> None:
    """KVS-CLASS-3."""
    judge = Judges(lambda byte: NEVER if byte > 600 else HEALS)
    results = settled(series_of(1000), judge)
    assert sorted(set(judge.asked)) == list(range(1, 1000))
    assert all(not result.lemma for result in results.values())
    assert {byte for byte, result in results.items() if NEVER[0] in result.findings} == set(range(601, 1000))


def test_what_is_too_much_to_be_followed_is_not_measured() -> None:
    results = settled(series_of(1000), Judges(lambda byte: NEVER if byte > 600 else HEALS), affordable=500)
    assert all(not result.findings and "--exhaustive" in (result.reason or "") for result in results.values())


def test_where_the_time_is_over_nothing_more_is_followed() -> None:
    judge = Judges(lambda byte: NEVER if byte > 600 else HEALS)
    results = {fault.byte or 0: result for fault, result in series_of(1000).settle(judge, "rewind", 10_000, 0.0)}
    assert judge.asked == []
    assert all("--budget" in (result.reason or "") for result in results.values())
    assert len(results) == 999


def test_a_change_in_how_they_are_judged_begins_other_neighbours() -> None:
    series = Series(lambda name: name)
    for byte in range(1, 301):
        series.add(cut(byte), "transfer", "failure", left(byte), PARTIAL if byte < 100 else ())
    asked: list[int] = []

    def judge(fault: Fault) -> Judged:
        byte = fault.byte or 0
        asked.append(byte)
        return Judged(PARTIAL if byte < 100 else (), HEALS if byte < 100 else NEVER)

    results = {fault.byte or 0: result for fault, result in series.settle(judge, "rewind", 0)}
    assert asked == [1, 2, 50, 99, 100, 101, 200, 300]
    assert results[98].findings == PARTIAL
    assert results[299].findings == NEVER


@pytest.mark.parametrize(
    "state",
    [
        lambda byte: left(byte, other=b"%d" % byte),
        lambda byte: left(byte, **{f"t{byte}": b""}),
        lambda byte: {"x": DIRECTORY if byte % 2 else Node(NodeKind.FILE, b"")},
        lambda byte: {**left(5), "a": Node(NodeKind.FILE, b"y" * byte)} if byte % 2 else left(byte, a=b""),
    ],
)
def test_states_that_differ_in_more_than_one_file_are_not_alike(state: Callable[[int], State]) -> None:
    judge = Judges(lambda _: HEALS)
    results = settled(series_of(50, state), judge)
    assert len(set(judge.asked)) > 20
    assert sum(not result.lemma for result in results.values()) > 20


def test_a_program_that_leaves_something_else_when_run_again_is_a_harness_error() -> None:
    with pytest.raises(HarnessError, match="leaves something else"):
        settled(series_of(10), Other())


class Other(Judges):
    def __init__(self) -> None:
        super().__init__(lambda _: HEALS)

    def __call__(self, fault: Fault) -> Judged:
        return Judged((), HEALS)


@given(st.sets(st.integers(1, 199)), st.integers(0, 300))
def test_no_point_is_lost_and_no_verdict_is_invented(bad: set[int], affordable: int) -> None:
    """Each has its own verdict, that of its class, or none: held only where some representative of it was followed."""
    judge = Judges(lambda byte: NEVER if byte in bad else HEALS)
    results = settled(series_of(200), judge, affordable)
    assert results.keys() == set(range(1, 200))
    for byte, result in results.items():
        if result.reason is None and not result.lemma:
            assert byte in judge.asked
            assert (NEVER[0] in result.findings) is (byte in bad)
    if {byte in bad for byte in (1, 2, 100, 199)} == {True, False} and affordable >= 199:
        assert set(judge.asked) == set(range(1, 200))


# Whole audits

IN_PLACE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static char data[4096];
int main(int n, char **a) {
    size_t size = n > 2 && !strcmp(a[2], "large") ? 4000 : 1500;
    char path[600];
    struct stat there;
    snprintf(path, sizeof path, "%s/x", a[1]);
    memset(data, 'y', sizeof data);
    int is_odd = n > 2 && !strcmp(a[2], "odd") && !stat(path, &there) && there.st_size >= 750 && there.st_size < 1500;
    if (is_odd) return 1;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (size_t done = 0; done < size;) {
        ssize_t k = write(fd, data + done, size - done);
        if (k <= 0) return 1;
        done += k;
    }
    return close(fd) != 0;
}
"""


def error_count(runs: list[Run]) -> ClassCount:
    return runs[0].classes[FaultClass.ERROR]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultinject.blackbox.baseline.APART_SECONDS", 0.0)
    monkeypatch.setattr(cost, "DENSE_SECONDS", 1e9)


@needs_linux
def test_a_writer_in_place_is_cut_at_every_byte_and_followed_at_few(tmp_path: Path) -> None:
    with (
        planned(of(compiled(IN_PLACE, "-w"), "{dir}"), tmp_path, [FaultClass.ERROR]) as plan,
        plan.units[0].enter() as executor,
    ):
        faults = [cut(byte) for byte in range(1, 1500)]
        groups = list(executor.groups(FaultClass.ERROR, executor.record(), exhaustive=False))
        assert {(fault,) for fault in faults} <= {group.faults for group in groups}
        late = [executor.run(fault).late for fault in faults]
        assert sum(late) >= 1498
        results = dict(executor.late(math.inf))
        assert {result.reason for result in results.values()} == {None}
        assert sum(not result.lemma for result in results.values()) <= 4
        assert not dict(executor.late(math.inf))
    assert {str(one.kind) for result in results.values() for one in result.findings} == {"partial-visible"}


@needs_linux
def test_what_the_repetition_does_to_some_lengths_alone_is_found(tmp_path: Path) -> None:
    """KVS-CLASS-3: the next run of this program fails on what is left in the second half."""
    with (
        planned(of(compiled(IN_PLACE, "-w"), "{dir}", "odd"), tmp_path, [FaultClass.ERROR]) as plan,
        plan.units[0].enter() as executor,
    ):
        list(executor.groups(FaultClass.ERROR, executor.record(), exhaustive=False))
        faults = [cut(byte) for byte in range(700, 800)]
        for fault in faults:
            executor.run(fault)
        results = dict(executor.late(math.inf))
    never = {
        fault.byte for fault, result in results.items() if any(one.kind is Kind.NEVER_HEALS for one in result.findings)
    }
    assert never == set(range(750, 800))
    assert {result.lemma for result in results.values()} == {""}


@needs_linux
@pytest.mark.slow
def test_exhaustive_finds_what_the_class_does(tmp_path: Path) -> None:
    """KVS-CLASS-4."""
    program = of(compiled(IN_PLACE, "-w"), "{dir}")
    some, every = (audit(program, tmp_path, [FaultClass.ERROR], exhaustive=one) for one in (False, True))
    assert found(some) == found(every)
    assert error_count(some).by_class > 1490
    assert error_count(every).by_class == 0
    assert error_count(every).points == error_count(some).points
    assert error_count(every).violated == error_count(some).violated
