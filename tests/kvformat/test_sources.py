"""What may be opened, and what becomes of it: KVC-NAME-7, KVC-LIMIT-1."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import pytest

from kvformat.errors import BadMagicError, IdentityMismatchError
from kvformat.reader import open_kvc, verify
from tests.kvformat.samples import PLAIN, PLAIN_NAME, SESSION, Pipe, patched


def _open_descriptors() -> set[str]:
    return set(os.listdir("/dev/fd"))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _device(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("make", [_fifo, _directory, _device])
def test_only_regular_files_are_opened(make: type, tmp_path: Path) -> None:
    """KVC-NAME-7: without hanging on a FIFO, and nothing stays open."""
    path = tmp_path / PLAIN_NAME
    make(path)
    before = _open_descriptors()
    with pytest.raises(IdentityMismatchError) as caught:
        open_kvc(path)
    assert caught.value.clause == "KVC-NAME-7"
    assert "not a regular file" in str(caught.value)
    (problem,) = verify(path).problems
    assert problem.clause == "KVC-NAME-7"
    assert _open_descriptors() == before


def test_a_file_that_turns_into_a_fifo_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KVC-NAME-7: what was looked at before is looked at again after it was opened, without waiting."""
    path, regular = tmp_path / "fifo", tmp_path / "regular"
    os.mkfifo(path)
    regular.write_bytes(PLAIN)
    status = os.stat(regular)
    monkeypatch.setattr("kvformat.sources.os.stat", lambda *_, **__: status)
    before = _open_descriptors()
    with pytest.raises(IdentityMismatchError):
        open_kvc(path)
    assert _open_descriptors() == before


def test_a_symlink_is_followed_if_a_user_names_it(tmp_path: Path) -> None:
    """KVC-NAME-7."""
    target = tmp_path / "target"
    target.write_bytes(PLAIN)
    link = tmp_path / PLAIN_NAME
    link.symlink_to(target)
    with open_kvc(link) as reader:
        assert reader.text == b"Hi \xc3"
    with pytest.raises(IdentityMismatchError):
        open_kvc(link, follow_symlinks=False)
    assert not verify(link, follow_symlinks=False).ok


def test_a_missing_file_is_an_oserror(tmp_path: Path) -> None:
    for opened in (open_kvc, verify):
        with pytest.raises(FileNotFoundError):
            opened(tmp_path / "none")


def test_a_descriptor_of_no_regular_file() -> None:
    """KVC-NAME-7: a pipe is handed in as a stream."""
    ends = os.pipe()
    try:
        with pytest.raises(IdentityMismatchError):
            open_kvc(ends[0])
        with os.fdopen(ends[1], "wb") as into:
            into.write(PLAIN)
        with os.fdopen(ends[0], "rb") as out, open_kvc(out, name=PLAIN_NAME) as reader:
            assert reader.size_bytes is None
            assert reader.payload.read() == b"\xde\xad\xbe\xef"
    finally:
        for fd in ends:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.close(fd)


def test_a_file_that_is_rejected_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"X" * 100)
    before = _open_descriptors()
    with pytest.raises(BadMagicError):
        open_kvc(path)
    with pytest.raises(ValueError, match="no profile"):
        open_kvc(path, profile="none")
    assert _open_descriptors() == before


def test_close_source_gives_a_stream_away() -> None:
    for data, good in ((SESSION, True), (b"X" * 60, False)):
        stream = io.BytesIO(data)
        if good:
            with open_kvc(stream, close_source=True) as reader:
                reader.close()
        else:
            with pytest.raises(BadMagicError):
                open_kvc(stream, close_source=True)
        assert stream.closed


def test_close_source_gives_a_descriptor_away(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(SESSION)
    before = _open_descriptors()
    with open_kvc(os.open(path, os.O_RDONLY), close_source=True) as reader:
        assert reader.title() == b"Demo"
    assert _open_descriptors() == before


def test_a_closed_reader_does_not_read_from_a_number_that_is_another_file(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(PLAIN)
    other.write_bytes(patched(PLAIN, 52, b"XXXX"))
    with open_kvc(path) as reader:
        pass
    reader.close()
    with other.open("rb"):  # has got the number by now
        for use in (lambda: reader.text, reader.tool_map, lambda: reader.source.first_hole(0, 9)):
            with pytest.raises(ValueError, match="is closed"):
                use()


def test_text_streams_and_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="binary stream"):
        open_kvc(io.StringIO("KVC"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="neither a path"):
        open_kvc(PLAIN)  # type: ignore[arg-type]


def test_a_non_blocking_stream_without_bytes_is_an_error() -> None:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    with (
        os.fdopen(ends[0], "rb", buffering=0) as out,
        os.fdopen(ends[1], "wb"),
        pytest.raises(BlockingIOError),
    ):
        open_kvc(out)


@pytest.mark.parametrize("by_path", [True, False])
def test_what_a_caller_asks_for_is_bounded_by_what_is_there(by_path: bool, tmp_path: Path) -> None:
    """KVC-LIMIT-1: 1 GiB of trailing bytes may be held, four are there."""
    path = tmp_path / "file"
    path.write_bytes(PLAIN + b"tail")
    tracemalloc.start()
    try:
        with open_kvc(path if by_path else io.BytesIO(PLAIN + b"tail")) as reader:
            assert reader.read_trailing() == b"tail"
            assert reader.payload.read(2**40) == b"\xde\xad\xbe\xef"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_stream_of_unknown_size_is_asked_for_pieces() -> None:
    """KVC-LIMIT-1: 2^62 bytes are claimed, and never asked for at once."""
    pipe = Pipe(PLAIN[:40] + (2**62).to_bytes(8, "little") + PLAIN[48:], most=100)
    assert verify(pipe).problems[0].clause == "KVC-FILE-3"
    assert pipe.largest_request <= 2**18
