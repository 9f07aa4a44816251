"""Tool map and title where a source ends, seen or not yet seen (KVC-TOOLMAP-6, KVC-TITLE-1, KVC-TITLE-3)."""

from __future__ import annotations

import io

import pytest

from kvformat.fields import SchemaError
from kvformat.sections import ToolMapWalk, bytes_left, read_title
from kvformat.sources import open_source
from tests.kvformat.samples import Pipe


@pytest.mark.parametrize(("offset", "left"), [(0, 5), (4, 1), (5, 0), (6, 0), (99, 0)])
def test_behind_the_end_no_bytes_are_left(offset: int, left: int) -> None:
    source = open_source(io.BytesIO(b"12345"), follow_symlinks=True, close_source=False)
    assert bytes_left(source, offset) == left


def test_what_is_left_of_a_pipe_is_not_known_until_its_end_was_seen() -> None:
    source = open_source(Pipe(b"12345"), follow_symlinks=True, close_source=False)
    assert bytes_left(source, 2) is None
    assert not source.reaches(6)
    assert bytes_left(source, 2) == 3


def _tool_map(id_bytes: int, block_bytes: int, content: bytes) -> bytes:
    lengths = id_bytes.to_bytes(4, "little") + block_bytes.to_bytes(4, "little")
    return b"KTM\x01" + (1).to_bytes(4, "little") + lengths + content


@pytest.mark.parametrize(("present", "part"), [(0, "id"), (2, "id"), (3, "block"), (9, "block")])
def test_passing_over_an_entry_that_is_cut_on_a_pipe_says_where(present: int, part: str) -> None:
    """KVC-TOOLMAP-6: lengths that share bits, so that their sum is nothing else."""
    walk = ToolMapWalk(open_source(Pipe(_tool_map(3, 7, bytes(present))), follow_symlinks=True, close_source=False), 0)
    walk.skim()
    problem = walk.problem
    assert problem is not None
    assert (problem.field, problem.offset) == (f"tool_map.entries[0].{part}", 16 + present)
    assert problem.message == "the file ends inside its 10 bytes"
    assert (walk.count, walk.end) == (0, 8)


def test_an_id_that_starts_at_an_odd_place_ends_where_it_ends() -> None:
    """KVC-TOOLMAP-6: the second id stands at 31, of 3 bytes: two of them are an id that is cut, three are not."""
    second = (3).to_bytes(4, "little") + (7).to_bytes(4, "little")
    for present, part in ((2, "id"), (3, "block")):
        data = b"KTM\x01" + (2).to_bytes(4, "little") + _tool_map(3, 4, bytes(7))[8:] + second + bytes(present)
        walk = ToolMapWalk(open_source(Pipe(data), follow_symlinks=True, close_source=False), 0)
        walk.skim()
        assert walk.problem is not None
        assert walk.problem.field == f"tool_map.entries[1].{part}"
        assert walk.count == 1


def test_an_entry_that_is_all_there_is_passed_over() -> None:
    walk = ToolMapWalk(open_source(Pipe(_tool_map(3, 7, bytes(10))), follow_symlinks=True, close_source=False), 0)
    walk.skim()
    assert walk.problem is None
    assert (walk.count, walk.end) == (1, 26)


@pytest.mark.parametrize(
    ("present", "clause", "field"), [(65_537, "KVC-TITLE-3", "title_bytes"), (65_536, "KVC-TITLE-1", "title")]
)
@pytest.mark.parametrize("kind", [io.BytesIO, lambda data: Pipe(data, 4096)], ids=["file", "pipe"])
def test_a_title_too_long_is_cut_before_it_is_too_long(
    kind: type[io.BytesIO], present: int, clause: str, field: str
) -> None:
    """KVC-TITLE-1 before KVC-TITLE-3: a pipe is judged as the file with the same bytes is."""
    data = (65_537).to_bytes(4, "little") + bytes(present)
    with pytest.raises(SchemaError) as caught:
        read_title(open_source(kind(data), follow_symlinks=True, close_source=False), 0)
    assert (caught.value.problem.clause, caught.value.problem.field) == (clause, field)


def test_the_longest_title_is_read_from_a_pipe() -> None:
    """KVC-TITLE-3: the bound itself is good, and nothing behind the title is read."""
    data = (65_536).to_bytes(4, "little") + b"t" * 65_536 + b"more"
    source = open_source(Pipe(data, 4096), follow_symlinks=True, close_source=False)
    assert read_title(source, 0) == b"t" * 65_536
