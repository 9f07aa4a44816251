"""Adapters that are broken: nothing that they say counts, and what is wrong is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kvformat.conform import session
from kvformat.conform.smoke import GOOD_NAME, BrokenAdapterError, good_file
from kvformat.conform.suite import Suite
from kvformat.profiles import AUTO, PROFILES
from kvformat.reader import verify
from tests.kvformat.conform.running import run_cases, wrong


@pytest.mark.parametrize("profile", [AUTO, *PROFILES])
def test_the_good_file_is_one_under_every_profile(profile: str, tmp_path: Path) -> None:
    path = tmp_path / GOOD_NAME
    path.write_bytes(good_file(profile))
    report = verify(path, profile=profile)
    assert report.ok
    assert report.name == GOOD_NAME


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("accepts_all", "every reader rejects, it answers accept"),
        ("rejects_all", "every reader accepts, it answers reject (truncated"),
        ("has_every_operation", "which nobody has, it answers accept"),
        ("claims_nothing", "it claims no operation"),
        ("claims_other_profiles", "no profile that is known"),
        ("no_name", "implementation is missing"),
        ("dead_at_start", "ended with exit status 127; standard error ends: no such library\\x1b"),
        ("banner", "no JSON (Expecting value: line 1 column 1 (char 0)): Welcome to KVC 1.0"),
        ("ends_badly", "told to stop, it ended with exit status 3"),
        ("answers_stop", "it wrote something that it was not asked for"),
        ("never_stops", "did not end in 1 s"),
    ],
)
def test_a_broken_adapter_is_told(suite: Suite, name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "STOP_SECONDS", 1.0)
    with pytest.raises(BrokenAdapterError) as caught:
        run_cases(suite, wrong(name), "read-plain")
    assert said in str(caught.value)


@pytest.mark.parametrize("command", [("/no/such/program",), ("/etc/passwd",), ("/",), ("nul\0",)])
def test_what_cannot_be_started_is_said(suite: Suite, command: tuple[str, ...]) -> None:
    with pytest.raises(BrokenAdapterError, match="cannot be started"):
        run_cases(suite, command, "read-plain")


def test_a_program_that_says_nothing_is_no_adapter(suite: Suite) -> None:
    with pytest.raises(BrokenAdapterError, match="ended with exit status 0"):
        run_cases(suite, (sys.executable, "-c", ""), "read-plain")
