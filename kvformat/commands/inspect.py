"""`kvformat inspect`: one file, field by field."""

from __future__ import annotations

import os

import click

from kvformat.commands.common import EXIT_FOUND, json_option, print_json, profile_option
from kvformat.commands.documents import bytes_value, header_value, name_value, problem_value, region_value, schema_id
from kvformat.commands.header_fields import Field, fixed_fields
from kvformat.commands.inputs import STDIN, open_kvc_file, shown_path
from kvformat.commands.inspection import Identity, Inspection, examine
from kvformat.display import StdoutConsole, counted, exact_bytes, folded, human_bytes, quoted, safe_lines, table
from kvformat.model import Region

_TOOLS_SHOWN = 20
_TEXT_LINES = 20
_ID_COLUMNS = 48
_TITLE_COLUMNS = 70

_IDENTITY_WORDS = {
    Identity.MATCHES: "the one that the content calls for",
    Identity.MISMATCH: "NOT the one that the content calls for",
    Identity.FIXED: "a fixed one: whoever uses the entry compares its text in full [KVC-NAME-4]",
    Identity.NOT_CHECKED: "not compared with the content",
}


@click.command(
    short_help="Show what one file holds, and what is wrong with it.",
    epilog="Exit codes: 0 the file is good, 1 it breaks a clause, 2 wrong use or the file cannot be read. "
    "A pipe on standard input is kept in a temporary file meanwhile.",
)
@click.argument("path", metavar="FILE")
@json_option
@profile_option
@click.pass_context
def inspect(ctx: click.Context, path: str, as_json: bool, profile: str) -> None:
    """Show what a KVC file holds: header, sections, regions, text, and what is wrong with it.

    FILE of - is standard input. The content of the payload has no checksum and is not judged.

    \b
    Examples:
      kvformat inspect 1f96a912eff51d6f3288650ec8bccd7a515526ed.kv
      kvformat inspect --json X.kv | jq .header.tokens
      zstdcat X.kv.zst | kvformat inspect -
    """
    with open_kvc_file(path) as opened:
        found = examine(opened, name=None if path == STDIN else os.path.basename(path), profile=profile)
    if as_json:
        print_json(_document(path, found))
    else:
        _print(StdoutConsole(), path, found)
    if not found.report.ok:
        ctx.exit(EXIT_FOUND)


def _fields(found: Inspection) -> list[Field]:
    report = found.report
    if report.header is None or report.text_bytes is None:
        return []
    return list(fixed_fields(report.header, report.text_bytes, report.profile))


def _document(path: str, found: Inspection) -> dict[str, object]:
    report = found.report
    return {
        "schema": schema_id("inspect"),
        "path": None if path == STDIN else name_value(path),
        "size_bytes": report.size_bytes,
        "profile": None if report.profile is None else report.profile.name,
        "ok": report.ok,
        "usable": report.usable,
        "identity": str(found.identity),
        "expected_name": found.expected_name,
        "header": None if report.header is None else header_value(report.header),
        "fields": [
            {
                "name": field.name,
                "offset": field.offset,
                "bytes": field.size_bytes,
                "value": field.value,
                "meaning": field.meaning,
            }
            for field in _fields(found)
        ],
        "regions": [region_value(region) for region in report.regions],
        "text": {
            "bytes": report.text_bytes,
            "start": bytes_value(found.text_start),
            "end": None if found.text_end is None else bytes_value(found.text_end),
        },
        "tool_map": [{"id": bytes_value(tool.id), "block_bytes": tool.block_bytes} for tool in found.tools]
        if report.header is not None and report.header.has_tool_map
        else None,
        "title": None if report.title is None else bytes_value(report.title),
        "trailing_bytes": report.trailing_bytes,
        "hints": [{"message": hint.message, "clause": hint.clause} for hint in found.hints],
        "problems": [problem_value(problem) for problem in report.problems],
    }


def _print(console: StdoutConsole, path: str, found: Inspection) -> None:
    report = found.report
    console.say(shown_path(path), style="bold")
    if report.size_bytes is not None:
        console.say(f"size     {exact_bytes(report.size_bytes)}")
    if report.profile is not None:
        console.say(f"profile  {report.profile.name}")
    console.say(f"name     {_IDENTITY_WORDS[found.identity]}")
    if found.expected_name is not None and found.identity is not Identity.MATCHES:
        console.say(f"         the content calls for {found.expected_name}")
    if report.title is not None:
        console.say(f"title    {quoted(report.title, _TITLE_COLUMNS)}")
    fields = _fields(found)
    if fields:
        _print_fields(console, fields)
    elif found.head:
        _print_head(console, found.head)
    if report.regions:
        _print_regions(console, report.regions)
    if report.header is not None and report.header.has_tool_map:
        _print_tools(console, found)
    _print_text(console, found)
    _print_findings(console, found)


def _print_fields(console: StdoutConsole, fields: list[Field]) -> None:
    rows = [(str(field.offset), field.name.removeprefix("header."), field.shown, field.meaning) for field in fields]
    console.say()
    console.print(table((("offset", "right"), ("field", "left"), ("value", "right"), ("meaning", "left")), rows))


def _print_head(console: StdoutConsole, head: bytes) -> None:
    """The first bytes of what is no KVC file of a known version."""
    console.say()
    console.say(f"first {counted(len(head), 'byte')}")
    for start in range(0, len(head), 16):
        piece = head[start : start + 16]
        letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
        console.say(f"  {start:02x}  {piece.hex(' '):<47}  {letters}")


def _print_regions(console: StdoutConsole, regions: tuple[Region, ...]) -> None:
    rows = [
        (region.name.replace("_", " "), f"{region.offset:,}", f"{region.size_bytes:,}", human_bytes(region.size_bytes))
        for region in regions
    ]
    console.say()
    console.print(table((("region", "left"), ("offset", "right"), ("bytes", "right"), ("size", "right")), rows))


def _print_tools(console: StdoutConsole, found: Inspection) -> None:
    console.say()
    console.say(f"tool map: {counted(len(found.tools), 'entry', 'entries')}", style="bold")
    rows = [
        (str(index), quoted(tool.id, _ID_COLUMNS), f"{tool.block_bytes:,}")
        for index, tool in enumerate(found.tools[:_TOOLS_SHOWN])
    ]
    if rows:
        console.print(table((("entry", "right"), ("id", "left"), ("block bytes", "right")), rows))
    if len(found.tools) > _TOOLS_SHOWN:
        console.say(f"and {len(found.tools) - _TOOLS_SHOWN:,} more; --json has them all")


def _print_text(console: StdoutConsole, found: Inspection) -> None:
    if not found.text_start:
        return
    console.say()
    console.say("text" if found.text_end is None else "text, its start and its end", style="bold")
    for line in folded(found.text_start, console.width - 2, _TEXT_LINES):
        console.say(f"  {line}")
    if found.text_end is not None:
        console.say("  […]")
        for line in folded(found.text_end, console.width - 2, _TEXT_LINES):
            console.say(f"  {line}")


def _print_findings(console: StdoutConsole, found: Inspection) -> None:
    # Damage of the tool map is a hint to readers, who tolerate it; here it is among the problems.
    notes = [hint for hint in found.hints if hint.clause != "KVC-TOOLMAP-6"]
    if notes:
        console.say()
        console.say("hints", style="bold")
    for hint in notes:
        console.indented(safe_lines(hint.message) + (f" [{hint.clause}]" if hint.clause else ""))
    console.say()
    if found.report.ok:
        console.say("no clause is broken; the content of the payload has no checksum [KVC-PAYLOAD-1]")
        return
    console.say(f"BROKEN: {counted(len(found.report.problems), 'clause')}", style="bold")
    for problem in found.report.problems:
        console.indented(safe_lines(str(problem)))
    if found.report.usable:
        console.indented("readers use the entry all the same, without the damaged part [KVC-TOOLMAP-6]")
