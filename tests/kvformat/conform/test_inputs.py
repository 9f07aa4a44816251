"""Inputs as the case says them: odd names, holes, FIFOs, links and locks; nothing of them stays."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from kvformat.conform.case import Case, Input, Node
from kvformat.conform.disk import differences, snapshot
from kvformat.conform.inputs import CannotHoldError, prepared
from kvformat.conform.suite import Suite
from tests.kvformat.conform.suites import LIVE, TEMP
from tests.kvformat.samples import PLAIN_NAME


def with_directory(case: Case, *names: bytes) -> Case:
    return replace(case, input=Input(directory=tuple((name, Node()) for name in names)))


def test_a_sparse_file_takes_no_room(suite: Suite, tmp_path: Path) -> None:
    with prepared(suite.cases["read-sparse"], tmp_path / "case") as ready:
        status = ready.input.stat()
        assert status.st_size == (5 << 30) + 56
        assert status.st_blocks * 512 < 1 << 20


@pytest.mark.parametrize(
    ("case_id", "is_kind"),
    [("read-fifo", stat.S_ISFIFO), ("read-directory", stat.S_ISDIR), ("read-symlink", stat.S_ISLNK)],
)
def test_what_is_no_file_is_made(suite: Suite, tmp_path: Path, case_id: str, is_kind: object) -> None:
    with prepared(suite.cases[case_id], tmp_path / "case") as ready:
        assert is_kind(os.lstat(ready.input).st_mode)  # type: ignore[operator]
        before = snapshot(ready.input)
        assert not differences(suite.cases[case_id], False, before, ready.input, ready.output)
        if case_id == "read-symlink":
            assert os.readlink(os.fsencode(ready.input)) == b"\xffnowhere\n"
    assert not os.listdir(tmp_path)


def test_names_are_bytes(suite: Suite, tmp_path: Path) -> None:
    with prepared(suite.cases["list-mixed"], tmp_path / "case") as ready:
        assert b"odd\xff\n%" in os.listdir(os.fsencode(ready.input))


def test_a_locked_file_is_locked_while_the_case_runs(suite: Suite, tmp_path: Path) -> None:
    with prepared(suite.cases["recover-orphan"], tmp_path / "case") as ready:
        for name, locked in ((LIVE, True), (TEMP, False)):
            with open(ready.input / name, "rb") as stream:
                if locked:
                    with pytest.raises(BlockingIOError):
                        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                else:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not os.listdir(tmp_path)


def test_a_file_system_that_cannot_hold_it_is_no_failure_of_the_adapter(suite: Suite, tmp_path: Path) -> None:
    case = suite.cases["read-sparse"]
    node = case.input.node
    assert node is not None
    huge = replace(case, input=replace(case.input, node=replace(node, extend_to_bytes=2**63 - 1)))
    with pytest.raises(CannotHoldError), prepared(huge, tmp_path / "case"):
        pass
    long = with_directory(suite.cases["list-mixed"], b"n" * 300)
    with pytest.raises(CannotHoldError), prepared(long, tmp_path / "case"):
        pass
    assert not os.listdir(tmp_path)


def test_names_that_the_file_system_takes_for_one_are_not_overwritten(suite: Suite, tmp_path: Path) -> None:
    twice = with_directory(suite.cases["list-mixed"], b"a", b"a")
    with pytest.raises(CannotHoldError), prepared(twice, tmp_path / "case"):
        pass


def test_a_full_disk_ends_the_run(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "mkfifo", full)
    with pytest.raises(OSError, match="No space left"), prepared(suite.cases["read-fifo"], tmp_path / "case"):
        pass
    assert not os.listdir(tmp_path)


def test_every_change_of_a_directory_is_seen(suite: Suite, tmp_path: Path) -> None:
    case = suite.cases["list-mixed"]
    with prepared(case, tmp_path / "case") as ready:
        before = snapshot(ready.input)
        assert not differences(case, True, before, ready.input, ready.output)
        entry = ready.input / PLAIN_NAME
        data = entry.read_bytes()
        entry.write_bytes(data[:-1] + b"?")
        assert differences(case, True, before, ready.input, ready.output) == [f"{PLAIN_NAME} was changed"]
        entry.unlink()
        assert differences(case, True, before, ready.input, ready.output) == [f"{PLAIN_NAME} is gone"]
        entry.symlink_to("elsewhere")
        assert differences(case, True, before, ready.input, ready.output) == [f"{PLAIN_NAME} was changed"]
        entry.unlink()
        entry.write_bytes(data)
        (ready.input / "new\n").touch()
        assert differences(case, True, before, ready.input, ready.output) == ["new%0A is new"]
