"""Bytes 7 and 20 under every profile, and under `auto` (chapter 6)."""

from __future__ import annotations

from tools.cases.case import Cases
from tools.cases.kvc import PROFILE_OF_BYTE20, File
from tools.cases.reading import AUTO_PROFILE, TOLD_PROFILE, accept, reject

TOLD = ("auto", *PROFILE_OF_BYTE20.values())


def cases() -> Cases:
    """All of the family."""
    for told in TOLD:
        for byte20 in (0, 1, 2, 3, 4, 255):
            for byte7 in (0, 1, 255):
                yield from _pair(told, byte7, byte20)
    file = File(byte7=255, byte20=255, reserved=b"\xff\xff\xff", tool_map=((b"c1", b"<t/>"),))
    comment = "Told ds4-abi0, a reader ignores bytes 7 and 20 to 23, and reads all that follows."
    clauses = ("KVC-PROFILE-3", "KVC-HEADER-13", "KVC-HEADER-14")
    yield accept("profile-abi0-all-reserved", file, clauses, ("profile", "reserved-bytes"), comment, profile="ds4-abi0")
    for told, byte20 in (("ds4-abi2", 2), ("ds4-abi3", 3)):
        session = File(byte7=9, byte20=byte20, tool_map=((b"c1", b"<t/>"),), title=b"Demo")
        comment = f"Sections and identity under {told} are those of every profile."
        yield accept(
            f"profile-{told[4:]}-session", session, ("KVC-PROFILE-1", "KVC-NAME-3"), ("profile",), comment, profile=told
        )
        zeros = File(byte7=0, byte20=byte20, hits=7, context_tokens=0)
        comment = f"Model id 0 under {told} is a model id like any other."
        yield accept(
            f"profile-{told[4:]}-model-0", zeros, ("KVC-HEADER-9", "KVC-PROFILE-1"), ("profile",), comment, profile=told
        )


def _pair(told: str, byte7: int, byte20: int) -> Cases:
    slug = f"profile-{told.removeprefix('ds4-')}-byte7-{byte7}-byte20-{byte20}"
    file = File(byte7=byte7, byte20=byte20)
    flags = ("profile",)
    comment = f"Bytes 7 and 20 are {byte7} and {byte20}; the reader works under {told}."
    if told == "auto" and byte20 not in PROFILE_OF_BYTE20:
        yield reject(slug, file, AUTO_PROFILE, flags, comment, also=("KVC-HEADER-13",), profile=told)
    elif told not in ("auto", "ds4-abi0", PROFILE_OF_BYTE20.get(byte20)):
        yield reject(slug, file, TOLD_PROFILE, flags, comment, also=("KVC-HEADER-13",), profile=told)
    else:
        decides = "KVC-PROFILE-2" if told == "auto" else "KVC-PROFILE-3"
        yield accept(slug, file, (decides, "KVC-HEADER-9", "KVC-HEADER-13"), flags, comment, profile=told)
