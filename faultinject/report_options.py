"""Where the commands that break saves write what they found: --json, --junit and --badge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from rich.console import Console

from faultinject.coverage import Run
from faultinject.report.badge import badge
from faultinject.report.document import document
from faultinject.report.junit import junit
from faultinject.terminal import check_writable, write_json, write_report
from kvformat.badge import SUFFIXES

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _drawable(_ctx: click.Context, _option: click.Parameter, path: str | None) -> str | None:
    if path is not None and not path.endswith(SUFFIXES):
        raise click.UsageError("--badge writes FILE.svg or FILE.json")
    return path


def report_options(command: _Command) -> _Command:
    """Adds the options; the command gets json_path, junit_path and badge_path."""
    file = click.Path(dir_okay=False)
    badge_help = "Write a badge: FILE.svg, or FILE.json for shields.io."
    for option in (
        click.option("--badge", "badge_path", type=file, callback=_drawable, help=badge_help),
        click.option("--junit", "junit_path", type=file, help="Write the report as JUnit XML; - for stdout."),
        click.option("--json", "json_path", type=file, help="Write the report as JSON; - for stdout."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that were asked for. Making it raises click's errors for those that cannot be written."""

    json_path: str | None
    junit_path: str | None
    badge_path: str | None

    def __post_init__(self) -> None:
        if self.json_path == self.junit_path == "-":
            raise click.UsageError("--json and --junit cannot both be written to standard output")
        check_writable("--json", self.json_path)
        check_writable("--junit", self.junit_path)
        check_writable("--badge", self.badge_path)

    @property
    def console(self) -> Console:
        """For what people read: standard error where a report has standard output for itself."""
        return Console(stderr="-" in (self.json_path, self.junit_path))

    def write(self, runs: list[Run]) -> None:
        """Writes them all."""
        if self.json_path is not None:
            write_json(self.json_path, document(runs))
        if self.junit_path is not None:
            write_report("--junit", self.junit_path, junit(runs))
        if self.badge_path is not None:
            write_report("--badge", self.badge_path, badge(runs).rendered(self.badge_path))
