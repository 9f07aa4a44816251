"""Profiles are data, and every rule says what it rests on (KVS-POWER-2)."""

from __future__ import annotations

from dataclasses import fields

import pytest

from faultinject.persistence.profiles import STRICT, Kept, Order, Profile, Size, Unwritten, profiles

RULES = {field.name for field in fields(Profile)} - {"name", "description", "sources"}


@pytest.mark.parametrize("profile", profiles().values(), ids=lambda profile: profile.name)
def test_every_rule_has_a_source(profile: Profile) -> None:
    assert {rule for rule, source in profile.sources if source} == RULES
    assert profile.description


def test_strict_is_first_and_has_the_weakest_of_every_rule() -> None:
    strict = profiles()[STRICT]
    assert next(iter(profiles().values())) is strict
    assert strict.block_bytes == min(one.block_bytes for one in profiles().values()) == 512
    assert (strict.unwritten, strict.size) == (Unwritten.STALE, Size.ANY)
    assert (strict.truncation, strict.names) == (Order.ANY, Order.ANY)
    assert (strict.sync_file, strict.sync_directory) == (Kept.NONE, Kept.OWN)
    assert not strict.sync_all
    assert not strict.rename_flushes


@pytest.mark.parametrize("profile", profiles().values(), ids=lambda profile: profile.name)
def test_blocks_are_whole_sectors(profile: Profile) -> None:
    assert profile.block_bytes % 512 == 0
