"""Strategies for files with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from kvformat import layout
from kvformat.errors import Category
from kvformat.testing.whole import entries, file_of


class BrokenFile(NamedTuple):
    """A file that breaks one clause, and the category that a reader under "auto" says.

    For KVC-TOOLMAP-1 to KVC-TOOLMAP-6 that is what a verifier reports, the entry stays usable.
    """

    data: bytes
    clause: str
    category: Category


def broken_files() -> st.SearchStrategy[BrokenFile]:
    """Files with one thing wrong that the bytes alone show: neither their name nor a reader's limit."""
    return st.one_of([_broken(kind) for kind in _KINDS])


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _patched(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


def _other_bytes(data: bytes, offset: int, size_bytes: int) -> st.SearchStrategy[bytes]:
    """`data` with other bytes at `offset`."""
    new = st.binary(min_size=size_bytes, max_size=size_bytes)
    differs = new.filter(lambda value: value != data[offset : offset + size_bytes])
    return differs.map(lambda value: _patched(data, offset, value))


def _other_u8(data: bytes, offset: int, good: set[int]) -> st.SearchStrategy[bytes]:
    return (
        st.integers(0, layout.U8_MAX)
        .filter(lambda value: value not in good)
        .map(lambda value: _patched(data, offset, bytes((value,))))
    )


_Break = Callable[[bytes, int, int], st.SearchStrategy[bytes]]
"""From a whole file, the offset of its payload and that of its sections to the broken one."""


class _Kind(NamedTuple):
    clause: str
    category: Category
    broken: _Break
    tool_map: bool | None = None
    title: bool | None = None


def _tool_lengths(offset: int, good_max: int) -> _Break:
    """A first tool entry with a length of 0 or over the limit at `offset` of the entry."""
    bad = st.just(0) | st.integers(good_max + 1, layout.U32_MAX)
    return lambda data, _payload, sections: bad.map(
        lambda value: _patched(data, sections + layout.TOOL_MAP_HEAD_BYTES + offset, _u32(value))
    )


_BAD_SECTION = Category.BAD_SECTION
_KINDS = (
    _Kind("KVC-FILE-3", Category.TRUNCATED, lambda data, _p, _s: st.integers(0, 51).map(lambda n: data[:n])),
    _Kind("KVC-FILE-3", Category.TRUNCATED, lambda data, _p, s: st.integers(52, s - 1).map(lambda n: data[:n])),
    _Kind(
        "KVC-FILE-3",
        Category.TRUNCATED,
        lambda data, _p, _s: st.integers(len(data), layout.U32_MAX).map(lambda n: _patched(data, 48, _u32(n))),
    ),
    _Kind(
        "KVC-FILE-4",
        Category.LIMIT,
        lambda data, p, _s: st.integers(2**63 - p, layout.U64_MAX).map(
            lambda n: _patched(data, layout.PAYLOAD_BYTES_OFFSET, n.to_bytes(8, "little"))
        ),
    ),
    _Kind("KVC-HEADER-1", Category.BAD_MAGIC, lambda data, _p, _s: _other_bytes(data, 0, 3)),
    _Kind("KVC-HEADER-2", Category.UNSUPPORTED_VERSION, lambda data, _p, _s: _other_u8(data, 3, {1})),
    _Kind("KVC-HEADER-3", Category.INVALID_FIELD, lambda data, _p, _s: _other_u8(data, 4, {2, 4})),
    _Kind("KVC-HEADER-10", Category.INVALID_FIELD, lambda data, _p, _s: st.just(_patched(data, 8, bytes(4)))),
    _Kind("KVC-PROFILE-2", Category.UNSUPPORTED_PROFILE, lambda data, _p, _s: _other_u8(data, 20, {0, 2, 3})),
    _Kind("KVC-TOOLMAP-1", _BAD_SECTION, lambda data, _p, s: _other_bytes(data, s, 3), True, False),
    _Kind("KVC-TOOLMAP-2", _BAD_SECTION, lambda data, _p, s: _other_u8(data, s + 3, {1}), True, False),
    _Kind(
        "KVC-TOOLMAP-3",
        _BAD_SECTION,
        lambda data, _p, s: st.integers(layout.TOOL_MAP_COUNT_MAX + 1, layout.U32_MAX).map(
            lambda n: _patched(data, s + 4, _u32(n))
        ),
        True,
        False,
    ),
    _Kind("KVC-TOOLMAP-4", _BAD_SECTION, _tool_lengths(0, layout.TOOL_ID_BYTES_MAX), True, False),
    _Kind("KVC-TOOLMAP-5", _BAD_SECTION, _tool_lengths(4, layout.TOOL_BLOCK_BYTES_MAX), True, False),
    _Kind(
        "KVC-TOOLMAP-6",
        _BAD_SECTION,
        lambda data, _p, s: st.integers(s, len(data) - 1).map(lambda n: data[:n]),
        True,
        False,
    ),
    _Kind("KVC-TITLE-2", _BAD_SECTION, lambda data, _p, s: _other_bytes(data, s, 4), True, True),
    _Kind(
        "KVC-TITLE-1",
        _BAD_SECTION,
        lambda data, _p, s: st.integers(s, len(data) - 1).map(lambda n: data[:n]),
        False,
        True,
    ),
    _Kind(
        "KVC-TITLE-3",
        Category.LIMIT,
        lambda data, _p, s: st.integers(layout.TITLE_BYTES_MAX + 1, layout.TITLE_BYTES_MAX + 9).map(
            lambda n: data[:s] + _u32(n) + bytes(n)
        ),
        False,
        True,
    ),
)


@st.composite
def _broken(draw: st.DrawFn, kind: _Kind) -> BrokenFile:
    entry = draw(entries(tool_map=kind.tool_map, title=kind.title, min_tool_entries=1))
    payload = draw(st.binary(min_size=1, max_size=50))
    payload_offset = layout.payload_offset(len(entry.text))
    data = file_of(entry, payload)
    return BrokenFile(
        draw(kind.broken(data, payload_offset, payload_offset + len(payload))), kind.clause, kind.category
    )
