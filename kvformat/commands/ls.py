"""`kvformat ls`: a directory as a reader sees it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import click

from kvformat import layout
from kvformat.commands.common import directory_argument, json_option, open_to_read, print_json, profile_option, say
from kvformat.commands.documents import (
    bytes_value,
    header_value,
    name_value,
    problem_value,
    reason_name,
    schema_id,
)
from kvformat.display import (
    counted,
    exact_bytes,
    human_bytes,
    iso_time,
    quoted,
    safe,
    safe_lines,
    whole_characters,
)
from kvformat.filesystem import FileSystem
from kvformat.listing import Listing, StoredEntry

_PREVIEW_BYTES = 160
_HEADING = f"{'name':<43} {'tokens':>9} {'context':>9} {'hits':>6} {'size':>9}"

_SORTS: dict[str, Callable[[StoredEntry], Any]] = {
    "name": lambda entry: entry.name,
    "size": lambda entry: (-entry.size_bytes, entry.name),
    "last-used": lambda entry: (-entry.header.last_used, entry.name),
    "tokens": lambda entry: (-entry.header.tokens, entry.name),
}
"""Names rise; the largest, the latest used and the longest come first."""


@click.command(
    short_help="List a directory as a reader sees it.",
    epilog="Exit codes: 0 listed, damaged files or not (kvformat verify judges those), 2 wrong use or the directory "
    "cannot be read. Nothing is changed: the directory is not recovered and may be read-only.",
)
@directory_argument
@click.option("--sort", type=click.Choice(list(_SORTS)), default="name", show_default=True, help="Order of entries.")
@json_option
@profile_option
def ls(directory: str, sort: str, as_json: bool, profile: str) -> None:
    """List the entries of a directory, then what is damaged, and temp files apart.

    An entry takes two lines: its name, tokens, context size, hits and size; then quantisation, reason, time of last
    use and the start of its text. Identity is not checked: that is for kvformat verify.

    \b
    Examples:
      kvformat ls ~/.cache/kv
      kvformat ls --sort last-used ~/.cache/kv | head
      kvformat ls --json DIR | jq '.entries[].name'
    """
    store = open_to_read(directory, profile)
    found = store.scan()
    found.entries.sort(key=_SORTS[sort])
    if as_json:
        print_json(_document(directory, store.fs, found))
    else:
        _print(store.fs, found)


def text_start(fs: FileSystem, entry: StoredEntry) -> bytes | OSError:
    """The first bytes of the entry's text, or why they cannot be read (it was removed meanwhile, say)."""
    try:
        fd = fs.open(entry.name, os.O_RDONLY)
        try:
            start = fs.pread(fd, min(entry.text_bytes, _PREVIEW_BYTES), layout.TEXT_OFFSET)
        finally:
            fs.close(fd)
    except OSError as error:
        return error
    return start if entry.text_bytes <= _PREVIEW_BYTES else whole_characters(start)


def _print(fs: FileSystem, found: Listing) -> None:
    width = shutil.get_terminal_size().columns
    if found.entries:
        say(_HEADING)
    for entry in found.entries:
        say(_first_line(entry))
        say(_second_line(fs, entry, width))
    for damaged in found.damaged:
        say(f"damaged     {safe(damaged.name)}: {safe_lines(str(damaged.problem))}")
    for unreadable in found.unreadable:
        say(f"unreadable  {safe(unreadable.name)}: {unreadable.error.strerror or unreadable.error}")
    for name in found.temps:
        say(f"temp        {safe(name)} (of a save that runs or was killed; kvformat recover can tell)")
    for name in found.foreign_temps:
        say(f"foreign     {safe(name)} (temp file of another program)")
    say(_totals(found))


def _first_line(entry: StoredEntry) -> str:
    header = entry.header
    numbers = f"{header.tokens:>9,} {header.context_tokens:>9,} {header.hits:>6,} {human_bytes(entry.size_bytes):>9}"
    return f"{entry.name:<43} {numbers}"


def _second_line(fs: FileSystem, entry: StoredEntry, width: int) -> str:
    header = entry.header
    used = iso_time(header.last_used) or f"at {header.last_used} s"
    line = f"  {header.quantisation_bits}-bit {reason_name(header)}, used {used}"
    start = text_start(fs, entry)
    if isinstance(start, OSError):
        return f"{line}, text not readable: {start.strerror or start}"
    # Quotes and the ellipsis are inside the width; at least a few characters are always shown.
    return f"{line} {quoted(start, max(12, width - len(line) - 1))}"


def _totals(found: Listing) -> str:
    size_bytes = sum(entry.size_bytes for entry in found.entries)
    parts = [f"{counted(len(found.entries), 'entry', 'entries')}, {exact_bytes(size_bytes)}"]
    for names, what in (
        (found.damaged, "damaged"),
        (found.unreadable, "unreadable"),
        (found.temps, "temp"),
        (found.foreign_temps, "temp of other programs"),
        (found.others, "other"),
    ):
        if names:
            parts.append(f"{len(names):,} {what}")
    return "; ".join(parts)


def _entry_value(fs: FileSystem, entry: StoredEntry) -> dict[str, object]:
    start = text_start(fs, entry)
    return {
        "name": entry.name,
        "size_bytes": entry.size_bytes,
        "text_bytes": entry.text_bytes,
        "text_start": None if isinstance(start, OSError) else bytes_value(start),
        "answers_prompts": entry.answers_prompts,
        "header": header_value(entry.header),
    }


def _document(directory: str, fs: FileSystem, found: Listing) -> dict[str, object]:
    return {
        "schema": schema_id("ls"),
        "directory": name_value(directory),
        "entries": [_entry_value(fs, entry) for entry in found.entries],
        "damaged": [{"name": one.name, "problem": problem_value(one.problem)} for one in found.damaged],
        "unreadable": [{"name": one.name, "error": one.error.strerror or str(one.error)} for one in found.unreadable],
        "temps": list(found.temps),
        "foreign_temps": [name_value(name) for name in found.foreign_temps],
        "others": len(found.others),
        "totals": {
            "entries": len(found.entries),
            "bytes": sum(entry.size_bytes for entry in found.entries),
        },
    }
