"""spec/kvc.ksy is a description of the same file as spec/kvc.md: readers that share nothing agree."""

from __future__ import annotations

import os
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.kvformat.samples import SESSION, SESSION_NAME
from tests.spec.generated import Question, questions
from tests.spec.oracles import SessionOracle, integers_answer, reader_answer

CLAUSES_OF_REJECTIONS = {
    *("KVC-FILE-3", "KVC-FILE-4", "KVC-HEADER-1", "KVC-HEADER-2", "KVC-HEADER-3", "KVC-HEADER-10", "KVC-LIMIT-3"),
    *("KVC-NAME-1", "KVC-NAME-3", "KVC-PROFILE-2", "KVC-PROFILE-3", "KVC-TITLE-1", "KVC-TITLE-2", "KVC-TITLE-3"),
}
"""Steps 1 to 13 of kvc.md, 1.4. Step 0 is not about bytes."""

HEADER_OF_THE_EXAMPLE = {
    "version": "1",
    "quantisation_bits": "4",
    "reason": "6",
    "flags": "9",
    "byte7": "0",
    "tokens": "2",
    "hits": "0",
    "context_tokens": "4096",
    "byte20": "0",
    "reserved": "000000",
    "created": "1700000000",
    "last_used": "1700000000",
    "payload_bytes": "4",
}

NOT_REGULAR = {"result": "reject", "category": "identity-mismatch", "clause": "KVC-NAME-7", "field": "name"}

WHOLE = Question(SESSION, "auto", SESSION_NAME, 268_435_456)


def compare(oracles: list[SessionOracle], folder: Path, seed: int, count: int) -> Counter[str]:
    """Asks every reader the same questions; how often each clause rejected, and how often none did."""
    said: Counter[str] = Counter()
    path = folder / "input"
    for question in islice(questions(seed), count):
        path.write_bytes(question.data)
        answer = reader_answer(path, question)
        assert integers_answer(question.data, question) == answer, question
        for oracle in oracles:
            other = oracle.run("read", path, question)
            assert other == answer, (oracle.description["implementation"], question)
        said[answer.get("clause", "accepted")] += 1
    return said


def test_the_worked_example_of_the_specification_is_read_in_full(kaitai: SessionOracle, tmp_path: Path) -> None:
    """kvc.md, 4.6: expected values are those of its table, not of another reader."""
    path = tmp_path / "input"
    path.write_bytes(SESSION)
    view = kaitai.run("read", path, WHOLE)["view"]
    assert view["header"] == HEADER_OF_THE_EXAMPLE
    assert [view[key] and view[key]["bytes"] for key in ("text", "payload", "title")] == ["4", "4", "4"]
    assert [(tool["id"]["bytes"], tool["block"]["bytes"]) for tool in view["tool_map"]] == [("2", "4")]
    assert (view["file_bytes"], view["trailing_bytes"], view["name"]) == ("90", "0", SESSION_NAME)


@pytest.mark.parametrize("kept", range(90))
def test_the_worked_example_cut_anywhere_is_rejected_alike(kept: int, tmp_path: Path) -> None:
    """The three cuts that kvc.md names, and all others, by the two readers that need nothing else."""
    path = tmp_path / "input"
    path.write_bytes(SESSION[:kept])
    question = Question(SESSION[:kept], "auto", None, 268_435_456)
    answer = integers_answer(question.data, question)
    assert reader_answer(path, question) == answer
    clause = "KVC-FILE-3" if kept < 60 else "KVC-TITLE-2" if kept < 82 else "KVC-TITLE-1"
    assert (answer["result"], answer["clause"]) == ("reject", clause)


def test_readers_that_share_nothing_agree(kaitai: SessionOracle, javascript: SessionOracle, tmp_path: Path) -> None:
    """A sample of the long comparison; every clause that rejects must have had its turn."""
    said = compare([kaitai, javascript], tmp_path, seed=1, count=1_500)
    assert said["accepted"] > 400
    assert set(said) - {"accepted"} == CLAUSES_OF_REJECTIONS


@pytest.mark.slow
def test_readers_that_share_nothing_agree_on_ten_thousand_files(
    kaitai: SessionOracle, javascript: SessionOracle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = compare([kaitai, javascript], tmp_path, seed=2, count=10_000)
    accepted = said.pop("accepted")
    with capsys.disabled():
        print(f"\n{accepted + said.total():,} files: {accepted:,} accepted, {said.total():,} rejected: {dict(said)}")
    assert set(said) == CLAUSES_OF_REJECTIONS
    assert min(said.values()) >= 20


def test_no_regular_file_is_rejected_without_waiting(
    kaitai: SessionOracle, javascript: SessionOracle, tmp_path: Path
) -> None:
    """KVC-NAME-7: a link to a good file, a directory, and a FIFO that nobody writes to."""
    (tmp_path / "good").write_bytes(SESSION)
    (tmp_path / "link").symlink_to("good")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for oracle in (kaitai, javascript):
        for name in ("link", "folder", "fifo"):
            assert oracle.run("read", tmp_path / name, WHOLE) == NOT_REGULAR


def test_what_an_adapter_does_not_have_is_unsupported(kaitai: SessionOracle, javascript: SessionOracle) -> None:
    for oracle in (kaitai, javascript):
        other_profile = Question(b"", "ds5", None, 0)
        assert oracle.run("fly", "/", WHOLE)["result"] == "unsupported"
        assert oracle.run("read", "/", other_profile)["result"] == "unsupported"
        assert oracle.run("read", "/does/not/exist", WHOLE)["result"] == "error"
