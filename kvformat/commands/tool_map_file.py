"""A tool map as people write it: a JSON array of ids and blocks (schemas/tool-map.schema.json)."""

from __future__ import annotations

import base64
import json
from typing import Any

from kvformat.commands.common import Fatal
from kvformat.commands.inputs import read_input, shown_path
from kvformat.display import quoted
from kvformat.model import ToolEntry

_PARTS = ("id", "block")
_KEYS = {key for part in _PARTS for key in (part, f"{part}_base64")}


class ToolMapError(ValueError):
    """Not a tool map in JSON; says where."""


def read_tool_map(path: str) -> tuple[ToolEntry, ...]:
    """The entries of the JSON file at `path`, `-` for standard input. Raises Fatal with the place of a mistake."""
    data = read_input(path)
    try:
        return parse_tool_map(data)
    except ToolMapError as error:
        raise Fatal(f"{shown_path(path)}: {error}") from error


def parse_tool_map(data: bytes) -> tuple[ToolEntry, ...]:
    """The entries of a JSON text. Raises ToolMapError; lengths are judged by who writes them (KVC-TOOLMAP-4)."""
    try:
        listed = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ToolMapError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ToolMapError("nested too deeply to be a tool map") from error
    except ValueError as error:
        raise ToolMapError(f"not JSON: {error}") from error
    if not isinstance(listed, list):
        raise ToolMapError('expected an array: [{"id": "...", "block": "..."}, ...]')
    return tuple(_entry(item, f"entry {index}") for index, item in enumerate(listed))


def _entry(item: Any, where: str) -> ToolEntry:
    if not isinstance(item, dict):
        raise ToolMapError(f"{where}: expected an object with id and block")
    for key in item:
        if key not in _KEYS:
            raise ToolMapError(f"{where}: unknown key {quoted(key, 40)}; known are {', '.join(sorted(_KEYS))}")
    tool_id, block = (_part(item, part, where) for part in _PARTS)
    return ToolEntry(tool_id, block)


def _part(item: dict[str, Any], part: str, where: str) -> bytes:
    encoded = f"{part}_base64"
    if (part in item) == (encoded in item):
        raise ToolMapError(f"{where}: expected either {part} or {encoded}")
    key = part if part in item else encoded
    value = item[key]
    if not isinstance(value, str):
        raise ToolMapError(f"{where}: {key} is not a string")
    try:
        return value.encode("utf-8") if key == part else base64.b64decode(value, validate=True)
    except UnicodeEncodeError as error:
        raise ToolMapError(f"{where}: {key} holds half a surrogate pair; give its bytes as {encoded}") from error
    except ValueError as error:
        raise ToolMapError(f"{where}: {key} is not base64: {error}") from error
