"""Reads one KVC file from a path, a descriptor or a stream; memory does not grow with the payload."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from kvformat import identity, layout, rules, schema
from kvformat.errors import Category, KvcError, Problem, error_for
from kvformat.fields import SchemaError
from kvformat.limits import DEFAULT_LIMITS, Limits
from kvformat.model import Header, Region, ToolEntry
from kvformat.profiles import AUTO, Profile, select
from kvformat.sections import ToolMapWalk, no_title, read_title
from kvformat.sources import OpenSource, Source, open_source, path_name
from kvformat.verify import VerifyReport, verify
from kvformat.window import PayloadStream

__all__ = ["KvcReader", "PayloadStream", "VerifyReport", "open_kvc", "verify"]


def open_kvc(
    source: OpenSource,
    *,
    profile: str = AUTO,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
    strict: bool = False,
    follow_symlinks: bool = True,
    close_source: bool = False,
) -> KvcReader:
    """Opens a KVC file for use: every step of spec/kvc.md, 1.4, is taken before this returns.

    `source` is a path; or a descriptor of a regular file, which is read with pread(2), not
    moved and not closed; or a binary stream, which starts at its position and is moved.
    `close_source` gives a descriptor or stream away. `name` is what the file is called; without
    it a path's last part counts if it is a digest name. Where no name is known the identity
    is not checked, and the content may be shown but must not be used (KVC-NAME-1).

    A stream that cannot seek is read forward only: text, payload, tool map, title, in this
    order. What needs later bytes (KVC-FILE-3 for the payload, the title, with it the identity
    of an agent session) is checked when these are read. What can be said without them is: such
    a stream can be rejected for its text, or for a text over the limit, while it is also truncated.

    `strict` also raises BadSectionError for a damaged tool map, which readers otherwise
    tolerate (KVC-TOOLMAP-6). Raises KvcError, the first in the order of checks; OSError; and
    ValueError for a profile that is not known.
    """
    name = path_name(source) if name is None else name
    opened = open_source(source, follow_symlinks=follow_symlinks, close_source=close_source)
    try:
        return KvcReader(opened, profile=profile, limits=limits, name=name, strict=strict)
    except BaseException:
        opened.close()
        raise


class KvcReader:
    """An open KVC file whose header and lengths hold; see `open_kvc`. A context manager.

    `header` keeps every value as stored. `name` is what the identity was checked against, None
    where no name was known. `source` is where the bytes come from.
    """

    def __init__(self, source: Source, *, profile: str, limits: Limits, name: str | None, strict: bool) -> None:
        self.source = source
        self.name = name
        self.limits = limits
        self._strict = strict
        head = source.read_at(0, layout.TEXT_OFFSET)
        problems = rules.check_head(head, total_bytes=source.size_bytes, profile=profile, limits=limits)
        if problems:
            raise self._error(problems[0])
        self.header, self.text_bytes = schema.parse_fixed(head)
        self.profile = _selected(profile, self.header)
        self._payload_offset = layout.payload_offset(self.text_bytes)
        self._sections_offset = self._payload_offset + self.header.payload_bytes
        self._text: bytes | None = None
        self._title: bytes | None = None
        self._walk: ToolMapWalk | None = None
        self._tool_map: tuple[ToolEntry, ...] | None = None
        self._payload = PayloadStream(
            source,
            text_bytes=self.text_bytes,
            offset=self._payload_offset,
            size_bytes=self.header.payload_bytes,
        )
        self._check_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KvcReader {self.source.name!r} {self.profile.name}>"

    def close(self) -> None:
        """Ends reading. A path's file is closed; a descriptor or stream only where `close_source` said so."""
        self._payload.close()
        self.source.close()

    @property
    def size_bytes(self) -> int | None:
        """The size of the file; None for a stream whose end was not seen yet."""
        return self.source.size_bytes

    @property
    def text(self) -> bytes:
        """The text. Raises TruncatedError where the file was cut since it was opened (KVC-FILE-3)."""
        if self._text is None:
            text = self.source.read_at(layout.TEXT_OFFSET, self.text_bytes)
            if len(text) < self.text_bytes:
                end = layout.TEXT_OFFSET + len(text)
                raise self._error(rules.truncated(self.text_bytes, self.header.payload_bytes, end))
            self._text = text
        return self._text

    @property
    def payload(self) -> PayloadStream:
        """The payload as a raw binary stream, always the same one (KVC-PAYLOAD-1)."""
        return self._payload

    def iter_tool_map(self) -> Iterator[ToolEntry]:
        """The entries of the tool map, one in memory at a time, up to any damage (KVC-TOOLMAP-6).

        Nothing where there is no tool map. Raises BadSectionError at the damage under `strict`, ValueError where
        the reader is closed.
        """
        if self._payload.closed:
            raise ValueError(f"{self.source.name} is closed")
        if not self.header.has_tool_map:
            return
        walk = ToolMapWalk(self.source, self._sections_offset)
        yield from walk.entries()
        self._walk = walk
        if self._strict and walk.problem:
            raise self._error(walk.problem)

    def tool_map(self) -> tuple[ToolEntry, ...]:
        """All entries of the tool map up to any damage, empty where there is none (KVC-TOOLMAP-6).

        `tool_map_problem` says whether there was damage. Raises LimitError where they have more than
        `limits.memory_bytes_max` bytes; `iter_tool_map` has no such bound.
        """
        if self._tool_map is None:
            entries = []
            left = self.limits.memory_bytes_max
            for entry in self.iter_tool_map():
                left -= layout.tool_entry_bytes(len(entry.id), len(entry.block))
                if left < 0:
                    raise self._error(self._too_large("tool_map", self._sections_offset))
                entries.append(entry)
            self._tool_map = tuple(entries)
        return self._tool_map

    @property
    def tool_map_problem(self) -> Problem | None:
        """The damage of the tool map, None where there is none or no tool map (KVC-TOOLMAP-6)."""
        return self._skimmed().problem if self.header.has_tool_map else None

    def title(self) -> bytes | None:
        """The session title, None where there is none.

        Raises BadSectionError where it cannot be found or is cut (KVC-TITLE-1, KVC-TITLE-2), LimitError
        where it is too long (KVC-TITLE-3), and on a stream IdentityMismatchError (KVC-NAME-3).
        """
        if self.header.has_title and self._title is None:
            start = self._title_offset()
            try:
                title = read_title(self.source, start)
            except SchemaError as error:
                raise self._error(error.problem) from None
            self._check_name(identity.session_name(title, self.header.created))
            self._title = title
        return self._title

    @property
    def trailing_bytes(self) -> int | None:
        """How many bytes stand behind the last section (KVC-FILE-5); None where that cannot be known:

        behind a damaged tool map, and on a stream whose end was not seen.
        """
        if self.size_bytes is None or self.tool_map_problem is not None:
            return None
        return max(0, self.size_bytes - self._sections_end())

    def read_trailing(self) -> bytes:
        """The bytes behind the last section (KVC-FILE-5).

        Raises BadSectionError behind a damaged tool map, LimitError over `limits.memory_bytes_max`.
        """
        problem = self.tool_map_problem
        if problem is not None:
            raise self._error(problem)
        most = self.limits.memory_bytes_max
        data = self.source.read_at(self._sections_end(), most + 1)
        if len(data) > most:
            raise self._error(self._too_large("trailing", self._sections_end()))
        return data

    def regions(self) -> tuple[Region, ...]:
        """What is where (KVC-FILE-2). Of a stream whose end was not seen: up to the payload.

        A damaged tool map extends to the end of the file, as nobody knows where it ends.
        """
        sizes = {"text_bytes": self.text_bytes, "payload_bytes": self.header.payload_bytes}
        if self.size_bytes is None:
            return layout.regions(**sizes)
        if self.tool_map_problem is not None:
            sizes["tool_map_bytes"] = max(0, self.size_bytes - self._sections_offset)
        else:
            title_offset = self._title_offset()
            sizes["tool_map_bytes"] = title_offset - self._sections_offset
            sizes["title_bytes"] = self._sections_end() - title_offset
        return layout.regions(**sizes, total_bytes=self.size_bytes)

    def _check_all(self) -> None:
        """Takes the steps of spec/kvc.md, 1.4, that follow the head, as far as the source allows."""
        if not self.source.seekable:
            self._check_text_name()
            return
        if self._strict and self.tool_map_problem is not None:
            raise self._error(self.tool_map_problem)
        if self.header.has_title:
            self.title()
        elif self.name is not None:
            self._check_text_name()

    def _check_text_name(self) -> None:
        text = self.text
        if not self.header.has_title:
            self._check_name(identity.text_name(text))

    def _check_name(self, expected: str) -> None:
        if self.name is None:
            return
        problem = rules.check_name(self.name, expected, session=self.header.has_title)
        if problem is not None:
            raise self._error(problem)

    def _skimmed(self) -> ToolMapWalk:
        """The tool map's extent: known from reading it, else from passing over it."""
        if self._walk is None:
            walk = ToolMapWalk(self.source, self._sections_offset)
            walk.skim()
            self._walk = walk
        return self._walk

    def _title_offset(self) -> int:
        if not self.header.has_tool_map:
            return self._sections_offset
        walk = self._skimmed()
        if walk.problem is not None:
            raise self._error(no_title(walk.problem))
        return walk.end

    def _sections_end(self) -> int:
        title = self.title()
        offset = self._title_offset()
        return offset if title is None else offset + layout.title_section_bytes(len(title))

    def _too_large(self, field: str, offset: int) -> Problem:
        message = f"it has more than the {self.limits.memory_bytes_max:,} bytes that may be held in memory"
        return Problem(Category.LIMIT, field, offset, "KVC-LIMIT-4", message)

    def _error(self, problem: Problem) -> KvcError:
        return error_for(problem, self.source.name)


def _selected(profile: str, header: Header) -> Profile:
    selected = select(profile, header.byte20)
    if selected is None:
        raise AssertionError(f"byte 20 of {header.byte20} has passed the check of the head")
    return selected
