"""What was proved and refuted, as plain data. Its schema is kvformat/schemas/prove.schema.json."""

from __future__ import annotations

from typing import Any

import z3

from kvformat.proofs.counterexample import fault
from kvformat.proofs.mistakes import PAYLOAD_BYTES, TEXT_BYTES, Mistake, Refutation
from kvformat.proofs.theorems import Judged, Theorem

SCHEMA_ID = "kvformat-prove/1"


def document(
    proofs: list[tuple[Theorem, list[Judged]]],
    refutations: list[tuple[Mistake, Refutation | None]],
    wrapped: dict[str, int] | None,
    lemma_is_looked_at: bool | None,
) -> dict[str, Any]:
    """One document of a run."""
    return {
        "schema": SCHEMA_ID,
        "solver": f"z3 {z3.get_version_string()}",
        "theorems": [_theorem(theorem, judged) for theorem, judged in proofs],
        "mistakes": [_mistake(mistake, refutation) for mistake, refutation in refutations],
        "wrapped_sum": wrapped,
        "lemma_is_looked_at": lemma_is_looked_at,
    }


def _theorem(theorem: Theorem, judged: list[Judged]) -> dict[str, Any]:
    return {
        "name": theorem.name,
        "sentence": theorem.sentence,
        "clauses": list(theorem.clauses),
        "obligations": [
            {"name": one.obligation.name, "answer": str(one.answer), "seconds": round(one.seconds, 4)} for one in judged
        ],
    }


def _mistake(mistake: Mistake, refutation: Refutation | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": mistake.id,
        "mistake": mistake.name,
        "sentence": mistake.sentence,
        "operation": mistake.operation,
        "strategy": mistake.strategy,
        "durable": mistake.durable,
        "violation": mistake.violation,
        "refuted": refutation is not None,
    }
    if refutation is not None:
        told |= {
            "property": refutation.broken.name,
            "clause": refutation.broken.clause,
            "text_bytes": TEXT_BYTES,
            "payload_bytes": PAYLOAD_BYTES,
            "path": [step.name for step in refutation.path.steps],
            "fault": fault(refutation),
        }
    return told
