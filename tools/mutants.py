"""The mutants, and the clauses that each breaks: writers, adapters, contracts and mistakes that must be caught.

A mutant says what it breaks in the first comment or docstring that it has, by the word "Breaks" before ids:
"Breaks KVS-SAVE-3 and KVS-FAIL-2." A wrong writer names violations besides, in C in its first comment, in Python by
`@deserves(Kind.TEMP_LEAKED, …)`; the clause of a violation is the one of spec/saving.md that ends in
"Violation: `temp-leaked`."
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.citations import Mutant, Trace, broken_spans, cited_ids

_VIOLATION = re.compile(r"Violation:\s+`(?P<name>[a-z-]+)`")
_FIRST_COMMENT = re.compile(r"\s*/\*(?P<text>.*?)\*/", re.DOTALL)
_WRITERS_IN_C = "examples/c/wrong"

Documented = ast.ClassDef | ast.FunctionDef


def violations(trace: Trace) -> dict[str, str]:
    """The clause of each violation by the violation's name."""
    return {
        match["name"]: clause_id
        for clause_id, clause in trace.clauses.items()
        for match in _VIOLATION.finditer(clause.text)
    }


def read_mutants(root: Path, trace: Trace) -> None:
    """Notes in `trace` which mutant breaks which clause, and the mutants that say nothing of it."""
    known = violations(trace)
    for mutant, broken in (*_in_c(root, known), *_in_python(root, known, trace)):
        if not broken:
            trace.failures.append(
                f'{mutant.path}: {mutant.name} does not say what it breaks: write "Breaks ID." into its first comment'
            )
        for clause_id in broken:
            if clause_id in trace.clauses:
                trace.clauses[clause_id].mutants.add(mutant)
            elif not clause_id.startswith("KV"):
                trace.failures.append(f"{mutant.path}: {mutant.name} deserves {clause_id}, which no clause has")


def _said(text: str) -> set[str]:
    return {cited for start, end in broken_spans(text) for _, cited in cited_ids(text[start:end])}


def _in_c(root: Path, known: Mapping[str, str]) -> Iterator[tuple[Mutant, set[str]]]:
    for path in sorted((root / _WRITERS_IN_C).glob("*.c")):
        comment = _FIRST_COMMENT.match(path.read_text(encoding="utf-8"))
        text = "" if comment is None else comment["text"]
        named = {clause_id for name, clause_id in known.items() if re.search(rf"\b{name}\b", text)}
        yield Mutant(f"{_WRITERS_IN_C}/{path.name}", path.stem), named | _said(text)


def _in_python(root: Path, known: Mapping[str, str], trace: Trace) -> Iterator[tuple[Mutant, set[str]]]:
    for path in sorted((root / "tests").rglob("*.py")):
        where = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        if where.startswith("tests/tools/") or not ("@deserves(Kind." in text or any(broken_spans(text))):
            continue
        try:
            module = ast.parse(text)
        except SyntaxError as error:
            trace.failures.append(f"{where}:{error.lineno}: {error.msg}: its mutants cannot be read, repair it")
            continue
        if broken := _said(ast.get_docstring(module) or ""):
            yield Mutant(where, path.stem), broken
        for node in module.body:
            if isinstance(node, Documented):
                broken = _said(ast.get_docstring(node) or "") | set(_deserved(node, known))
                if broken:
                    yield Mutant(where, node.name), broken


def _deserved(node: Documented, known: Mapping[str, str]) -> Iterator[str]:
    """The clause of each `@deserves(Kind.NAME, …)`; the violation itself where no clause has it."""
    for each in node.decorator_list:
        match each:
            case ast.Call(func=ast.Name(id="deserves"), args=[ast.Attribute(value=ast.Name(id="Kind"), attr=name), *_]):
                violation = name.lower().replace("_", "-")
                yield known.get(violation, violation)
