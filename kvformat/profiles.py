"""The dialects of the file, loaded from profiles.toml (KVC-PROFILE-1): they differ in bytes 7 and 20."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

AUTO = "auto"
"""Not a profile: "let byte 20 decide" (KVC-PROFILE-2)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One dialect. `payload_abi` is what a writer stores at byte 20, 0 where that is reserved.

    `payload_magic` and `payload_version` are the first two u32 of a ds4 payload, None where
    nothing is known of them (KVC-PAYLOAD-3).
    """

    name: str
    description: str
    has_model_id: bool
    has_payload_abi: bool
    payload_abi: int
    payload_magic: bytes | None = None
    payload_version: int | None = None

    def accepts(self, byte20: int) -> bool:
        """Whether a reader that was told this profile takes a file with this byte 20 (KVC-PROFILE-3)."""
        return not self.has_payload_abi or byte20 == self.payload_abi


def _profile(name: str, table: dict[str, Any]) -> Profile:
    magic = table.get("payload_magic")
    return Profile(
        name=name,
        description=table["description"],
        has_model_id={"reserved": False, "model-id": True}[table["byte7"]],
        has_payload_abi={"reserved": False, "payload-abi": True}[table["byte20"]],
        payload_abi=table["payload_abi"],
        payload_magic=None if magic is None else magic.encode("ascii"),
        payload_version=table.get("payload_version"),
    )


def _load() -> dict[str, Profile]:
    text = resources.files("kvformat").joinpath("profiles.toml").read_text(encoding="utf-8")
    return {name: _profile(name, table) for name, table in tomllib.loads(text)["profiles"].items()}


PROFILES: dict[str, Profile] = _load()
"""Every known profile by name."""

_BY_ABI = {profile.payload_abi: profile for profile in PROFILES.values()}


def profile_named(name: str) -> Profile:
    """The profile of that name. Raises ValueError for a name that is not known, "auto" included."""
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(f"no profile is called {name!r}; known are {', '.join(PROFILES)}") from None


def detect(byte20: int) -> Profile | None:
    """The profile of a file with this byte 20 under "auto", None where there is none (KVC-PROFILE-2)."""
    return _BY_ABI.get(byte20)


def select(name: str, byte20: int) -> Profile | None:
    """The profile of a file for a reader that was told `name`: KVC-PROFILE-2 for "auto", else KVC-PROFILE-3.

    None where "auto" finds none. Raises ValueError for a name that is not known.
    """
    return detect(byte20) if name == AUTO else profile_named(name)
