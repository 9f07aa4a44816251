"""The command `faultinject selftest`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from faultinject.blackbox.cli import run_audit
from faultinject.selftest.manifest import PLANTED
from faultinject.selftest.run import BuildError, Outcome, audited, build, chosen, compared, compiler
from faultinject.sweep import CLASSES


@click.command("selftest", epilog="Exit codes: 0 all as it has to be, 1 something is not, 2 wrong use.")
@click.option(
    "--program",
    "names",
    multiple=True,
    type=click.Choice([one.name for one in PLANTED]),
    metavar="NAME",
    help="Only this program; may be repeated. Default: all.",
)
@click.option("--jobs", type=click.IntRange(1), default=lambda: os.cpu_count() or 1, help="Workers (one a core).")
def selftest_command(names: tuple[str, ...], jobs: int) -> None:
    """Prove on this machine that an audit injects every class of fault, and finds what it should.

    Programs with one planted mistake each, and right ones beside them, are compiled, audited, and their findings
    compared with what is known of them. Without a C compiler only those in Python are.

    \b
    faultinject selftest
    faultinject selftest --program no_unlink
    """
    console = Console()
    name = compiler()
    programs = chosen(names, name)
    if name is None:
        console.print("[yellow]no C compiler here: only the programs in Python are audited[/]")
    if not programs:
        raise click.UsageError("without a C compiler none of these programs can be audited")
    directory = Path(tempfile.mkdtemp(prefix="faultinject-selftest-"))
    outcomes = []
    try:
        for planted in programs:
            if name is not None:
                build(planted, name, directory)
            quiet = Console(quiet=True)
            runs = run_audit(
                audited(planted, directory),
                list(planted.classes),
                jobs=jobs,
                exhaustive=False,
                budget=None,
                console=quiet,
            )
            outcomes.append(compared(planted, runs))
            _print_line(console, outcomes[-1])
    except BuildError as error:
        raise click.ClickException(str(error)) from error
    finally:
        shutil.rmtree(directory)
    _print_classes(console, outcomes)
    sys.exit(1 if any(outcome.wrong for outcome in outcomes) else 0)


def _print_line(console: Console, outcome: Outcome) -> None:
    planted = outcome.planted
    expected = ", ".join(sorted(f"{kind} under {fault_class}" for fault_class, kind in planted.expected)) or "nothing"
    if outcome.wrong:
        console.print(f"[bold red]wrong[/] {planted.name}", highlight=False)
        for line in outcome.wrong:
            console.print(f"      {escape(line)}", highlight=False)
    else:
        console.print(f"[green]ok[/]    {planted.name}: found {expected}", highlight=False)


def _print_classes(console: Console, outcomes: list[Outcome]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("class", no_wrap=True)
    for column in ("fired", "planted", "detected"):
        table.add_column(column, justify="right", no_wrap=True)
    for fault_class in CLASSES:
        fired = sum(outcome.fired.get(fault_class, 0) for outcome in outcomes)
        planted = [o for o in outcomes if any(one is fault_class for one, _ in o.planted.expected)]
        detected = sum(1 for outcome in planted if not outcome.wrong)
        table.add_row(str(fault_class), f"{fired:,}", str(len(planted)), str(detected))
    console.print(table)
    wrong = sum(1 for outcome in outcomes if outcome.wrong)
    console.print(f"{len(outcomes) - wrong} of {len(outcomes)} programs as they have to be")
