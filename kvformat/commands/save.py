"""`kvformat save`: a new entry, whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import BinaryIO

import click

from kvformat import identity, layout, rules
from kvformat.commands.common import (
    Failed,
    Fatal,
    directory_argument,
    json_option,
    not_durable_option,
    note,
    open_to_write,
    print_json,
    say,
)
from kvformat.commands.documents import cleanup_value, name_value, schema_id
from kvformat.commands.group import Terminated
from kvformat.commands.inputs import STDIN, open_input, read_input, shown_path
from kvformat.commands.progress import SaveProgress
from kvformat.commands.tool_map_file import read_tool_map
from kvformat.display import exact_bytes, safe
from kvformat.errors import KvcError, SaveError
from kvformat.eviction import within_bytes
from kvformat.interrupts import InterruptGate
from kvformat.model import Entry, Reason
from kvformat.options import Options, SaveResult, Strategy
from kvformat.payload import as_payload
from kvformat.profiles import PROFILES
from kvformat.store import Store
from kvformat.temp_names import TempKind

REASONS = {reason.name.lower().replace("_", "-"): reason for reason in Reason}
"""Names of reasons as spec/kvc.md has them (KVC-HEADER-4)."""

_U32 = click.IntRange(0, layout.U32_MAX)


@click.command(
    short_help="Save an entry, whole or not at all.",
    epilog="Exit codes: 0 saved, 1 the save failed and the message says what is visible now, 2 wrong use, an entry "
    "that readers would reject, or an input or directory that cannot be read; 130 Ctrl-C, 143 SIGTERM. However it "
    "ends, the name holds the old entry or the complete new one, and no temp file is left.",
)
@directory_argument
@click.option("--text", required=True, metavar="FILE|-", help="The rendered text, the key of the entry; any bytes.")
@click.option("--payload", required=True, metavar="FILE|-", help="The state; streamed, of any size.")
@click.option(
    "--tokens", metavar="N", required=True, type=click.IntRange(1, layout.U32_MAX), help="Tokens whose state it is."
)
@click.option("--quantisation", type=click.Choice(["2", "4"]), default="4", show_default=True, help="Bits.")
@click.option(
    "--reason", type=click.Choice(list(REASONS)), default="unknown", show_default=True, help="Why it is saved."
)
@click.option(
    "--context-tokens", metavar="N", type=_U32, default=0, show_default=True, help="Context size of the session."
)
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), default="ds4-abi0", show_default=True, help="The dialect to write."
)
@click.option("--model-id", metavar="N", type=click.IntRange(0, layout.U8_MAX), default=0, help="Not under ds4-abi0.")
@click.option("--tool-map", metavar="FILE|-", help='JSON: [{"id": "...", "block": "..."}], or id_base64, block_base64.')
@click.option("--title", help="Makes it an agent session, named after title and creation time.")
@click.option(
    "--created",
    metavar="SECONDS",
    type=click.IntRange(0, layout.U64_MAX),
    help="Unix seconds; give those of a session to save it again under its name. Default: now.",
)
@click.option(
    "--strategy",
    type=click.Choice([str(strategy) for strategy in Strategy]),
    help="Default: direct where the size of the payload is known, else backpatch.",
)
@click.option(
    "--temp",
    type=click.Choice([str(kind) for kind in TempKind]),
    default=str(TempKind.AUTO),
    show_default=True,
    help="Whether the temp file may have a name while it is written.",
)
@not_durable_option
@click.option("--name", type=click.Choice(identity.FIXED_NAMES), help="A fixed name instead of the content's own.")
@click.option(
    "--budget",
    type=click.IntRange(0),
    metavar="BYTES",
    help="After the save, remove the least recently used other entries until all fit.",
)
@click.option("--create", is_flag=True, help="Make DIR where it does not exist.")
@json_option
def save(
    directory: str,
    text: str,
    payload: str,
    tokens: int,
    quantisation: str,
    reason: str,
    context_tokens: int,
    profile: str,
    model_id: int,
    tool_map: str | None,
    title: str | None,
    created: int | None,
    strategy: str | None,
    temp: str,
    not_durable: bool,
    name: str | None,
    budget: int | None,
    create: bool,
    as_json: bool,
) -> None:
    """Save an entry to DIR, replacing the one of the same name, if any, in one instant.

    \b
    Examples:
      kvformat save DIR --text prompt.txt --payload state.bin --tokens 1234
      engine --dump | kvformat save DIR --text prompt.txt --payload - --tokens 1234 --reason cold
      kvformat save DIR --text sys.txt --payload s.bin --tokens 9 --name sysprompt.kv
      kvformat save DIR --text t --payload p --tokens 9 --title "My chat" --created 1700000000
    """
    if (text, payload, tool_map).count(STDIN) > 1:
        raise click.UsageError("only one of --text, --payload and --tool-map can be standard input")
    entry = Entry(
        text=read_input(text, bytes_max=rules.DEFAULT_LIMITS.text_bytes_max),
        tokens=tokens,
        quantisation_bits=int(quantisation),
        reason=REASONS[reason],
        context_tokens=context_tokens,
        profile=profile,
        model_id=model_id,
        created=created,
        tool_map=None if tool_map is None else read_tool_map(tool_map),
        title=None if title is None else os.fsencode(title),
    )
    with open_input(payload) as stream:
        size_bytes = as_payload(stream).size_bytes
        chosen = _strategy(strategy, size_bytes, payload)
        _check(entry, size_bytes)
        eviction = None if budget is None else within_bytes(budget)
        store = open_to_write(directory, create=create, eviction=eviction)
        options = Options(durable=not not_durable, temp=TempKind(temp))
        job = _Job(store, directory, entry, stream, size_bytes, chosen, name, options)
        try:
            job.run(as_json)
        except SaveError as error:
            if as_json:
                print_json(_failure(directory, error))
            raise Failed(f"the save failed: {error}") from error
        except KvcError as error:
            raise Fatal(str(error)) from error


def _strategy(wanted: str | None, size_bytes: int | None, path: str) -> Strategy:
    if wanted is None:
        return Strategy.BACKPATCH if size_bytes is None else Strategy.DIRECT
    if wanted == Strategy.DIRECT and size_bytes is None:
        message = f"--strategy direct needs to know the size of the payload, and {shown_path(path)} does not tell"
        raise click.UsageError(f"{message} [KVS-DIRECT-1]; use staged or backpatch")
    return Strategy(wanted)


def _check(entry: Entry, payload_bytes: int | None) -> None:
    """Refuses what some reader would reject, before the directory is opened (KVS-SAVE-1)."""
    problems = rules.check_entry(entry, payload_bytes=payload_bytes)
    if problems:
        raise Fatal("\n".join(["readers would reject this entry:", *(f"  {problem}" for problem in problems)]))


@dataclass(frozen=True, slots=True)
class _Job:
    """A save about to happen."""

    store: Store
    directory: str
    entry: Entry
    payload: BinaryIO
    payload_bytes: int | None
    strategy: Strategy
    name: str | None
    options: Options

    def run(self, as_json: bool) -> None:
        """Saves and says so. Raises as `Store.save`."""
        done = False
        try:
            # Signals wait where the library does not let them in, and until the result was told (KVS-FAIL-4).
            with InterruptGate():
                result = self._save()
                done = True
                _tell(self.directory, result, as_json)
        except (KeyboardInterrupt, Terminated) as error:
            if done:
                error.add_note("the save was complete by then: its entry is there")
            raise

    def _save(self) -> SaveResult:
        with SaveProgress(self.payload_bytes) as progress:
            options = replace(self.options, on_progress=progress)
            return self.store.save(self.entry, self.payload, strategy=self.strategy, name=self.name, options=options)


def _tell(directory: str, result: SaveResult, as_json: bool) -> None:
    if as_json:
        print_json(_success(directory, result))
    else:
        say(f"saved     {safe(os.path.join(directory, result.name))}")
        say(f"size      {exact_bytes(result.file_bytes)}, payload {exact_bytes(result.payload_bytes)}")
        named = "without a name" if result.unnamed else "with a name"
        say(f"strategy  {result.strategy}, temp file {named}")
        say(f"durable   {'yes' if result.durable else 'NO: a loss of power may undo it'}")
        for name in result.evicted:
            say(f"evicted   {name}")
    for failure in result.eviction_failures:
        note(f"not evicted: {failure}")


def _success(directory: str, result: SaveResult) -> dict[str, object]:
    return {
        "schema": schema_id("save"),
        "saved": True,
        "directory": name_value(directory),
        "name": result.name,
        "strategy": str(result.strategy),
        "payload_bytes": result.payload_bytes,
        "file_bytes": result.file_bytes,
        "durable": result.durable,
        "temp": "unnamed" if result.unnamed else "named",
        "copied_by_kernel": result.copied_by_kernel,
        "evicted": list(result.evicted),
        "eviction_failures": [cleanup_value(failure) for failure in result.eviction_failures],
    }


def _failure(directory: str, error: SaveError) -> dict[str, object]:
    return {
        "schema": schema_id("save"),
        "saved": False,
        "directory": name_value(directory),
        "name": error.name,
        "operation": error.operation,
        "offset": error.offset,
        "message": error.message,
        "visible": error.visible,
        "left_behind": list(error.left_behind),
        "cleanup_failures": [cleanup_value(failure) for failure in error.cleanup_failures],
    }
