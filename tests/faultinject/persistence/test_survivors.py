"""Random programs: the states that are found are all that there may be, and no others (KVS-POWER-1, KVS-POWER-6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultinject.ops import Op, Operation
from faultinject.persistence import survivors as module
from faultinject.persistence.contents import Reference
from faultinject.persistence.machine import Machine
from faultinject.persistence.survivors import described, state_classes, survived, survivor_numbered
from tests.faultinject.persistence.brute import Change, File, Model, states
from tests.faultinject.persistence.replayed import (
    content_of,
    linked,
    opened,
    plain,
    renamed,
    replayed,
    states_of,
    synced,
    synced_directory,
    unlinked,
    wrote,
)
from tests.faultinject.persistence.small import BLOCK_BYTES, PROFILES, small

NAMES = ["a", "b", "c"]
Step = tuple[str, str, str, int, bytes]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["create", "write", "write", "sync", "rename", "link", "unlink", "sync-directory"]),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.integers(0, 5),
        st.binary(min_size=1, max_size=5),
    ),
    max_size=7,
)


class Program:
    """A save that does as it is told: what it did, and a model by brute force of what may be left."""

    def __init__(self, steps: list[Step]) -> None:
        self.model = Model()
        self.files: dict[int, File] = {}
        self.now: dict[str, int] = {}
        self.operations: list[Operation] = []
        for step in steps:
            self.operations += self._do(*step)

    def _do(self, action: str, name: str, other: str, offset: int, data: bytes) -> Iterator[Operation]:
        inode = self.now.get(name)
        if inode is None and action in ("create", "write", "rename"):
            # The node 0 is the directory: numbers are those of the machine.
            number = self.now[name] = len(self.files) + 1
            self.files[number] = File()
            self._lead(name, number)
            yield opened(name, number)
        elif action == "sync-directory":
            for one in NAMES:
                self.model.keep((0, one))
            yield synced_directory()
        elif inode is None:
            return
        elif action in ("create", "write"):
            self.files[inode].write(offset, data)
            yield wrote(inode, offset, data)
        elif action == "sync":
            self.files[inode].sync()
            yield synced(inode)
        elif action == "link" and other not in self.now:
            self._lead(other, inode)
            yield linked(inode, other)
        elif action == "unlink":
            self._lead(name, None)
            yield unlinked(name)
        elif action == "rename" and self.now.get(other) != inode:
            self.model.add(Change((0, other), inode), Change((0, name), None), implied=True)
            self.now[other] = self.now.pop(name)
            yield renamed(name, other)

    def _lead(self, name: str, number: int | None) -> None:
        self.model.add(Change((0, name), number))
        if number is None:
            del self.now[name]
        else:
            self.now[name] = number


@settings(max_examples=250)
@given(STEPS)
def test_strict_allows_all_that_may_be_and_nothing_else(steps: list[Step]) -> None:
    """No state is missing (soundness), and none is there that a sync forbids (tightness)."""
    program = Program(steps)
    assert states_of(replayed(program.operations)) == states(program.model, program.files)


@settings(max_examples=150)
@given(st.sampled_from(PROFILES), STEPS)
def test_no_profile_allows_more_than_strict(name: str, steps: list[Step]) -> None:
    operations = Program(steps).operations
    assert states_of(replayed(operations, small(name))) <= states_of(replayed(operations))


@given(STEPS)
def test_the_first_state_has_everything(steps: list[Step]) -> None:
    program = Program(steps)
    machine = replayed(program.operations)
    first = next(iter(state_classes(machine, lambda path: ()))).survivors[0]
    files = survived(machine, first)
    assert {path: content_of(file) for path, file in files.items()} == {
        name: program.files[inode].content for name, inode in program.now.items()
    }
    assert described(machine, first) == "all that was done so far is on the disk"


@given(STEPS, st.binary(max_size=6))
def test_classes_are_of_states_that_equal_the_same_references(steps: list[Step], other: bytes) -> None:
    program = Program(steps)
    machine = replayed(program.operations)
    right = {name: [program.files[inode].content, other] for name, inode in program.now.items()}
    references = {
        name: [Reference((one,) if one else (), BLOCK_BYTES) for one in wanted] for name, wanted in right.items()
    }
    seen = 0
    for one in state_classes(machine, lambda path: references.get(path, [])):
        labels = set()
        for survivor in one.every():
            seen += 1
            files = {path: content_of(file) for path, file in survived(machine, survivor).items()}
            labels.add(
                frozenset((path, content == want) for path, content in files.items() for want in right.get(path, []))
                | {(path, True) for path in files}
            )
        assert len(labels) == 1
    assert seen == sum(found.states for found in state_classes(machine, lambda path: ()))


def two_files() -> Machine:
    return replayed([opened("a", 1), wrote(1, 0, b"12345678"), opened("b", 2), wrote(2, 0, b"abcdefgh")])


def test_of_too_many_combinations_one_file_at_a_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """KVS-CLASS-6: those of strict, and everything and nothing of all files."""
    machine = two_files()
    references = {
        "a": [Reference((b"12345678",), BLOCK_BYTES)],
        "b": [Reference((b"abcdefgh",), BLOCK_BYTES)],
    }

    def found() -> set[frozenset[tuple[str, bytes]]]:
        return {
            frozenset((path, content_of(file)) for path, file in survived(machine, survivor).items())
            for one in state_classes(machine, lambda path: references[path])
            for survivor in one.every()
        }

    every = found()
    monkeypatch.setattr(module, "COMBINATIONS_MAX", 1)
    some = found()
    assert some <= every == plain(machine)
    for wanted in ({("a", b"12345678"), ("b", b"")}, {("a", b""), ("b", b"abcdefgh")}, {("a", b""), ("b", b"")}):
        assert frozenset(wanted) in some


@pytest.mark.parametrize("number", ["", "x", "0", "0.0", "0.0.0.0", "99.0.0", "0.0.99999", f"{10**30}.0.0", "-1.0.0"])
def test_a_state_that_does_not_exist_is_refused(number: str) -> None:
    with pytest.raises((IndexError, ValueError)):
        survivor_numbered(two_files(), number)


def test_what_is_missing_is_said_in_words() -> None:
    machine = replayed(
        [opened("t", 1), wrote(1, 0, b"12345678"), renamed("t", "e"), Operation(-1, Op.CLOSE, inode=1)],
        small("strict"),
    )
    sentences = {
        described(machine, survivor) for one in state_classes(machine, lambda path: ()) for survivor in one.every()
    }
    assert "the name 'e' is not there" in sentences
    assert any("of 'e' only 4 of 8 bytes" in sentence for sentence in sentences)
    assert any("of 'e' bytes 0 to 3 are zeros" in sentence for sentence in sentences)
    assert any("bytes 4 to 7 are what the device held before" in sentence for sentence in sentences)
    assert any("'t' is still there" in sentence for sentence in sentences)
