"""A suite: all cases of a directory with the registries that they refer to (spec/conformance.md, chapter 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import kvformat
from kvformat.conform.case import Case, Operation, load_case
from kvformat.conform.clauses import Clause, read_clauses
from kvformat.conform.tables import SuiteError, read_table


@dataclass(frozen=True, slots=True)
class Flag:
    """A kind of mistake that a case hints at."""

    description: str
    kind: str
    effect: str


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A choice that a MAY leaves: its values, each with a sentence."""

    description: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases by id, in the order of the ids, and what they refer to. `folder` holds suite.toml."""

    version: str
    folder: Path
    cases: Mapping[str, Case]
    flags: Mapping[str, Flag]
    behaviours: Mapping[str, Behaviour]
    clauses: Mapping[str, Clause]


def specification() -> Path:
    """The folder with kvc.md, saving.md, conformance.md and cases/: in the package if installed, else in the checkout.

    Raises SuiteError where it is in neither.
    """
    package = Path(kvformat.__file__).parent
    for folder in (package / "conform" / "spec", package.parent / "spec"):
        if (folder / "kvc.md").is_file():
            return folder
    raise SuiteError(f"{package}: the package lacks conform/spec; install kvformat again")


def load_suite(folder: Path | None = None) -> Suite:
    """The suite in `folder`, that of this version of kvformat for None. Raises SuiteError where it is invalid.

    A suite beside which kvc.md stands (an exported one) is held against that; others against the document here.
    """
    folder = specification() / "cases" if folder is None else folder
    beside = folder.absolute().parent
    clauses = read_clauses(beside if (beside / "kvc.md").is_file() else specification())
    if not (folder / "suite.toml").is_file():
        raise SuiteError(f"{folder}: no suite.toml, so this is no suite; name the folder that has it")
    version = read_table(folder / "suite.toml", "suite.toml")
    flags = _flags(folder)
    behaviours = _behaviours(folder)
    cases: dict[str, Case] = {}
    for path in _case_files(folder):
        case = load_case(path, clauses)
        if case.id in cases:
            raise SuiteError(f"{path.parent.name}/{path.name}: {case.id} is the id of another case already")
        _check_references(case, flags, behaviours)
        cases[case.id] = case
    if not cases:
        raise SuiteError(f"{folder}: no case at all; a suite has folders named after operations")
    _check_used("flags.toml", flags, {flag for case in cases.values() for flag in case.flags})
    chosen = {case.behaviour[0] for case in cases.values() if case.behaviour is not None}
    _check_used("behaviours.toml", behaviours, chosen)
    found = Suite(version.text("version"), folder, dict(sorted(cases.items())), flags, behaviours, clauses)
    withdrawn = version.table("withdrawn")
    for gone in withdrawn.names():
        withdrawn.text(gone)
        if gone in cases:
            raise SuiteError(f"suite.toml: {gone} is withdrawn, and its case is there; an id is never used again")
    version.end()
    return found


def _case_files(folder: Path) -> Iterable[Path]:
    operations = set(Operation)
    for inner in sorted(folder.iterdir()):
        if not inner.is_dir() or inner.name.startswith((".", "__")):
            continue
        if inner.name not in operations:
            raise SuiteError(f"{inner.name}/: no operation is called so; known are {', '.join(operations)}")
        yield from sorted(inner.glob("*.toml"))


def _flags(folder: Path) -> dict[str, Flag]:
    table = read_table(folder / "flags.toml", "flags.toml")
    found = {}
    for name in table.names():
        inner = table.table(name)
        found[name] = Flag(inner.text("description"), inner.text("kind"), inner.text("effect"))
        inner.end()
    return found


def _behaviours(folder: Path) -> dict[str, Behaviour]:
    table = read_table(folder / "behaviours.toml", "behaviours.toml")
    found = {}
    for name in table.names():
        inner = table.table(name)
        values = inner.table("values")
        found[name] = Behaviour(inner.text("description"), {value: values.text(value) for value in values.names()})
        inner.end()
    return found


def _check_references(case: Case, flags: Mapping[str, Flag], behaviours: Mapping[str, Behaviour]) -> None:
    for flag in case.flags:
        if flag not in flags:
            raise SuiteError(f"{case.operation}/{case.id}.toml: {flag!r} is not in flags.toml; describe it there")
    if case.behaviour is None:
        return
    key, value = case.behaviour
    if key not in behaviours or value not in behaviours[key].values:
        raise SuiteError(
            f"{case.operation}/{case.id}.toml: {key} = {value} is not in behaviours.toml; describe it there"
        )


def _check_used(name: str, registry: Iterable[str], used: set[str]) -> None:
    unused = sorted(set(registry) - used)
    if unused:
        raise SuiteError(f"{name}: no case refers to {', '.join(unused)}; remove it, or add the case")
