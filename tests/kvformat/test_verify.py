"""A verifier collects what can still be judged: spec/kvc.md, 1.4, after its table."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat.errors import KvcError
from kvformat.limits import Limits
from kvformat.reader import open_kvc, verify
from kvformat.testing import BrokenFile, broken_files, files
from tests.kvformat.samples import PLAIN, PLAIN_NAME, SESSION, SESSION_NAME, Pipe, patched


def _clauses(data: bytes, name: str | None = None, limits: Limits = Limits()) -> list[str]:  # noqa: B008
    found = [problem.clause for problem in verify(io.BytesIO(data), name=name, limits=limits).problems]
    by_pipe = [problem.clause for problem in verify(Pipe(data, 50), name=name, limits=limits).problems]
    assert found == by_pipe
    return found


def test_the_example_of_the_specification() -> None:
    report = verify(io.BytesIO(SESSION + b"tail"), name=SESSION_NAME)
    assert report.ok
    assert report.usable
    assert (report.size_bytes, report.text_bytes, report.tool_entries) == (94, 4, 1)
    assert (report.title, report.trailing_bytes, report.name) == (b"Demo", 4, SESSION_NAME)
    assert report.profile is not None
    assert report.profile.name == "ds4-abi0"
    with open_kvc(io.BytesIO(SESSION + b"tail")) as reader:
        assert report.regions == reader.regions()
        assert report.header == reader.header


@given(files(max_trailing_bytes=3))
def test_good_files_have_no_problem(data: bytes) -> None:
    assert _clauses(data) == []


@given(broken_files())
def test_broken_files_have_the_problem_that_was_put_in(broken: BrokenFile) -> None:
    report = verify(io.BytesIO(broken.data))
    assert (broken.clause, broken.category) in [(p.clause, p.category) for p in report.problems]
    if broken.clause.startswith("KVC-TOOLMAP"):
        assert report.usable
        with open_kvc(io.BytesIO(broken.data)) as reader:
            assert reader.tool_map_problem is not None
            assert reader.tool_map_problem.clause == broken.clause
    else:
        assert not report.usable
        with pytest.raises(KvcError) as caught:
            open_kvc(io.BytesIO(broken.data))
        assert (caught.value.clause, caught.value.category) == (broken.clause, broken.category)
    assert _clauses(broken.data) == [problem.clause for problem in report.problems]


def test_after_a_bad_field_everything_is_judged() -> None:
    """KVC-HEADER-3, KVC-HEADER-10, KVC-PROFILE-2, KVC-TOOLMAP-1, KVC-NAME-1."""
    data = patched(patched(patched(PLAIN, 4, b"\0"), 8, bytes(4)), 20, b"\1")
    data = patched(data, 60, b"X")
    assert _clauses(data, SESSION_NAME) == [
        "KVC-HEADER-3",
        "KVC-HEADER-10",
        "KVC-PROFILE-2",
        "KVC-TOOLMAP-1",
        "KVC-NAME-1",
    ]
    assert verify(io.BytesIO(data)).profile is None


def test_after_truncation_nothing_behind_the_fixed_part_is_judged() -> None:
    """KVC-FILE-3 hides KVC-LIMIT-3 and identity."""
    limits = Limits(text_bytes_max=1)
    for size_bytes in (52, 55, 56, 59):
        assert _clauses(PLAIN[:size_bytes], SESSION_NAME, limits) == ["KVC-FILE-3"]
        report = verify(io.BytesIO(PLAIN[:size_bytes]))
        assert sum(region.size_bytes for region in report.regions) == size_bytes
    assert _clauses(PLAIN[:51]) == ["KVC-FILE-3"]
    assert verify(io.BytesIO(PLAIN[:51])).header is None


def test_after_a_sum_too_large_nothing_behind_is_judged() -> None:
    """KVC-FILE-4."""
    assert _clauses(patched(PLAIN, 40, b"\xff" * 8), SESSION_NAME) == ["KVC-FILE-4"]


def test_after_a_text_over_the_limit_sections_are_judged() -> None:
    """KVC-LIMIT-3: the identity only where it is not the text's."""
    limits = Limits(text_bytes_max=1)
    assert _clauses(patched(PLAIN, 60, b"X"), SESSION_NAME, limits) == ["KVC-LIMIT-3", "KVC-TOOLMAP-1"]
    assert _clauses(SESSION, PLAIN_NAME, limits) == ["KVC-LIMIT-3", "KVC-NAME-3"]


def test_after_a_bad_title_identity_is_not_judged() -> None:
    """KVC-TITLE-1, KVC-TITLE-2, KVC-TITLE-3."""
    assert _clauses(SESSION[:-1], PLAIN_NAME) == ["KVC-TITLE-1"]
    assert _clauses(patched(SESSION, 63, b"\0"), PLAIN_NAME) == ["KVC-TOOLMAP-2", "KVC-TITLE-2"]
    too_long = SESSION[:82] + (65_537).to_bytes(4, "little") + bytes(65_537)
    assert _clauses(too_long, PLAIN_NAME) == ["KVC-TITLE-3"]
    for data in (SESSION[:-1], patched(SESSION, 63, b"\0"), too_long):
        report = verify(io.BytesIO(data))
        assert report.trailing_bytes is None
        assert sum(region.size_bytes for region in report.regions) == len(data)


def test_names(tmp_path: Path) -> None:
    """KVC-NAME-1, KVC-NAME-3, KVC-NAME-4: given, of the path, fixed, or not known."""
    assert _clauses(PLAIN, PLAIN_NAME) == []
    assert _clauses(PLAIN, "sysprompt.kv") == []
    assert _clauses(PLAIN, SESSION_NAME) == ["KVC-NAME-1"]
    assert _clauses(SESSION, PLAIN_NAME) == ["KVC-NAME-3"]
    assert _clauses(PLAIN, "copy.bin") == ["KVC-NAME-1"]
    assert verify(io.BytesIO(PLAIN), name="sysprompt.kv").name is None  # nothing was compared
    for name, clauses in ((PLAIN_NAME, []), (SESSION_NAME, ["KVC-NAME-1"]), ("copy.bin", [])):
        (tmp_path / name).write_bytes(PLAIN)
        report = verify(tmp_path / name)
        assert [problem.clause for problem in report.problems] == clauses
        assert report.name == (None if name == "copy.bin" else name)


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: b"KVC\x01\x02\x00\x09\x00" + tail))
def test_random_bytes_are_never_an_exception(data: bytes) -> None:
    report = verify(io.BytesIO(data), name=PLAIN_NAME)
    assert not report.ok  # nobody finds a SHA-1 collision by chance
    _clauses(data)


def test_memory_is_flat_in_text_and_payload(tmp_path: Path) -> None:
    """The text is hashed in pieces, the payload is not read."""
    path = tmp_path / "0123456789012345678901234567890123456789.kv"
    text_bytes = 20 * 2**20
    with path.open("wb") as file:
        file.write(patched(PLAIN[:52], 48, text_bytes.to_bytes(4, "little")))
        file.seek(40)
        file.write((2**33).to_bytes(8, "little"))
        file.truncate(52 + text_bytes + 2**33 + 7)
    tracemalloc.start()
    try:
        report = verify(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [problem.clause for problem in report.problems] == ["KVC-TOOLMAP-1", "KVC-NAME-1"]
    assert peak_bytes < 4 * 2**20
