"""One case: a question to an implementation and the answer that the clauses demand (spec/conformance.md, chapter 1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from kvformat.conform.clauses import Clause
from kvformat.conform.escape import unescape
from kvformat.conform.tables import SuiteError, Table, read_table
from kvformat.errors import Category
from kvformat.profiles import AUTO, PROFILES

SECONDS = 10.0
"""How long an answer may take where the case does not say."""

CLAIMABLE_PROFILES = (AUTO, *PROFILES)

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Operation(StrEnum):
    """What an implementation is asked to do."""

    READ = "read"
    LIST = "list"
    LOOKUP = "lookup"
    WRITE = "write"
    TOUCH = "touch"
    REPLACE_TOOL_MAP = "replace-tool-map"
    RECOVER = "recover"

    @property
    def takes_file(self) -> bool:
        """Whether its input is one file."""
        return self is Operation.READ

    @property
    def takes_directory(self) -> bool:
        """Whether its input is a directory of entries."""
        return self not in (Operation.READ, Operation.WRITE)

    @property
    def changes(self) -> bool:
        """Whether it may change its input."""
        return self in (Operation.TOUCH, Operation.REPLACE_TOOL_MAP, Operation.RECOVER)

    @property
    def makes_output(self) -> bool:
        """Whether the case says which bytes stand there afterwards."""
        return self in (Operation.WRITE, Operation.TOUCH, Operation.REPLACE_TOOL_MAP)

    @property
    def needs_view(self) -> bool:
        """Whether an acceptance without a view says nothing."""
        return self in (Operation.READ, Operation.LIST, Operation.LOOKUP, Operation.RECOVER)


class Kind(StrEnum):
    """What a name stands for in a directory; KVC-NAME-7 is about all but the first."""

    REGULAR = "regular"
    FIFO = "fifo"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class Node:
    """What stands under one name. `file` of None is an empty file."""

    kind: Kind = Kind.REGULAR
    file: Path | None = None
    extend_to_bytes: int | None = None
    target: bytes | None = None
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """What the case is about: one node, or a directory of them, or what is to be written.

    `name` is the one that the reader is told, for an operation on one entry of a directory the name of that entry.
    """

    name: bytes | None = None
    node: Node | None = None
    directory: tuple[tuple[bytes, Node], ...] | None = None
    view: Path | None = None
    payload: Path | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """The answer that the clauses demand."""

    accept: bool
    category: str | None = None
    field: str | None = None
    clause: str | None = None
    view: Mapping[str, object] | None = None
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `seconds` and `memory_bytes` bound what the answer may cost, the latter None where nothing is said."""

    id: str
    since: str
    operation: Operation
    profile: str
    level: str
    authority: str
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    comment: str
    input: Input
    expected: Expected
    folder: Path
    seconds: float = SECONDS
    memory_bytes: int | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    behaviour: tuple[str, str] | None = None


def load_case(path: Path, clauses: Mapping[str, Clause]) -> Case:
    """The case in the file at `path`. Raises SuiteError for one that cannot be asked or judged."""
    where = f"{path.parent.name}/{path.name}"
    table = read_table(path, where)
    case_id = table.text("id")
    if _ID.fullmatch(case_id) is None:
        raise table.error(f"its id is {case_id!a}; an id has lower-case letters, digits and hyphens")
    if case_id != path.stem:
        raise table.error(f"its id is {case_id!r}; a file is named after its case")
    operation = Operation(table.text("operation", among=tuple(Operation)))
    if path.parent.name != operation:
        raise table.error(f"its operation is {operation}; its folder is called after it")
    cited = table.texts("clauses")
    unknown = [one for one in cited if one not in clauses]
    if unknown or not cited:
        raise table.error(f"clauses: {', '.join(unknown) or 'none'}: cite ids of spec/kvc.md and spec/saving.md")
    decides = clauses[cited[0]]
    limits = table.table("limits")
    case = Case(
        id=case_id,
        since=table.text("since"),
        operation=operation,
        profile=table.text("profile", among=CLAIMABLE_PROFILES),
        level=table.text("level", among=(decides.level,)),
        authority=table.text("authority", among=(decides.authority,)),
        clauses=cited,
        flags=table.texts("flags"),
        comment=table.text("comment"),
        input=_input(table.table("input"), operation, path.parent),
        expected=_expected(table.table("expect"), operation, path.parent, cited),
        folder=path.parent,
        seconds=limits.positive("seconds") or SECONDS,
        memory_bytes=limits.count("memory_bytes"),
        arguments=table.raw("arguments"),
        behaviour=_behaviour(table),
    )
    limits.end()
    table.end()
    return case


def _behaviour(table: Table) -> tuple[str, str] | None:
    if "behaviour" not in table:
        return None
    inner = table.table("behaviour")
    found = inner.text("key"), inner.text("value")
    inner.end()
    return found


def _beside(table: Table, key: str, folder: Path) -> Path | None:
    """A file in the folder of the case; a suite from elsewhere reads no other file of this machine."""
    name = table.maybe_text(key)
    if name is None:
        return None
    path = folder / name
    if "/" in name or name in ("", ".", ".."):
        raise table.error(f"{key} is {name!r}: give the name of a file in the folder of the case")
    if path.is_symlink() or not path.is_file():
        raise table.error(f"{key}: {name} is no regular file beside the case")
    return path


def _name(table: Table, key: str) -> bytes | None:
    text = table.maybe_text(key)
    if text is None:
        return None
    try:
        return unescape(text)
    except ValueError as error:
        raise table.error(f"{key}: {error}") from error


def _node(table: Table, folder: Path) -> Node:
    kind = Kind(table.maybe_text("kind", among=tuple(Kind)) or Kind.REGULAR)
    node = Node(
        kind=kind,
        file=_beside(table, "file", folder),
        extend_to_bytes=table.count("extend_to_bytes"),
        target=_name(table, "target"),
        locked=table.flag("locked"),
    )
    if (node.target is not None) != (kind is Kind.SYMLINK) or node.target == b"" or b"\0" in (node.target or b""):
        raise table.error("a symlink, and nothing else, has a target")
    if kind is not Kind.REGULAR and (node.file is not None or node.extend_to_bytes is not None or node.locked):
        raise table.error(f"a {kind} has no bytes and no lock")
    return node


def _directory(table: Table, folder: Path) -> tuple[tuple[bytes, Node], ...]:
    members: dict[bytes, Node] = {}
    for inner in table.tables("directory"):
        name = _name(inner, "name")
        if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
            raise inner.error("name must be the name of a file, without its directory")
        if name in members:
            raise inner.error("this name stands in the directory already")
        members[name] = _node(inner, folder)
        inner.end()
    return tuple(members.items())


def _input(table: Table, operation: Operation, folder: Path) -> Input:
    name = _name(table, "name")
    if operation.takes_directory:
        found = Input(name, directory=_directory(table, folder))
        if "directory" not in table:
            raise table.error(f"{operation} needs a directory; write directory = [] for an empty one")
    elif operation.takes_file:
        found = Input(name, node=_node(table, folder))
        if not any(key in table for key in ("file", "extend_to_bytes", "kind")):
            raise table.error("file is missing; kind, or extend_to_bytes, may stand instead")
    else:
        found = Input(name, view=_beside(table, "view", folder), payload=_beside(table, "payload", folder))
        if found.view is None:
            raise table.error("view is missing: what is to be written")
    table.end()
    if operation in (Operation.TOUCH, Operation.REPLACE_TOOL_MAP) and name is None:
        raise table.error(f"name is missing: which entry {operation} is to change")
    return found


def _expected(table: Table, operation: Operation, folder: Path, cited: tuple[str, ...]) -> Expected:
    accept = table.text("verdict", among=("accept", "reject")) == "accept"
    view = _beside(table, "view", folder)
    found = Expected(
        accept=accept,
        category=table.maybe_text("category", among=tuple(Category)),
        field=table.maybe_text("field"),
        clause=table.maybe_text("clause", among=cited),
        view=None if view is None else _view(table, view),
        output=_beside(table, "output", folder),
    )
    table.end()
    if accept and (found.category or found.field or found.clause):
        raise table.error("category, field and clause belong to a reject")
    if not accept and found.category is None and operation is Operation.READ:
        raise table.error("category is missing: why it is rejected")
    if not accept and (found.view is not None or found.output is not None):
        raise table.error("view and output belong to an accept")
    if accept and operation.needs_view and found.view is None:
        raise table.error(f"view is missing: nothing else would show that {operation} did its work")
    if accept and (found.output is not None) != operation.makes_output:
        raise table.error(f"output is {'missing' if operation.makes_output else f'not what {operation} has'}")
    return found


def _view(table: Table, path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SuiteError(f"{table.where}: {path.name}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise table.error(f"{path.name}: a view is a JSON object")
    return found
