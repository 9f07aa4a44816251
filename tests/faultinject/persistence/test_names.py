"""Names after a loss of power, held against every subset of the changes (KVS-POWER-4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultinject.persistence.names import CHOICES_MAX, Key, NameSpace
from faultinject.persistence.profiles import Order
from tests.faultinject.persistence.brute import Change, Directory, Model

KEYS: list[Key] = [(0, "a"), (0, "b"), (1, "c")]

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["create", "remove", "rename", "exchange"]), st.sampled_from(KEYS), st.sampled_from(KEYS))
    | st.tuples(st.sampled_from(["sync", "sync-file"]), st.sampled_from(KEYS), st.just(KEYS[0])),
    max_size=6,
)


def both(order: Order, actions: list[tuple[str, Key, Key]]) -> tuple[NameSpace, Model]:
    names, model = NameSpace(order), Model()
    names.start(KEYS[0], 100)
    model.add(Change(KEYS[0], 100, durable=True))
    for number, (action, key, other) in enumerate(actions):
        node, replaced = model.now(key), model.now(other)
        if action == "create":
            names.set((key, number))
            model.add(Change(key, number))
        elif action == "remove" and node is not None:
            names.set((key, None))
            model.add(Change(key, None))
        elif action == "rename" and node is not None and node != replaced:
            names.set((other, node), (key, None), implied=True)
            model.add(Change(other, node), Change(key, None), implied=True)
        elif action == "exchange" and node is not None and replaced is not None and key != other:
            names.set((other, node), (key, replaced), both=True)
            model.add(Change(other, node), Change(key, replaced), both=True)
        elif action == "sync":
            names.sync(key[0])
            for one in KEYS:
                if one[0] == key[0]:
                    model.keep(one)
        elif action == "sync-file" and node is not None:
            names.sync_names_of(node)
            for one in KEYS:
                if model.now(one) == node:
                    model.keep(one)
    return names, model


def as_set(directories: list[Directory]) -> set[frozenset[tuple[Key, int]]]:
    return {frozenset(directory.items()) for directory in directories}


@given(ACTIONS)
def test_any_subset_of_changes_may_be_on_the_disk(actions: list[tuple[str, Key, Key]]) -> None:
    names, model = both(Order.ANY, actions)
    choices = list(names.choices())
    assert as_set([names.resolved(choice) for choice in choices]) == as_set(model.directories())
    assert len(set(choices)) == len(choices)
    now = {key: node for key in KEYS if (node := model.now(key)) is not None}
    assert names.resolved(choices[0]) == now


@given(ACTIONS)
def test_a_journal_keeps_a_prefix(actions: list[tuple[str, Key, Key]]) -> None:
    """Without syncs of single names: those are of no profile with a journal alone."""
    actions = [action for action in actions if action[0] not in ("sync", "sync-file")]
    names, _ = both(Order.JOURNAL, actions)
    prefixes = []
    for end in range(len(actions) + 1):
        _, model = both(Order.JOURNAL, actions[:end])
        prefixes.append({key: node for key in KEYS if (node := model.now(key)) is not None})
    assert as_set([names.resolved(choice) for choice in names.choices()]) == as_set(prefixes)
    names.sync_all()
    assert [names.resolved(choice) for choice in names.choices()] == [prefixes[-1]]
    assert names.is_durable


@given(ACTIONS)
def test_a_journal_allows_no_more_than_any_order(actions: list[tuple[str, Key, Key]]) -> None:
    journal, _ = both(Order.JOURNAL, actions)
    anyhow, _ = both(Order.ANY, actions)
    assert as_set([journal.resolved(choice) for choice in journal.choices()]) <= as_set(
        [anyhow.resolved(choice) for choice in anyhow.choices()]
    )


def test_a_rename_leads_to_one_of_the_names() -> None:
    names = NameSpace(Order.ANY)
    names.start((0, "temp"), 1)
    names.start((0, "entry"), 2)
    names.set(((0, "entry"), 1), ((0, "temp"), None), implied=True)
    found = [names.resolved(choice) for choice in names.choices()]
    assert found == [
        {(0, "entry"): 1},
        {(0, "entry"): 1, (0, "temp"): 1},
        {(0, "entry"): 2, (0, "temp"): 1},
    ]


@pytest.mark.parametrize("order", [Order.ANY, Order.JOURNAL])
def test_of_very_many_names_families_are_gone_through(order: Order) -> None:
    """KVS-CLASS-6: everything and nothing are there, each alone lost and each alone kept, and no more than there is."""
    names = NameSpace(order)
    for number in range(40):
        names.set(((0, str(number)), number))
    found = [frozenset(names.resolved(choice).values()) for choice in names.choices()]
    everything = frozenset(range(40))
    assert found[0] == everything
    assert frozenset() in found
    assert {frozenset(range(end)) for end in range(40)} <= set(found)
    alone = {everything - {number} for number in range(40)} | {frozenset({number}) for number in range(40)}
    assert (alone <= set(found)) == (order is Order.ANY)
    assert len(found) == len(set(found)) <= CHOICES_MAX
