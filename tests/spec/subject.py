"""What this package answers to a case: reader and store, called directly."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvformat import Entry, KvcError, KvcReader, Limits, SaveError, Store, ToolEntry, open_kvc
from kvformat.filesystem import OsFileSystem
from tests.spec.suite import LoadedCase, escaped, raw

HEADER_FIELDS = (
    "quantisation_bits",
    "reason",
    "flags",
    "byte7",
    "tokens",
    "hits",
    "context_tokens",
    "byte20",
    "created",
    "last_used",
    "payload_bytes",
)


@dataclass
class Answer:
    """What came of a case."""

    verdict: str = "accept"
    category: str | None = None
    field: str | None = None
    clause: str | None = None
    view: dict[str, Any] = dataclasses.field(default_factory=dict)


def answer(case: LoadedCase, given: Path) -> Answer:
    """Runs the operation on the input that stands at `given`."""
    try:
        return Answer(view=OPERATIONS[case.operation](case, given))
    except KvcError as error:
        return Answer("reject", error.category, error.field, error.clause)
    except SaveError:
        return Answer("reject")


def _limits(case: LoadedCase) -> Limits:
    told = case.arguments.get("text_bytes_max")
    return Limits() if told is None else Limits(text_bytes_max=int(told))


def _store(case: LoadedCase, given: Path) -> Store:
    # The constructor, not Store.open: that recovers the directory, which is an operation of its own here.
    return Store(OsFileSystem(given), profile=case.table["profile"], limits=_limits(case))


def _number(case: LoadedCase, argument: str) -> int | None:
    value = case.arguments.get(argument)
    return None if value is None else int(value)


def _blob(data: bytes) -> dict[str, str]:
    return {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}


def read(case: LoadedCase, given: Path) -> dict[str, Any]:
    profile = case.table["profile"]
    with open_kvc(given, profile=profile, limits=_limits(case), name=case.name, follow_symlinks=False) as reader:
        return _view(reader)


def _view(reader: KvcReader) -> dict[str, Any]:
    header = reader.header
    numbers = {name: str(getattr(header, name)) for name in HEADER_FIELDS}
    has_map = header.has_tool_map and reader.tool_map_problem is None
    title = reader.title()
    trailing = reader.trailing_bytes
    return {
        "name": None if reader.name is None else escaped(reader.name),
        "profile": reader.profile.name,
        "file_bytes": str(reader.size_bytes),
        "header": {"version": "1", **numbers, "reserved": header.reserved.hex()},
        "text": _blob(reader.text),
        "payload": _blob(reader.payload.read()),
        "tool_map": [{"id": _blob(one.id), "block": _blob(one.block)} for one in reader.tool_map()]
        if has_map
        else None,
        "title": None if title is None else _blob(title),
        "trailing_bytes": None if trailing is None else str(trailing),
    }


def list_(case: LoadedCase, given: Path) -> dict[str, Any]:
    listing = _store(case, given).scan()
    return {
        "entries": sorted(escaped(entry.name) for entry in listing.entries),
        "rejected": sorted(
            ({"name": escaped(one.name), "category": str(one.problem.category)} for one in listing.damaged),
            key=lambda one: one["name"],
        ),
    }


def lookup(case: LoadedCase, given: Path) -> dict[str, Any]:
    found = _store(case, given).lookup(
        raw(case.arguments["prompt"]),
        context_tokens=_number(case, "context_tokens"),
        model_id=_number(case, "model_id"),
        quantisation_bits=_number(case, "quantisation_bits"),
        payload_abi=_number(case, "payload_abi"),
    )
    return {"found": None if found is None else escaped(found.name)}


def write(case: LoadedCase, given: Path) -> dict[str, Any]:
    view = case.json(case.table["input"]["view"])
    numbers = {name: int(value) for name, value in view["header"].items()}
    predicted = numbers.pop("payload_bytes")
    model_id = numbers.pop("byte7")
    # Bits 0 and 3 follow from the sections, which the view has as well.
    flags = numbers.pop("flags") & ~9
    tools = view["tool_map"]
    entry = Entry(
        text=_content(view["text"]),
        flags=flags,
        model_id=model_id,
        profile=case.table["profile"],
        tool_map=None
        if tools is None
        else tuple(ToolEntry(_content(one["id"]), _content(one["block"])) for one in tools),
        title=None if view["title"] is None else _content(view["title"]),
        **numbers,
    )
    payload = case.beside(case.table["input"]["payload"])
    saved = _store(case, given.parent).save(entry, payload, payload_bytes=predicted, name=case.name)
    return {"name": escaped(saved.name)}


def _content(value: dict[str, str]) -> bytes:
    data = raw(value["content"])
    assert _blob(data) == {"bytes": value["bytes"], "sha256": value["sha256"]}
    return data


def touch(case: LoadedCase, given: Path) -> dict[str, Any]:
    added, when = (int(case.arguments[key]) for key in ("hits_added", "last_used"))
    _store(case, given).touch(case.name or "", hits_added=added, last_used=when)
    return {}


def replace_tool_map(case: LoadedCase, given: Path) -> dict[str, Any]:
    tools = case.arguments.get("tool_map")
    new = None if tools is None else tuple(ToolEntry(raw(one["id"]), raw(one["block"])) for one in tools)
    _store(case, given).replace_tool_map(case.name or "", new)
    return {}


def recover(case: LoadedCase, given: Path) -> dict[str, Any]:
    report = _store(case, given).recover(foreign_older_than_seconds=_number(case, "foreign_older_than_seconds"))
    left = (*report.live, *report.foreign, *(failure.name for failure in report.failed))
    return {"removed": sorted(map(escaped, report.reclaimed)), "temps": sorted(map(escaped, left))}


OPERATIONS: dict[str, Callable[[LoadedCase, Path], dict[str, Any]]] = {
    "read": read,
    "list": list_,
    "lookup": lookup,
    "write": write,
    "touch": touch,
    "replace-tool-map": replace_tool_map,
    "recover": recover,
}


def tree(directory: Path) -> dict[str, object]:
    """Every name of a directory with its bytes, or with what it is; of a sparse file the start and the size."""
    found: dict[str, object] = {}
    for entry in os.scandir(directory):
        if entry.is_symlink():
            found[entry.name] = ("symlink", os.readlink(entry.path))
        elif entry.is_file():
            with open(entry.path, "rb") as stream:
                found[entry.name] = (entry.stat().st_size, stream.read(1024 * 1024))
        else:
            found[entry.name] = "directory" if entry.is_dir() else "special"
    return found
