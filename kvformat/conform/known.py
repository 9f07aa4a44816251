"""The list of known failures: cases that are expected not to pass, each with a reason (spec/conformance.md, 5)."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kvformat.conform.tables import SuiteError, read_table
from kvformat.conform.verdict import Outcome
from kvformat.display import safe

_ENTRY = re.compile(r"\s*\[\[\s*known\s*\]\]")


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


def rewrite(path: Path, remove: Collection[str], add: Iterable[Outcome]) -> None:
    """Takes entries out of the list and puts others in, with what was seen as their reason; all else stays.

    The comments directly above an entry go with it. The list is made where there is none. Raises SuiteError where
    the list is not written as one expects, OSError.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    wanted = {case_id: reason for case_id, reason in load_known(path).items() if case_id not in remove} if text else {}
    kept = [block for block in _blocks(text) if not any(_is_of(block, case_id) for case_id in remove)]
    for outcome in add:
        reason = safe("; ".join([str(outcome.verdict), *outcome.detail[:2]]))
        wanted[outcome.case.id] = reason
        # What `safe` gives is printable: JSON and TOML write it alike.
        kept.append(f'\n[[known]]\nid = "{outcome.case.id}"\nreason = {json.dumps(reason, ensure_ascii=False)}\n')
    _replace(path, "".join(kept).lstrip("\n"), wanted)


def _blocks(text: str) -> list[str]:
    """The text in pieces: what stands before the first entry, and each entry with the comments directly above it."""
    blocks: list[list[str]] = [[]]
    comments: list[str] = []
    for line in text.splitlines(keepends=True):
        if _ENTRY.match(line):
            blocks.append([*comments, line])
            comments = []
        elif line.lstrip().startswith("#"):
            comments.append(line)
        else:
            blocks[-1] += [*comments, line]
            comments = []
    blocks[-1] += comments
    return ["".join(block) for block in blocks]


def _is_of(block: str, case_id: str) -> bool:
    return re.search(rf"^\s*id\s*=\s*(['\"]){re.escape(case_id)}\1", block, re.MULTILINE) is not None


def _replace(path: Path, text: str, wanted: Mapping[str, str]) -> None:
    """Whoever is interrupted keeps the old list; so does whoever writes it in a form that is not understood here."""
    fd, temp = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
        if load_known(Path(temp)) != wanted:
            raise SuiteError(f"{path}: not rewritten: start each entry with a line [[known]], and id = on its own line")
        os.chmod(temp, 0o644)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise
