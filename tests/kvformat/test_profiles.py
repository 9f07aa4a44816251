"""The dialects: KVC-PROFILE-1 to KVC-PROFILE-3."""

from __future__ import annotations

import pytest

from kvformat import profiles


def test_the_table_of_the_specification() -> None:
    """KVC-PROFILE-1, KVC-HEADER-9, KVC-HEADER-13."""
    table = {
        name: (profile.has_model_id, profile.has_payload_abi, profile.payload_abi, profile.payload_version)
        for name, profile in profiles.PROFILES.items()
    }
    assert table == {
        "ds4-abi0": (False, False, 0, 1),
        "ds4-abi2": (True, True, 2, 2),
        "ds4-abi3": (True, True, 3, None),
    }
    assert all(name == profile.name for name, profile in profiles.PROFILES.items())
    assert {profile.payload_magic for profile in profiles.PROFILES.values()} == {b"DSV4"}


def test_detection_by_byte_20() -> None:
    """KVC-PROFILE-2."""
    found = {byte20: profiles.detect(byte20) for byte20 in range(256)}
    names = {byte20: profile.name for byte20, profile in found.items() if profile is not None}
    assert names == {0: "ds4-abi0", 2: "ds4-abi2", 3: "ds4-abi3"}
    assert all(profiles.select(profiles.AUTO, byte20) is profile for byte20, profile in found.items())


def test_a_profile_that_was_told_is_not_guessed() -> None:
    """KVC-PROFILE-3."""
    assert profiles.select("ds4-abi0", 77) is profiles.profile_named("ds4-abi0")
    assert all(profiles.profile_named("ds4-abi0").accepts(value) for value in range(256))
    assert [value for value in range(256) if profiles.profile_named("ds4-abi2").accepts(value)] == [2]


@pytest.mark.parametrize("name", ["", "auto", "ds4", "DS4-ABI0"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="known are ds4-abi0, ds4-abi2, ds4-abi3"):
        profiles.profile_named(name)
