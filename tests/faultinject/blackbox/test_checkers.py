"""A checker is a command in any language: its status is the verdict, and no verdict is no verdict."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from faultinject.blackbox.checked import copied
from faultinject.blackbox.checkers import CommandChecker, Stage
from faultinject.blackbox.state import Root, Roots
from faultinject.inject import HarnessError
from faultinject.oracle import Finding, Kind, Reported


def checker(tmp_path: Path, script: str, *arguments: str, timeout_seconds: float = 20) -> CommandChecker:
    path = tmp_path / "check it"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return CommandChecker([str(path), *arguments], timeout_seconds=timeout_seconds)


def run(command: CommandChecker, stage: Stage = Stage.FAULT) -> tuple[Finding, ...]:
    """Its verdict on an empty directory."""
    with tempfile.TemporaryDirectory() as base:
        os.mkdir(f"{base}/some dir")
        return command.judge(f"{base}/some dir", Reported.FAILURE, stage, acknowledged=False)


def test_it_gets_the_directory_and_what_was_reported(tmp_path: Path) -> None:
    script = 'echo "$#|$1|$2|$FAULTINJECT_REPORTED|$FAULTINJECT_STAGE|$FAULTINJECT_ACKNOWLEDGED|$HOME"; exit 1'
    command = checker(tmp_path, script, "--strict")
    directory = tmp_path / "worker" / "some dir"
    directory.mkdir(parents=True)
    (finding,) = command.judge(str(directory), Reported.SUCCESS, Stage.RECOVERED, acknowledged=True)
    assert finding.detail == f"2|--strict|{directory}|success|recovered|1|{os.environ.get('HOME', '')}"
    (finding,) = command.judge(str(directory), Reported.NOTHING, Stage.FAULT, acknowledged=False)
    assert finding.detail.startswith(f"2|--strict|{directory}|nothing|fault|0|")


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


def tree(top: Path) -> dict[str, object]:
    """All that is below a directory, by its path: modes and contents."""
    state = Roots([Root(os.path.realpath(top))]).read()
    return {key: (oct((top / key).lstat().st_mode), node) for key, node in state.items()}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A directory with names and kinds of all sorts."""
    top = tmp_path / "worker" / "d"
    (top / "inner" / "empty").mkdir(parents=True)
    (top / "inner" / "file").write_bytes(b"content")
    (top / "inner" / "file").chmod(0o751)
    (top / "a\nb").write_bytes(b"x" * 3_000_000)
    Path(os.fsdecode(bytes(top) + b"/\xff")).write_bytes(b"")
    (top / "link").symlink_to("nowhere")
    (top / "up").symlink_to("..")
    os.mkfifo(top / "fifo")
    (top / "secret").write_bytes(b"s")
    (top / "secret").chmod(0)
    (top / "inner" / "empty").chmod(0)
    return top


def test_what_it_changes_is_thrown_away(odd: Path, tmp_path: Path) -> None:
    """KVS-AUDIT-8: the next stage finds what the program has left."""
    before = tree(odd)
    script = 'cd "$1" && chmod -R u+rwX . && rm -rf inner "a\nb" link && echo new >new && exit 0'
    assert checker(tmp_path, script).judge(str(odd), Reported.FAILURE, Stage.FAULT, acknowledged=False) == ()
    assert tree(odd) == before
    assert [path.name for path in odd.parent.iterdir()] == ["d"]


def test_it_sees_all_that_is_there(odd: Path, tmp_path: Path) -> None:
    with copied(str(odd)) as copy:
        assert tree(Path(copy)) == tree(odd)
        assert os.path.basename(copy) == "d"


def test_every_way_in_which_it_is_told_the_directory_leads_to_the_copy(tmp_path: Path) -> None:
    top = tmp_path / "worker" / "d"
    (top / "sub").mkdir(parents=True)
    path = tmp_path / "check"
    path.write_text('#!/bin/sh\necho x >here; echo x >"$1"; echo "torn: $1 $2"; exit 1\n')
    path.chmod(0o755)
    command = CommandChecker([str(path), f"{top}/named"], working_directory=str(top / "sub"))
    (finding,) = command.judge(str(top), Reported.FAILURE, Stage.FAULT, acknowledged=False)
    assert finding.detail == f"torn: {top}/named {top}"
    assert sorted(tree(top)) == ["sub"]


def test_a_directory_that_cannot_be_copied_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"the copy of .* that the checker judges cannot be made"):
        checker(tmp_path, "exit 0").judge(str(tmp_path / "gone"), Reported.FAILURE, Stage.FAULT, acknowledged=False)
