"""Reading good files from every kind of source, and what is rejected when: spec/kvc.md, chapters 3 and 4."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat import identity, layout
from kvformat.errors import (
    BadSectionError,
    IdentityMismatchError,
    KvcError,
    LimitError,
    TruncatedError,
    UnsupportedProfileError,
)
from kvformat.limits import Limits
from kvformat.model import Entry, ToolEntry
from kvformat.reader import KvcReader, open_kvc
from kvformat.testing import entries, file_of
from tests.kvformat.samples import PLAIN, PLAIN_NAME, SESSION, SESSION_NAME, Pipe, patched

TOOLS = (ToolEntry(b"c1", b"<t/>"),)


@contextmanager
def _by_path(data: bytes, directory: Path) -> Iterator[KvcReader]:
    path = directory / "file"
    path.write_bytes(data)
    with open_kvc(path) as reader:
        yield reader


@contextmanager
def _by_descriptor(data: bytes, directory: Path) -> Iterator[KvcReader]:
    path = directory / "file"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.lseek(fd, 5, os.SEEK_SET)
        with open_kvc(fd) as reader:
            yield reader
        assert os.lseek(fd, 0, os.SEEK_CUR) == 5  # neither moved nor closed
    finally:
        os.close(fd)


@contextmanager
def _by_stream(data: bytes, directory: Path) -> Iterator[KvcReader]:
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    with open_kvc(stream) as reader:
        yield reader
    assert not stream.closed


@contextmanager
def _by_pipe(data: bytes, directory: Path) -> Iterator[KvcReader]:
    with open_kvc(Pipe(data)) as reader:
        yield reader


SOURCES = [_by_path, _by_descriptor, _by_stream, _by_pipe]
Opener = Callable[[bytes, Path], AbstractContextManager[KvcReader]]


@pytest.mark.parametrize("opened", SOURCES)
def test_the_example_of_the_specification(opened: Opener, tmp_path: Path) -> None:
    """KVC-FILE-2: everything, in file order, from every source."""
    with opened(SESSION, tmp_path) as reader:
        assert reader.header == layout.decode_header(SESSION)
        assert reader.profile.name == "ds4-abi0"
        assert reader.text == b"Hi \xc3"
        assert reader.payload.read() == b"\xde\xad\xbe\xef"
        assert reader.tool_map() == TOOLS
        assert reader.tool_map_problem is None
        assert reader.title() == b"Demo"
        assert reader.read_trailing() == b""
        assert reader.size_bytes == len(SESSION)
        assert reader.trailing_bytes == 0
        assert [region.name for region in reader.regions()] == list(layout.REGION_NAMES[:6])
        assert sum(region.size_bytes for region in reader.regions()) == len(SESSION)


@given(entries(), st.binary(min_size=1, max_size=99), st.integers(1, 40), st.binary(max_size=5))
def test_what_was_written_is_read(entry: Entry, payload: bytes, most: int, trailing: bytes) -> None:
    """KVC-FILE-5, KVC-PAYLOAD-1, KVC-TEXT-1, KVC-TOOLMAP-8: by stream and by pipe, under the name it has."""
    data = file_of(entry, payload)
    name = identity.expected_name(layout.decode_header(data), entry.text, entry.title)
    for source in (io.BytesIO(data + trailing), Pipe(data + trailing, most)):
        with open_kvc(source, name=name) as reader:
            assert reader.profile.name == entry.profile
            assert reader.text == entry.text
            assert reader.payload.readall() == payload
            assert reader.tool_map() == (entry.tool_map or ())
            assert reader.title() == entry.title
            assert reader.read_trailing() == trailing


def test_payload_is_a_bounded_seekable_stream() -> None:
    """KVC-PAYLOAD-1: never a byte of a section."""
    with open_kvc(io.BytesIO(SESSION)) as reader:
        payload = reader.payload
        assert payload is reader.payload
        assert payload.readable()
        assert payload.seekable()
        assert payload.size_bytes == 4
        assert payload.read(100) == b"\xde\xad\xbe\xef"
        assert payload.read(1) == b""
        assert payload.seek(-2, os.SEEK_END) == 2
        buffer = bytearray(10)
        assert payload.readinto(buffer) == 2
        assert buffer == b"\xbe\xef" + bytes(8)
        assert payload.seek(1) == payload.tell() == 1
        assert payload.seek(1, os.SEEK_CUR) == 2
        buffered = io.BufferedReader(payload)
        assert buffered.read() == b"\xbe\xef"
        buffered.detach()
        with pytest.raises(ValueError, match="before the start"):
            payload.seek(-1)
        with pytest.raises(ValueError, match="whence is 7"):
            payload.seek(0, 7)


def test_payload_of_a_closed_reader_is_closed() -> None:
    with open_kvc(io.BytesIO(SESSION)) as reader:
        pass
    for use in (reader.payload.read, reader.payload.tell, lambda: reader.payload.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_payload_of_a_pipe_does_not_seek() -> None:
    with open_kvc(Pipe(SESSION)) as reader:
        assert not reader.payload.seekable()
        with pytest.raises(io.UnsupportedOperation):
            reader.payload.seek(0)
        assert reader.payload.read(1) == b"\xde"
        buffer = bytearray(2)
        assert reader.payload.readinto(buffer) == 2
        assert buffer == b"\xad\xbe"


def test_a_pipe_is_read_in_file_order() -> None:
    """What has passed is an error that says so, never silence."""
    with open_kvc(Pipe(SESSION)) as reader:
        assert reader.size_bytes is None
        assert reader.trailing_bytes is None
        assert reader.title() == b"Demo"  # passes over payload and tool map
        assert reader.text == b"Hi \xc3"  # is kept
        for passed in (reader.payload.read, reader.tool_map):
            with pytest.raises(io.UnsupportedOperation, match="file order"):
                passed()


@pytest.mark.parametrize("size_bytes", [56, 57, 59])
def test_a_pipe_cut_in_the_payload_is_noticed_by_reading(size_bytes: int) -> None:
    """KVC-FILE-3, KVC-PAYLOAD-1: nothing short is returned."""
    ways: tuple[Callable[[KvcReader], object], ...] = (
        lambda reader: reader.payload.read(),
        lambda reader: reader.payload.readinto(bytearray(9)),
    )
    for read in ways:
        with open_kvc(Pipe(SESSION[:size_bytes])) as reader:
            with pytest.raises(TruncatedError) as caught:
                read(reader)
            assert (caught.value.field, caught.value.offset) == ("payload", size_bytes)
            assert caught.value.clause == "KVC-FILE-3"


def test_a_pipe_cut_in_the_text_is_truncated() -> None:
    """KVC-FILE-3."""
    with pytest.raises(TruncatedError) as caught:
        open_kvc(Pipe(SESSION[:54]))
    assert (caught.value.field, caught.value.offset) == ("text", 54)


def test_a_file_that_is_cut_while_it_is_open(tmp_path: Path) -> None:
    """KVC-LIMIT-1: truncated, at the byte where it was cut."""
    path = tmp_path / "file"
    path.write_bytes(SESSION)
    with open_kvc(path, limits=Limits()) as reader:
        os.truncate(path, 58)
        with pytest.raises(TruncatedError) as caught:
            reader.payload.read()
        assert caught.value.offset == 58
        assert reader.tool_map() == ()
        problem = reader.tool_map_problem
        assert problem is not None
        assert problem.clause == "KVC-TOOLMAP-6"
        os.truncate(path, 53)
        with pytest.raises(TruncatedError) as caught:
            _ = reader.text
        assert (caught.value.field, caught.value.offset) == ("text", 53)


@pytest.mark.parametrize("name", [SESSION_NAME, SESSION_NAME[:-3].upper() + ".kv"])
def test_a_path_with_the_right_name(name: str, tmp_path: Path) -> None:
    """KVC-NAME-2, KVC-NAME-3."""
    (tmp_path / name).write_bytes(SESSION)
    with open_kvc(str(tmp_path / name)) as reader:
        assert reader.name == name


def test_a_path_with_another_digest_name_is_rejected_before_use(tmp_path: Path) -> None:
    """KVC-NAME-1, KVC-FILE-6."""
    path = tmp_path / PLAIN_NAME.replace("1", "2")
    path.write_bytes(PLAIN)
    with pytest.raises(IdentityMismatchError) as caught:
        open_kvc(path)
    assert caught.value.clause == "KVC-NAME-1"
    assert str(path) in str(caught.value)
    path.rename(tmp_path / PLAIN_NAME)
    with open_kvc(tmp_path / PLAIN_NAME) as reader:
        assert reader.text == b"Hi \xc3"


def test_a_name_that_is_given_counts_whatever_it_is() -> None:
    """KVC-NAME-1, KVC-NAME-4, KVC-NAME-5."""
    for name in ("backup.kv", SESSION_NAME):
        with pytest.raises(IdentityMismatchError):
            open_kvc(io.BytesIO(PLAIN), name=name)
    for fits in (PLAIN_NAME, "sysprompt.kv", None):
        with open_kvc(io.BytesIO(PLAIN), name=fits) as reader:
            assert reader.name == fits


def test_identity_of_a_session_on_a_pipe_is_checked_with_its_title() -> None:
    """KVC-NAME-3."""
    with open_kvc(Pipe(SESSION), name=PLAIN_NAME) as reader:
        assert reader.payload.read() == b"\xde\xad\xbe\xef"
        with pytest.raises(IdentityMismatchError):
            reader.title()
    with pytest.raises(IdentityMismatchError):
        open_kvc(io.BytesIO(SESSION), name=PLAIN_NAME)
    with pytest.raises(IdentityMismatchError):
        open_kvc(Pipe(PLAIN), name=SESSION_NAME)


def test_without_bit_0_there_is_no_tool_map() -> None:
    """KVC-TOOLMAP-7, KVC-FILE-5, KVC-HEADER-6."""
    with open_kvc(io.BytesIO(patched(PLAIN, 6, b"\0"))) as reader:
        assert reader.tool_map() == ()
        assert reader.tool_map_problem is None
        assert reader.trailing_bytes == 22
        assert reader.read_trailing() == PLAIN[60:]
        assert reader.regions()[-1].name == "trailing"


@pytest.mark.parametrize("flags", [2, 4, 6, 0xF0])
def test_flags_that_append_nothing(flags: int) -> None:
    """KVC-HEADER-5, KVC-HEADER-7: they are kept and change nothing else."""
    with open_kvc(io.BytesIO(patched(PLAIN, 6, bytes((flags | 1,)))), name=PLAIN_NAME) as reader:
        assert reader.header.flags == flags | 1
        assert reader.tool_map() == TOOLS


@pytest.mark.parametrize("reason", [0, 6, 7, 255])
def test_unknown_reasons_are_kept_and_used_as_unknown(reason: int) -> None:
    """KVC-HEADER-4."""
    with open_kvc(io.BytesIO(patched(PLAIN, 5, bytes((reason,))))) as reader:
        assert reader.header.reason == reason
        assert reader.header.known_reason == (reason if reason <= 6 else 0)


def test_reserved_bytes_are_ignored_and_kept() -> None:
    """KVC-HEADER-9, KVC-HEADER-14, KVC-HEADER-15, KVC-HEADER-16."""
    data = patched(patched(PLAIN, 7, b"\x09"), 21, b"\xff" * 19)
    with open_kvc(io.BytesIO(data), profile="ds4-abi0") as reader:
        assert layout.encode_header(reader.header) == data[:48]


def test_an_empty_text_and_a_stripped_payload_are_read() -> None:
    """KVC-TEXT-3, KVC-PAYLOAD-2: readers accept both in every entry."""
    data = patched(patched(PLAIN[:52], 40, bytes(12)), 6, b"\0")
    with open_kvc(io.BytesIO(data), name="DA39A3EE5E6B4B0D3255BFEF95601890AFD80709.kv") as reader:
        assert reader.text == reader.payload.read() == b""
        assert [region.size_bytes for region in reader.regions()] == [48, 4, 0, 0]


def test_a_damaged_tool_map_gives_the_entries_before_the_damage() -> None:
    """KVC-TOOLMAP-6, KVC-TOOLMAP-8: and the entry is used all the same; `strict` raises."""
    entry = Entry(b"Hi", 2, tool_map=(*TOOLS, *TOOLS, ToolEntry(b"d", b"block")))
    data = file_of(entry, b"payload")
    cut = data[:-1]
    for source in (io.BytesIO(cut), Pipe(cut)):
        with open_kvc(source) as reader:
            assert reader.payload.read() == b"payload"
            assert reader.tool_map() == (*TOOLS, *TOOLS)
            assert reader.tool_map_problem is not None
            assert reader.tool_map_problem.field == "tool_map.entries[2].block"
            assert reader.tool_map_problem.offset == len(cut)
            assert reader.trailing_bytes is None
            assert reader.regions()[-1].name == "tool_map"
            with pytest.raises(BadSectionError):
                reader.read_trailing()
    with pytest.raises(BadSectionError):
        open_kvc(io.BytesIO(cut), strict=True)
    with open_kvc(Pipe(cut), strict=True) as reader, pytest.raises(BadSectionError):
        reader.tool_map()
    with open_kvc(io.BytesIO(data), strict=True) as reader:
        assert len(reader.tool_map()) == 3


@pytest.mark.parametrize(
    ("size_bytes", "field"),
    [(63, "version"), (67, "count"), (75, "entries[0].block_bytes"), (77, "entries[0].id"), (79, "entries[0].block")],
)
def test_a_tool_map_cut_on_a_pipe(size_bytes: int, field: str) -> None:
    """KVC-TOOLMAP-6: an entry is used only if all its bytes are there."""
    for source in (Pipe(PLAIN[:size_bytes]), io.BytesIO(PLAIN[:size_bytes])):
        with open_kvc(source) as reader:
            assert reader.tool_map() == ()
            problem = reader.tool_map_problem
            assert problem is not None
            found = (problem.field, problem.offset, problem.clause)
            assert found == (f"tool_map.{field}", size_bytes, "KVC-TOOLMAP-6")


def test_behind_a_damaged_tool_map_there_is_no_title() -> None:
    """KVC-TITLE-2."""
    data = patched(SESSION, 60, b"X")
    with pytest.raises(BadSectionError) as caught:
        open_kvc(io.BytesIO(data))
    found = (caught.value.clause, caught.value.field, caught.value.offset)
    assert found == ("KVC-TITLE-2", "tool_map.magic", 60)
    with open_kvc(Pipe(data)) as reader, pytest.raises(BadSectionError):
        reader.title()


@pytest.mark.parametrize(("size_bytes", "field"), [(82, "title_bytes"), (85, "title_bytes"), (89, "title")])
def test_a_title_that_is_cut(size_bytes: int, field: str) -> None:
    """KVC-TITLE-1."""
    with pytest.raises(BadSectionError) as caught:
        open_kvc(io.BytesIO(SESSION[:size_bytes]))
    found = (caught.value.clause, caught.value.field, caught.value.offset)
    assert found == ("KVC-TITLE-1", field, size_bytes)
    with open_kvc(Pipe(SESSION[:size_bytes])) as reader:
        assert reader.tool_map() == TOOLS
        with pytest.raises(BadSectionError):
            reader.title()


def test_a_title_that_is_too_long() -> None:
    """KVC-TITLE-3."""
    data = SESSION[:82] + (65_537).to_bytes(4, "little") + bytes(65_537)
    with pytest.raises(LimitError) as caught:
        open_kvc(io.BytesIO(data))
    assert (caught.value.clause, caught.value.field, caught.value.offset) == (
        "KVC-TITLE-3",
        "title_bytes",
        82,
    )


def test_the_tool_map_may_have_all_of_the_memory() -> None:
    """KVC-LIMIT-4: the bound itself is good."""
    size_bytes = 8 + len(TOOLS[0].id) + len(TOOLS[0].block)
    with open_kvc(io.BytesIO(PLAIN), limits=Limits(memory_bytes_max=size_bytes)) as reader:
        assert reader.tool_map() == TOOLS
    with (
        open_kvc(io.BytesIO(PLAIN), limits=Limits(memory_bytes_max=size_bytes - 1)) as reader,
        pytest.raises(LimitError),
    ):
        reader.tool_map()


def test_regions_of_a_pipe_end_with_the_payload_until_its_end_was_seen() -> None:
    """KVC-FILE-2."""
    with open_kvc(Pipe(PLAIN)) as reader:
        assert [region.name for region in reader.regions()] == ["header", "text_length", "text", "payload"]
        assert reader.trailing_bytes is None


def test_regions_of_a_pipe_that_ended_inside_its_payload() -> None:
    """KVC-FILE-2, KVC-FILE-3: what is there has its region, and no region has fewer than no bytes."""
    with open_kvc(Pipe(PLAIN[:58])) as reader:
        with pytest.raises(TruncatedError):
            reader.payload.read()
        regions = reader.regions()
    assert [(region.name, region.size_bytes) for region in regions][-2:] == [("text", 4), ("payload", 2)]


def test_a_symlink_is_followed_unless_the_caller_says_otherwise(tmp_path: Path) -> None:
    """KVC-NAME-7 is about the entries of a directory; a path that somebody names is a path."""
    (tmp_path / "file").write_bytes(PLAIN)
    (tmp_path / "link").symlink_to("file")
    with open_kvc(tmp_path / "link") as reader:
        assert reader.text == b"Hi \xc3"
    with pytest.raises(IdentityMismatchError):
        open_kvc(tmp_path / "link", follow_symlinks=False)


def test_limits_of_the_reader() -> None:
    """KVC-LIMIT-3, KVC-LIMIT-4."""
    with pytest.raises(LimitError) as caught:
        open_kvc(io.BytesIO(PLAIN), limits=Limits(text_bytes_max=3))
    assert caught.value.clause == "KVC-LIMIT-3"
    with open_kvc(io.BytesIO(PLAIN + b"tail"), limits=Limits(memory_bytes_max=3)) as reader:
        with pytest.raises(LimitError):
            reader.tool_map()
        assert tuple(reader.iter_tool_map()) == TOOLS
        with pytest.raises(LimitError):
            reader.read_trailing()


def test_a_profile_that_was_told() -> None:
    """KVC-PROFILE-2, KVC-PROFILE-3, KVC-HEADER-13."""
    abi2 = patched(patched(PLAIN, 20, b"\2"), 7, b"\x05")
    with open_kvc(io.BytesIO(abi2)) as reader:
        assert reader.profile.name == "ds4-abi2"
    for data, profile in ((abi2, "ds4-abi3"), (PLAIN, "ds4-abi2"), (patched(PLAIN, 20, b"\1"), "auto")):
        with pytest.raises(UnsupportedProfileError):
            open_kvc(io.BytesIO(data), profile=profile)
    with open_kvc(io.BytesIO(abi2), profile="ds4-abi0") as reader:
        assert reader.profile.name == "ds4-abi0"
    with pytest.raises(ValueError, match="no profile"):
        open_kvc(io.BytesIO(PLAIN), profile="ds5")


def test_the_dialect_that_looks_alike() -> None:
    """KVC-FILE-6: payload offset as u64 at 48, payload at the end; always 52 bytes short."""
    header = layout.decode_header(PLAIN)
    foreign = layout.encode_header(header) + (64).to_bytes(8, "little") + bytes(8) + b"\xde\xad\xbe\xef"
    with pytest.raises(KvcError) as caught:
        open_kvc(io.BytesIO(foreign))
    assert caught.value.category == "truncated"
