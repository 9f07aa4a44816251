"""What the commands that sweep share: a pool of workers, a progress bar, and files for reports."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from faultinject.coverage import Run
from faultinject.oracle import Verdict
from faultinject.sweep import Unit, sweep
from faultinject.workers import workers

EXIT = {Verdict.HELD: 0, Verdict.VIOLATED: 1, Verdict.HARNESS_ERROR: 3, Verdict.NOT_MEASURED: 3}
"""Exit codes; 2 is a wrong use of the command, as click has it."""

EXIT_CODES = "Exit codes: 0 every point held, 1 violated, 2 wrong use, 3 harness error or points not measured."


_LINE = "line:"


class BrokenError(click.ClickException):
    """A harness error before there is anything to report."""

    exit_code = EXIT[Verdict.HARNESS_ERROR]


def words(option: str, command: str | None) -> tuple[str, ...] | None:
    """The command that an option gives, as a list of arguments. Raises click's errors for people."""
    if command is None:
        return None
    try:
        found = tuple(shlex.split(command))
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from error
    if not found:
        raise click.UsageError(f"{option}: the command is empty")
    return found


def acknowledgement(ack: str) -> str:
    """What --ack says: a text that reports success, or nothing where exit status 0 does. Raises click's errors."""
    if ack == "exit":
        return ""
    if ack.startswith(_LINE) and len(ack) > len(_LINE):
        return ack[len(_LINE) :]
    raise click.UsageError(f"--ack {ack!r}: it is exit, or line: and a text that the program prints")


def run_units(work: list[Unit], jobs: int, console: Console, *, in_pool: bool = False) -> list[Run]:
    """Runs every unit and shows how far it is. Ctrl-C ends the command with 130, and every worker with it.

    in_pool: in a worker even where there is only one, since what it starts has to end with it.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[points]:,} points"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("sweeping", total=len(work), points=0)
        points = 0

        def on_done(_: Unit, part: Run) -> None:
            nonlocal points
            points += sum(count.points for count in part.classes.values())
            progress.update(task, advance=1, points=points)

        try:
            with terminable():
                return _swept(work, jobs, on_done, in_pool=in_pool)
        except KeyboardInterrupt as error:
            progress.stop()
            leave(error, console)


def _swept(work: list[Unit], jobs: int, on_done: Callable[[Unit, Run], None], *, in_pool: bool) -> list[Run]:
    if not in_pool and (jobs == 1 or len(work) == 1):
        return sweep(work, None, on_done)
    with workers(jobs) as pool:
        return sweep(work, pool, on_done)


class _Terminated(KeyboardInterrupt):
    """A signal that asks the command to end; its number is the argument."""


@contextmanager
def terminable() -> Iterator[None]:
    """Meanwhile SIGTERM and SIGHUP end the command as Ctrl-C does, with all that it has started."""

    def end(number: int, _: object) -> None:
        raise _Terminated(number)

    with _handled(end, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Meanwhile signals that end the command wait."""
    # Not by a mask: that is one thread's, and Python runs handlers in the main thread for whichever gets the signal.
    came: list[int] = []
    try:
        with _handled(lambda number, _: came.append(number), signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)


@contextmanager
def _handled(handler: Callable[[int, object], None], *numbers: signal.Signals) -> Iterator[None]:
    # What the command was started to ignore it goes on to ignore: nohup is meant so.
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)


def leave(error: KeyboardInterrupt, console: Console) -> NoReturn:
    """Ends the command that a signal has interrupted, with the status that a shell gives to that."""
    console.print("interrupted; nothing is left behind")
    sys.exit(128 + (error.args[0] if isinstance(error, _Terminated) else signal.SIGINT))


def check_writable(option: str, file: str | None) -> None:
    """A report that cannot be written is told before the sweep and not after it. - is standard output."""
    if file is None or file == "-":
        return
    path = Path(file)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise click.UsageError(f"{option} {path}: {path.parent} is no directory that can be written to")


def write_json(path: str, content: dict[str, object]) -> None:
    """A document as JSON; - is standard output."""
    write_report("--json", path, (json.dumps(content, indent=1) + "\n").encode())


def write_report(option: str, path: str, report: bytes) -> None:
    """A report to a file; - is standard output."""
    if path == "-":
        click.echo(report, nl=False)
        return
    try:
        Path(path).write_bytes(report)
    except OSError as error:
        raise click.UsageError(f"{option} {path}: {error.strerror}") from error


def make_empty(option: str, path: str, otherwise: str) -> None:
    """Makes a directory where there is none. Raises click's errors for one with something in it."""
    try:
        os.makedirs(path, exist_ok=True)
        if os.listdir(path):
            raise click.UsageError(f"{option} {path}: it is not empty, and {otherwise}; give an empty directory")
    except OSError as error:
        raise click.UsageError(f"{option} {path}: {error.strerror}") from error


def write_scripts(directory: Path, content: dict[str, Any]) -> None:
    """The script of each violation of a report, as a file that can be run: V1.sh for V1."""
    for violation in content["violations"]:
        path = directory / f"{violation['id']}.sh"
        if "script" in violation:
            path.write_bytes(os.fsencode(violation["script"]))
            path.chmod(0o755)
