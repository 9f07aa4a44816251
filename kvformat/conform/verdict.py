"""The verdict on one case, from the answer, the claims of the adapter and the disk (spec/conformance.md, chapter 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kvformat.conform import view
from kvformat.conform.answer import Accept, Claims, NoAnswer, Reject, Reply, Trouble, Unsupported
from kvformat.conform.case import Case


class Verdict(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    UNSUPPORTED = "unsupported"
    NOT_ASSERTED = "not-asserted"
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    TOO_MUCH_MEMORY = "too-much-memory"
    GARBAGE = "garbage"

    @property
    def is_pass(self) -> bool:
        """Whether the case says something good of the implementation."""
        return self in (Verdict.PASSED, Verdict.WARNED)

    @property
    def is_fail(self) -> bool:
        """Whether it says something bad. What is neither says nothing."""
        return not self.is_pass and self not in (Verdict.UNSUPPORTED, Verdict.NOT_ASSERTED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case that is over. `detail` has one sentence for each thing that is not as expected.

    `reply` is None where the case was not asked.
    """

    case: Case
    verdict: Verdict
    detail: tuple[str, ...] = ()
    reply: Reply | None = None


def is_asserted(case: Case, claims: Claims) -> bool:
    """Whether the case counts for an implementation of these behaviours."""
    return case.behaviour is None or claims.behaviours.get(case.behaviour[0]) == case.behaviour[1]


def not_declared(case: Case, claims: Claims) -> Outcome:
    """The outcome of a case that does not count."""
    if case.behaviour is None:
        raise AssertionError(f"{case.id} has no behaviour")
    key, value = case.behaviour
    declared = claims.behaviours.get(key)
    said = "is not declared" if declared is None else f"is declared to be {declared}"
    return Outcome(case, Verdict.NOT_ASSERTED, (f"{key} {said}; the case is about {value}",))


def judge(case: Case, reply: Reply, claims: Claims, disk: Sequence[str]) -> Outcome:
    """The outcome of a case that was asked. `disk` says what on the disk is not as it must be."""
    verdict, detail = _judge(case, reply, claims)
    if isinstance(reply.answer, Accept | Reject) and disk:
        verdict, detail = Verdict.FAILED, [*detail, *disk]
    return Outcome(case, verdict, tuple(detail), reply)


def _judge(case: Case, reply: Reply, claims: Claims) -> tuple[Verdict, list[str]]:
    answer = reply.answer
    if isinstance(answer, NoAnswer):
        return Verdict(answer.fault), [answer.detail]
    if isinstance(answer, Trouble):
        return Verdict.FAILED, [f"the adapter says error: {answer.message or 'without a message'}"]
    if isinstance(answer, Unsupported):
        reason = answer.reason or "without a reason"
        if claims.covers(case.operation, case.profile):
            return Verdict.FAILED, [f"it claims {case.operation} under {case.profile}, and says unsupported: {reason}"]
        return Verdict.UNSUPPORTED, [reason]
    if isinstance(answer, Reject):
        return _judge_reject(case, answer)
    if not case.expected.accept:
        return Verdict.FAILED, [f"accepted, expected reject {case.expected.category or ''}".rstrip()]
    differences = view.differences(case.expected.view or {}, answer.view or {})
    return (Verdict.FAILED if differences else Verdict.PASSED), differences


def _judge_reject(case: Case, answer: Reject) -> tuple[Verdict, list[str]]:
    if case.expected.accept:
        said = ", ".join(one for one in (answer.category, answer.field, answer.message) if one)
        return Verdict.FAILED, [f"rejected ({said or 'without a reason'}), expected accept"]
    detail = [
        f"{what} {got or 'not said'}, expected {wanted}"
        for what, got, wanted in (
            ("category", answer.category, case.expected.category),
            ("field", answer.field, case.expected.field),
        )
        if wanted is not None and got != wanted
    ]
    return (Verdict.WARNED if detail else Verdict.PASSED), detail
