"""The clauses of the specification as a report quotes them: id, level, authority and the words (spec/kvc.md, 1.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kvformat.conform.tables import SuiteError

_DOCUMENTS = ("kvc.md", "saving.md")
_HEADING = re.compile(r"#### (?P<id>KV[CS]-[A-Z]+-[0-9]+) · (?P<level>[A-Z]+) · (?P<authority>[a-z+]+)")
_OTHER_HEADING = re.compile(r"#{1,4} ")


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause. `paragraphs` are its words without line ends; the first one is the demand."""

    id: str
    level: str
    authority: str
    paragraphs: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The demand, in the words of the specification."""
        return self.paragraphs[0] if self.paragraphs else ""

    def duty(self, role: str) -> str | None:
        """The paragraph "Reader:" or "Writer:", None where there is none."""
        return next((one for one in self.paragraphs if one.startswith(f"{role}: ")), None)


def read_clauses(spec: Path) -> dict[str, Clause]:
    """Every clause of the documents in `spec` by its id. Raises SuiteError where there are none."""
    found: dict[str, Clause] = {}
    for name in _DOCUMENTS:
        path = spec / name
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise SuiteError(f"{path}: {error.strerror}; the clauses that cases cite stand there") from error
        found |= {clause.id: clause for clause in _parse(text)}
    if not found:
        raise SuiteError(f"{spec}: {' and '.join(_DOCUMENTS)} have no clauses")
    return found


def _parse(text: str) -> list[Clause]:
    found: list[Clause] = []
    heading: re.Match[str] | None = None
    lines: list[str] = []

    def take() -> None:
        if heading is not None:
            found.append(Clause(heading["id"], heading["level"], heading["authority"], _paragraphs(lines)))
        lines.clear()

    for line in text.splitlines():
        if _OTHER_HEADING.match(line):
            take()
            heading = _HEADING.fullmatch(line)
        else:
            lines.append(line)
    take()
    return found


def _paragraphs(lines: list[str]) -> tuple[str, ...]:
    blocks = "\n".join(lines).strip().split("\n\n")
    return tuple(" ".join(block.split()) for block in blocks if block.strip())
