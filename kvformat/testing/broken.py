"""Strategies for files with one thing wrong, which a reader rejects, or which only a writer may not leave."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from hypothesis import strategies as st

from kvformat.errors import Category
from kvformat.limits import DEFAULT_LIMITS, Limits
from kvformat.model import Entry
from kvformat.profiles import AUTO
from kvformat.testing.breakages import KINDS, TOLERATED, Breakage, Whole
from kvformat.testing.whole import entries


class BrokenFile(NamedTuple):
    """A file that breaks one clause.

    clause, category: what a reader says that is told `name`, `profile` and `limits`. For KVC-TOOLMAP-1 to KVC-TOOLMAP-6
    that is what a verifier reports, the entry stays usable. breaks: the clause that was broken, where that is another
    one: readers find some mistakes by what follows from them. description: what was done to the file, in words.
    """

    data: bytes
    clause: str
    category: Category
    breaks: str
    description: str
    name: str | None = None
    profile: str = AUTO
    limits: Limits = DEFAULT_LIMITS


class ToleratedFile(NamedTuple):
    """A file that breaks a clause for writers, and that every reader takes. description: what is odd, in words."""

    data: bytes
    clause: str
    description: str


BROKEN_CLAUSES = frozenset(kind.breaks for kind in KINDS)
"""What `broken_files` can break."""

TOLERATED_CLAUSES = frozenset(kind.breaks for kind in TOLERATED)
"""What `tolerated_files` can break."""


def broken_files(*, clauses: Collection[str] | None = None, told: bool = False) -> st.SearchStrategy[BrokenFile]:
    """Files with one thing wrong that a reader rejects, or of whose tool map a verifier says so.

    clauses: only those that break one of these. told: also files at which nothing is wrong but for a reader that is
    told their name, a profile or a limit; without it the bytes alone show what is wrong. Raises ValueError where no
    file would be left.
    """
    kinds = [kind for kind in KINDS if (clauses is None or kind.breaks in clauses) and (told or not kind.told)]
    _check(kinds, clauses, BROKEN_CLAUSES)
    return st.one_of([_broken(kind) for kind in kinds])


def tolerated_files(*, clauses: Collection[str] | None = None) -> st.SearchStrategy[ToleratedFile]:
    """Files that no writer may leave and every reader takes. Raises ValueError for a clause that none breaks."""
    kinds = [kind for kind in TOLERATED if clauses is None or kind.breaks in clauses]
    _check(kinds, clauses, TOLERATED_CLAUSES)
    return st.one_of([_tolerated(kind) for kind in kinds])


def _check(kinds: list[Breakage], clauses: Collection[str] | None, known: frozenset[str]) -> None:
    unknown = sorted(set(clauses or ()) - known)
    if unknown:
        raise ValueError(f"no file breaks {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if not kinds:
        raise ValueError("no such file is left: `clauses` is empty, or names only what a reader must be told")


@st.composite
def _whole(draw: st.DrawFn, kind: Breakage) -> Whole:
    entry: Entry = draw(
        entries(
            profile=kind.profile,
            tool_map=kind.tool_map,
            title=kind.title,
            min_tool_entries=1,
            min_text_bytes=kind.min_text_bytes,
        )
    )
    return Whole(entry, draw(st.binary(min_size=1, max_size=50)))


@st.composite
def _broken(draw: st.DrawFn, kind: Breakage) -> BrokenFile:
    whole = draw(_whole(kind))
    broken = kind.make(draw, whole)
    return BrokenFile(
        broken.data,
        kind.clause,
        kind.category,
        kind.breaks,
        broken.description,
        broken.name,
        broken.profile,
        broken.limits,
    )


@st.composite
def _tolerated(draw: st.DrawFn, kind: Breakage) -> ToleratedFile:
    broken = kind.make(draw, draw(_whole(kind)))
    return ToleratedFile(broken.data, kind.breaks, broken.description)
