"""A case as its generator states it, and the files that it becomes (spec/conformance.md, 1 to 3)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from tools import citations


def _clauses() -> dict[str, citations.Clause]:
    trace = citations.Trace()
    citations.read_clauses(citations.ROOT, trace)
    return trace.clauses


SPEC = _clauses()
"""Every clause by its id: level and authority of a case are those of its first one."""


@dataclass(frozen=True)
class Broken:
    """Why a reader rejects: a row of spec/kvc.md, 1.4. A writer that refuses says no category."""

    clause: str
    field: str | None
    category: str | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file that is given: the input itself, or one name of a directory."""

    name: bytes | None = None
    data: bytes | None = None
    extend_to_bytes: int | None = None
    kind: str | None = None
    target: bytes | None = None
    locked: bool = False


@dataclass(frozen=True, kw_only=True)
class Save:
    """What a writer is given: a view with contents, and the bytes of the payload."""

    view: Mapping[str, Any]
    payload: bytes
    name: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A directory; `name` is the entry that an update is about."""

    items: tuple[Item, ...]
    name: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case. The clause that decides stands first. It is a reject exactly where `broken` is given."""

    operation: str
    slug: str
    comment: str
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    given: Item | Save | Folder
    profile: str = "auto"
    broken: Broken | None = None
    view: Mapping[str, Any] | None = None
    output: bytes | None = None
    seconds: int | None = None
    memory_bytes: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    behaviour: tuple[str, str] | None = None
    since: str = "1.0"

    @property
    def id(self) -> str:
        """Unique for ever: it says what the case is about, and carries no running number."""
        return f"{self.operation}-{self.slug}"

    def files(self) -> dict[str, bytes]:
        """The files of the case by their paths below spec/cases."""
        beside: dict[str, bytes] = {}
        clause = SPEC[self.clauses[0]]
        table: dict[str, Any] = {
            "id": self.id,
            "since": self.since,
            "operation": self.operation,
            "profile": self.profile,
            "level": clause.level,
            "authority": clause.authority,
            "clauses": list(dict.fromkeys(self.clauses)),
            "flags": list(self.flags),
            "comment": self.comment,
            "input": self._input(beside),
            "expect": self._expect(beside),
        }
        limits = {"seconds": self.seconds, "memory_bytes": self.memory_bytes}
        behaviour = {} if self.behaviour is None else dict(zip(("key", "value"), self.behaviour, strict=True))
        optional = {"limits": _given(limits), "arguments": self.arguments, "behaviour": behaviour}
        table |= {name: value for name, value in optional.items() if value}
        beside[f"{self.id}.toml"] = tomli_w.dumps(table).encode()
        return {f"{self.operation}/{name}": data for name, data in beside.items()}

    def _input(self, beside: dict[str, bytes]) -> dict[str, Any]:
        given = self.given
        if isinstance(given, Item):
            return _item_table(given, f"{self.id}.bin", beside)
        name = {} if given.name is None else {"name": escaped(given.name)}
        if isinstance(given, Save):
            beside[f"{self.id}.input.json"] = _json(given.view)
            beside[f"{self.id}.payload.bin"] = given.payload
            return {"view": f"{self.id}.input.json", "payload": f"{self.id}.payload.bin", **name}
        numbered = enumerate(given.items, 1)
        return {**name, "directory": [_item_table(item, f"{self.id}.{n}.bin", beside) for n, item in numbered]}

    def _expect(self, beside: dict[str, bytes]) -> dict[str, Any]:
        if self.broken is not None:
            stated = {"category": self.broken.category, "field": self.broken.field, "clause": self.broken.clause}
            return {"verdict": "reject", **_given(stated)}
        table = {"verdict": "accept"}
        if self.view is not None:
            table["view"] = f"{self.id}.json"
            beside[table["view"]] = _json(self.view)
        if self.output is not None:
            table["output"] = f"{self.id}.out.bin"
            beside[table["output"]] = self.output
        return table


Cases = Iterator[Case]
"""What every family gives."""

Ids = tuple[str, ...]
"""Clauses, or flags."""

Items = tuple[Item, ...]
"""What a directory holds."""


def escaped(data: bytes) -> str:
    """Bytes as text: one that is not printable ASCII, and the percent sign, is %XX."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x25 else f"%{byte:02X}" for byte in data)


def _given(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


def _item_table(item: Item, path: str, beside: dict[str, bytes]) -> dict[str, Any]:
    if item.data is not None:
        path = next((other for other, data in beside.items() if data == item.data), path)
        beside[path] = item.data
    return _given(
        {
            "name": None if item.name is None else escaped(item.name),
            "file": None if item.data is None else path,
            "extend_to_bytes": item.extend_to_bytes,
            "kind": item.kind,
            "target": None if item.target is None else escaped(item.target),
            "locked": item.locked or None,
        }
    )


def _json(view: Mapping[str, Any]) -> bytes:
    return (json.dumps(view, indent=1) + "\n").encode()
