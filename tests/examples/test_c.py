"""Every writer in examples/c is audited; what is found is what the table in its README says, no more and no less."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from faultinject.blackbox.subject import Format
from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.oracle import Kind, Verdict
from faultinject.sweep import CLASSES
from tests.faultinject.blackbox.audited import audit, found, of
from tests.faultinject.blackbox.traced import needs_linux

EXAMPLES = Path(__file__).parents[2] / "examples" / "c"
QUICK = frozenset({"evict_first", "right_evict", "inplace_toolmap"})
"""Audited by every test run, under kill: what they show takes an audit of files of a format."""

TEXT = b"x"
PAYLOAD_BYTES = "6"


@dataclass(frozen=True)
class Row:
    """A row of the table: what has to be found under error, kill and power, classes with points not measured, the level."""

    program: str
    expected: frozenset[tuple[str, str]]
    unmeasured: frozenset[FaultClass]
    level: int

    @property
    def name(self) -> str:
        return self.program.removeprefix("../")


def table() -> list[Row]:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    head, *lines = text[text.index("| program | what is wrong |") :].split("\n\n", 1)[0].splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "program", "what is wrong", "error", "kill", "power", "level",
    ]  # fmt: skip
    rows = []
    for line in lines[1:]:
        program, _, *cells, level = (cell.strip() for cell in line.strip("|").split("|"))
        classes = (FaultClass.ERROR, FaultClass.KILL, FaultClass.POWER)
        words = {one: re.findall("`(.+?)`", cell) for one, cell in zip(classes, cells, strict=True)}
        unmeasured = frozenset(one for one, said in words.items() if Verdict.NOT_MEASURED in said)
        expected = frozenset((str(one), kind) for one, said in words.items() for kind in said)
        expected -= {(str(one), str(Verdict.NOT_MEASURED)) for one in unmeasured}
        assert re.fullmatch("L[0-3]", level), line
        rows.append(Row(program.strip("`"), expected, unmeasured, int(level[1])))
    return rows


ROWS = table()


@cache
def built(build: Path) -> Path:
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("make and cc build the examples, and one of them is not there")
    subprocess.run(["make", "-s", "-C", str(EXAMPLES), f"B={build}", "all"], check=True)
    return build


@pytest.fixture
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs are, built once and beside what the user may have built."""
    return built(tmp_path_factory.getbasetemp() / "examples-c")


def start(build: Path, directory: Path) -> str:
    """A directory with an entry that has a tool map, of the text that the writers give to TEXT."""
    for name, content in (("text", TEXT), ("payload", b"payload"), ("block", b"another map")):
        (directory / name).write_bytes(content)
    given = directory / "given"
    given.mkdir()
    command = [
        str(build / "kvc_tool"),
        "save",
        str(given),
        "--text",
        "text",
        "--payload",
        "payload",
        "--tool-map",
        "c=block",
    ]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return str(given)


def test_every_writer_has_a_row_and_every_row_a_writer() -> None:
    there = {path.stem for path in (*EXAMPLES.glob("wrong/*.c"), *EXAMPLES.glob("right_*.c"))}
    assert sorted(row.name for row in ROWS) == sorted(there)
    assert {kind for row in ROWS for _, kind in row.expected} <= set(Kind)
    assert {row.name for row in ROWS} > QUICK


def audited(row: Row, build: Path, directory: Path, classes: list[FaultClass]) -> list[Run]:
    """An audit from every start, in which every point was measured but for those of which the table says so."""
    (directory / "key").write_bytes(TEXT)
    given = start(build, directory) if row.name == "inplace_toolmap" else None
    program = of(
        str((build / "wrong" / row.program).resolve()),
        "{dir}",
        f"@{directory / 'key'}",
        PAYLOAD_BYTES,
        recover=(str(build / "kvc_tool"), "recover", "{dir}"),
        given=given,
        format=Format.KVC,
    )
    runs = audit(program, directory, classes)
    assert len(runs) == (1 if given else 2)
    for run in runs:
        assert bool(run.problems) == bool(row.unmeasured), run.problems
        assert not any(count.harness_errors for count in run.classes.values())
        missed = {one for one, count in run.classes.items() if not count.void and count.covered < count.points}
        assert missed == row.unmeasured
        assert all(count.void or count.covered for count in run.classes.values())
    return runs


@needs_linux
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if row.name in QUICK])
def test_under_kill_an_audit_finds_what_the_table_says(row: Row, build: Path, tmp_path: Path) -> None:
    """KVS-AUDIT-10 for those that evict, KVS-TOOLMAP-1 for the one that changes a tool map in place."""
    runs = audited(row, build, tmp_path, [FaultClass.KILL])
    assert found(runs) == {one for one in row.expected if one[0] == FaultClass.KILL}


@needs_linux
@pytest.mark.slow
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_an_audit_finds_what_the_table_says(row: Row, build: Path, tmp_path: Path) -> None:
    runs = audited(row, build, tmp_path, list(CLASSES))
    assert found(runs) == row.expected
    assert min(run.level if run.level is not None else -1 for run in runs) == row.level
