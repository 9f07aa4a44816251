"""Directories, prompts and payload streams: what they promise is what listing, lookup and writer see."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from faultinject.memory import MemoryFileSystem
from kvformat.options import Strategy
from kvformat.payload import as_payload
from kvformat.testing import (
    Directory,
    PayloadFailure,
    PayloadStream,
    PieceKind,
    directories,
    file_of,
    payload_streams,
    prompts,
)
from tests.kvformat.saving import ENTRY, NAME, OLD, directory, store_of
from tests.kvformat.test_testing import QUICK, SMALLEST_ENTRY


def filled(given_directory: Directory) -> MemoryFileSystem:
    fs = MemoryFileSystem()
    for name, content in given_directory.contents.items():
        fs.put(name, content)
    return fs


@given(directories())
def test_a_listing_shows_what_the_directory_says(given_directory: Directory) -> None:
    """KVC-NAME-2, KVC-NAME-5, KVC-NAME-6, KVS-TEMP-1, KVS-RECOVER-5."""
    listing = store_of(filled(given_directory)).scan()
    assert {entry.name for entry in listing.entries} == given_directory.entries == given_directory.saved.keys()
    assert {one.name: (one.problem.category, one.problem.clause) for one in listing.damaged} == given_directory.damaged
    assert set(listing.temps) == given_directory.temps
    assert set(listing.foreign_temps) == given_directory.foreign_temps
    assert set(listing.others) == given_directory.others
    assert not listing.unreadable


@given(data=st.data(), given_directory=directories(max_others=0, max_temps=0, max_foreign_temps=0))
def test_a_lookup_finds_the_longest_text_that_the_prompt_begins_with(
    data: st.DataObject, given_directory: Directory
) -> None:
    """KVC-LOOKUP-1, KVC-LOOKUP-5, whatever the case of the names and however a text goes on."""
    plain = {
        name: entry
        for name, (entry, _) in given_directory.saved.items()
        if entry.title is None and name != "sysprompt.kv"
    }
    prompt = data.draw(prompts([entry.text for entry in plain.values()]))
    best = max((len(entry.text) for entry in plain.values() if prompt.startswith(entry.text)), default=None)
    found = store_of(filled(given_directory)).lookup(prompt)
    assert (None if found is None else len(plain[found.name].text)) == best


@given(directories())
def test_recovery_takes_the_temp_files_and_nothing_else(given_directory: Directory) -> None:
    """KVS-RECOVER-2, KVS-RECOVER-3."""
    fs = filled(given_directory)
    report = store_of(fs).recover()
    assert set(report.reclaimed) == given_directory.temps
    assert set(report.foreign) == given_directory.foreign_temps
    assert set(fs.names()) == given_directory.contents.keys() - given_directory.temps


def test_smallest_directories() -> None:
    zeros = "0" * 40
    empty = file_of(SMALLEST_ENTRY, b"\0")
    found = find(directories(), lambda one: bool(one.entries), settings=QUICK)
    assert found.contents == {"da39a3ee5e6b4b0d3255bfef95601890afd80709.kv": empty}
    found = find(directories(), lambda one: bool(one.temps), settings=QUICK)
    assert found.contents == {f".kvc-save-{zeros[:32]}.tmp": b""}
    found = find(directories(), lambda one: bool(one.foreign_temps), settings=QUICK)
    assert found.contents == {f"{zeros}.kv.tmp": b""}
    found = find(directories(), lambda one: bool(one.others), settings=QUICK)
    assert found.contents == {f"{zeros[:39]}.kv": b""}
    found = find(directories(), lambda one: len(one.damaged) == 1 and not one.entries, settings=QUICK)
    assert found.contents == {f"{zeros}.kv": b""}
    twins = find(
        directories(), lambda one: "KVC-NAME-6" in [clause for _, clause in one.damaged.values()], settings=QUICK
    )
    assert sorted(twins.contents) == [
        "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709.kv",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709.kv",
    ]


@pytest.mark.parametrize(
    ("relation", "smallest"),
    [
        (lambda prompt: prompt == b"abc", b"abc"),
        (lambda prompt: prompt.startswith(b"abc") and len(prompt) > 3, b"abc0"),
        (lambda prompt: prompt and b"abc".startswith(prompt) and prompt != b"abc", b"a"),
        (lambda prompt: prompt[:2] == b"ab" and len(prompt) == 3 and prompt != b"abc", b"abb"),
    ],
    ids=["equals", "goes on", "ends inside", "leaves it"],
)
def test_prompts_stand_in_every_relation_to_a_text(relation: Callable[[bytes], bool], smallest: bytes) -> None:
    assert find(prompts([b"abc"]), relation, settings=QUICK) == smallest


def test_without_texts_a_prompt_is_any_text() -> None:
    assert find(prompts([]), lambda _: True, settings=QUICK) == b""
    assert find(prompts([b"abc"], max_more_bytes=0), lambda _: True, settings=QUICK) == b"abc"


@given(payload_streams(max_bytes=50))
def test_a_stream_gives_its_content_each_time(stream: PayloadStream) -> None:
    for _ in range(2):
        assert b"".join(bytes(memoryview(piece).cast("B")) for piece in stream) == stream.content
    assert b"".join(map(bytes, as_payload(stream).pieces())) == stream.content


@given(payload_streams(max_bytes=50, fails=True))
def test_a_stream_that_fails_gives_its_bytes_first(stream: PayloadStream) -> None:
    given_bytes = b""
    with pytest.raises(PayloadFailure):
        for piece in stream:
            given_bytes += bytes(memoryview(piece).cast("B"))
    assert given_bytes == stream.content
    assert len(given_bytes) == stream.fails_after_bytes


@given(payload_streams(min_bytes=1), st.sampled_from([Strategy.STAGED, Strategy.BACKPATCH]))
def test_a_save_writes_what_a_stream_gives(stream: PayloadStream, strategy: Strategy) -> None:
    """KVC-PAYLOAD-1, KVC-WRITER-2."""
    fs = directory()
    store_of(fs).save(ENTRY, stream, strategy=strategy)
    assert fs.content(NAME) == file_of(ENTRY, stream.content)


@given(payload_streams(fails=True), st.sampled_from([Strategy.STAGED, Strategy.BACKPATCH]))
def test_a_stream_that_fails_changes_nothing(stream: PayloadStream, strategy: Strategy) -> None:
    """KVS-FAIL-2: and what the producer raised comes through."""
    fs = directory()
    before = fs.contents()
    with pytest.raises(PayloadFailure):
        store_of(fs).save(ENTRY, stream, strategy=strategy)
    assert fs.contents() == before
    assert before[NAME] == OLD


def test_smallest_streams() -> None:
    assert find(payload_streams(), lambda _: True, settings=QUICK) == PayloadStream(((b"", PieceKind.BYTES),))
    found = find(payload_streams(min_bytes=3), lambda one: len(one.pieces) == 2, settings=QUICK)
    assert found.content == bytes(3)
    assert {kind for _, kind in found.pieces} == {PieceKind.BYTES}
    items = find(payload_streams(), lambda one: any(memoryview(piece).itemsize == 2 for piece in one), settings=QUICK)
    assert items == PayloadStream(((b"", PieceKind.ITEMS),))
    failing = find(payload_streams(fails=True), lambda _: True, settings=QUICK)
    assert failing == PayloadStream(((b"", PieceKind.BYTES),), 0)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="max_pieces is 0 and min_pieces is 1"):
        payload_streams(max_pieces=0)
    with pytest.raises(ValueError, match="max_damaged is -1 and min_damaged is 0"):
        directories(max_damaged=-1)
    with pytest.raises(ValueError, match="max_more_bytes is -1"):
        prompts([], max_more_bytes=-1)
