"""What a tail changes in the model equals what the same changes make of plain bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.blackbox.content import Content
from faultinject.blackbox.overlay import Base, File, Overlay, Reference
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind, State
from faultinject.blackbox.tree import DIRECTORY_ID, ModelError, Tree

END = b"the end that the recorded run comes to"
REFERENCE = Reference(7, END)

Edit = tuple[int, bytes | None]
"""Where bytes are written; or (None) to which size the file is set."""

edits = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 50), st.binary(max_size=12)),
        st.tuples(st.integers(0, len(END)), st.integers(0, 12)).map(lambda at: (at[0], END[at[0] :][: at[1]])),
        st.tuples(st.integers(0, 60), st.none()),
    ),
    max_size=8,
)
beginnings = st.one_of(st.binary(max_size=20), st.integers(0, len(END)).map(lambda size: END[:size]))


def of(data: bytes, reference: Reference | None = REFERENCE) -> File:
    return File.of(Content(Node(NodeKind.FILE, data)), reference)


def apply(file: File, changes: list[Edit]) -> File:
    for where, data in changes:
        if data is None:
            file.resize(where)
        else:
            file.write(where, data)
    return file


def plainly(data: bytes, changes: list[Edit]) -> bytes:
    plain = bytearray(data)
    for where, written in changes:
        if written is None:
            plain = plain[:where].ljust(where, b"\0")
        elif written:
            plain = plain.ljust(where, b"\0")
            plain[where : where + len(written)] = written
    return bytes(plain)


@given(data=beginnings, changes=edits, known=st.booleans())
def test_a_file_equals_the_bytes_that_the_same_edits_make(data: bytes, changes: list[Edit], known: bool) -> None:
    file = apply(of(data, REFERENCE if known else None), changes)
    expected = plainly(data, changes)
    assert file.content().node().data == expected
    assert file.size_bytes == len(expected)


@given(data=beginnings, one=edits, other=edits)
def test_equal_tokens_mean_equal_content(data: bytes, one: list[Edit], other: list[Edit]) -> None:
    base = of(data)
    first, second = apply(base.copy(), one), apply(base.copy(), other)
    if first.token() == second.token():
        assert first.content().node() == second.content().node()


@given(data=beginnings, changes=edits)
def test_the_same_edits_give_equal_tokens(data: bytes, changes: list[Edit]) -> None:
    base = of(data)
    assert apply(base.copy(), changes).token() == apply(base.copy(), changes).token()


def test_a_beginning_of_the_reference_is_known_by_its_length_alone() -> None:
    file = of(b"")
    for at in range(0, len(END), 5):
        file.write(at, END[at : at + 5])
        assert file.token() == (7, min(at + 5, len(END)))
    file.resize(9)
    assert file.token() == (7, 9)
    file.write(9, b"something else")
    assert file.token() != (7, 23)


def test_the_reference_counts_only_where_it_begins_with_the_content() -> None:
    assert of(b"another").token() != of(END[:7]).token()
    assert of(END + b"more").reference is None
    assert File.of(Content(Node(NodeKind.SYMLINK, END[:3])), REFERENCE).reference is None


# Names

NAMES = ["a", "b", "dir/c", "new"]
changes_of_names = st.lists(
    st.one_of(
        st.tuples(st.just("unlink"), st.sampled_from(NAMES), st.just("")),
        st.tuples(st.just("create"), st.sampled_from(NAMES), st.just("")),
        st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.tuples(st.just("write"), st.sampled_from(NAMES), st.text("xyz", max_size=5)),
    ),
    max_size=8,
)


def base() -> Base:
    state: State = {
        "a": Node(NodeKind.FILE, b"of a"),
        "b": Node(NodeKind.FILE, b"of b"),
        "dir": DIRECTORY,
        "dir/c": Node(NodeKind.FILE, b"of c"),
    }
    tree = Tree.of(state, {name: (1, number) for number, name in enumerate(state, 1)}, 100)
    return Base(tree.copy(), tree, lambda _: None)


def act(overlay: Overlay, plain: dict[str, bytearray], change: tuple[str, str, str]) -> None:
    what, name, more = change
    identity = overlay.lookup(name)
    assert (identity is None) == (name not in plain)
    if what == "create" and identity is None:
        overlay.create(name)
        plain[name] = bytearray()
    elif identity is None:
        return
    elif what == "unlink":
        overlay.names[name] = None
        del plain[name]
    elif what == "rename" and name != more:
        overlay.names[name], overlay.names[more] = None, identity
        plain[more] = plain.pop(name)
    elif what == "write":
        overlay.file(identity).write(1, more.encode())
        plain[name][:] = plainly(bytes(plain[name]), [(1, more.encode())])


def run(changes: list[tuple[str, str, str]], over: Base) -> tuple[Overlay, dict[str, bytearray]]:
    overlay = Overlay(over)
    plain = {"a": bytearray(b"of a"), "b": bytearray(b"of b"), "dir/c": bytearray(b"of c")}
    for change in changes:
        act(overlay, plain, change)
    return overlay, plain


@given(changes=changes_of_names)
def test_names_and_contents_are_those_that_the_same_changes_make(changes: list[tuple[str, str, str]]) -> None:
    overlay, plain = run(changes, base())
    state = dict(overlay.state())
    assert state.pop("dir") == DIRECTORY
    assert {name: node.data for name, node in state.items()} == {name: bytes(data) for name, data in plain.items()}
    assert overlay.is_empty("dir") == ("dir/c" not in plain)
    assert list(state) == sorted(state)


@given(one=changes_of_names, other=changes_of_names)
def test_equal_keys_mean_equal_states_and_equal_models_equal_keys(
    one: list[tuple[str, str, str]], other: list[tuple[str, str, str]]
) -> None:
    over = base()
    first, second = run(one, over)[0], run(other, over)[0]
    if first.key() == second.key():
        assert first.state() == second.state()
    if first.model() == second.model():
        assert first.key() == second.key()
    again, _ = run(one, over)
    assert again.model() == first.model()
    assert again.key() == first.key()


def test_what_is_undone_is_no_change() -> None:
    over = base()
    overlay = Overlay(over)
    identity = overlay.create("new")
    overlay.file(identity).write(0, b"temp")
    assert overlay.key() != Overlay(over).key()
    overlay.names["new"] = None
    assert overlay.key() == Overlay(over).key()
    assert overlay.model() != Overlay(over).model()  # it is still open, and may be linked again


def test_an_unlinked_file_keeps_its_content_for_who_has_it_open() -> None:
    overlay = Overlay(base())
    identity = overlay.lookup("a")
    assert identity is not None
    overlay.names["a"] = None
    assert overlay.touches(identity)
    assert overlay.look(identity).content().node().data == b"of a"
    assert overlay.lookup("dir") == DIRECTORY_ID


def test_more_than_the_limit_is_refused() -> None:
    overlay = Overlay(base())
    overlay.file(overlay.create("new")).resize(101)
    with pytest.raises(ModelError, match="more than 100 bytes"):
        overlay.state()
