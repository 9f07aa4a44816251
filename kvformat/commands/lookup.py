"""`kvformat lookup`: which entry answers a prompt."""

from __future__ import annotations

import os

import click

from kvformat import layout
from kvformat.commands.common import (
    EXIT_FOUND,
    directory_argument,
    json_option,
    note,
    open_to_read,
    print_json,
    profile_option,
    say,
)
from kvformat.commands.documents import header_value, name_value, schema_id
from kvformat.commands.inputs import read_input
from kvformat.display import exact_bytes, safe
from kvformat.listing import StoredEntry


@click.command(
    short_help="Name the entry that answers a prompt.",
    epilog="Exit codes: 0 an entry answers, 1 none does, 2 wrong use, or the directory or the prompt cannot be read. "
    "Nothing is changed: hits are not counted (kvformat touch does), the directory is not recovered.",
)
@directory_argument
@click.option("--prompt", required=True, metavar="FILE|-", help="The rendered prompt; - reads standard input.")
@click.option(
    "--context-tokens",
    type=click.IntRange(0, layout.U32_MAX),
    metavar="N",
    help="Context size of the session that wants to use the entry; larger entries do not fit it.",
)
@click.option("--model-id", metavar="N", type=click.IntRange(0, layout.U8_MAX), help="Only entries of this model.")
@click.option("--quantisation", type=click.Choice(["2", "4"]), help="Only entries of this quantisation, in bits.")
@click.option(
    "--payload-abi", metavar="N", type=click.IntRange(0, layout.U8_MAX), help="Only entries with this payload ABI."
)
@json_option
@profile_option
@click.pass_context
def lookup(
    ctx: click.Context,
    directory: str,
    prompt: str,
    context_tokens: int | None,
    model_id: int | None,
    quantisation: str | None,
    payload_abi: int | None,
    as_json: bool,
    profile: str,
) -> None:
    """Name the entry with the longest text that begins the prompt; its text was compared byte by byte.

    \b
    Examples:
      kvformat lookup DIR --prompt prompt.txt
      printf %s "$PROMPT" | kvformat lookup DIR --prompt - --context-tokens 65536
    """
    store = open_to_read(directory, profile)
    wanted = read_input(prompt)
    entry = store.lookup(
        wanted,
        context_tokens=context_tokens,
        model_id=model_id,
        quantisation_bits=None if quantisation is None else int(quantisation),
        payload_abi=payload_abi,
    )
    if as_json:
        print_json(_document(directory, len(wanted), entry))
    elif entry is not None:
        say(safe(os.path.join(directory, entry.name)))
        say(f"  {entry.header.tokens:,} tokens for {entry.text_bytes:,} of {exact_bytes(len(wanted))} of the prompt")
    if entry is None:
        note(f"no entry of {safe(directory)} answers this prompt of {exact_bytes(len(wanted))}")
        ctx.exit(EXIT_FOUND)


def _document(directory: str, prompt_bytes: int, entry: StoredEntry | None) -> dict[str, object]:
    found: dict[str, object] | None = None
    if entry is not None:
        found = {
            "name": entry.name,
            "path": name_value(os.path.join(directory, entry.name)),
            "text_bytes": entry.text_bytes,
            "size_bytes": entry.size_bytes,
            "header": header_value(entry.header),
        }
    return {
        "schema": schema_id("lookup"),
        "directory": name_value(directory),
        "prompt_bytes": prompt_bytes,
        "found": entry is not None,
        "entry": found,
    }
