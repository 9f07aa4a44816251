"""Strategies for directories: names with contents, what a listing must show of each, and prompts for lookups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from kvformat.errors import Category
from kvformat.model import Entry
from kvformat.testing.arguments import check_range
from kvformat.testing.broken import BrokenFile, broken_files
from kvformat.testing.parts import texts
from kvformat.testing.whole import entries, file_of, name_of

_BEFORE_SECTIONS = (
    *("KVC-FILE-1", "KVC-FILE-3", "KVC-FILE-4", "KVC-FILE-6", "KVC-HEADER-1", "KVC-HEADER-2", "KVC-HEADER-3"),
    *("KVC-HEADER-10", "KVC-HEADER-17", "KVC-PROFILE-2", "KVC-TEXT-1"),
)
"""What a lister sees: steps 1 to 9 of spec/kvc.md, 1.4."""


@dataclass(frozen=True)
class Directory:
    """Regular files by their names, and what a listing under "auto" says of each name.

    entries: names that are shown as entries. damaged: the category and the clause of files under an entry's name that
    no reader uses. saved: what the entries of `entries` hold. Each name is in one of the five.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    entries: frozenset[str] = frozenset()
    damaged: dict[str, tuple[Category, str]] = field(default_factory=dict)
    temps: frozenset[str] = frozenset()
    foreign_temps: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    saved: dict[str, tuple[Entry, bytes]] = field(default_factory=dict)


_HEX = "0123456789abcdef"
_DIGESTS = st.text(_HEX, min_size=40, max_size=40)
_TEMPS = st.builds(".kvc-{}-{}.tmp".format, st.sampled_from(["save", "stage"]), st.text(_HEX, min_size=32, max_size=32))
_TAILS = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), max_size=8)
_FOREIGN = st.builds("{}.kv.tmp{}".format, _DIGESTS | st.just("sysprompt"), _TAILS)
_LOOK_ALIKES = st.one_of(
    st.text(_HEX, min_size=39, max_size=39).map("{}.kv".format),
    st.text(_HEX, min_size=41, max_size=41).map("{}.kv".format),
    _DIGESTS.map("{}.KV".format),
    _DIGESTS.map("{}.kv\n".format),
    _DIGESTS.map(" {}.kv".format),
    _DIGESTS.map(lambda digest: f"{digest[:39]}\N{FULLWIDTH DIGIT ONE}.kv"),
    _DIGESTS.map(lambda digest: f"{digest[:39]}g.kv"),
    _DIGESTS.map(lambda digest: f"{digest[:39]}\udcff.kv"),
    st.sampled_from(["SYSPROMPT.kv", "sysprompt.KV", "sysprompt.kv ", "sysprompt.kv~", ".kv", "\udcff", "\n"]),
    st.text(_HEX, min_size=31, max_size=31).map(".kvc-save-{}.tmp".format),
    st.text("0123456789ABCDEF", min_size=31, max_size=31).map(".kvc-save-A{}.tmp".format),
    st.text(_HEX, min_size=32, max_size=32).map(".kvc-move-{}.tmp".format),
)


def directories(
    *,
    max_entries: int = 3,
    max_damaged: int = 2,
    max_temps: int = 2,
    max_foreign_temps: int = 2,
    max_others: int = 2,
    max_text_bytes: int = 20,
) -> st.SearchStrategy[Directory]:
    """Directories with entries under names in any case of their digits, at times several names of one identity.

    Beside them stand damaged entries, temp files of this protocol and of others, and names that look like these.
    """
    for what, most in (
        ("entries", max_entries),
        ("damaged", max_damaged),
        ("temps", max_temps),
        ("foreign_temps", max_foreign_temps),
        ("others", max_others),
        ("text_bytes", max_text_bytes),
    ):
        check_range(what, 0, most)
    return _directories(
        _named_entries(max_entries, max_text_bytes),
        st.dictionaries(_DIGESTS.map("{}.kv".format), broken_files(clauses=_BEFORE_SECTIONS), max_size=max_damaged),
        st.dictionaries(_TEMPS, st.binary(max_size=20), max_size=max_temps),
        st.dictionaries(_FOREIGN, st.binary(max_size=20), max_size=max_foreign_temps),
        st.dictionaries(_LOOK_ALIKES, st.binary(max_size=20), max_size=max_others),
    )


_Named = dict[str, tuple[Entry, bytes]]


@st.composite
def _named_entries(draw: st.DrawFn, max_entries: int, max_text_bytes: int) -> _Named:
    """Each entry under one to three spellings of its name, at times under the fixed one."""
    kept = entries(max_text_bytes=max_text_bytes, max_tool_entries=1)
    found: _Named = {}
    for entry in draw(st.lists(kept, max_size=max_entries)):
        name = name_of(entry)
        payload = draw(st.binary(min_size=1, max_size=20))
        spellings = [name, name[:-3].upper() + ".kv", _mixed(name), "sysprompt.kv"]
        for spelling in draw(st.lists(st.sampled_from(spellings), min_size=1, max_size=3)):
            found[spelling] = entry, payload
    return found


def _mixed(name: str) -> str:
    """Every other digit in upper case."""
    digits = name.removesuffix(".kv")
    return "".join(digit.upper() if place % 2 else digit for place, digit in enumerate(digits)) + ".kv"


@st.composite
def _directories(
    draw: st.DrawFn,
    named: st.SearchStrategy[_Named],
    broken: st.SearchStrategy[dict[str, BrokenFile]],
    *rest: st.SearchStrategy[dict[str, bytes]],
) -> Directory:
    saved = draw(named)
    damaged = {name: one for name, one in draw(broken).items() if name not in saved}
    temps, foreign, others = (draw(one) for one in rest)
    twins = _twins(saved)
    return Directory(
        contents={
            **{name: file_of(entry, payload) for name, (entry, payload) in saved.items()},
            **{name: one.data for name, one in damaged.items()},
            **temps,
            **foreign,
            **others,
        },
        entries=frozenset(saved.keys() - twins),
        damaged={
            **dict.fromkeys(twins, (Category.IDENTITY_MISMATCH, "KVC-NAME-6")),
            **{name: (one.category, one.clause) for name, one in damaged.items()},
        },
        temps=frozenset(temps),
        foreign_temps=frozenset(foreign),
        others=frozenset(others),
        saved={name: one for name, one in saved.items() if name not in twins},
    )


def _twins(saved: _Named) -> set[str]:
    """Of names that differ only in case, all but the greatest (KVC-NAME-6)."""
    greatest: dict[str, str] = {}
    for name in sorted(saved):
        greatest[name.lower()] = name
    return saved.keys() - greatest.values()


def prompts(texts_of: Sequence[bytes], *, max_more_bytes: int = 20) -> st.SearchStrategy[bytes]:
    """Prompts that equal one of the texts, extend it, end inside it or leave it at some byte, and others.

    For lookups among entries with these texts (KVC-LOOKUP-1).
    """
    check_range("more_bytes", 0, max_more_bytes)
    more = texts(max_bytes=max_more_bytes)
    if not texts_of:
        return more
    return st.one_of(_prompts(st.sampled_from(list(texts_of)), more), more)


@st.composite
def _prompts(draw: st.DrawFn, text: st.SearchStrategy[bytes], more: st.SearchStrategy[bytes]) -> bytes:
    start = draw(text)
    if not start or draw(st.booleans()) is False:
        return start + draw(more)
    place = draw(st.integers(0, len(start) - 1))
    other = bytes((start[place] ^ draw(st.integers(1, 255)),)) if draw(st.booleans()) else b""
    return start[:place] + (other + start[place + 1 :] + draw(more) if other else b"")
