"""What commands share: options, errors with their exit codes, output, and how a directory is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kvformat import identity
from kvformat.display import counted, safe, safe_lines, write_output
from kvformat.eviction import EvictionPolicy
from kvformat.filesystem import OsFileSystem
from kvformat.profiles import AUTO, PROFILES
from kvformat.recovery import RecoveryReport
from kvformat.store import Store

EXIT_FOUND = 1
"""The command ran and the answer is no: a problem, no entry, a change that failed. 2 is Fatal or a wrong use."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Fatal(click.ClickException):
    """The command could not do its work: what it was given cannot be opened, read or understood."""

    exit_code = 2


class Failed(click.ClickException):
    """The command did its work and it failed: the message says what is visible now (KVS-FAIL-1)."""

    exit_code = EXIT_FOUND


def system_message(error: OSError, path: str | None = None) -> str:
    """`path: what the system said`, for a person."""
    said = error.strerror or str(error)
    where = path if path is not None else error.filename
    return said if where is None else f"{safe(os.fspath(where) if not isinstance(where, int) else str(where))}: {said}"


def json_option(command: _Command) -> _Command:
    """--json."""
    text = "Print one JSON document to standard output, everything else to standard error."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def profile_option(command: _Command) -> _Command:
    """--profile of a reader (KVC-PROFILE-2, KVC-PROFILE-3)."""
    return click.option(
        "--profile",
        type=click.Choice([AUTO, *PROFILES]),
        default=AUTO,
        show_default=True,
        help="The dialect to read under; auto: byte 20 decides.",
    )(command)


def not_durable_option(command: _Command) -> _Command:
    """--not-durable (KVS-DURABLE-3)."""
    text = "Do not sync: faster, and a loss of power may undo it."
    return click.option("--not-durable", is_flag=True, help=text)(command)


def directory_argument(command: _Command) -> _Command:
    """DIR; opened by the command, whose messages show odd names safely."""
    return click.argument("directory", metavar="DIR")(command)


def say(line: str) -> None:
    """A line on standard output."""
    write_output(safe_lines(line) + "\n")


def note(line: str) -> None:
    """A line on standard error: what is worth knowing and is not the answer."""
    click.echo(safe_lines(line), err=True)


def print_json(document: dict[str, object]) -> None:
    """The document, in ASCII: whatever it quotes, no terminal obeys it."""
    write_output(json.dumps(document, indent=2) + "\n")


def open_to_read(directory: str, profile: str) -> Store:
    """The store without a recovery: nothing in the directory is changed, and it may be read-only."""
    try:
        return Store(OsFileSystem(directory), profile=profile)
    except OSError as error:
        raise Fatal(_directory_message(error, directory)) from error


def open_to_write(
    directory: str, *, profile: str = AUTO, create: bool | None = None, eviction: EvictionPolicy | None = None
) -> Store:
    """The store after a recovery (KVS-RECOVER-1), which is mentioned where it did something.

    `create` of None: the command has no such option.
    """
    try:
        store = Store.open(directory, create=bool(create), profile=profile, eviction=eviction)
    except OSError as error:
        hint = "; --create makes it" if create is False and isinstance(error, FileNotFoundError) else ""
        raise Fatal(_directory_message(error, directory) + hint) from error
    if store.recovered is not None:
        _mention(store.recovered)
    return store


def _mention(report: RecoveryReport) -> None:
    if report.reclaimed:
        found = counted(len(report.reclaimed), "temp file")
        note(f"reclaimed {found} of dead writers: {', '.join(report.reclaimed)}")
    for failure in report.failed:
        note(f"not reclaimed: {safe(failure.name)}: {safe(str(failure.error))}")


def _directory_message(error: OSError, directory: str) -> str:
    hint = ""
    if isinstance(error, NotADirectoryError):
        hint = "; name the directory that holds the entries"
    elif isinstance(error, FileExistsError):
        return f"{safe(directory)}: Not a directory"
    return system_message(error, directory) + hint


def entry_names(_ctx: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    """Callback of NAME arguments: only names of entries are changed (KVC-NAME-5, KVS-REMOVE-2)."""
    for name in (value,) if isinstance(value, str) else value:
        if identity.is_entry_name(name) or name in identity.FIXED_NAMES:
            continue
        hint = "an entry is called by 40 hexadecimal digits and .kv, or sysprompt.kv"
        if "/" in name:
            hint = "give the name alone, without its directory"
        elif identity.is_entry_name(name + identity.SUFFIX):
            hint = f"did you mean {name}{identity.SUFFIX}?"
        raise click.BadParameter(f"{safe(name)} is not the name of an entry [KVC-NAME-5]; {hint}")
    return value
