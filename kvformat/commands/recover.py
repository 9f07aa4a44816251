"""`kvformat recover`: what dead writers left is removed, and nothing else."""

from __future__ import annotations

import click

from kvformat.commands.common import EXIT_FOUND, directory_argument, json_option, note, open_to_read, print_json, say
from kvformat.commands.documents import cleanup_value, name_value, schema_id
from kvformat.display import safe
from kvformat.profiles import AUTO
from kvformat.recovery import RecoveryReport

_AGE_MAX_SECONDS = 2**40


@click.command(
    short_help="Remove what killed saves left.",
    epilog="Exit codes: 0 done, 1 something could not be reclaimed, 2 wrong use or the directory cannot be read.",
)
@directory_argument
@click.option(
    "--foreign-older-than",
    type=click.IntRange(0, _AGE_MAX_SECONDS),
    metavar="SECONDS",
    help="Also remove temp files of other programs that were last written longer ago. They carry no lock that tells "
    "whether their writer lives: only you can know.",
)
@json_option
@click.pass_context
def recover(ctx: click.Context, directory: str, foreign_older_than: int | None, as_json: bool) -> None:
    """Remove the temp files of saves that were killed. A running save's file is locked and left alone.

    Entries are never touched, damaged ones included. Commands that change a directory do this first by themselves.

    \b
    Examples:
      kvformat recover DIR
      kvformat recover DIR --foreign-older-than 86400
    """
    # Recovers once, with the age: opening the store as the other commands do would recover before.
    report = open_to_read(directory, AUTO).recover(foreign_older_than_seconds=foreign_older_than)
    if as_json:
        print_json(_document(directory, report))
    else:
        _print(report)
    for failure in report.failed:
        note(f"failed     {safe(failure.name)}: {safe(str(failure.error))}")
    if report.failed:
        ctx.exit(EXIT_FOUND)


def _print(report: RecoveryReport) -> None:
    for names, what in (
        (report.reclaimed, "reclaimed  {}"),
        (report.live, "live       {} (a save is writing it)"),
        (report.foreign, "foreign    {} (temp file of another program, left alone)"),
    ):
        for name in names:
            say(what.format(safe(name)))
    counts = (
        f"{len(report.reclaimed):,} reclaimed",
        f"{len(report.live):,} live",
        f"{len(report.foreign):,} foreign",
        f"{len(report.failed):,} failed",
    )
    say(", ".join(counts))


def _document(directory: str, report: RecoveryReport) -> dict[str, object]:
    return {
        "schema": schema_id("recover"),
        "directory": name_value(directory),
        "reclaimed": [name_value(name) for name in report.reclaimed],
        "live": [name_value(name) for name in report.live],
        "foreign": [name_value(name) for name in report.foreign],
        "failed": [cleanup_value(failure) for failure in report.failed],
    }
