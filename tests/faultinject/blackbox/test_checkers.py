"""A checker is a command in any language: its status is the verdict, and no verdict is no verdict."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from faultinject.blackbox.checkers import CommandChecker, Stage
from faultinject.inject import HarnessError
from faultinject.oracle import Finding, Kind, Reported


def checker(tmp_path: Path, script: str, *arguments: str, timeout_seconds: float = 20) -> CommandChecker:
    path = tmp_path / "check it"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return CommandChecker([str(path), *arguments], timeout_seconds=timeout_seconds)


def run(
    command: CommandChecker, stage: Stage = Stage.FAULT, reported: Reported = Reported.FAILURE
) -> tuple[Finding, ...]:
    return command.judge("/some dir", reported, stage, acknowledged=False)


def test_it_gets_the_directory_and_what_was_reported(tmp_path: Path) -> None:
    script = 'echo "$#|$1|$2|$FAULTINJECT_REPORTED|$FAULTINJECT_STAGE|$FAULTINJECT_ACKNOWLEDGED|$HOME"; exit 1'
    command = checker(tmp_path, script, "--strict")
    (finding,) = command.judge("/some dir", Reported.SUCCESS, Stage.RECOVERED, acknowledged=True)
    assert finding.detail == f"2|--strict|/some dir|success|recovered|1|{os.environ.get('HOME', '')}"
    (finding,) = command.judge("/d", Reported.NOTHING, Stage.FAULT, acknowledged=False)
    assert finding.detail.startswith("2|--strict|/d|nothing|fault|0|")


def test_zero_is_acceptable_whatever_it_prints(tmp_path: Path) -> None:
    assert run(checker(tmp_path, "echo entry-lost: no; echo bad >&2; exit 0")) == ()


@pytest.mark.parametrize(
    ("said", "stage", "kind", "detail"),
    [
        ("it is torn", Stage.FAULT, Kind.PARTIAL_VISIBLE, "it is torn"),
        ("first\\nsecond", Stage.RECOVERED, Kind.PARTIAL_VISIBLE, "first"),
        ("it is torn", Stage.REPEATED, Kind.NEVER_HEALS, "it is torn"),
        ("entry-lost: a.db", Stage.FAULT, Kind.ENTRY_LOST, "a.db"),
        ("false-success: gone: a.db", Stage.REPEATED, Kind.FALSE_SUCCESS, "gone: a.db"),
        ("lost: a.db", Stage.FAULT, Kind.PARTIAL_VISIBLE, "lost: a.db"),
        ("entry-lost:a.db", Stage.FAULT, Kind.PARTIAL_VISIBLE, "entry-lost:a.db"),
        ("", Stage.FAULT, Kind.PARTIAL_VISIBLE, "the checker rejects it and does not say why"),
        ("\\377", Stage.FAULT, Kind.PARTIAL_VISIBLE, "\\xff"),
    ],
)
def test_one_is_violated_and_the_first_line_says_why(
    tmp_path: Path, said: str, stage: Stage, kind: Kind, detail: str
) -> None:
    assert run(checker(tmp_path, f"printf '{said}\\n'; exit 1"), stage) == (Finding(kind, ".", detail),)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo noise; echo first >&2; echo 'no such table' >&2; exit 2", r"exit status 2.*: no such table$"),
        ("exit 127", r"exit status 127; only 0 and 1 are verdicts\)$"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
        ("kill -40 $$", "ended by signal 40"),
    ],
)
def test_anything_else_is_no_verdict(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(HarnessError, match=words) as raised:
        run(checker(tmp_path, script))
    assert "check it'" in str(raised.value)


def test_a_checker_that_cannot_be_started_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"missing --x cannot be started: .*No such file"):
        run(CommandChecker([str(tmp_path / "missing"), "--x"]))
    (tmp_path / "plain").touch()
    with pytest.raises(HarnessError, match="Permission denied"):
        run(CommandChecker([str(tmp_path / "plain")]))
    with pytest.raises(ValueError, match="at least a name"):
        CommandChecker([])


def test_a_checker_that_hangs_is_no_verdict_and_leaves_nobody(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > '{tmp_path}/child'; wait"
    started = time.monotonic()
    with pytest.raises(HarnessError, match=r"not ended within 0\.3 seconds"):
        run(checker(tmp_path, script, timeout_seconds=0.3))
    assert time.monotonic() - started < 10
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_process_left_behind_with_the_output_open_does_not_delay_the_verdict(tmp_path: Path) -> None:
    started = time.monotonic()
    (finding,) = run(checker(tmp_path, f"sleep 20 & echo $! > '{tmp_path}/child'; echo torn; exit 1"))
    os.kill(int((tmp_path / "child").read_text()), 9)
    assert finding.detail == "torn"
    assert time.monotonic() - started < 10


def test_a_flood_of_output_is_bounded(tmp_path: Path) -> None:
    program = "import sys; sys.stdout.write('x' * 10_000_000); sys.stderr.write('y' * 10_000_000 + chr(10) + 'end'); sys.exit(int(sys.argv[1]))"
    (finding,) = run(CommandChecker([sys.executable, "-c", program, "1"]))
    assert finding.detail == "x" * 64 * 1024
    with pytest.raises(HarnessError, match=r": end$"):
        run(CommandChecker([sys.executable, "-c", program, "3"]))
