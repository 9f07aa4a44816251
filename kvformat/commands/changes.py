"""`kvformat touch`, `tool-map` and `rm`: changes to entries that are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from kvformat import layout, rules
from kvformat.commands.common import (
    Failed,
    Fatal,
    directory_argument,
    entry_names,
    not_durable_option,
    note,
    open_to_write,
    profile_option,
    say,
)
from kvformat.commands.progress import SaveProgress
from kvformat.commands.tool_map_file import read_tool_map
from kvformat.display import counted, exact_bytes, iso_time, safe_lines
from kvformat.errors import KvcError, SaveError
from kvformat.model import Entry, ToolEntry
from kvformat.options import Options

_FAILED = "1 it failed and the message says what is visible now"
_USAGE = "2 wrong use, or an input or directory that cannot be read"


@click.command(short_help="Count a use of an entry.", epilog=f"Exit codes: 0 updated, {_FAILED}, {_USAGE}.")
@directory_argument
@click.argument("name", callback=entry_names)
@click.option(
    "--hits-added",
    metavar="N",
    type=click.IntRange(0, layout.U32_MAX),
    default=1,
    show_default=True,
    help="Stops at 2^32 - 1.",
)
@click.option(
    "--last-used", metavar="SECONDS", type=click.IntRange(0, layout.U64_MAX), help="Unix seconds. Default: now."
)
@not_durable_option
@profile_option
def touch(directory: str, name: str, hits_added: int, last_used: int | None, not_durable: bool, profile: str) -> None:
    """Count a use of the entry NAME: add to its hits, set its time of last use.

    \b
    Examples:
      kvformat touch DIR 1f96a912eff51d6f3288650ec8bccd7a515526ed.kv
      kvformat touch DIR sysprompt.kv --hits-added 0 --last-used 1700000000
    """
    store = open_to_write(directory, profile=profile)
    with _failures_told("the update failed"):
        header = store.touch(name, hits_added=hits_added, last_used=last_used, durable=not not_durable)
    used = iso_time(header.last_used) or f"at {header.last_used} s"
    say(f"{name}: {counted(header.hits, 'hit')}, last used {used}")


@click.command(
    "tool-map",
    short_help="Replace or remove the tool map of an entry.",
    epilog=f"Exit codes: 0 replaced, {_FAILED}, {_USAGE}.",
)
@directory_argument
@click.argument("name", callback=entry_names)
@click.option(
    "--set", "path", metavar="FILE|-", help='JSON: [{"id": "...", "block": "..."}], or id_base64, block_base64.'
)
@click.option("--remove", is_flag=True, help="Leave the entry without a tool map.")
@not_durable_option
@profile_option
def tool_map(directory: str, name: str, path: str | None, remove: bool, not_durable: bool, profile: str) -> None:
    """Replace the tool map of the entry NAME, or remove it, by writing the entry anew.

    \b
    Examples:
      kvformat tool-map DIR 1f96a912eff51d6f3288650ec8bccd7a515526ed.kv --set tools.json
      kvformat tool-map DIR 1f96a912eff51d6f3288650ec8bccd7a515526ed.kv --remove
    """
    if (path is None) is not remove:
        raise click.UsageError("give either --set or --remove")
    entries = None if path is None else _checked(read_tool_map(path))
    store = open_to_write(directory, profile=profile)
    with _failures_told("the tool map was not replaced"), SaveProgress(None) as progress:
        options = Options(durable=not not_durable, on_progress=progress)
        result = store.replace_tool_map(name, entries, options=options)
    now = "no tool map" if entries is None else f"a tool map of {counted(len(entries), 'entry', 'entries')}"
    durable = "durable" if result.durable else "NOT durable"
    say(f"{result.name}: {now}, {exact_bytes(result.file_bytes)}, {durable}")


def _checked(entries: tuple[ToolEntry, ...]) -> tuple[ToolEntry, ...]:
    """The entries, if every reader takes them (KVC-TOOLMAP-3 to KVC-TOOLMAP-5)."""
    problems = rules.check_entry(Entry(text=b"", tokens=1, tool_map=entries))
    if problems:
        raise Fatal("\n".join(["readers would reject this tool map:", *(f"  {problem}" for problem in problems)]))
    return entries


@contextmanager
def _failures_told(what: str) -> Iterator[None]:
    """A damaged entry, or a failure of the system, in the words of a person and with exit code 1."""
    try:
        yield
    except SaveError as error:
        raise Failed(f"{what}: {error}") from error
    except KvcError as error:
        raise Failed(f"{what}, nothing was changed: {error}") from error


@click.command(
    short_help="Remove entries.", epilog=f"Exit codes: 0 all removed, 1 one was not and the message says so, {_USAGE}."
)
@directory_argument
@click.argument("names", metavar="NAME...", nargs=-1, required=True, callback=entry_names)
@not_durable_option
def rm(directory: str, names: tuple[str, ...], not_durable: bool) -> None:
    """Remove entries; readers that have one open keep it. Only names of entries are removed.

    \b
    Examples:
      kvformat rm DIR 1f96a912eff51d6f3288650ec8bccd7a515526ed.kv
      kvformat rm --not-durable DIR A.kv B.kv    (names of entries, not paths)
    """
    store = open_to_write(directory)
    failed = 0
    for name in names:
        try:
            store.remove(name, durable=not not_durable)
        except SaveError as error:
            failed += 1
            note(safe_lines(f"{name}: {error.operation}: {error.message}; {error.consequences()}"))
        else:
            say(f"removed {name}")
    if failed:
        raise Failed(f"{failed:,} of {counted(len(names), 'entry', 'entries')} not removed, or not durably")
