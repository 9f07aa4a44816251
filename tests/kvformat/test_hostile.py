"""Damage at every byte, hostile lengths, random bytes: a typed error or an accepted file, in little memory."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat.errors import KvcError, Problem
from kvformat.limits import Limits
from kvformat.reader import open_kvc, verify
from kvformat.testing import files
from tests.kvformat.samples import PLAIN, PLAIN_NAME, SESSION, SESSION_NAME, Pipe, patched

both = pytest.mark.parametrize(
    ("data", "name"), [(SESSION, SESSION_NAME), (PLAIN, PLAIN_NAME)], ids=["session", "plain"]
)


@contextmanager
def _memory_below(most_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


def _used(data: bytes, name: str | None, *, by_pipe: bool = False) -> KvcError | None:
    """Reads everything in file order; the error that this ended with. Anything but KvcError is a failure."""
    try:
        with open_kvc(Pipe(data, 64) if by_pipe else io.BytesIO(data), name=name) as reader:
            assert len(reader.payload.read()) == reader.header.payload_bytes
            assert len(reader.text) == reader.text_bytes
            reader.tool_map()
            reader.title()
    except KvcError as error:
        return error
    return None


def _places(problems: tuple[Problem, ...]) -> list[tuple[str, str, str, int | None]]:
    """Everything but the sentence for people."""
    return [(problem.category, problem.clause, problem.field, problem.offset) for problem in problems]


def _agrees(data: bytes, name: str | None, *, pipes: bool = True) -> KvcError | None:
    """What a reader raises is the first rejection that a verifier reports, from a stream as from a pipe."""
    error = _used(data, name)
    problems = verify(io.BytesIO(data), name=name).problems
    rejections = [problem for problem in problems if "TOOLMAP" not in problem.clause]
    assert (error and error.problem) == (rejections[0] if rejections else None)
    if not pipes:
        return error
    assert _places(verify(Pipe(data, 64), name=name).problems) == _places(problems)
    piped = _used(data, name, by_pipe=True)
    if piped is not None and piped.clause in ("KVC-LIMIT-3", "KVC-NAME-1"):
        assert error is not None  # a pipe is not read to its end only to learn that it is truncated as well
        assert error.clause in (piped.clause, "KVC-FILE-3")
    else:
        assert (piped and piped.category) == (error and error.category)
    return error


@both
def test_truncated_at_every_byte(data: bytes, name: str) -> None:
    """KVC-FILE-3, KVC-TITLE-1, KVC-TITLE-2, KVC-TOOLMAP-6."""
    for size_bytes in range(len(data)):
        error = _agrees(data[:size_bytes], name)
        if size_bytes < 60:
            assert error is not None
            assert (error.category, error.clause) == ("truncated", "KVC-FILE-3")
            assert error.offset == size_bytes
        elif data is PLAIN:
            assert error is None  # only the tool map is cut
        else:
            assert error is not None
            assert error.category == "bad-section"


@both
def test_every_byte_of_the_head_set_to_every_value(data: bytes, name: str) -> None:
    """KVC-HEADER-1 to KVC-HEADER-17, KVC-TEXT-1: rejected exactly where the specification says."""
    covered = {24 + place for place in range(8)} if data is SESSION else set()  # the name is made of these
    always_good = {5, 7, *range(12, 20), *range(21, 40)} - covered
    for offset in range(52):
        for value in range(256):
            error = _agrees(patched(data, offset, bytes((value,))), name, pipes=value % 8 in (0, 7))
            if value == data[offset] or offset in always_good:
                assert error is None
            elif offset in covered:
                assert error is not None
                assert error.category == "identity-mismatch"
            elif offset < 4:
                assert error is not None
                assert error.category == ("bad-magic" if offset < 3 else "unsupported-version")
            elif offset == 4:
                assert (error is None) == (value in (2, 4))
            elif offset == 20:
                assert (error is None) == (value in (0, 2, 3))


@both
def test_every_byte_behind_the_head_set_to_some_values(data: bytes, name: str) -> None:
    for offset in range(52, len(data)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            _agrees(patched(data, offset, bytes((value,))), name)


@pytest.mark.parametrize("value", [0, 1, 2**16, 2**28, 2**31 - 1, 2**31, 2**32 - 60, 2**32 - 52, 2**32 - 1])
@pytest.mark.parametrize("offset", [48, 64, 68, 72, 82])
def test_hostile_counts_allocate_nothing(offset: int, value: int) -> None:
    """KVC-LIMIT-1, KVC-LIMIT-3, KVC-LIMIT-4: text, tool map, id, block, title."""
    data = patched(SESSION, offset, value.to_bytes(4, "little"))
    with _memory_below(2**20):
        _agrees(data, SESSION_NAME)


@pytest.mark.parametrize(
    "value",
    [2**31, 2**32, 2**62, 2**63 - 57, 2**63 - 56, 2**63, 2**64 - 60, 2**64 - 56, 2**64 - 52, 2**64 - 1],
)
def test_hostile_payload_counts_allocate_nothing(value: int) -> None:
    """KVC-FILE-4, KVC-LIMIT-1, KVC-LIMIT-2."""
    data = patched(SESSION, 40, value.to_bytes(8, "little"))
    with _memory_below(4 * 2**20):
        error = _agrees(data, SESSION_NAME)
    assert error is not None
    assert error.category == ("limit" if value + 56 >= 2**63 else "truncated")


def test_a_pipe_that_claims_a_text_of_4_gib() -> None:
    """KVC-LIMIT-1: even where the limit allows it, only what arrives is held."""
    data = patched(SESSION, 48, b"\xff" * 4)
    with _memory_below(4 * 2**20), pytest.raises(KvcError) as caught:
        open_kvc(Pipe(data), limits=Limits(text_bytes_max=2**32))
    assert (caught.value.category, caught.value.offset) == ("truncated", len(SESSION))
    with pytest.raises(KvcError) as caught:
        open_kvc(Pipe(data))
    assert caught.value.clause == "KVC-LIMIT-3"


def test_many_tool_entries_are_read_one_by_one() -> None:
    """KVC-LIMIT-4."""
    count = 3000
    entry = (1).to_bytes(4, "little") + (1000).to_bytes(4, "little") + b"i" + bytes(1000)
    stream = io.BytesIO(PLAIN[:64] + count.to_bytes(4, "little") + entry * count)
    with _memory_below(2**20), open_kvc(stream) as reader:
        assert sum(1 for _ in reader.iter_tool_map()) == count
        assert reader.trailing_bytes == 0


@given(st.binary(max_size=120))
def test_random_bytes(data: bytes) -> None:
    assert _agrees(data, PLAIN_NAME) is not None


@given(st.binary(max_size=120), st.sampled_from([0, 1, 8, 9]), st.sampled_from([None, PLAIN_NAME]))
def test_random_bytes_behind_a_good_start(tail: bytes, flags: int, name: str | None) -> None:
    start = patched(patched(PLAIN[:52], 6, bytes((flags,))), 40, bytes(8))
    _agrees(start + tail, name)


@given(files(), st.data())
def test_good_files_with_some_bytes_changed(data: bytes, draw: st.DataObject) -> None:
    for _ in range(3):
        offset = draw.draw(st.integers(0, len(data) - 1))
        data = patched(data, offset, draw.draw(st.binary(min_size=1, max_size=1)))
    _agrees(data, None)
