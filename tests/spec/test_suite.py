"""The suite as a whole: its registries, the clauses that it covers, and that the generators make just this."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from kvformat import KvcReader, identity, layout, listing, lookup, refusals, rules, temp_names, updates
from kvformat.filesystem import OsFileSystem
from kvformat.limits import Limits
from tests.spec.suite import CASES, LoadedCase, load_all
from tests.spec.test_cases import run
from tools.cases.__main__ import main
from tools.cases.case import SPEC, Case
from tools.cases.suite import all_cases, committed, differences, lost, mistakes, registry

ALL = load_all()
GENERATED = all_cases()

SIZE_BYTES_MAX = 3_000_000

WITHOUT_CASES = {
    "KVS-ATOM-1": "an assumption about the system",
    "KVS-TOUCH-4": "what is durable shows only after a loss of power, and errors of calls only when they are injected",
    "KVS-REMOVE-1": "no operation of the suite removes an entry",
    "KVS-REMOVE-2": "no operation of the suite removes an entry",
    "KVS-RECOVER-1": "when a recovery runs is a matter of programs, a case asks for it",
    "KVS-EVICT-1": "no operation of the suite evicts",
}
"""MUST clauses of kvc.md, and of saving.md on store operations, that no case is about, and why."""


def test_there_are_as_many_cases_as_ids_and_each_is_named_after_its_id() -> None:
    assert len(ALL) >= 400
    assert max(Counter(case.id for case in ALL).values()) == 1
    for case in ALL:
        assert (case.path.stem, case.path.parent.name) == (case.id, case.operation)
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", case.id)


def test_level_and_authority_are_those_of_the_clause_that_decides() -> None:
    for case in ALL:
        decides = SPEC[case.table["clauses"][0]]
        assert (case.table["level"], case.table["authority"]) == (decides.level, decides.authority), case.id
        assert case.expect.get("clause", case.table["clauses"][0]) in case.table["clauses"], case.id
        assert max(Counter(case.table["clauses"]).values()) == max(Counter(case.table["flags"]).values()) == 1, case.id


def test_every_must_has_a_case_or_a_reason() -> None:
    """KVC-FILE-1 to KVC-FILE-6, and so on: the whole of kvc.md, and chapter 7 of saving.md."""
    operations = re.compile(r"KVC-.*|KVS-(ATOM|TOUCH|TOOLMAP|REMOVE|RECOVER|EVICT)-.*")
    musts = {name for name, clause in SPEC.items() if clause.level == "MUST" and operations.fullmatch(name)}
    cited = set(chain.from_iterable(case.table["clauses"] for case in ALL))
    assert musts - cited == set(WITHOUT_CASES)
    assert all(WITHOUT_CASES.values())


def test_every_flag_and_every_behaviour_is_described_and_used() -> None:
    flags, behaviours = registry("flags"), registry("behaviours")
    assert {flag for case in ALL for flag in case.table["flags"]} == set(flags)
    assert all(set(flag) == {"description", "kind", "effect"} for flag in flags.values())
    chosen = {
        (case.table["behaviour"]["key"], case.table["behaviour"]["value"]) for case in ALL if "behaviour" in case.table
    }
    assert {key for key, _ in chosen} == set(behaviours)
    assert all(value in behaviours[key]["values"] for key, value in chosen)


def test_every_file_belongs_to_a_case_and_all_are_small() -> None:
    wanted = set(chain.from_iterable(case.files() for case in GENERATED))
    found = committed(CASES)
    assert set(found) == wanted
    assert sum(map(len, found.values())) < SIZE_BYTES_MAX


def test_what_is_committed_is_what_the_generators_make(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_the_generators_know_nothing_of_the_code_that_is_judged() -> None:
    """Cases that the reader or the writer had made would agree with either, right or wrong."""
    sources = list((CASES.parents[1] / "tools" / "cases").glob("*.py"))
    assert len(sources) > 10
    for path in sources:
        for node in ast.walk(ast.parse(path.read_bytes())):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                named = [node.module or ""]
            assert not [name for name in named if name.split(".")[0] in ("kvformat", "faultinject", "tests")], path


def test_a_difference_is_named() -> None:
    found = committed(CASES)
    first, second, *_ = sorted(found)
    altered = {**found, first: found[first] + b" ", "read/more.bin": b""}
    del altered[second]
    assert list(differences(found, altered)) == [f"differs: {first}", f"missing: {second}", "left over: read/more.bin"]
    assert list(differences(found, found)) == []


def test_an_id_is_for_ever() -> None:
    """A case goes only where suite.toml says why, and its id is not used again."""
    found = {"read/read-gone.toml": b"", "read/read-gone.bin": b""}
    assert len(list(lost({}, found, {}))) == 1
    assert list(lost({}, found, {"read-gone": "it was wrong"})) == []
    first = GENERATED[0]
    (said,) = mistakes([first], {flag: {} for flag in first.flags}, {}, {first.id: "it was wrong"})
    assert said.startswith(f"{first.id}: the id was withdrawn")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda case: [case, case], "2 cases have this id"),
        (lambda case: [replace(case, clauses=(*case.clauses, "KVC-NONE"))], "no clause KVC-NONE"),
        (lambda case: [replace(case, flags=(*case.flags, "new"))], "no flag new"),
        (lambda case: [replace(case, behaviour=("new", "some"))], "no value some of a behaviour new"),
        (lambda case: [replace(case, flags=())], "no case has the flag"),
    ],
)
def test_a_mistake_of_a_generator_is_named(wrong: Callable[[Case], list[Case]], says: str) -> None:
    first = GENERATED[0]
    flags: dict[str, dict[str, str]] = {flag: {} for flag in first.flags}
    assert list(mistakes([first], flags, {}, {})) == []
    assert any(says in said for said in mistakes(wrong(first), flags, {}, {}))


def failing(cases: list[LoadedCase], scratch: Path) -> Iterator[str]:
    """The ids of the cases that do not pass."""
    for number, case in enumerate(cases):
        directory = scratch / str(number)
        directory.mkdir()
        try:
            run(case, directory)
        except (AssertionError, LookupError, ValueError, OSError):
            yield case.id


def _no_sum(head: bytes, total_bytes: int, text_bytes_max: int) -> bool:
    text_bytes, payload_bytes = int.from_bytes(head[48:52], "little"), int.from_bytes(head[40:48], "little")
    wrapped = (52 + text_bytes + payload_bytes) % 2**64
    return len(head) >= 52 and head[4] in (2, 4) and head[8:12] != bytes(4) and wrapped <= total_bytes


MISTAKES: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "a sum that wraps": ("read-sum", lambda patch: patch.setattr(rules, "is_whole", _no_sum)),
    "names tested in one case only": (
        "read-name",
        lambda patch: patch.setattr(identity, "canonical_name", lambda name: name),
    ),
    "a suffix in any case": (
        "list-name",
        lambda patch: patch.setattr(identity, "_ENTRY_NAME", re.compile(r"[0-9a-fA-F]{40}\.kv", re.IGNORECASE)),
    ),
    "a name up to its newline": (
        "list-name",
        lambda patch: patch.setattr(identity, "_ENTRY_NAME", re.compile(r"[0-9a-fA-F]{40}\.kv\n?")),
    ),
    "a creation time with its bytes reversed": (
        "read-byte-order",
        lambda patch: patch.setattr(
            identity, "session_name", lambda title, created: identity.text_name(title + created.to_bytes(8, "big"))
        ),
    ),
    "titles that may be a byte longer": (
        "read-title",
        lambda patch: patch.setattr(layout, "TITLE_BYTES_MAX", 2**16 + 1),
    ),
    "titles that must be a byte shorter": (
        "read-title",
        lambda patch: patch.setattr(layout, "TITLE_BYTES_MAX", 2**16 - 1),
    ),
    "texts that may be a byte longer": (
        "read-limit-text-26843545",
        lambda patch: patch.setattr("tests.spec.subject.Limits", lambda: Limits(text_bytes_max=2**28 + 1)),
    ),
    "any payload ABI under a profile that was told": (
        "read-profile",
        lambda patch: patch.setitem(rules._BYTE20_ACCEPTED, "ds4-abi2", frozenset(range(256))),
    ),
    "sessions offered": (
        "lookup",
        lambda patch: patch.setattr(
            listing.StoredEntry, "answers_prompts", property(lambda entry: entry.header.payload_bytes > 0)
        ),
    ),
    "a hit count that wraps": (
        "touch-hits",
        lambda patch: patch.setattr(updates, "min", lambda most, value: value % 2**32, raising=False),
    ),
    "reserved bytes zeroed": (
        "touch-",
        lambda patch: patch.setattr(updates, "replace", lambda old, **new: replace(old, reserved=bytes(3), **new)),
    ),
    "sections of unknown bits dropped": (
        "replace-tool-map-unknown",
        lambda patch: patch.setattr(KvcReader, "read_trailing", lambda reader: b""),
    ),
    "spellings that are several entries": (
        "list-two",
        lambda patch: patch.setattr(identity, "canonical_name", lambda name: name),
    ),
    "texts that are not compared": (
        "lookup-damaged-identity",
        lambda patch: patch.setattr(lookup, "_text_is", lambda fs, fd, text: True),
    ),
    "locks that are not asked for": (
        "recover-live",
        lambda patch: patch.setattr(OsFileSystem, "try_lock", lambda fs, fd: True),
    ),
    "temp names in any case": (
        "recover-name",
        lambda patch: patch.setattr(
            temp_names, "TEMP_NAME", re.compile(temp_names.TEMP_NAME.pattern, re.ASCII | re.IGNORECASE)
        ),
    ),
    "refused reasons stored": ("write-refused", lambda patch: patch.setattr(layout, "REASON_MAX", 255)),
    "flags that nobody knows stored": ("write-refused", lambda patch: patch.setattr(refusals, "_WRITER_FLAGS", 255)),
}
"""Mistakes that an implementation could make, each with the cases that are run against it."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_cases_notice(mistake: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each mistake fails some case that the right implementation passes."""
    prefix, make = MISTAKES[mistake]
    cases = [case for case in ALL if case.id.startswith(prefix)]
    (tmp_path / "right").mkdir()
    (tmp_path / "wrong").mkdir()
    assert list(failing(cases, tmp_path / "right")) == []
    make(monkeypatch)
    assert list(failing(cases, tmp_path / "wrong")) != []
