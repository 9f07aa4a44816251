"""Two reports compared: what got better, what got worse (`kvformat conform diff`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvformat.conform.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A case whose verdict is another one now; None on the side where the report does not have the case."""

    id: str
    before: Verdict | None
    after: Verdict | None

    @property
    def is_worse(self) -> bool:
        """Whether it fails now and did not, or passed and says nothing now."""
        fails = self.after is not None and self.after.is_fail
        failed = self.before is not None and self.before.is_fail
        passed = self.before is not None and self.before.is_pass
        return (fails and not failed) or (passed and not (self.after is not None and self.after.is_pass))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Every case whose verdict differs, by id."""
    old, new = _verdicts(before), _verdicts(after)
    return [
        Change(case_id, old.get(case_id), new.get(case_id))
        for case_id in sorted(old.keys() | new.keys())
        if old.get(case_id) != new.get(case_id)
    ]


def _verdicts(document: Mapping[str, Any]) -> dict[str, Verdict]:
    return {case["id"]: Verdict(case["verdict"]) for case in document["cases"]}
