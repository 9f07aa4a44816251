"""Building blocks of `kvformat.schema`: fields of construct that say which clause a value breaks.

They are made of construct's own subconstructs, not derived from them, so that they work
the same with and without type stubs for construct.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from construct import Check, ExprValidator, Int32ul, Rebuild, len_, this

from kvformat.errors import Category, KvformatError, Problem


class SchemaError(KvformatError, ValueError):
    """Bytes or values that break the declaration; the offset counts from the start of what was parsed."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def _indexed(name: str, context: Any) -> str:
    """`name` with the index of the array element that is parsed or built in its brackets."""
    return name.replace("[]", f"[{context._index}]")


def checked(field: Any, name: str, accept: Callable[[Any], bool], category: Category, clause: str, wanted: str) -> Any:
    """`field`, refusing in both directions what `accept` refuses; `name` is the specification's."""

    def validate(value: Any, context: Any) -> bool:
        if accept(value):
            return True
        # When parsing the stream stands behind the field. When building there is no byte to point at.
        offset = context._io.tell() - field.sizeof() if context._parsing else None
        found = repr(value) if isinstance(value, bytes) else f"{value:,}"
        raise SchemaError(
            Problem(category, _indexed(name, context), offset, clause, f"found {found}, expected {wanted}")
        )

    return ExprValidator(field, validate)


def constant(field: Any, name: str, value: bytes | int, category: Category, clause: str) -> Any:
    """A field that holds `value` and nothing else; called by the last part of `name`."""
    only = checked(field, name, lambda found: bool(found == value), category, clause, repr(value))
    return name.rpartition(".")[2] / Rebuild(only, lambda _context: value)


def length(name: str, of: str, least: int, most: int, clause: str) -> Any:
    """A u32 that says how much of `of` follows, from `least` to `most`; computed when building."""
    wanted = f"{least:,} to {most:,}"

    def accept(found: int) -> bool:
        return least <= found <= most

    bounded = checked(Int32ul, name, accept, Category.BAD_SECTION, clause, wanted)
    return name.rpartition(".")[2] / Rebuild(bounded, len_(this[of]))


def _bytes_left(context: Any) -> int | None:
    """How many bytes follow the position: as the caller said (None: not known), else what the stream has."""
    if "left_bytes" in context._params:
        said: int | None = context._params.left_bytes
        return said
    stream = context._io
    position = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    stream.seek(position)
    return int(end - position)


def present(parts: Callable[[Any], list[tuple[str, int]]], category: Category, clause: str) -> Any:
    """When parsing: the named parts, so many bytes each, are there (KVC-LIMIT-1)."""

    def check(context: Any) -> bool:
        left = _bytes_left(context) if context._parsing else None
        if left is None:
            return True
        end = context._io.tell() + left
        for name, size_bytes in parts(context):
            if size_bytes > left:
                message = f"the file has {left:,} of its {size_bytes:,} bytes"
                raise SchemaError(Problem(category, _indexed(name, context), end, clause, message))
            left -= size_bytes
        return True

    return Check(check)
