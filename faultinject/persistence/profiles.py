"""Persistence profiles: what a file system may have lost when power fails, as data (KVS-POWER-2)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

STRICT = "strict"
"""The profile that level L3 is about (KVS-LEVEL-3)."""


class Unwritten(StrEnum):
    """What a block reads as that was never written back."""

    ZEROS = "zeros"
    STALE = "stale"


class Size(StrEnum):
    """What must be on the disk before the size that covers it."""

    ANY = "any"
    LAST_BLOCK = "last-block"


class Order(StrEnum):
    """Whether changes reach the disk in order."""

    ANY = "any"
    ORDERED = "ordered"
    JOURNAL = "journal"


class Kept(StrEnum):
    """Which changes of names a sync keeps."""

    NONE = "none"
    OWN = "own"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. `sources` has for every rule, by its name, what it rests on; see profiles.toml for the rules."""

    name: str
    description: str
    block_bytes: int
    unwritten: Unwritten
    size: Size
    truncation: Order
    names: Order
    sync_file: Kept
    sync_directory: Kept
    sync_all: bool
    rename_flushes: bool
    sources: tuple[tuple[str, str], ...]


@cache
def profiles() -> dict[str, Profile]:
    """Every profile by its name, `strict` first."""
    text = resources.files("faultinject.persistence").joinpath("profiles.toml").read_text("utf-8")
    return {name: _profile(name, rules) for name, rules in tomllib.loads(text)["profiles"].items()}


def _profile(name: str, rules: dict[str, Any]) -> Profile:
    described = rules.pop("description")
    values = {rule: stated["value"] for rule, stated in rules.items()}
    return Profile(
        name,
        described,
        values["block_bytes"],
        Unwritten(values["unwritten"]),
        Size(values["size"]),
        Order(values["truncation"]),
        Order(values["names"]),
        Kept(values["sync_file"]),
        Kept(values["sync_directory"]),
        values["sync_all"],
        values["rename_flushes"],
        tuple((rule, stated["source"]) for rule, stated in rules.items()),
    )
