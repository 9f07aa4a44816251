"""The size of an entry in the 64 bits of a C program: a sum that is checked before it is made never wraps (KVC-FILE-4).

The transition systems count in whole numbers, which never overflow. Here the same sizes are bit vectors, and the exact
sum, with room to spare, stands beside that of 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import z3

from kvformat import layout
from kvformat.proofs.system import Formula, Obligation

_BITS = 64
_ROOM = 4
"""So many bits more hold any sum of four such numbers."""

NAME = "sizes"


def _sizes() -> tuple[Formula, Formula, Formula]:
    return z3.BitVec("text", _BITS), z3.BitVec("payload", _BITS), z3.BitVec("sections", _BITS)


def _exact(*terms: Formula) -> Formula:
    wide = [z3.ZeroExt(_ROOM, term) for term in terms]
    return sum(wide[1:], wide[0])


def _limit(value: int) -> Formula:
    return z3.BitVecVal(value, _BITS)


def _passes(text: Formula, payload: Formula, sections: Formula) -> Formula:
    """The check as it has to be made: what is left of the limit is compared, one size after the other."""
    left = _limit(layout.FILE_BYTES_MAX - layout.TEXT_OFFSET) - text
    return z3.And(z3.ULT(text, _limit(2**32)), z3.ULE(payload, left), z3.ULE(sections, left - payload))


def _passes_wrongly(text: Formula, payload: Formula, sections: Formula) -> Formula:
    """The usual mistake: the sum is made first, and has wrapped when it is compared."""
    total = _limit(layout.TEXT_OFFSET) + text + payload + sections
    return z3.And(z3.ULT(text, _limit(2**32)), z3.ULE(total, _limit(layout.FILE_BYTES_MAX)))


def obligations() -> Iterator[Obligation]:
    """That a sum which passes the check is the exact one, and that the check refuses no size that it need not."""
    text, payload, sections = _sizes()
    total = _limit(layout.TEXT_OFFSET) + text + payload + sections
    exact = _exact(_limit(layout.TEXT_OFFSET), text, payload, sections)
    wide_limit = z3.BitVecVal(layout.FILE_BYTES_MAX, _BITS + _ROOM)
    passes = _passes(text, payload, sections)
    yield Obligation(NAME, "a sum that passes the check did not wrap", (passes,), z3.ZeroExt(_ROOM, total) == exact)
    yield Obligation(NAME, "and is no larger than a file may be", (passes,), z3.ULE(exact, wide_limit))
    small = z3.And(z3.ULT(text, _limit(2**32)), z3.ULE(exact, wide_limit))
    yield Obligation(NAME, "every size that a file may have passes", (small,), passes)


def wrapped() -> dict[str, int] | None:
    """Sizes that the usual check lets pass although no file may be so large; None: there are none."""
    text, payload, sections = _sizes()
    solver = z3.Solver()
    exact = _exact(_limit(layout.TEXT_OFFSET), text, payload, sections)
    solver.add(_passes_wrongly(text, payload, sections), sections == 0, text == 0)
    solver.add(z3.UGT(exact, z3.BitVecVal(layout.FILE_BYTES_MAX, _BITS + _ROOM)))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    return {
        name: model.eval(term, model_completion=True).as_long()
        for name, term in (("text", text), ("payload", payload), ("sections", sections))
    }
