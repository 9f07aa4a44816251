"""The adapter of kvformat itself, in session form: `python -m kvformat.conform.adapter` (spec/conformance.md, 4)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO, Any

import kvformat
from kvformat import Entry, KvcError, Limits, SaveError, Store, ToolEntry, open_kvc
from kvformat.conform.adapter_views import read_view
from kvformat.conform.escape import escape, unescape
from kvformat.filesystem import OsFileSystem
from kvformat.model import Extension
from kvformat.profiles import AUTO, PROFILES

_Message = Mapping[str, Any]


def answer(message: _Message) -> dict[str, object] | None:
    """The answer to one message, None for `stop`, which has none."""
    if message.get("cmd") == "start":
        return _START
    if message.get("cmd") == "stop":
        return None
    operation = _OPERATIONS.get(message["op"])
    if operation is None or message["profile"] not in (AUTO, *PROFILES):
        return {"seq": message["seq"], "result": "unsupported", "reason": "kvformat does not have it"}
    try:
        return {"seq": message["seq"], "result": "accept", "view": operation(message)}
    except KvcError as error:
        said = {"category": error.problem.category, "clause": error.clause, "field": error.field}
        return {"seq": message["seq"], "result": "reject", **said, "message": error.problem.message}
    except (SaveError, OSError, ValueError) as error:
        # A save that no call of the system has failed was refused: the payload was not as predicted (KVC-WRITER-2).
        refused = isinstance(error, SaveError) and not isinstance(error.__cause__, OSError)
        result = "reject" if refused else "error"
        return {"seq": message["seq"], "result": result, "message": f"{type(error).__name__}: {error}"}


def _name(message: _Message) -> str | None:
    return None if message["name"] is None else os.fsdecode(unescape(message["name"]))


def _integer(message: _Message, key: str) -> int | None:
    value = message["arguments"].get(key)
    return None if value is None else int(value)


def _limits(message: _Message) -> Limits:
    most = _integer(message, "text_bytes_max")
    return Limits() if most is None else Limits(text_bytes_max=most)


def _store(message: _Message) -> Store:
    return Store(OsFileSystem(message["input"]), profile=message["profile"])


def _read(message: _Message) -> dict[str, object]:
    with open_kvc(
        message["input"],
        profile=message["profile"],
        limits=_limits(message),
        name=_name(message),
        follow_symlinks=False,
    ) as reader:
        return read_view(reader)


def _list(message: _Message) -> dict[str, object]:
    found = _store(message).scan()
    rejected = [(escape(os.fsencode(one.name)), str(one.problem.category)) for one in found.damaged]
    return {
        "entries": _sorted_names(entry.name for entry in found.entries),
        "rejected": [{"name": name, "category": category} for name, category in sorted(rejected)],
    }


def _lookup(message: _Message) -> dict[str, object]:
    filters = ("context_tokens", "model_id", "quantisation_bits", "payload_abi")
    wanted = {key: _integer(message, key) for key in filters}
    found = _store(message).lookup(unescape(message["arguments"]["prompt"]), **wanted)
    return {"found": None if found is None else escape(os.fsencode(found.name))}


def _write(message: _Message) -> dict[str, object]:
    with open(os.path.join(message["input"], "view.json"), "rb") as stream:
        view = json.load(stream)
    predicted = view["header"].get("payload_bytes")
    payload = os.path.join(message["input"], "payload")
    folder, wanted = os.path.split(message["output"])
    store = Store(OsFileSystem(folder), profile=message["profile"], limits=_limits(message))
    saved = store.save(
        _entry(view, message["profile"]),
        payload,
        payload_bytes=None if predicted is None else int(predicted),
        name=_name(message),
    )
    if saved.name != wanted:  # a store names the file itself; a crash audit asks for that very name
        os.rename(os.path.join(folder, saved.name), message["output"])
    return {"name": escape(os.fsencode(saved.name))}


def _entry(view: _Message, profile: str) -> Entry:
    header: Mapping[str, str] = view["header"]
    fields = ("tokens", "quantisation_bits", "reason", "context_tokens", "hits", "created", "last_used")
    given: dict[str, Any] = {key: int(header[key]) for key in fields if key in header}
    sections = int(Extension.TOOL_MAP | Extension.SESSION_TITLE)
    tool_map, title = view.get("tool_map"), view.get("title")
    entry = Entry(text=unescape(view["text"]["content"]), profile=profile, **given)
    return replace(
        entry,
        flags=int(header.get("flags", 0)) & ~sections,
        model_id=int(header.get("byte7", 0)),
        tool_map=None if tool_map is None else _tools(tool_map, "content"),
        title=None if title is None else unescape(title["content"]),
    )


def _tools(entries: list[_Message], key: str | None) -> tuple[ToolEntry, ...]:
    def content(value: Any) -> bytes:
        return unescape(value if key is None else value[key])

    return tuple(ToolEntry(content(one["id"]), content(one["block"])) for one in entries)


def _touch(message: _Message) -> dict[str, object]:
    hits = _integer(message, "hits_added")
    _store(message).touch(
        _name(message) or "", hits_added=1 if hits is None else hits, last_used=_integer(message, "last_used")
    )
    return {}


def _replace_tool_map(message: _Message) -> dict[str, object]:
    given = message["arguments"].get("tool_map")
    _store(message).replace_tool_map(_name(message) or "", None if given is None else _tools(given, None))
    return {}


def _recover(message: _Message) -> dict[str, object]:
    report = _store(message).recover(foreign_older_than_seconds=_integer(message, "foreign_older_than_seconds"))
    return {
        "removed": _sorted_names(report.reclaimed),
        "temps": _sorted_names((*report.live, *report.foreign, *(failure.name for failure in report.failed))),
    }


def _sorted_names(names: Any) -> list[str]:
    return sorted(escape(os.fsencode(name)) for name in names)


_OPERATIONS: dict[str, Callable[[_Message], dict[str, object]]] = {
    "read": _read,
    "list": _list,
    "lookup": _lookup,
    "write": _write,
    "touch": _touch,
    "replace-tool-map": _replace_tool_map,
    "recover": _recover,
}

_START: dict[str, object] = {
    "implementation": "kvformat",
    "version": kvformat.__version__,
    "language": "Python",
    "operations": list(_OPERATIONS),
    "profiles": [AUTO, *PROFILES],
    "behaviours": {
        "trailing-bytes": "mentions",
        "empty-text": "stores",
        "duplicate-tool-ids": "stores",
        "filter-model-id": "offered",
        "filter-quantisation-bits": "offered",
        "filter-payload-abi": "offered",
        "foreign-temps": "reported",
        "foreign-temps-by-age": "removed",
    },
}


def main(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answers line by line until `stop` or the end of the input."""
    for line in questions:
        said = answer(json.loads(line))
        if said is None:
            return
        answers.write(json.dumps(said).encode("ascii") + b"\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
