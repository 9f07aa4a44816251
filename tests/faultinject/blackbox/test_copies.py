"""Special files and large content in watched directories: known, made again, or refused before anything runs."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from faultinject.blackbox.baseline import UnusableError
from faultinject.blackbox.copies import content_bytes, copy_tree
from faultinject.blackbox.state import Root, Roots
from faultinject.faults import FaultClass
from faultinject.inject import HarnessError
from faultinject.oracle import Kind
from tests.faultinject.blackbox.audited import KILL, audit, found, of, planned, problems, saver
from tests.faultinject.blackbox.traced import needs_linux

pytestmark = needs_linux


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultinject.blackbox.baseline.APART_SECONDS", 0.0)


def test_a_copy_holds_what_the_source_does_and_opens_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    os.mkfifo(source / "d" / "a\nb", 0o640)
    os.mkfifo(source / "\udcff", 0o600)
    (source / "d" / "away").symlink_to("/etc/passwd")
    (source / "d" / "dangling").symlink_to("nowhere")
    (source / "f").write_bytes(b"content")
    copy_tree(source, tmp_path / "copy")
    states = [Roots([Root(os.path.realpath(tmp_path / name))]).read() for name in ("source", "copy")]
    assert states[0] == states[1]
    assert [node.mode for node in states[1].values()] == [node.mode for node in states[0].values()]
    assert content_bytes(source) == len(b"content")


def test_what_cannot_be_looked_into_has_no_size(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content_bytes(tmp_path / "nothing")


def test_a_fifo_that_a_program_makes_is_one_of_its_files(tmp_path: Path) -> None:
    """It is made without looking at what mkfifo says, so that it may be missing after success."""
    runs = audit(of(*saver("fifo")), tmp_path)
    assert found(runs) == {("error", "false-success"), ("power", "lost-after-ack")}, problems(runs)
    assert not problems(runs)
    for run in runs:
        under_power = [one for one in run.violations if one.fault.fault_class is FaultClass.POWER]
        assert {one.finding.name for one in run.violations if one not in under_power} == {"fifo"}
        assert "fifo" in {one.finding.name for one in under_power}, "nothing is synced"


LISTENS = """
import os, socket, sys
path = sys.argv[1] + "/x"
listener = socket.socket(socket.AF_UNIX)
if os.path.lexists(path + ".socket"):
    os.unlink(path + ".socket")
listener.bind(path + ".socket")
try:
    with open(path, "wb") as file:
        file.write(b"saved")
finally:
    os.unlink(path + ".socket")
"""


def test_a_socket_that_is_left_behind_is_found(tmp_path: Path) -> None:
    argv = (sys.executable, "-S", "-E", "-c", LISTENS, "{dir}")
    runs = audit(of(*argv, recover=("true",)), tmp_path, KILL)
    (left,) = [one for one in runs[0].violations if one.finding.kind is Kind.ORPHAN_UNRECLAIMED]
    assert (left.finding.name, left.finding.detail) == ("x.socket", "a socket is left after the recovery")
    assert not problems(runs)


def test_special_files_of_the_start_must_survive(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    os.mkfifo(given / "pipe", 0o640)
    runs = audit(
        of("sh", "-c", 'echo x >"$0/x" && rm "$0/pipe" && mkfifo "$0/pipe"', "{dir}", given=str(given)), tmp_path, KILL
    )
    assert ("kill", "entry-lost") in found(runs)
    assert any(one.finding.name == "pipe" for run in runs for one in run.violations)


def test_a_device_node_that_nobody_may_make_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "null").touch()

    def denied(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("faultinject.blackbox.copies.stat.S_ISREG", lambda mode: False)
    monkeypatch.setattr(os, "mknod", denied)
    with (
        pytest.raises(UnusableError, match="device node, which only root may make"),
        planned(of(*saver(), given=str(given)), tmp_path),
    ):
        pass


def test_more_content_than_the_limit_is_refused_and_never_copied(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    with (given / "sparse").open("wb") as file:
        file.truncate(1 << 42)
    audited = of(*saver(), given=str(given))
    with pytest.raises(UnusableError, match=r"4398046511104 bytes.*--content-limit"), planned(audited, tmp_path):
        pass
    small = replace(of(*saver()), content_limit_bytes=100)
    with pytest.raises(HarnessError, match=r"hold more than 100.*--content-limit"), planned(small, tmp_path):
        pass
