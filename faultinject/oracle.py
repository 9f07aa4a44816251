"""Judges a directory after a fault: which of the violations of spec/saving.md does it show?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from faultinject.difference import common_bytes
from faultinject.target import Expectation, File, Files, Prepared


class Kind(StrEnum):
    """The violations (KVS-INV)."""

    PARTIAL_VISIBLE = "partial-visible"
    TEMP_LEAKED = "temp-leaked"
    ORPHAN_UNRECLAIMED = "orphan-unreclaimed"
    LIVE_TEMP_REMOVED = "live-temp-removed"
    FALSE_SUCCESS = "false-success"
    ENTRY_LOST = "entry-lost"
    LOST_AFTER_ACK = "lost-after-ack"
    DAMAGE_ACCEPTED = "damage-accepted"
    NEVER_HEALS = "never-heals"

    @property
    def clause(self) -> str:
        """The invariant of spec/saving.md that is broken."""
        return f"KVS-INV-{list(Kind).index(self) + 1}"


class Verdict(StrEnum):
    """What is known about a point (spec/saving.md, "Verdicts")."""

    HELD = "held"
    VIOLATED = "violated"
    NOT_MEASURED = "not-measured"
    HARNESS_ERROR = "harness-error"


class Reported(StrEnum):
    """What the program said of its operation."""

    SUCCESS = "success"
    FAILURE = "failure"
    NOTHING = "nothing"  # it was killed


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation: which, under which name, and one sentence for people."""

    kind: Kind
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `error` is what was raised; `excused` the names that may be left (KVS-FAIL-3)."""

    reported: Reported
    error: BaseException | None = None
    excused: frozenset[str] = frozenset()


def judge(
    prepared: Prepared,
    before: Files,
    after: Files,
    outcome: Outcome,
    *,
    recovered: bool,
    expectation: Expectation | None = None,
) -> list[Finding]:
    """Holds `after` against the invariants KVS-INV-1 to -6. `recovered` says that a recovery ran since the fault.

    `expectation` is the prepared one unless given.
    After a kill and before recovery, a temp file may lie around; in every other case none may.
    """
    expectation = expectation or prepared.expectation
    findings = _target(prepared, expectation, before, after, outcome)
    for name, file in after.items():
        if name == expectation.target:
            continue
        old = before.get(name)
        if old is None:
            if prepared.is_entry(name):
                findings.append(Finding(Kind.PARTIAL_VISIBLE, name, "an entry that nobody saved has appeared"))
            elif name not in outcome.excused or recovered:
                findings += _leftover(name, file, outcome, recovered)
        elif name in expectation.stale:
            if recovered or (name in expectation.gone and outcome.reported is Reported.SUCCESS):
                findings.append(Finding(Kind.ORPHAN_UNRECLAIMED, name, "a dead writer's temp file is still there"))
        elif not file.same_content(old):
            kind = Kind.LIVE_TEMP_REMOVED if name in expectation.live else Kind.ENTRY_LOST
            findings.append(Finding(kind, name, "another file than the one saved has changed"))
    findings += _gone(prepared, expectation, before, after)
    return findings


def _target(
    prepared: Prepared, expectation: Expectation, before: Files, after: Files, outcome: Outcome
) -> list[Finding]:
    """The name that the operation is about: old or new content, and new after success."""
    name = expectation.target
    if name is None:
        return []
    old, file, new = before.get(name), after.get(name), expectation.new
    is_new = new is None if file is None else new is not None and file.same_content(new)
    findings = []
    if not is_new:
        if file is None:
            if old is not None:
                findings.append(Finding(Kind.ENTRY_LOST, name, "the old entry is gone and the new one is not there"))
        elif old is None or not file.same_content(old):
            findings.append(Finding(Kind.PARTIAL_VISIBLE, name, _what_is_wrong(prepared, name, file, new)))
        if outcome.reported is Reported.SUCCESS:
            findings.append(Finding(Kind.FALSE_SUCCESS, name, "success was reported and the new content is not there"))
    elif file is not None and outcome.reported is Reported.SUCCESS:
        complaint = prepared.check(name, file)
        if complaint is not None:
            findings.append(Finding(Kind.FALSE_SUCCESS, name, f"a public reader rejects it: {complaint}"))
    return findings


def lost_after_acknowledgement(expectation: Expectation, after: Files) -> list[Finding]:
    """What a loss of power has taken although success had been reported (KVS-INV-7)."""
    name = expectation.target
    if name is None:
        return []
    file, new = after.get(name), expectation.new
    if new is None:
        what = None if file is None else "its removal was reported as done and it is there again"
    elif file is None:
        what = "success was reported and after the loss of power there is no such entry"
    else:
        what = None if file.same_content(new) else "success was reported and the new content was lost with the power"
    return [] if what is None else [Finding(Kind.LOST_AFTER_ACK, name, what)]


def _leftover(name: str, file: File, outcome: Outcome, recovered: bool) -> list[Finding]:
    what = f"a file of {file.size_bytes} bytes is left"
    if recovered:
        return [Finding(Kind.ORPHAN_UNRECLAIMED, name, f"{what} after recovery")]
    if outcome.reported is Reported.NOTHING:
        return []  # a killed process keeps no promises; recovery comes next
    return [Finding(Kind.TEMP_LEAKED, name, f"{what} although the process lives and reported {outcome.reported}")]


def _gone(prepared: Prepared, expectation: Expectation, before: Files, after: Files) -> list[Finding]:
    findings = []
    for name in before:
        if name in after or name == expectation.target:
            continue
        if name in expectation.live:
            findings.append(Finding(Kind.LIVE_TEMP_REMOVED, name, "a living writer's temp file is gone"))
        elif prepared.is_entry(name):
            findings.append(Finding(Kind.ENTRY_LOST, name, "another entry is gone"))
    return findings


def _what_is_wrong(prepared: Prepared, name: str, file: File, new: File | None) -> str:
    """One sentence on content that is neither old nor new, for whoever has to find the cause."""
    content = file.read_all()
    if not content:
        return "the file is empty"
    if new is not None and file.size_bytes <= new.size_bytes:
        complete = new.read_all()
        if complete.startswith(content):
            where = prepared.region_of(len(content))
            return f"only the first {len(content)} of {len(complete)} bytes are there" + (
                f" (cut in the {where})" if where else ""
            )
    expected = new.read_all() if new is not None else b""
    differs = common_bytes(content, expected)
    if differs < min(len(content), len(expected)):
        where = prepared.region_of(differs)
        return f"neither old nor new: it differs from the new content first at byte {differs}" + (
            f" ({where})" if where else ""
        )
    complaint = prepared.check(name, file)
    return f"neither old nor new content ({file.size_bytes} bytes)" + (f": {complaint}" if complaint else "")
