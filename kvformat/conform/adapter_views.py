"""What kvformat has read, as a view (spec/conformance.md, chapter 3); memory does not grow with the payload."""

from __future__ import annotations

import hashlib
import os
from dataclasses import fields

from kvformat import layout
from kvformat.conform.escape import escape
from kvformat.reader import KvcReader

_PAYLOAD_DIGEST_BYTES_MAX = 16 * 1024 * 1024
"""Of a longer payload no case expects the digest."""

_PIECE_BYTES = 1024 * 1024


def read_view(reader: KvcReader) -> dict[str, object]:
    """Everything that the reader says of its file. Raises KvcError where the file was cut meanwhile."""
    header = reader.header
    tool_map: list[object] | None = None
    if header.has_tool_map and reader.tool_map_problem is None:
        tool_map = [{"id": _whole(tool.id), "block": _whole(tool.block)} for tool in reader.iter_tool_map()]
    title = reader.title()
    trailing_bytes = reader.trailing_bytes
    return {
        "name": None if reader.name is None else escape(os.fsencode(reader.name)),
        "profile": reader.profile.name,
        "file_bytes": str(reader.size_bytes),
        "header": {
            "version": str(layout.VERSION),
            **{field.name: _field(getattr(header, field.name)) for field in fields(header)},
        },
        "text": _whole(reader.text),
        "payload": _payload(reader),
        "tool_map": tool_map,
        "title": None if title is None else _whole(title),
        "trailing_bytes": None if trailing_bytes is None else str(trailing_bytes),
    }


def _whole(data: bytes) -> dict[str, object]:
    return {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}


def _field(value: int | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else str(int(value))


def _payload(reader: KvcReader) -> dict[str, object]:
    view: dict[str, object] = {"bytes": str(reader.header.payload_bytes)}
    if reader.header.payload_bytes <= _PAYLOAD_DIGEST_BYTES_MAX:
        digest = hashlib.sha256()
        while piece := reader.payload.read(_PIECE_BYTES):
            digest.update(piece)
        view["sha256"] = digest.hexdigest()
    return view
