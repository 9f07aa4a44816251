"""Adapters that do not answer: they crash, hang, eat memory or write what is no answer. None of it ever passes.

The mistake is made where a rejection is expected as well, as that is what a crash could be taken for.
"""

from __future__ import annotations

import secrets
import subprocess

import pytest

from kvformat.conform.memory import MEASURED
from kvformat.conform.suite import Suite
from kvformat.conform.verdict import Verdict
from tests.kvformat.conform.running import run_cases, wrong

AFTER = ("read-told", "read-upper")
"""Cases that come later: a new process answers them."""


@pytest.mark.parametrize(
    ("name", "case_id", "verdict", "said"),
    [
        ("crashes", "read-plain", Verdict.CRASHED, "ended by SIGSEGV"),
        ("exits", "read-magic", Verdict.CRASHED, "ended with exit status 1"),
        ("hangs", "read-hostile", Verdict.TIMED_OUT, "no answer in 2 s"),
        ("garbage", "read-plain", Verdict.GARBAGE, "no JSON"),
        ("not_utf8", "read-plain", Verdict.GARBAGE, "utf-8"),
        ("half_a_line", "read-plain", Verdict.CRASHED, "in the middle of a line"),
        ("half_a_line_and_waits", "read-hostile", Verdict.TIMED_OUT, "no answer in 2 s"),
        ("huge_line", "read-plain", Verdict.GARBAGE, "more than 16,777,216 bytes"),
        ("deep_line", "read-plain", Verdict.GARBAGE, "no JSON"),
        ("before_the_answer", "read-plain", Verdict.GARBAGE, "reading..."),
        ("twice", "read-plain", Verdict.GARBAGE, "more than one line"),
        ("wrong_seq", "read-plain", Verdict.GARBAGE, "seq is"),
        ("no_view", "read-plain", Verdict.GARBAGE, "view is null"),
    ],
)
def test_no_answer_never_passes(suite: Suite, name: str, case_id: str, verdict: Verdict, said: str) -> None:
    done = run_cases(suite, wrong(name), case_id, *AFTER)
    assert done.outcomes[case_id].verdict is verdict
    assert said in "; ".join(done.outcomes[case_id].detail)
    assert {done.outcomes[other].verdict for other in AFTER} == {Verdict.PASSED}


@pytest.mark.skipif(not MEASURED, reason="this system does not say how much memory a process has")
@pytest.mark.parametrize("name", ["eats_memory", "child_eats_memory", "frees_memory"])
def test_memory_is_measured_at_its_peak(suite: Suite, name: str) -> None:
    done = run_cases(suite, wrong(name), "read-hostile", *AFTER)
    assert done.outcomes["read-hostile"].verdict is Verdict.TOO_MUCH_MEMORY
    assert {done.outcomes[other].verdict for other in AFTER} == {Verdict.PASSED}


def test_what_a_program_said_before_it_crashed_is_kept(suite: Suite) -> None:
    reply = run_cases(suite, wrong("crashes"), "read-plain").outcomes["read-plain"].reply
    assert reply is not None
    assert reply.stderr == "the stack was smashed\n"


def test_grandchildren_do_not_outlive_the_run(suite: Suite) -> None:
    done = run_cases(suite, wrong("grandchildren"), *AFTER)
    assert {one.verdict for one in done.outcomes.values()} == {Verdict.PASSED}


def test_a_grandchild_without_an_environment_ends_with_the_group(suite: Suite) -> None:
    argument = f"60.{secrets.randbelow(10**12)}"
    done = run_cases(suite, (*wrong("bare_grandchild"), argument), "read-told")
    assert done.outcomes["read-told"].verdict is Verdict.PASSED
    found = subprocess.run(("ps", "-A", "-o", "args"), capture_output=True, text=True, check=True).stdout
    assert argument not in found


def test_standard_error_is_free(suite: Suite) -> None:
    done = run_cases(suite, wrong("flood"), *AFTER)
    assert {one.verdict for one in done.outcomes.values()} == {Verdict.PASSED}
    reply = done.outcomes[AFTER[0]].reply
    assert reply is not None
    assert 0 < len(reply.stderr) <= 4096
