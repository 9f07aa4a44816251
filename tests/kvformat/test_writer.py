"""Saving: the same bytes whatever the way, the order of operations, and errors that tell the truth.

KVS-SAVE, KVS-DIRECT, KVS-STAGED, KVS-BACKPATCH, KVS-DURABLE, KVS-FAIL; KVC-WRITER.
"""

from __future__ import annotations

import array
import errno
import gc
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.faults import ERRNOS, Fault, FaultClass, Form
from faultinject.inject import InjectingFileSystem
from faultinject.memory import MemoryFileSystem
from faultinject.ops import Op, Operation, Trace
from faultinject.record import RecordingFileSystem
from kvformat import layout
from kvformat.errors import KvcError, SaveError
from kvformat.filesystem import Buffer, FileSystem, OsFileSystem
from kvformat.model import Entry, ToolEntry
from kvformat.options import Options, SaveResult, Strategy
from kvformat.payload import PIECE_BYTES_MAX, Payload, Range, as_payload
from kvformat.serial import serialize
from kvformat.temp_names import TempKind, is_temp_name
from kvformat.testing import entries, file_of
from kvformat.writer import BLOCK_BYTES, _Save, save
from tests.kvformat.samples import Pipe
from tests.kvformat.saving import (
    ENTRY,
    KINDS,
    NAME,
    NEW,
    NOW,
    OLD,
    PAYLOAD,
    SERIAL,
    SESSION_ENTRY,
    Failing,
    Racing,
    descriptors,
    directory,
    options,
    store_of,
)

PIECES = [PAYLOAD[:60], PAYLOAD[60:]]


def saved(
    fs: FileSystem, strategy: Strategy, temp: TempKind = TempKind.NAMED, *, durable: bool = True, **chosen: Any
) -> SaveResult:
    payload = as_payload(PIECES, len(PAYLOAD))
    return save(fs, SERIAL, payload, strategy=strategy, options=replace(options(temp, durable=durable), **chosen))


@cache
def trace_of(strategy: Strategy, temp: TempKind, durable: bool = True) -> Trace:
    recorder = RecordingFileSystem(directory())
    saved(recorder, strategy, temp, durable=durable)
    return recorder.trace


# The same bytes, whatever the way.


@given(
    entry=entries(),
    payload=st.binary(min_size=1, max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=4),
    strategy=st.sampled_from(Strategy),
    temp=st.sampled_from(TempKind),
    durable=st.booleans(),
)
def test_every_strategy_makes_the_file_of_the_specification(
    entry: Entry, payload: bytes, cuts: list[int], strategy: Strategy, temp: TempKind, durable: bool
) -> None:
    """KVC-WRITER-1 to -5, KVS-SAVE-4: equal to the bytes put together by the integer codec."""
    places = [0, *sorted(cuts), len(payload)]
    pieces = [payload[start:end] for start, end in pairwise(places)]
    fs = MemoryFileSystem()
    serial = serialize(entry, now=1)
    result = save(
        fs, serial, as_payload(pieces, len(payload)), strategy=strategy, options=Options(durable=durable, temp=temp)
    )
    expected = file_of(entry, payload)
    assert fs.contents() == {result.name: expected}
    assert (result.payload_bytes, result.file_bytes) == (len(payload), len(expected))
    assert (result.strategy, result.durable) == (strategy, durable)
    assert result.unnamed == (temp is not TempKind.NAMED)
    assert fs.open_descriptors() == 0
    with store_of(fs).load(result.name) as reader:
        assert reader.text == entry.text
        assert reader.payload.read() == payload
        assert reader.tool_map() == (entry.tool_map or ())
        assert reader.title() == entry.title


def _sources(path: Path) -> dict[str, Callable[[], Any]]:
    return {
        "bytes": lambda: PAYLOAD,
        "bytearray": lambda: bytearray(PAYLOAD),
        "u32 view": lambda: memoryview(array.array("I", PAYLOAD)),
        "2-d view": lambda: memoryview(PAYLOAD).cast("B", (4, 25)),
        "list with empty pieces": lambda: [b"", *PIECES, bytearray(), memoryview(b"")],
        "mixed pieces": lambda: [PAYLOAD[:8], memoryview(array.array("I", PAYLOAD[8:16])), bytearray(PAYLOAD[16:])],
        "generator": lambda: (piece for piece in PIECES),
        "one byte at a time": lambda: (PAYLOAD[i : i + 1] for i in range(len(PAYLOAD))),
        "path": lambda: path,
        "path as text": lambda: str(path),
        "file": lambda: open(path, "rb"),
        "raw file": lambda: open(path, "rb", buffering=0),
        "stream without descriptor": lambda: Pipe(PAYLOAD, 7),
    }


@pytest.mark.parametrize("kind", list(_sources(Path())))
def test_every_kind_of_payload_on_the_real_file_system(kind: str, tmp_path: Path) -> None:
    """KVC-PAYLOAD-1: byte for byte, under every strategy, named and not, durable and not; nothing leaks."""
    path = tmp_path / "source"
    path.write_bytes(PAYLOAD)
    (tmp_path / "store").mkdir()
    source = _sources(path)[kind]
    before = descriptors()
    with OsFileSystem(tmp_path / "store") as fs:
        for strategy, temp in KINDS:
            for durable in (False, True):
                size = len(PAYLOAD) if strategy is Strategy.DIRECT else None
                result = store_of(fs).save(
                    ENTRY, source(), payload_bytes=size, strategy=strategy, options=options(temp, durable=durable)
                )
                assert (tmp_path / "store" / NAME).read_bytes() == NEW
                assert result.durable == durable
                os.unlink(tmp_path / "store" / NAME)
                assert os.listdir(tmp_path / "store") == []
    assert descriptors() == before


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_pieces_over_the_largest_are_split(strategy: Strategy, temp: TempKind) -> None:
    large = os.urandom(1000) * (2 * PIECE_BYTES_MAX // 1000 + 3)
    recorder = RecordingFileSystem(MemoryFileSystem())
    store_of(recorder).save(ENTRY, [large], payload_bytes=len(large), strategy=strategy, options=options(temp))
    writes = [operation for operation in recorder.trace if operation.op is Op.PWRITE]
    assert max(operation.size_bytes for operation in writes) == PIECE_BYTES_MAX
    fs = recorder._inner
    assert isinstance(fs, MemoryFileSystem)
    assert fs.content(NAME) == file_of(ENTRY, large)


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
@pytest.mark.parametrize("ground", ["memory", "real"])
def test_a_range_of_a_file_is_a_payload(strategy: Strategy, temp: TempKind, ground: str, tmp_path: Path) -> None:
    """KVS-STAGED-2."""
    fs: FileSystem = MemoryFileSystem() if ground == "memory" else OsFileSystem(tmp_path)
    fd = fs.open("source", os.O_RDWR | os.O_CREAT)
    fs.pwrite(fd, b"before" + PAYLOAD + b"behind", 0)
    result = store_of(fs).save(ENTRY, Range(fd, 6, len(PAYLOAD)), strategy=strategy, options=options(temp))
    got = fs.open(result.name, os.O_RDONLY)
    assert fs.pread(got, 10_000, 0) == NEW
    assert result.payload_bytes == len(PAYLOAD)
    assert sorted(fs.names()) == sorted([NAME, "source"])
    with pytest.raises(SaveError, match="bytes early"):
        store_of(fs).save(ENTRY, Range(fd, 6, 10_000), strategy=strategy, options=options(temp))
    assert fs.pread(got, 10_000, 0) == NEW
    assert sorted(fs.names()) == sorted([NAME, "source"])
    for open_fd in (fd, got):
        fs.close(open_fd)


@pytest.mark.parametrize("strategy", [Strategy.STAGED, Strategy.BACKPATCH])
def test_a_payload_object_may_give_views_of_any_format(strategy: Strategy, tmp_path: Path) -> None:
    """KVC-WRITER-2: success is reported for a file whose payload byte count is a quarter of the truth."""
    view = memoryview(array.array("I", PAYLOAD))
    with OsFileSystem(tmp_path) as fs:
        save(fs, SERIAL, Payload(None, lambda: iter([view])), strategy=strategy, options=options(TempKind.NAMED))
    assert (tmp_path / NAME).read_bytes() == NEW


# What is refused.


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
@pytest.mark.parametrize("predicted", [0, 1, 59, 60, 61, 99, 101, 10_000, 2**62])
def test_a_payload_of_another_size_than_predicted_fails_the_save(
    strategy: Strategy, temp: TempKind, predicted: int
) -> None:
    """KVS-DIRECT-2; the other strategies make no use of a prediction."""
    fs = directory()
    before = fs.contents()
    serial = serialize(SESSION_ENTRY, now=NOW) if predicted == 0 else SERIAL
    payload = as_payload(PIECES, predicted)
    if strategy is not Strategy.DIRECT:
        save(fs, serial, payload, strategy=strategy, options=options(temp))
        return
    with pytest.raises(SaveError, match=f"predicted as {predicted} bytes") as caught:
        save(fs, serial, payload, strategy=strategy, options=options(temp))
    error = caught.value
    accepted = sum(len(piece) for piece, end in zip(PIECES, (60, 100), strict=True) if end <= predicted)
    assert (error.operation, error.offset) == (
        "payload" if accepted else error.operation,
        52 + serial.text_bytes + accepted,
    )
    assert (error.visible, error.left_behind, error.cleanup_failures) == (False, (), ())
    assert fs.contents() == before
    assert fs.open_descriptors() == 0


def test_direct_without_a_size_is_a_mistake_of_the_caller() -> None:
    """KVS-DIRECT-1: said before anything is done."""
    recorder = RecordingFileSystem(directory())
    with pytest.raises(ValueError, match="KVS-DIRECT-1"):
        save(recorder, SERIAL, as_payload(iter(PIECES)), strategy=Strategy.DIRECT)
    assert len(recorder.trace) == 0


BAD_ENTRIES = {
    "KVC-HEADER-3": replace(ENTRY, quantisation_bits=3),
    "KVC-HEADER-4": replace(ENTRY, reason=7),
    "KVC-HEADER-5": replace(ENTRY, flags=16),
    "KVC-HEADER-9": replace(ENTRY, model_id=1),
    "KVC-HEADER-10": replace(ENTRY, tokens=0),
    "KVC-HEADER-11": replace(ENTRY, hits=2**32),
    "KVC-HEADER-12": replace(ENTRY, context_tokens=-1),
    "KVC-HEADER-15": replace(ENTRY, created=2**64),
    "KVC-PROFILE-1": replace(ENTRY, profile="auto"),
    "KVC-TOOLMAP-4": replace(ENTRY, tool_map=(ToolEntry(b"", b"b"),)),
    "KVC-TOOLMAP-5": replace(ENTRY, tool_map=(ToolEntry(b"i", b""),)),
    "KVC-TITLE-3": replace(ENTRY, title=bytes(layout.TITLE_BYTES_MAX + 1)),
}


@pytest.mark.parametrize("clause", BAD_ENTRIES)
def test_what_a_reader_would_reject_is_refused_before_anything_is_created(clause: str) -> None:
    """KVS-SAVE-1, KVC-WRITER-5."""
    recorder = RecordingFileSystem(directory())
    with pytest.raises(KvcError) as caught:
        store_of(recorder).save(BAD_ENTRIES[clause], PAYLOAD)
    assert caught.value.clause == clause
    assert len(recorder.trace) == 0


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
@pytest.mark.parametrize("source", [b"", [], [b"", bytearray()]])
def test_an_empty_payload_needs_a_title(strategy: Strategy, temp: TempKind, source: Any) -> None:
    """KVC-PAYLOAD-2."""
    fs = directory()
    before = fs.contents()
    size = 0 if strategy is Strategy.DIRECT else None
    with pytest.raises((SaveError, KvcError), match="KVC-PAYLOAD-2"):
        store_of(fs).save(ENTRY, source, payload_bytes=size, strategy=strategy, options=options(temp))
    assert fs.contents() == before
    result = store_of(fs).save(SESSION_ENTRY, source, payload_bytes=size, strategy=strategy, options=options(temp))
    assert fs.content(result.name) == file_of(SESSION_ENTRY, b"")


@pytest.mark.parametrize("size_bytes", [0, 2**63 - 1, 2**63, 2**64, -1])
def test_a_payload_size_that_no_file_can_have_is_refused_before_anything_is_created(size_bytes: int) -> None:
    """KVS-SAVE-1, KVC-FILE-4, KVC-PAYLOAD-2, KVC-WRITER-5: "before the first byte is written where it can"."""
    recorder = RecordingFileSystem(directory())
    with pytest.raises(KvcError):
        store_of(recorder).save(ENTRY, iter(PIECES), payload_bytes=size_bytes)
    assert len(recorder.trace) == 0


def test_only_fixed_names_can_be_chosen() -> None:
    """KVC-NAME-4, KVC-NAME-5."""
    fs = MemoryFileSystem()
    store = store_of(fs)
    assert store.save(ENTRY, PAYLOAD, name="sysprompt.kv").name == "sysprompt.kv"
    assert fs.contents() == {"sysprompt.kv": NEW}
    for name in (NAME, "other.kv", "../x", "", "sysprompt.kv\n", "SYSPROMPT.KV"):
        with pytest.raises(ValueError, match="not a fixed name"):
            store.save(ENTRY, PAYLOAD, name=name)
    assert fs.contents() == {"sysprompt.kv": NEW}


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
@pytest.mark.parametrize("raised", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_what_the_producer_raises_comes_through_with_a_note(
    strategy: Strategy, temp: TempKind, raised: BaseException
) -> None:
    """KVS-FAIL-2."""
    fs = directory()
    before = fs.contents()

    def produce() -> Iterator[bytes]:
        yield PIECES[0]
        raise raised

    with pytest.raises(type(raised)) as caught:
        save(fs, SERIAL, as_payload(produce(), len(PAYLOAD)), strategy=strategy, options=options(temp))
    assert caught.value is raised
    (note,) = raised.__notes__
    assert f"payload at offset {52 + len(ENTRY.text) + 60}" in note
    assert "nothing changed" in note
    del raised.__notes__  # the object is shared by the other cases
    assert fs.contents() == before
    assert fs.open_descriptors() == 0


@pytest.mark.parametrize("where", ["producer", "progress"])
def test_an_oserror_of_the_callers_own_code_comes_through_as_it_is(where: str) -> None:
    """ "What the payload's producer raises … comes through as it is": a lost connection is no failure of the disk."""
    lost = ConnectionResetError("the peer is gone")

    def produce() -> Iterator[bytes]:
        yield PAYLOAD
        if where == "producer":
            raise lost

    def progress(_: int) -> None:
        if where == "progress":
            raise lost

    with pytest.raises(ConnectionResetError) as caught:
        store_of(directory()).save(ENTRY, produce(), options=Options(on_progress=progress))
    assert caught.value is lost


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_progress_counts_payload_bytes_and_what_it_raises_ends_the_save(strategy: Strategy, temp: TempKind) -> None:
    fs = directory()
    told: list[int] = []
    saved(fs, strategy, temp, on_progress=told.append)
    # A staged payload is written twice, and both times are told.
    assert told == ([60, 100, 100] if strategy is Strategy.STAGED else [60, 100])

    def stop(_: int) -> None:
        raise LookupError("stop")

    fs = directory()
    before = fs.contents()
    with pytest.raises(LookupError):
        saved(fs, strategy, temp, on_progress=stop)
    assert fs.contents() == before
    assert fs.open_descriptors() == 0


@pytest.mark.parametrize("strategy", Strategy)
def test_text_in_place_of_bytes_leaves_nothing(strategy: Strategy, tmp_path: Path) -> None:
    """KVS-FAIL-2."""
    with OsFileSystem(tmp_path) as fs, pytest.raises(TypeError):
        save(fs, SERIAL, Payload(4, lambda: iter(["text"])), strategy=strategy)  # type: ignore[list-item]  # wrong
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_nothing_is_kept_by_an_error_that_is_kept(strategy: Strategy, temp: TempKind, tmp_path: Path) -> None:
    """The source's descriptor and the caller's payload are free although the error is not yet forgotten."""
    source = tmp_path / "source"
    source.write_bytes(PAYLOAD)
    before = descriptors()
    with OsFileSystem(tmp_path) as fs:
        with pytest.raises(LookupError) as kept:
            store_of(fs).save(
                ENTRY,
                source,
                strategy=strategy,
                options=Options(temp=temp, on_progress=lambda _: (_ for _ in ()).throw(LookupError())),
            )
        assert descriptors() == before + 1  # the directory's
        assert isinstance(kept.value, LookupError)


class _Held:
    def __iter__(self) -> Iterator[bytes]:
        yield b"short"


@pytest.mark.parametrize(("strategy", "temp"), [(Strategy.DIRECT, TempKind.NAMED), (Strategy.DIRECT, TempKind.UNNAMED)])
def test_a_failed_save_is_no_reference_cycle(strategy: Strategy, temp: TempKind) -> None:
    """A payload of many GiB must be free when the error is forgotten, not at some later collection."""
    held = _Held()
    dead = weakref.ref(held)
    gc.collect()
    gc.disable()
    try:
        try:
            save(MemoryFileSystem(), SERIAL, as_payload(held, 100), strategy=strategy, options=options(temp))
        except SaveError:
            pass
        else:
            pytest.fail("a payload that is too short was saved")
        del held
        assert dead() is None
    finally:
        gc.enable()


# The order of operations.


def places(trace: Trace, op: Op, **fields: object) -> list[int]:
    return [
        operation.index
        for operation in trace
        if operation.op is op and all(getattr(operation, name) == value for name, value in fields.items())
    ]


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_the_order_of_a_durable_save(strategy: Strategy, temp: TempKind) -> None:
    """KVS-TEMP-3, KVS-SAVE-2, KVS-SAVE-5 to KVS-SAVE-8, KVS-DURABLE-2, KVS-STAGED-1, KVS-BACKPATCH-2."""
    trace = trace_of(strategy, temp)
    (rename,) = places(trace, Op.RENAME)
    entry = trace[rename].inode
    assert trace[rename].target == NAME
    # Nothing touches the final name, or another entry, before publication; after it only the directory is synced.
    for operation in trace:
        if operation.index != rename:
            assert operation.name is None or is_temp_name(operation.name), operation
            assert operation.target is None
    assert [operation.op for operation in trace][rename + 1 :] == [Op.FSYNC_DIRECTORY, Op.CLOSE]
    # Every file is locked before its first byte and until the end.
    for inode in {operation.inode for operation in trace if operation.op.transfers}:
        writes = [operation.index for operation in trace if operation.op.transfers and operation.inode == inode]
        (lock,) = places(trace, Op.FLOCK, inode=inode)
        assert lock < min(writes)
        closes = places(trace, Op.CLOSE, inode=inode)
        assert closes[-1] > max(writes)
    assert places(trace, Op.CLOSE, inode=entry)[-1] == len(trace) - 1
    # Content, sync, late errors, publication.
    (sync,) = places(trace, Op.FSYNC)
    (duplicate,) = places(trace, Op.DUP)
    last_write = max(operation.index for operation in trace if operation.op.transfers)
    assert last_write < sync < duplicate < rename
    assert trace[sync].inode == entry
    assert trace[duplicate + 1].op is Op.CLOSE
    assert trace[duplicate + 1].fd != trace[places(trace, Op.CLOSE)[-1]].fd
    # An unnamed file is linked only then; a staged one is gone before.
    if temp is TempKind.UNNAMED:
        assert places(trace, Op.LINK) == [rename - 1]
    elif strategy is Strategy.STAGED:
        (unlink,) = places(trace, Op.UNLINK)
        assert last_write < unlink < rename
        assert trace[unlink].inode != entry
    else:
        assert places(trace, Op.UNLINK) == []


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_a_save_that_is_not_durable_is_the_same_without_the_syncs(strategy: Strategy, temp: TempKind) -> None:
    """KVS-DURABLE-3, KVS-SAVE-5: the duplicate is closed all the same."""
    syncs = (Op.FSYNC, Op.FSYNC_DIRECTORY)
    shape = [operation.op for operation in trace_of(strategy, temp) if operation.op not in syncs]
    assert [operation.op for operation in trace_of(strategy, temp, durable=False)] == shape
    assert len(trace_of(strategy, temp)) == len(shape) + 2
    assert not saved(directory(), strategy, temp, durable=False).durable


@pytest.mark.parametrize("temp", [TempKind.NAMED, TempKind.UNNAMED])
def test_backpatch_has_zeros_in_place_of_a_header_until_all_else_is_written(temp: TempKind) -> None:
    """KVS-BACKPATCH-1, KVS-BACKPATCH-2."""
    trace = trace_of(Strategy.BACKPATCH, temp)
    writes = [operation for operation in trace if operation.op is Op.PWRITE]
    first, last = writes[0], writes[-1]
    assert first.data is not None
    assert bytes(first.data)[:48] == bytes(48)
    assert (last.offset, last.size_bytes, last.data) == (0, 48, NEW[:48])
    assert all(write.offset and write.offset >= 48 for write in writes[1:-1])


@pytest.mark.parametrize("text_bytes", [0, 1, BLOCK_BYTES - 52, BLOCK_BYTES - 51, 2 * BLOCK_BYTES + 7])
def test_a_staged_payload_is_aligned_with_its_place_in_the_entry(text_bytes: int) -> None:
    """KVS-STAGED-2: only equally aligned ranges can share blocks."""
    recorder = RecordingFileSystem(MemoryFileSystem())
    entry = replace(ENTRY, text=bytes(text_bytes))
    store_of(recorder).save(entry, PAYLOAD, strategy=Strategy.STAGED, options=options(TempKind.NAMED))
    copies = [operation for operation in recorder.trace if operation.op is Op.COPY_RANGE and operation.result]
    assert sum(copy.result for copy in copies) == len(PAYLOAD)
    assert copies[0].offset == 52 + text_bytes
    assert all(((copy.offset or 0) - (copy.source_offset or 0)) % BLOCK_BYTES == 0 for copy in copies)


def test_staged_in_the_kernel_on_the_real_file_system(tmp_path: Path) -> None:
    """KVS-STAGED-2: sizes around blocks, so that a reflink or a splice at the wrong place would show."""
    with OsFileSystem(tmp_path) as fs:
        for size in (1, BLOCK_BYTES - 72, BLOCK_BYTES, 3 * BLOCK_BYTES + 1):
            payload = os.urandom(size)
            result = store_of(fs).save(ENTRY, payload, strategy=Strategy.STAGED, options=options(TempKind.AUTO))
            assert (tmp_path / result.name).read_bytes() == file_of(ENTRY, payload)


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_what_has_the_final_name_is_replaced_whatever_it_is(strategy: Strategy, temp: TempKind, tmp_path: Path) -> None:
    """KVS-REPLACE-1, KVC-NAME-7: sound, damaged, a link (not followed) or a FIFO; a directory fails the save."""
    target = tmp_path / NAME
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"not mine")
    makers: list[Callable[[], object]] = [
        lambda: target.write_bytes(OLD),
        lambda: target.write_bytes(OLD[:60]),
        lambda: target.write_bytes(b""),
        lambda: target.symlink_to(elsewhere),
        lambda: os.mkfifo(target),
    ]
    with OsFileSystem(tmp_path) as fs:
        for make in makers:
            make()
            saved(fs, strategy, temp, durable=False)
            assert not target.is_symlink()
            assert target.read_bytes() == NEW
            target.unlink()
        target.mkdir()
        with pytest.raises(SaveError) as caught:
            saved(fs, strategy, temp, durable=False)
        assert (caught.value.operation, caught.value.visible) == ("rename", False)
    assert elsewhere.read_bytes() == b"not mine"
    assert sorted(os.listdir(tmp_path)) == sorted([NAME, "elsewhere"])


def test_a_save_inside_the_producer_of_another_one() -> None:
    """Nested saves share the gate and nothing else."""
    fs = directory()

    def produce() -> Iterator[bytes]:
        yield PIECES[0]
        store_of(fs).save(SESSION_ENTRY, b"inner")
        yield PIECES[1]

    store_of(fs).save(ENTRY, produce())
    assert fs.content(NAME) == NEW
    assert file_of(SESSION_ENTRY, b"inner") in fs.contents().values()
    assert fs.open_descriptors() == 0


# Errors that tell the truth.

STEPS = {
    Op.OPEN: "open",
    Op.OPEN_UNNAMED: "open",
    Op.LINK: "link",
    Op.DUP: "dup",
    Op.CLOSE: "close",
    Op.PREAD: "pread",
    Op.PWRITE: "pwrite",
    Op.COPY_RANGE: "copy_file_range",
    Op.FSYNC: "fsync",
    Op.FSYNC_DIRECTORY: "fsync directory",
    Op.RENAME: "rename",
    Op.UNLINK: "unlink",
    Op.FLOCK: "flock",
    Op.FSTAT: "fstat",
}


def _run(fault: Fault, strategy: Strategy, temp: TempKind) -> tuple[MemoryFileSystem, SaveError | None, bool]:
    fs = directory()
    injector = InjectingFileSystem(fs, fault)
    try:
        saved(injector, strategy, temp)
    except SaveError as error:
        return fs, error, bool(injector.fired)
    return fs, None, bool(injector.fired)


def _entry_offset(trace: Trace, operation: Operation, accepted: int) -> int:
    """Where in the entry a transfer of the recorded run stands after `accepted` bytes."""
    (rename,) = places(trace, Op.RENAME)
    offset = (operation.offset or 0) + accepted
    if operation.inode == trace[rename].inode:
        return offset
    (copy,) = [other for other in trace if other.op is Op.COPY_RANGE and other.source_offset][:1]
    return offset - (copy.source_offset or 0) + (copy.offset or 0)


def _is_true(fs: MemoryFileSystem, error: SaveError | None, where: str) -> None:
    """What was reported is what the directory shows (KVS-FAIL-1, KVS-FAIL-3, KVS-INV-1, KVS-INV-2, KVS-INV-5)."""
    content = fs.content(NAME)
    left = {name for name in fs.names() if is_temp_name(name)}
    if error is None:
        assert content == NEW, where
        assert not left, where
    else:
        assert error.visible is {NEW: True, OLD: False}[content or b""], where
        assert set(error.left_behind) == left, where
        assert all(name in str(error) for name in left), where
        assert error.name == NAME
    assert fs.open_descriptors() == 0, where


def _single_faults(trace: Trace) -> Iterator[tuple[Fault, Operation]]:
    for operation in trace:
        for number in ERRNOS[operation.op]:
            for sticky in (False, True):
                yield (
                    Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=number, sticky=sticky),
                    operation,
                )


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_every_single_error_is_told_as_it_was(strategy: Strategy, temp: TempKind) -> None:
    """KVS-FAIL-1: the operation that failed and why, at which offset, and what is visible now."""
    trace = trace_of(strategy, temp)
    failed = 0
    for fault, operation in _single_faults(trace):
        fs, error, fired = _run(fault, strategy, temp)
        assert fired, fault.id
        _is_true(fs, error, fault.id)
        if error is None:
            continue
        failed += 1
        retried = operation.op is Op.OPEN and fault.error == errno.EEXIST
        fell_back = fault.sticky and operation.op is Op.COPY_RANGE
        if operation.op is not Op.FSTAT:  # see the next test
            assert error.operation == STEPS[operation.op] or fell_back, fault.id
        assert error.operation in str(error)
        if not fell_back:
            assert os.strerror(fault.error) in error.message or retried, fault.id
        if operation.op.transfers:
            assert error.offset == _entry_offset(trace, operation, 0), fault.id
        assert isinstance(error.__cause__, OSError), fault.id
    assert failed > 50


def test_a_failed_fstat_is_told_as_such() -> None:
    """KVS-FAIL-1."""
    trace = trace_of(Strategy.DIRECT, TempKind.NAMED)
    (index,) = places(trace, Op.FSTAT)
    _, error, _ = _run(
        Fault(FaultClass.ERROR, Form.ERRNO, index, Op.FSTAT, error=errno.EIO), Strategy.DIRECT, TempKind.NAMED
    )
    assert error is not None
    assert error.operation == "fstat"


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_a_disk_that_fills_up_at_any_byte_is_told_at_that_byte(strategy: Strategy, temp: TempKind) -> None:
    """KVS-FAIL-1, KVS-SAVE-3: every transfer cut after every count of bytes, for the moment and for good."""
    trace = trace_of(strategy, temp)
    cut = 0
    for operation in trace:
        if not operation.op.transfers:
            continue
        for byte in range(1, operation.result):
            for sticky in (False, True):
                fault = Fault(
                    FaultClass.ERROR,
                    Form.CUT,
                    operation.index,
                    operation.op,
                    byte,
                    error=errno.ENOSPC,
                    sticky=sticky,
                )
                fs, error, fired = _run(fault, strategy, temp)
                assert fired
                _is_true(fs, error, fault.id)
                assert error is not None, fault.id
                assert error.offset == _entry_offset(trace, operation, byte), fault.id
                assert os.strerror(errno.ENOSPC) in error.message
                cut += 1
    assert cut > 200


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_a_count_that_is_short_by_any_number_of_bytes_is_continued(strategy: Strategy, temp: TempKind) -> None:
    """KVS-SAVE-3, KVS-BACKPATCH-3."""
    for operation in trace_of(strategy, temp):
        if operation.op.transfers:
            for byte in range(1, operation.result):
                fault = Fault(FaultClass.ERROR, Form.SHORT, operation.index, operation.op, byte)
                fs, error, fired = _run(fault, strategy, temp)
                assert fired
                assert error is None, fault.id
                assert fs.content(NAME) == NEW, fault.id


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_a_second_error_while_cleaning_up_is_told_beside_the_first(strategy: Strategy, temp: TempKind) -> None:
    """KVS-FAIL-2, KVS-FAIL-3."""
    doubled = 0
    for fault, _ in _single_faults(trace_of(strategy, temp)):
        if fault.sticky or fault.error not in (errno.EIO, errno.ENOSPC):
            continue
        ground = directory()
        recorder = RecordingFileSystem(InjectingFileSystem(ground, fault), probe=ground)
        try:
            saved(recorder, strategy, temp)
        except SaveError as error:
            first = error
        else:
            continue
        for operation in recorder.trace:
            if operation.index <= fault.index or operation.op not in (Op.UNLINK, Op.CLOSE, Op.STAT, Op.FLOCK):
                continue
            second = Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=errno.EACCES)
            fs, error_of_both, _ = _run(fault.then(second), strategy, temp)
            where = fault.then(second).id
            assert error_of_both is not None, where
            assert error_of_both.message == first.message, where
            content = fs.content(NAME)
            if error_of_both.visible is not None:
                assert error_of_both.visible is {NEW: True, OLD: False}[content or b""], where
            left = {name for name in fs.names() if is_temp_name(name)}
            assert left <= set(error_of_both.left_behind), where
            assert error_of_both.cleanup_failures, where
            assert fs.open_descriptors() == 0, where
            store_of(fs).recover()
            assert not any(map(is_temp_name, fs.names())), where
            doubled += 1
    assert doubled > 10


@pytest.mark.parametrize(("strategy", "temp"), KINDS)
def test_the_old_entry_is_whole_at_every_operation(strategy: Strategy, temp: TempKind) -> None:
    """KVS-INV-1, KVS-INV-6: the old content until rename, the new one from then on; the other entry always."""
    fs = directory()
    before = fs.contents()
    seen: list[bool] = []

    def look(op: Op, _: tuple[Any, ...]) -> bool:
        now = fs.contents()
        assert now[NAME] in (OLD, NEW)
        seen.append(now[NAME] == NEW)
        assert {name: now[name] for name in before if name != NAME} == {
            name: content for name, content in before.items() if name != NAME
        }
        return False

    saved(Racing(fs, look, lambda: None), strategy, temp)
    assert seen == sorted(seen)
    assert not seen[0]
    assert seen[-1]


def test_serialize_leaves_no_say_to_the_caller(tmp_path: Path) -> None:
    """KVC-WRITER-4: what is not given has the values of the clause."""
    fs = MemoryFileSystem()
    data: Buffer = b"x"
    result = store_of(fs).save(Entry(text=b"t", tokens=1, title=b""), data)
    header = layout.decode_header(fs.content(result.name) or b"")
    assert (header.hits, header.created, header.last_used) == (0, NOW, NOW)
    assert header.flags == 8
    assert (header.byte7, header.byte20, header.reserved) == (0, 0, bytes(3))


class _CopiesThree(MemoryFileSystem):
    __slots__ = ()

    def copy_range(
        self, source_fd: int, target_fd: int, size_bytes: int, source_offset: int, target_offset: int
    ) -> int:
        return super().copy_range(source_fd, target_fd, min(size_bytes, 3), source_offset, target_offset)


def test_progress_counts_the_bytes_that_are_copied_as_well() -> None:
    """KVS-STAGED-2: first the bytes that were staged, then those that are in the entry, up to all of them."""
    told: list[int] = []
    payload = as_payload([b"012", b"3456789"], 10)
    result = save(
        _CopiesThree(),
        SERIAL,
        payload,
        strategy=Strategy.STAGED,
        options=replace(options(TempKind.NAMED), on_progress=told.append),
    )
    assert told == [3, 10, 3, 6, 9, 10]
    assert result.copied_by_kernel
    assert result.payload_bytes == 10


def test_a_signal_that_waited_for_the_end_is_told_that_the_content_is_visible() -> None:
    """KVS-FAIL-1: it is raised after a save that has succeeded."""
    note = _Save(directory(), SERIAL, Options(), None).note()
    assert NAME in note
    assert "the new content IS visible under this name" in note


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "I/O error"), "I/O error"),
        (OSError(errno.EIO, "I/O error", "a file"), "I/O error: a file"),
        (OSError("no number"), "no number"),
        (OSError(), "OSError"),
    ],
)
def test_the_reason_of_a_failed_save_names_the_file_where_there_is_one(error: OSError, said: str) -> None:
    """KVS-FAIL-1."""
    fs = Failing(directory(), lambda op, _: error if op is Op.PWRITE else None)
    with pytest.raises(SaveError) as caught:
        saved(fs, Strategy.DIRECT)
    assert caught.value.message == said
