"""Profiles with tiny blocks, so that every state can be made by brute force."""

from __future__ import annotations

from dataclasses import replace

from faultinject.persistence.blocks import FileSpace
from faultinject.persistence.contents import Choice
from faultinject.persistence.profiles import Profile, profiles

BLOCK_BYTES = 4
PROFILES = tuple(profiles())


def small(name: str, **rules: object) -> Profile:
    return replace(profiles()[name], block_bytes=BLOCK_BYTES, **rules)  # type: ignore[arg-type]  # any rule


def read(space: FileSpace) -> bytes:
    return b"".join(space.read(0, 1 << 20))


def made(space: FileSpace, choice: Choice) -> bytes:
    """A content put together, in another way than the code does it."""
    epoch = [*space.earlier, space][choice.epoch]
    picks = dict(choice.picks)
    whole = bytearray()
    for index, block in enumerate(epoch.blocks):
        latest = len(block.options) - 1 if index < choice.latest_until else 0
        data = b"".join(block.options[picks.get(index, latest)].pieces)
        assert len(data) <= space.block_bytes
        whole += data.ljust(space.block_bytes, b"\0")
    return bytes(whole[: choice.size_bytes].ljust(choice.size_bytes, b"\0"))
