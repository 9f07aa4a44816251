"""Judges a whole file and collects everything that is wrong with it; the payload is not read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kvformat import identity, layout, rules, schema
from kvformat.errors import KvcError, Problem
from kvformat.fields import SchemaError
from kvformat.limits import DEFAULT_LIMITS, Limits
from kvformat.model import Header, Region
from kvformat.profiles import AUTO, Profile, select
from kvformat.sections import ToolMapWalk, bytes_left, no_title, read_title
from kvformat.sources import PIECE_BYTES, OpenSource, Source, open_source, path_name


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found. Sizes are in bytes; what could not be known is None.

    `regions` says what is where as far as the lengths can be trusted. `name` is what the
    identity was compared with, None where it was not (no name known, a fixed name, or damage
    before it). `tool_entries` counts the good ones.
    """

    problems: tuple[Problem, ...]
    header: Header | None = None
    profile: Profile | None = None
    size_bytes: int | None = None
    text_bytes: int | None = None
    tool_entries: int = 0
    title: bytes | None = None
    trailing_bytes: int | None = None
    name: str | None = None
    regions: tuple[Region, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing at all was found. The content of the payload has no check (KVC-PAYLOAD-1)."""
        return not self.problems

    @property
    def usable(self) -> bool:
        """Whether a reader would use it: damage of the tool map alone rejects nothing (KVC-TOOLMAP-6)."""
        return all(problem.clause.startswith("KVC-TOOLMAP-") for problem in self.problems)


def verify(
    source: OpenSource,
    *,
    profile: str = AUTO,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
    follow_symlinks: bool = True,
) -> VerifyReport:
    """Reports every problem of a file, in the order of checks of spec/kvc.md, 1.4; arguments as `open_kvc`.

    The text is hashed in pieces and the payload skipped, so that memory stays flat; a stream that
    cannot seek is read to its last section. Bad bytes are never an exception. Raises OSError where
    the system does not open or read the file, ValueError for a profile that is not known.
    """
    name = path_name(source) if name is None else name
    try:
        opened = open_source(source, follow_symlinks=follow_symlinks, close_source=False)
    except KvcError as error:
        return VerifyReport((error.problem,))
    try:
        return _judge(opened, profile, limits, name)
    finally:
        opened.close()


def _judge(source: Source, profile: str, limits: Limits, name: str | None) -> VerifyReport:
    head = source.read_at(0, layout.TEXT_OFFSET)
    problems = rules.check_head(head, total_bytes=source.size_bytes, profile=profile, limits=limits)
    clauses = {problem.clause for problem in problems}
    if clauses & {"KVC-HEADER-1", "KVC-HEADER-2"} or len(head) < layout.TEXT_OFFSET:
        return VerifyReport(tuple(problems), size_bytes=source.size_bytes)
    header, text_bytes = schema.parse_fixed(head)
    report = VerifyReport(
        tuple(problems),
        header=header,
        profile=select(profile, header.byte20),
        size_bytes=source.size_bytes,
        text_bytes=text_bytes,
    )
    if "KVC-FILE-4" in clauses:
        return report
    if "KVC-FILE-3" in clauses:
        return _cut_short(report, header, text_bytes, source.size_bytes or 0)
    compared = None if name in identity.FIXED_NAMES else name
    expected = None
    if compared is not None and not header.has_title and "KVC-LIMIT-3" not in clauses:
        expected, end = _hash_text(source, text_bytes)
        if end < layout.payload_offset(text_bytes):
            return _cut_short(report, header, text_bytes, end)
    sections_offset = layout.payload_offset(text_bytes) + header.payload_bytes
    if not source.reaches(sections_offset):
        return _cut_short(report, header, text_bytes, source.size_bytes or 0)
    report = _judge_sections(report, source, header, text_bytes)
    if report.title is not None:
        expected = identity.session_name(report.title, header.created)
    if expected is None or compared is None:
        return report
    mismatch = rules.check_name(compared, expected, session=header.has_title)
    problems = [] if mismatch is None else [mismatch]
    return replace(report, problems=(*report.problems, *problems), name=compared)


def _cut_short(report: VerifyReport, header: Header, text_bytes: int, end: int) -> VerifyReport:
    """The file ends at `end`, before its sections; the reader's own limit for the text then has no say."""
    passed = (problem for problem in report.problems if problem.clause not in ("KVC-FILE-3", "KVC-LIMIT-3"))
    truncated = rules.truncated(text_bytes, header.payload_bytes, end)
    regions = layout.regions(text_bytes=text_bytes, payload_bytes=header.payload_bytes, total_bytes=end)
    return replace(report, problems=(*passed, truncated), size_bytes=end, regions=regions)


def _hash_text(source: Source, text_bytes: int) -> tuple[str, int]:
    """The name that the text calls for, and the offset behind what the file has of the text."""
    end = layout.TEXT_OFFSET

    def pieces() -> Iterator[bytes]:
        nonlocal end
        while end < layout.payload_offset(text_bytes):
            piece = source.read_at(end, min(PIECE_BYTES, layout.payload_offset(text_bytes) - end))
            if not piece:
                return
            end += len(piece)
            yield piece

    return identity.text_name_of(pieces()), end


def _judge_sections(report: VerifyReport, source: Source, header: Header, text_bytes: int) -> VerifyReport:
    """Tool map and title, their regions, and what stands behind them."""
    sections_offset = layout.payload_offset(text_bytes) + header.payload_bytes
    walk = ToolMapWalk(source, sections_offset)
    problems = list(report.problems)
    title: bytes | None = None
    if header.has_tool_map:
        walk.skim()
        if walk.problem is not None:
            problems.append(walk.problem)
    if header.has_title:
        try:
            title = _read_title(source, walk)
        except SchemaError as error:
            problems.append(error.problem)
    # A damaged section goes to the end of the file: nobody knows where it ends.
    tool_map_bytes, title_bytes = walk.end - sections_offset, 0
    if walk.problem is not None:
        tool_map_bytes = bytes_left(source, sections_offset) or tool_map_bytes
    elif title is not None:
        title_bytes = layout.title_section_bytes(len(title))
    elif header.has_title:
        title_bytes = bytes_left(source, walk.end) or 0
    trailing_bytes = bytes_left(source, sections_offset + tool_map_bytes + title_bytes)
    known = walk.problem is None and (title is not None or not header.has_title)
    return replace(
        report,
        problems=tuple(problems),
        size_bytes=source.size_bytes,
        tool_entries=walk.count,
        title=title,
        trailing_bytes=trailing_bytes if known else None,
        regions=layout.regions(
            text_bytes=text_bytes,
            payload_bytes=header.payload_bytes,
            tool_map_bytes=tool_map_bytes,
            title_bytes=title_bytes,
            total_bytes=source.size_bytes,
        ),
    )


def _read_title(source: Source, walk: ToolMapWalk) -> bytes:
    if walk.problem is not None:
        raise SchemaError(no_title(walk.problem))
    return read_title(source, walk.end)
