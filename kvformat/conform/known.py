"""The list of known failures: cases that are expected not to pass, each with a reason (spec/conformance.md, 5)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kvformat.conform.tables import SuiteError, read_table
from kvformat.conform.verdict import Outcome


@dataclass(frozen=True, slots=True)
class Stale:
    """An entry of the list that is not true any more, and why."""

    id: str
    why: str


def load_known(path: Path) -> dict[str, str]:
    """The reason by the id of the case. Raises SuiteError for a list that cannot be used."""
    table = read_table(path, str(path))
    found: dict[str, str] = {}
    for inner in table.tables("known"):
        case_id, reason = inner.text("id"), inner.text("reason")
        inner.end()
        if not reason.strip():
            raise inner.error(f"{case_id} has no reason: say why it is expected not to pass")
        if case_id in found:
            raise inner.error(f"{case_id} is listed already")
        found[case_id] = reason
    table.end()
    return found


def stale(known: Iterable[str], outcomes: Mapping[str, Outcome], cases: Collection[str]) -> list[Stale]:
    """The entries that must go: of cases that passed, and of ids that no case of the suite has.

    Of a case that was not run, or says nothing of the implementation, nothing is known.
    """
    found = []
    for case_id in known:
        outcome = outcomes.get(case_id)
        if case_id not in cases:
            found.append(Stale(case_id, "the suite has no such case"))
        elif outcome is not None and outcome.verdict.is_pass:
            found.append(Stale(case_id, f"it {outcome.verdict}"))
    return found


def unexpected(outcomes: Iterable[Outcome], known: Collection[str]) -> list[Outcome]:
    """The failures that the list does not have."""
    return [one for one in outcomes if one.verdict.is_fail and one.case.id not in known]


def rewrite(path: Path, remove: Iterable[str], add: Iterable[Outcome]) -> None:
    """Takes entries out of the list and puts others in, with what was seen as their reason; all else stays.

    The list is made where there is none. Raises SuiteError where tomlkit is not installed, OSError.
    """
    try:
        import tomlkit  # only for this, an extra
        from tomlkit.items import AoT
    except ImportError as error:
        raise SuiteError("--fix needs tomlkit: pip install 'kvformat[known]'") from error
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    gone = set(remove)
    entries = document.get("known")
    if isinstance(entries, AoT):
        for index in reversed(range(len(entries))):
            if entries[index]["id"] in gone:
                del entries[index]
    else:
        entries = tomlkit.aot()
    for outcome in add:
        entry = tomlkit.table()
        entry["id"] = outcome.case.id
        entry["reason"] = "; ".join([str(outcome.verdict), *outcome.detail[:2]])
        entries.append(entry)
    document["known"] = entries
    _replace(path, tomlkit.dumps(document))


def _replace(path: Path, text: str) -> None:
    """Whoever is interrupted keeps the old list."""
    fd, temp = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temp, 0o644)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise
