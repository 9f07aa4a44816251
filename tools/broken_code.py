"""The mutants of a module, from Cosmic Ray: where it can be broken and how, and what names one of them."""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names


@dataclass(frozen=True, order=True)
class Mutant:
    """One small change: which operator of Cosmic Ray, at its how-manieth place, where in the source."""

    operator: str
    occurrence: int
    start: tuple[int, int]
    end: tuple[int, int]

    @property
    def site(self) -> tuple[object, ...]:
        """The place and the kind of change: the replacements of one operator there count as one kind."""
        return self.start, self.end, self.operator.partition("_")[0]


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module. Annotations are left out: nothing evaluates them (PEP 563)."""
    nodes = list(ast_nodes(get_ast(source)))
    spans = _annotations(source)
    found = []
    for name in operator_names():
        operator_class = get_operator(name)
        if operator_class.arguments():
            continue  # would have to be told what to insert
        positions = (position for node in nodes for position in operator_class().mutation_positions(node))
        for occurrence, (start, end) in enumerate(positions):
            if not any(first <= start and end <= last for first, last in spans):
                found.append(Mutant(name, occurrence, tuple(start), tuple(end)))
    return sorted(found)


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations stand, as first and last (line, column)."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            found.append(node.returns)
        elif isinstance(node, (ast.arg, ast.AnnAssign)):
            found.append(node.annotation)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset))
        for node in found
        if node is not None
    ]


def chosen(found: Sequence[Mutant], seed: int, sample: int | None) -> list[Mutant]:
    """One mutant of each site, and of the sites at most `sample`; the same for the same seed."""
    chance = random.Random(seed)
    sites: dict[tuple[object, ...], list[Mutant]] = {}
    for mutant in found:
        sites.setdefault(mutant.site, []).append(mutant)
    drawn = [chance.choice(kinds) for kinds in sites.values()]
    return drawn if sample is None or sample >= len(drawn) else chance.sample(drawn, sample)


def mutated(source: str, mutant: Mutant) -> str:
    """The module with this change. Raises RuntimeError where there is none: then nothing would be tested."""
    changed = mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)
    if changed is None or changed == source:
        raise RuntimeError(f"{mutant} changes nothing")
    return str(changed)


def change(path: str, source: str, changed: str) -> str:
    """What names a mutant: module, function, the lines taken away and the lines added.

    It stays the same when other lines move. Where the function has the line more than once, "#2" is the second.
    """
    old, new = source.splitlines(), changed.splitlines()
    blocks = [
        block[1:] for block in difflib.SequenceMatcher(None, old, new, False).get_opcodes() if block[0] != "equal"
    ]
    first = blocks[0][0]
    scope, start, end = _scope(source, first + 1)
    same = [index for index in range(start - 1, end) if old[index].strip() == old[first].strip()]
    count = f" #{same.index(first) + 1}" if len(same) > 1 else ""
    lines = [f"{path} {scope}{count}"]
    for old_start, old_end, new_start, new_end in blocks:
        lines += [f"- {line.strip()}" for line in old[old_start:old_end]]
        lines += [f"+ {line.strip()}" for line in new[new_start:new_end]]
    return "\n".join(lines)


def _scope(source: str, line: int) -> tuple[str, int, int]:
    """The innermost function or class around a line: its qualified name, its first and its last line."""
    found = ("<module>", 1, len(source.splitlines()))

    def look(node: ast.AST, prefix: str) -> None:
        nonlocal found
        for child in ast.iter_child_nodes(node):
            inside = prefix
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                end = child.end_lineno or child.lineno
                if child.lineno <= line <= end:
                    found = (prefix + child.name, child.lineno, end)
                inside = f"{prefix}{child.name}."
            look(child, inside)

    look(ast.parse(source), "")
    return found
