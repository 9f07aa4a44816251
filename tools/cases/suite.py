"""All cases together: what is wrong with them as a whole, and what writing them would change."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from tools.cases import (
    header,
    lengths,
    limits,
    listing,
    lookalike,
    lookup,
    names,
    order,
    profiles,
    recovery,
    replace_map,
    samples,
    text,
    title,
    toolmap,
    touch,
    truncation,
    writing,
)
from tools.cases.case import SPEC, Case

FAMILIES = (
    samples,
    header,
    order,
    truncation,
    lengths,
    text,
    names,
    toolmap,
    title,
    profiles,
    lookalike,
    limits,
    listing,
    lookup,
    writing,
    touch,
    replace_map,
    recovery,
)

DIRECTORY = Path(__file__).resolve().parents[2] / "spec" / "cases"

Registry = Mapping[str, Mapping[str, Any]]


def all_cases() -> list[Case]:
    """Every case of every family."""
    return list(chain.from_iterable(family.cases() for family in FAMILIES))


def registry(name: str, root: Path = DIRECTORY) -> dict[str, Any]:
    """The tables of flags.toml, behaviours.toml or suite.toml, which are written by hand."""
    return tomllib.loads((root / f"{name}.toml").read_text(encoding="utf-8"))


def mistakes(cases: list[Case], flags: Registry, behaviours: Registry, withdrawn: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the cases as a whole, as sentences that say what to do."""
    for case_id, times in Counter(case.id for case in cases).items():
        if times > 1:
            yield f"{case_id}: {times} cases have this id: give each its own"
        if case_id in withdrawn:
            yield f"{case_id}: the id was withdrawn ({withdrawn[case_id]}): choose another one"
    for case in cases:
        yield from _unknown(case, flags, behaviours)
    for unused in flags.keys() - {flag for case in cases for flag in case.flags}:
        yield f"flags.toml: no case has the flag {unused}: remove it"
    for unused in behaviours.keys() - {case.behaviour[0] for case in cases if case.behaviour is not None}:
        yield f"behaviours.toml: no case is about {unused}: remove it"


def _unknown(case: Case, flags: Registry, behaviours: Registry) -> Iterator[str]:
    for clause in case.clauses:
        if clause not in SPEC:
            yield f"{case.id}: no clause {clause}: cite the one that is meant"
    for flag in case.flags:
        if flag not in flags:
            yield f"{case.id}: no flag {flag}: describe it in flags.toml"
    if case.behaviour is not None:
        key, value = case.behaviour
        if value not in behaviours.get(key, {}).get("values", {}):
            yield f"{case.id}: no value {value} of a behaviour {key}: describe it in behaviours.toml"


def committed(root: Path) -> dict[str, bytes]:
    """The files of the cases that are there, by their paths below `root`."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("*/*") if path.is_file()}


def differences(wanted: Mapping[str, bytes], found: Mapping[str, bytes]) -> Iterator[str]:
    """What writing would do, a line for each file."""
    for path in sorted(wanted.keys() | found.keys()):
        if path not in found:
            yield f"missing: {path}"
        elif path not in wanted:
            yield f"left over: {path}"
        elif wanted[path] != found[path]:
            yield f"differs: {path}"


def lost(wanted: Mapping[str, bytes], found: Mapping[str, bytes], withdrawn: Mapping[str, str]) -> Iterator[str]:
    """Ids of committed cases that would disappear without being withdrawn: ids are for ever."""
    for path in sorted(found.keys() - wanted.keys()):
        case_id = Path(path).stem
        if path.endswith(".toml") and case_id not in withdrawn:
            yield f"{case_id} is no more: bring it back, or say why in [withdrawn] of suite.toml"
