"""The list of known failures: what it excuses, how it goes stale, how it is rewritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvformat.conform import known
from kvformat.conform.suite import Suite
from kvformat.conform.tables import SuiteError
from kvformat.conform.verdict import Outcome, Verdict

LIST = """# Kept by hand.

[[known]]
id = "read-plain"   # since 2.1
reason = "the text is not hashed"

# The next release has it.
[[known]]
id = "read-magic"
reason = "magic is not looked at"
"""


def outcome(suite: Suite, case_id: str, verdict: Verdict) -> Outcome:
    return Outcome(suite.cases[case_id], verdict, ("it is so", "and so", "and so on"))


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[known]]\nid = 'a'", "reason is missing"),
        ("[[known]]\nid = 'a'\nreason = ' '", "a has no reason"),
        ("[[known]]\nreason = 'b'", "id is missing"),
        ("[[known]]\nid = 'a'\nreason = 'b'\nmore = 1", "more: no such key"),
        ("[[known]]\nid = 'a'\nreason = 'b'\n" * 2, "a is listed already"),
        ("known = 'a'", "expected a list of tables"),
        ("other = 1", "other: no such key"),
        ("[[known]", "no TOML"),
    ],
)
def test_a_bad_list_is_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SuiteError) as caught:
        known.load_known(write(tmp_path / "known.toml", text))
    assert said in str(caught.value)
    assert "known.toml" in str(caught.value)


def test_no_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="No such file"):
        known.load_known(tmp_path / "known.toml")


@pytest.mark.parametrize(
    ("verdict", "is_stale", "is_new"),
    [
        (Verdict.PASSED, True, False),
        (Verdict.WARNED, True, False),
        (Verdict.UNSUPPORTED, False, False),
        (Verdict.NOT_ASSERTED, False, False),
        *((verdict, False, True) for verdict in Verdict if verdict.is_fail),
    ],
)
def test_what_is_stale_and_what_is_new(suite: Suite, verdict: Verdict, is_stale: bool, is_new: bool) -> None:
    one = outcome(suite, "read-plain", verdict)
    assert bool(known.stale(["read-plain"], {"read-plain": one}, suite.cases)) is is_stale
    assert bool(known.unexpected([one], [])) is is_new
    assert not known.unexpected([one], ["read-plain"])


def test_a_case_that_was_not_run_is_not_stale_and_one_that_does_not_exist_is(suite: Suite) -> None:
    found = known.stale(["read-plain", "read-gone"], {}, suite.cases)
    assert [(one.id, one.why) for one in found] == [("read-gone", "the suite has no such case")]


def test_a_rewrite_keeps_what_it_does_not_change(suite: Suite, tmp_path: Path) -> None:
    path = write(tmp_path / "known.toml", LIST)
    known.rewrite(path, ["read-plain"], [outcome(suite, "read-cut", Verdict.CRASHED)])
    text = path.read_text("utf-8")
    assert text.startswith("# Kept by hand.\n")
    assert "# The next release has it." in text
    assert known.load_known(path) == {
        "read-magic": "magic is not looked at",
        "read-cut": "crashed; it is so; and so",
    }
    known.rewrite(path, ["read-magic", "read-cut"], [])
    assert path.read_text("utf-8") == "# Kept by hand.\n\n"


def test_a_list_in_another_form_is_left_alone(suite: Suite, tmp_path: Path) -> None:
    text = 'known = [{id = "read-plain", reason = "so"}, {id = "read-cut", reason = "so"}]\n'
    path = write(tmp_path / "known.toml", text)
    with pytest.raises(SuiteError, match="not rewritten"):
        known.rewrite(path, ["read-plain"], [])
    assert path.read_text("utf-8") == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["known.toml"]


def test_what_an_adapter_said_is_written_as_it_can_be_read(suite: Suite, tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    odd = Outcome(suite.cases["read-cut"], Verdict.FAILED, ('"\\\x7f\n\x1b\U0001f600\ud800',))
    known.rewrite(path, [], [odd])
    assert list(known.load_known(path)) == ["read-cut"]


def test_a_rewrite_makes_the_list(suite: Suite, tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    known.rewrite(path, [], [outcome(suite, "read-cut", Verdict.FAILED)])
    assert list(known.load_known(path)) == ["read-cut"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["known.toml"]
