"""Outcomes are counted: each image once, nothing that was not looked at as held."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace

import pytest

from faultinject.blackbox.baseline import UnusableError
from faultinject.blackbox.masks import Masks
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind
from faultinject.blackbox.subject import Audited, Start
from faultinject.coverage import ClassCount, Run
from faultinject.faults import FaultClass, parse_fault
from faultinject.inject import HarnessError
from faultinject.oracle import Finding, Kind, Verdict
from faultinject.powercut import audit as module
from faultinject.powercut.audit import Progress, audit, cases, older
from faultinject.powercut.case import Case
from faultinject.powercut.disk import Entry, Request
from faultinject.powercut.filesystems import Kind as FileSystemKind
from faultinject.powercut.images import images
from faultinject.powercut.outcomes import Outcome
from faultinject.powercut.recording import Recording
from faultinject.report.text import verdict

WRITE, FLUSH = Entry(Request.WRITE, 0, 1024), Entry(Request.FLUSH)
LOG = (WRITE, WRITE, FLUSH, WRITE)
FINAL = Node(NodeKind.FILE, b"new")
RECORDING = Recording(LOG, 3, {}, {"final": FINAL}, None, Masks(), ("a note",))
CASE = Case(Audited(("save", "{dir}")), FileSystemKind("ext4", "commit=1"))
EXIST = 1 + 2 + 2 * 2 + 1 + 2
"""Nothing; something of the two writes, the last one torn or not; then success was reported: nothing more, and the third."""
PLANNED = len(images(LOG, 3, 512, 1))
LOST = Finding(Kind.LOST_AFTER_ACK, "final", "the file has 5 bytes")

Found = Iterable[Recording | Outcome | Exception]


def outcomes(count: int = PLANNED, *findings: Finding, problem: str = "") -> list[Outcome]:
    chosen = images(LOG, 3, 512, 1)[:count]
    return [Outcome(number, image, None, {}, findings, problem) for number, image in enumerate(chosen)]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Found]:
    """What the examinations of one case after the other give."""
    queue: list[Found] = []

    def examined(_: Case) -> Generator[Recording | Outcome, None, None]:
        for one in queue.pop(0):
            if isinstance(one, Exception):
                raise one
            yield one

    monkeypatch.setattr(module, "examined", examined)
    monkeypatch.setattr(module, "why_not", lambda _: None)
    return queue


def audited(case: Case = CASE) -> list[Run]:
    told: list[Progress] = []
    runs = list(audit([case], told.append))
    assert all(one.tried <= one.planned for one in told)
    return runs


def count_of(run: Run) -> ClassCount:
    count = run.classes[FaultClass.POWER]
    assert count.held + count.violated + count.not_measured + count.harness_errors == count.points
    return count


def test_all_held(found: list[Found]) -> None:
    found += [[RECORDING, *outcomes()], [RECORDING, *outcomes()]]
    runs = audited()
    assert [run.target.scenario for run in runs] == ["ext4, empty", "ext4, old-entry"]
    for run in runs:
        count = count_of(run)
        assert count.held == count.points == count.by_execution == count.executed == PLANNED
        assert count.images == {
            "exist": EXIST,
            "listed": PLANNED,
            "tried": PLANNED,
            "distinct": PLANNED,
        }
        assert run.notes[-1] == "a note"
        assert f"4 disk requests, 1 of them flushes; of {EXIST} possible images" in run.notes[0]
    assert verdict(runs) is Verdict.HELD


def test_violations_of_one_cause_are_one(found: list[Found]) -> None:
    same = Finding(Kind.LOST_AFTER_ACK, "final", "the file has 77 bytes")
    first, *others = outcomes(PLANNED, LOST)
    changed = [replace(one, findings=(same,)) for one in others[:2]]
    found += [[RECORDING, first, *changed, *outcomes()[3:]], [RECORDING, *outcomes()]]
    run = audited()[0]
    assert count_of(run).violated == 3
    [violation] = run.violations
    assert (violation.points, violation.finding) == (3, LOST)
    assert violation.operation.startswith("power lost after ")
    assert sum(violation.operations.values()) == 3
    assert violation.fault.id == "power/0/disk/image"
    assert parse_fault(violation.fault.id) == violation.fault


def test_an_image_that_cannot_be_mounted_is_never_held(found: list[Found]) -> None:
    found += [[RECORDING, *outcomes(2, problem="ext4 cannot be mounted"), *outcomes()[2:]], [RECORDING, *outcomes()]]
    runs = audited()
    count = count_of(runs[0])
    assert (count.harness_errors, count.held, count.by_execution) == (2, PLANNED - 2, PLANNED - 2)
    assert runs[0].problems == ["ext4 cannot be mounted"]
    assert verdict(runs) is Verdict.HARNESS_ERROR


@pytest.mark.parametrize("done", [0, 1, PLANNED])
def test_a_harness_that_breaks_leaves_the_rest_not_measured(found: list[Found], done: int) -> None:
    found += [[RECORDING, *outcomes()[:done], HarnessError("the disk has gone")], [RECORDING, *outcomes()]]
    runs = audited()
    count = count_of(runs[0])
    assert (count.held, count.harness_errors) == (done, 1)
    assert "the disk has gone" in runs[0].problems[0]
    assert verdict(runs) is Verdict.HARNESS_ERROR


def test_a_harness_that_breaks_before_anything_is_recorded(found: list[Found]) -> None:
    found += [[HarnessError("no loop device")]]
    [run] = audited()
    assert (count_of(run).points, count_of(run).harness_errors) == (1, 1)


def test_an_examination_that_ends_early_is_not_measured(found: list[Found]) -> None:
    found += [[RECORDING, *outcomes()[:-1]], [RECORDING, *outcomes()]]
    runs = audited()
    assert count_of(runs[0]).not_measured == 1
    assert verdict(runs) is Verdict.NOT_MEASURED


def test_no_more_images_than_asked_for(found: list[Found]) -> None:
    found += [[RECORDING, *outcomes(3)], [RECORDING, *outcomes(3)]]
    run = audited(replace(CASE, images_max=3))[0]
    assert count_of(run).points == 3
    assert f"3 of {PLANNED} listed (--images)" in run.notes[0]


def test_a_machine_that_cannot_do_it_is_not_measured(found: list[Found], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "why_not", lambda _: "it needs root")
    runs = audited()
    assert count_of(runs[0]).points == 0
    assert runs[0].problems == ["not measured: it needs root"]
    assert verdict(runs) is Verdict.NOT_MEASURED


def test_a_program_that_only_runs_on_nothing_is_judged_on_that(found: list[Found]) -> None:
    found += [[RECORDING, *outcomes()], [UnusableError("it is there already")]]
    runs = audited()
    assert verdict(runs) is Verdict.HELD
    assert runs[0].notes[-1] == "ext4: not run from the start old-entry: it is there already"


def test_a_program_that_cannot_be_judged_anywhere_is_told(found: list[Found]) -> None:
    found += [[UnusableError("it does nothing")], [UnusableError("it does nothing")]]
    with pytest.raises(UnusableError, match="it does nothing"):
        list(audit([CASE, CASE], lambda _: None))


def test_a_program_that_cannot_be_judged_on_one_file_system_is_not_measured_there(found: list[Found]) -> None:
    found += [[UnusableError("no such option")], [RECORDING, *outcomes()], [RECORDING, *outcomes()]]
    runs = list(audit([CASE, CASE], lambda _: None))
    assert [count_of(run).points for run in runs] == [0, PLANNED, PLANNED]
    assert verdict(runs) is Verdict.NOT_MEASURED


def test_only_new_files_can_have_been_there_before() -> None:
    new = {"a": FINAL, "b": FINAL, "d": DIRECTORY, "$TMPDIR/t": FINAL}
    made = older(CASE.audited, replace(RECORDING, old={"b": FINAL}, new=new))
    assert set(made) == {"a"}
    assert made["a"] != FINAL


def test_cases_begin_with_what_is_given() -> None:
    given = replace(CASE.audited, given="/somewhere")
    kinds = [FileSystemKind("ext4", ""), FileSystemKind("xfs", "")]
    assert [one.start for one in cases(given, kinds, directory_name="d", images_max=5, seed=3)] == [Start.GIVEN] * 2
    assert cases(CASE.audited, kinds[:1], directory_name="d", images_max=5, seed=3)[0].start is Start.EMPTY
