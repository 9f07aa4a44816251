"""The command `faultinject audit`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from faultinject.blackbox.audit import Audit, close_all, plan_audit
from faultinject.blackbox.baseline import UnusableError
from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.place import clear, remove
from faultinject.blackbox.state import LIMIT_BYTES
from faultinject.blackbox.subject import DIRECTORY, Audited, Format, check_system
from faultinject.coverage import Run
from faultinject.faults import SIGNALS, FaultClass
from faultinject.inject import HarnessError
from faultinject.persistence.profiles import STRICT
from faultinject.printable import printable
from faultinject.profile_option import chosen_profiles, profile_option
from faultinject.report.document import document
from faultinject.report.text import print_report, verdict
from faultinject.report_options import Outputs, report_options
from faultinject.sweep import CLASSES
from faultinject.terminal import (
    EXIT,
    EXIT_CODES,
    BrokenError,
    acknowledgement,
    leave,
    make_empty,
    run_units,
    terminable,
    undisturbed,
    words,
    write_scripts,
)


@click.command("audit", epilog=EXIT_CODES, context_settings={"allow_interspersed_args": False})
@click.option("--init", "given", type=click.Path(exists=True, file_okay=False), help="What {dir} holds at the start.")
@click.option("--recover", metavar="CMD", help="Recovery to run after a kill (default: the program's next run).")
@click.option("--check", metavar="CMD", help="Judges {dir}: exit 0 acceptable, 1 violated, else no verdict.")
@click.option(
    "--format",
    "format_",
    type=click.Choice([str(one) for one in Format]),
    default="bytes",
    show_default=True,
    help="How content is compared.",
)
@click.option("--ack", default="exit", show_default=True, metavar="exit|line:TEXT", help="What reports success.")
@click.option("--signal", "signals", multiple=True, type=click.Choice(SIGNALS), help="The program handles it; repeat.")
@click.option(
    "--dir",
    "directories",
    multiple=True,
    type=click.Path(file_okay=False),
    help="Watch this directory too: empty or not there yet, and emptied between runs. May be repeated.",
)
@click.option("--stdin", type=click.Path(exists=True, dir_okay=False), help="Standard input of the program.")
@click.option("--cwd", default=".", show_default=True, metavar="DIR", help="Where commands run; {dir} is allowed.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=60, help="Seconds a run may take (60).")
@click.option(
    "--content-limit",
    type=click.IntRange(1),
    default=LIMIT_BYTES,
    show_default=True,
    metavar="BYTES",
    help="What the watched directories may hold, holes included: it is kept in memory.",
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice([str(one) for one in CLASSES]),
    help="Only this fault class; may be repeated. The level needs all.",
)
@profile_option
@click.option("--exhaustive", is_flag=True, help="Run every point; no equivalence classes.")
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Takes no longer: every point if there is time, else as many as fit.",
)
@click.option("--jobs", type=click.IntRange(1), default=lambda: os.cpu_count() or 1, help="Workers (one a core).")
@report_options
@click.option("--scripts", "scripts", type=click.Path(file_okay=False), help="Write a shell script for each finding.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def audit_command(
    given: str | None,
    recover: str | None,
    check: str | None,
    format_: str,
    ack: str,
    signals: tuple[str, ...],
    directories: tuple[str, ...],
    stdin: str | None,
    cwd: str,
    timeout: float,
    content_limit: int,
    classes: tuple[str, ...],
    named_profiles: tuple[str, ...],
    exhaustive: bool,
    budget: float | None,
    jobs: int,
    json_path: str | None,
    junit_path: str | None,
    badge_path: str | None,
    scripts: str | None,
    command: tuple[str, ...],
) -> None:
    """Interrupt any program that saves files, at every operation and byte, and judge what it leaves.

    The program is run as it is, traced: no root, no recompilation. {dir} in an argument stands for the scratch
    directory in which it works.

    \b
    faultinject audit -- cp big.bin {dir}/copy.bin
    faultinject audit --recover './store recover {dir}' -- ./store save {dir} key
    faultinject audit --signal SIGTERM --exhaustive -- ./writer {dir}/state
    faultinject audit --format kvc -- ./server --save-once {dir}
    faultinject audit --json report.json -- python save.py {dir}/settings.json
    """
    if exhaustive and budget is not None:
        raise click.UsageError("--exhaustive and --budget exclude each other")
    if not any(DIRECTORY in word for word in (*command, cwd)) and not directories:
        raise click.UsageError("no argument says {dir}, so that the program would save where nobody watches")
    outputs = Outputs(json_path, junit_path, badge_path)
    if scripts is not None:
        make_empty("--scripts", scripts, "scripts of another audit would stay in it")
    audited = Audited(
        command,
        words("--recover", recover),
        words("--check", check),
        Format(format_),
        acknowledgement(ack),
        tuple(dict.fromkeys(signals)),
        _apart(tuple(_watchable(path) for path in directories)),
        None if given is None else os.path.realpath(given),
        cwd if DIRECTORY in cwd else os.path.realpath(cwd),
        None if stdin is None else os.path.realpath(stdin),
        timeout,
        content_limit,
    )
    console = outputs.console
    runs = run_audit(
        audited,
        [FaultClass(one) for one in dict.fromkeys(classes)] or list(CLASSES),
        jobs=1 if directories else jobs,
        exhaustive=exhaustive,
        budget=budget,
        profiles=chosen_profiles(named_profiles),
        console=console,
    )
    print_report(console, runs)
    outputs.write(runs)
    if scripts is not None:
        write_scripts(Path(scripts), document(runs))
    sys.exit(EXIT[verdict(runs)])


def run_audit(
    audited: Audited,
    classes: list[FaultClass],
    *,
    jobs: int,
    exhaustive: bool,
    budget: float | None,
    profiles: tuple[str, ...] = (STRICT,),
    console: Console,
) -> list[Run]:
    """One audit, with progress; nothing of it is left. Raises click's errors for people."""
    try:
        check_system()
    except NotImplementedError as error:
        raise click.ClickException(str(error)) from error
    try:
        with terminable(), _scratch(audited) as base:
            with console.status("running the program without faults"):
                audit = plan_audit(
                    audited,
                    base,
                    classes,
                    jobs=jobs,
                    exhaustive=exhaustive,
                    budget_seconds=budget,
                    profiles=profiles,
                )
            runs = run_units(list(audit.units), jobs, console, in_pool=True)
    except KeyboardInterrupt as error:
        leave(error, console)
    except (UnusableError, LaunchError) as error:
        raise click.UsageError(printable(str(error))) from error
    except HarnessError as error:
        raise BrokenError(printable(f"harness error: {error}")) from error
    except OSError as error:
        raise BrokenError(printable(f"harness error: the scratch directories: {error}")) from error
    _tell(audit, runs)
    return runs


@contextmanager
def _scratch(audited: Audited) -> Iterator[Path]:
    """A directory for all that an audit makes. Nothing is left of it, nor in the other directories."""
    base = None
    try:
        with undisturbed():
            base = Path(tempfile.mkdtemp(prefix="faultinject-"))
        yield base
    finally:
        with undisturbed():
            close_all()
            for directory in audited.directories:
                clear(directory)
            if base is not None:
                remove(base)


def _tell(audit: Audit, runs: list[Run]) -> None:
    for run in runs:
        run.notes = [*run.notes, *(one for one in audit.notes if one not in run.notes)]
        run.problems += [
            f"class {fault_class}: {count.unafforded:,} points not measured, as the time given was over (--budget)"
            for fault_class, count in run.classes.items()
            if count.unafforded
        ]


def _watchable(path: str) -> str:
    """A directory that may be emptied between runs: it must hold nothing that somebody could miss."""
    make_empty("--dir", path, "it would be emptied")
    real = os.path.realpath(path)
    if _holds(real, os.path.realpath(tempfile.gettempdir())):
        raise click.UsageError(f"--dir {path}: scratch directories are made in it; set TMPDIR to another directory")
    return real


def _holds(outer: str, path: str) -> bool:
    return path == outer or path.startswith(f"{outer.rstrip('/')}/")


def _apart(directories: tuple[str, ...]) -> tuple[str, ...]:
    for place, one in enumerate(directories):
        for other in directories[place + 1 :]:
            if _holds(one, other) or _holds(other, one):
                raise click.UsageError(f"--dir {one} and --dir {other}: name the outer one alone")
    return directories
