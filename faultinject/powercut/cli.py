"""The command `faultinject powercut`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from faultinject.blackbox.baseline import UnusableError
from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.subject import DIRECTORY, Audited, Format
from faultinject.coverage import Run
from faultinject.inject import HarnessError
from faultinject.powercut import audit as power
from faultinject.powercut.case import DIRECTORY as DIRECTORY_NAME
from faultinject.powercut.case import Case, check_directory_name
from faultinject.powercut.cleaning import reclaim
from faultinject.powercut.filesystems import FILE_SYSTEMS, kinds
from faultinject.powercut.kernel import is_linux
from faultinject.printable import printable
from faultinject.report.document import document
from faultinject.report.junit import junit
from faultinject.report.text import print_report, verdict
from faultinject.terminal import (
    EXIT,
    EXIT_CODES,
    BrokenError,
    acknowledgement,
    check_writable,
    leave,
    make_empty,
    terminable,
    words,
    write_json,
    write_report,
    write_scripts,
)


@click.command("powercut", epilog=EXIT_CODES, context_settings={"allow_interspersed_args": False})
@click.option(
    "--fs",
    "names",
    default="ext4,xfs,btrfs",
    show_default=True,
    metavar="NAMES",
    help="File systems, with commas between them.",
)
@click.option(
    "--mount-options", "options", multiple=True, metavar="OPTS", help="Instead of the usual; may be repeated."
)
@click.option("--harsh", is_flag=True, help="Also with the mount options under which a file system promises least.")
@click.option(
    "--dir",
    "directory_name",
    default=DIRECTORY_NAME,
    show_default=True,
    metavar="NAME",
    help="The directory of the file system that {dir} stands for.",
)
@click.option("--init", "given", type=click.Path(exists=True, file_okay=False), help="What {dir} holds at the start.")
@click.option("--recover", metavar="CMD", help="Recovery to run after a loss (default: the program's next run).")
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
@click.option("--stdin", type=click.Path(exists=True, dir_okay=False), help="Standard input of the program.")
@click.option("--cwd", default=".", show_default=True, metavar="DIR", help="Where commands run; {dir} is allowed.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=60, help="Seconds a run may take (60).")
@click.option("--images", type=click.IntRange(1), default=1000, show_default=True, help="At most so many a recording.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random images.")
@click.option(
    "--keep",
    "kept_in",
    type=click.Path(file_okay=False),
    help="Write the first image of each violation there, and a script that mounts it.",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False), help="Write the report as JSON; - for stdout.")
@click.option("--junit", "junit_path", type=click.Path(dir_okay=False), help="Write the report as JUnit XML.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def powercut_command(
    names: str,
    options: tuple[str, ...],
    harsh: bool,
    directory_name: str,
    given: str | None,
    recover: str | None,
    check: str | None,
    format_: str,
    ack: str,
    stdin: str | None,
    cwd: str,
    timeout: float,
    images: int,
    seed: int,
    kept_in: str | None,
    json_path: str | None,
    junit_path: str | None,
    command: tuple[str, ...],
) -> None:
    """Let a program save on real file systems, lose power at every point, and judge what is found.

    What ext4, xfs and btrfs write to a disk is recorded while the program runs. From the record come the disks that a
    loss of power can leave; each is mounted, recovered and judged. It needs root. {dir} in an argument stands for a
    directory on the file system.

    \b
    faultinject powercut -- cp settings.json {dir}/settings.json
    faultinject powercut --fs ext4 --harsh -- ./writer {dir}/state
    faultinject powercut --ack line:SAVED --recover './store recover {dir}' -- ./store save {dir} key
    faultinject powercut --fs ext4 --mount-options data=journal --json report.json -- python save.py {dir}
    """
    if json_path == junit_path == "-":
        raise click.UsageError("--json and --junit cannot both be written to standard output")
    if not any(DIRECTORY in word for word in (*command, cwd)):
        raise click.UsageError("no argument says {dir}, so that the program would save where nobody looks")
    check_writable("--json", json_path)
    check_writable("--junit", junit_path)
    if kept_in is not None:
        make_empty("--keep", kept_in, "images of another run would stay in it")
    audited = Audited(
        command,
        words("--recover", recover),
        words("--check", check),
        Format(format_),
        acknowledgement(ack),
        given=None if given is None else os.path.realpath(given),
        directory=cwd if DIRECTORY in cwd else os.path.realpath(cwd),
        stdin=None if stdin is None else os.path.realpath(stdin),
        timeout_seconds=timeout,
    )
    cases = power.cases(
        audited,
        kinds(_names(names), options, harsh=harsh),
        directory_name=_directory_name(directory_name),
        images_max=images,
        seed=seed,
        kept_in=None if kept_in is None else os.path.realpath(kept_in),
    )
    console = Console(stderr="-" in (json_path, junit_path))
    runs = run_powercut(cases, console)
    print_report(console, runs)
    if json_path is not None:
        write_json(json_path, document(runs))
    if junit_path is not None:
        write_report("--junit", junit_path, junit(runs))
    if kept_in is not None:
        write_scripts(Path(kept_in), document(runs))
    sys.exit(EXIT[verdict(runs)])


def run_powercut(cases: list[Case], console: Console) -> list[Run]:
    """All cases, with progress; nothing of them is left. Raises click's errors for people."""
    if not is_linux():
        raise click.ClickException(f"losing power on real file systems needs Linux; this is {sys.platform}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with terminable():
            for left in reclaim():
                console.print(f"reclaimed what a killed command had left: {printable(left)}", highlight=False)
            with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
                tasks: dict[str, TaskID] = {}

                def told(progress: power.Progress) -> None:
                    name = progress.case.subject.scenario
                    if name not in tasks:
                        tasks[name] = bar.add_task(printable(name))
                    bar.update(tasks[name], total=progress.planned, completed=progress.tried)

                return list(power.audit(cases, told))
    except KeyboardInterrupt as error:
        leave(error, console)
    except (UnusableError, LaunchError) as error:
        raise click.UsageError(printable(str(error))) from error
    except (HarnessError, OSError) as error:
        raise BrokenError(printable(f"harness error: {error}")) from error


def _names(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in found:
        if name not in FILE_SYSTEMS:
            raise click.UsageError(f"--fs: {name!r} is none of {', '.join(FILE_SYSTEMS)}")
    return found


def _directory_name(name: str) -> str:
    try:
        return check_directory_name(name)
    except ValueError as error:
        raise click.UsageError(f"--dir: {error}") from error
