from __future__ import annotations

import os
import signal
from pathlib import Path

import click
import pytest
from rich.console import Console

from faultinject.printable import printable
from faultinject.terminal import check_writable, leave, terminable, undisturbed, write_report


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_that_end_the_command_are_turned_into_a_clean_end(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, terminable():
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 1)
    assert signal.getsignal(number) is before
    with pytest.raises(SystemExit) as left:
        leave(caught.value, Console(quiet=True))
    assert left.value.code == 128 + number


def test_what_the_command_was_started_to_ignore_does_not_end_it() -> None:
    """As nohup does with SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable(), undisturbed():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_disturbs_the_cleaning_up() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), terminable():
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            steps.append("cleaned up")
        steps.append("went on")
    assert steps == ["cleaned up"]
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_reports_that_cannot_be_written(tmp_path: Path) -> None:
    write_report("--json", str(tmp_path / "r"), b"text")
    assert (tmp_path / "r").read_bytes() == b"text"
    with pytest.raises(click.UsageError, match=r"--junit .*: Is a directory"):
        write_report("--junit", str(tmp_path), b"text")
    with pytest.raises(click.UsageError, match="no directory that can be written to"):
        check_writable("--json", str(tmp_path / "no" / "r"))
    check_writable("--json", "-")
    check_writable("--json", None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ä, 文", "plain text, ä, 文"),
        ("\x1b[31m\x07\r\n\t", "\\x1b[31m\\x07\\r\\n\\t"),
        ("\udcff\u202e\ufffe", "\\udcff\\u202e\\ufffe"),
        ("", ""),
    ],
)
def test_what_a_terminal_would_act_upon_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()
