"""`kvformat conform`: any implementation of the file against the cases of the specification (spec/conformance.md)."""

from __future__ import annotations

import fnmatch
import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from kvformat.badge import SUFFIXES
from kvformat.commands.common import EXIT_FOUND, Fatal, note, print_json, say, system_message
from kvformat.conform import difference, document, known, text
from kvformat.conform.badge import badge
from kvformat.conform.case import CLAIMABLE_PROFILES, Case
from kvformat.conform.export import export
from kvformat.conform.runner import Plan, Run, run
from kvformat.conform.smoke import BrokenAdapterError
from kvformat.conform.suite import Suite, load_suite
from kvformat.conform.tables import SuiteError
from kvformat.conform.verdict import Outcome
from kvformat.display import StdoutConsole, counted, safe, safe_lines

_STDOUT = "-"
_PATH = click.Path(path_type=Path)
_JOBS_MAX = 64
_HTML = "kvformat.conform.html"

_EPILOG = (
    "Exit codes: 0 all as expected, 1 not, 2 the adapter is broken (nothing that it says counts), or wrong use, "
    "3 the suite or the list of known failures is invalid."
)


class InvalidSuite(click.ClickException):
    """Cases or lists that cannot be used: nothing was asked of the adapter."""

    exit_code = 3


class DefaultGroup(click.Group):
    """A group that runs `run` where no command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, with `run` put first where it is meant."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultGroup, short_help="Hold any implementation against the specification.", epilog=_EPILOG)
def conform() -> None:
    """Hold any implementation of the KVC file, in any language, against the cases of the specification.

    \b
    Examples:
      kvformat conform -- ./my-adapter
      kvformat conform --one-shot -- ./my-reader --quiet
      kvformat conform --case 'read-header-*' --json report.json -- ./my-adapter
      kvformat conform export SUITE          the cases as a folder, for other runners
      kvformat conform diff OLD.json NEW.json
      kvformat conform html PAGE.html A.json B.json

    `kvformat conform run --help` has the options. What an adapter is stands in spec/conformance.md, which `export`
    writes too; kvformat's own is `python -m kvformat.conform.adapter`.
    """


@conform.command(
    "run",
    short_help="Run cases (meant where no command is named).",
    epilog=_EPILOG,
    context_settings={"allow_interspersed_args": False},
)
@click.argument("adapter", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- ADAPTER...")
@click.option("--suite", "folder", type=_PATH, help="The folder with suite.toml; that of this version by default.")
@click.option("--profile", type=click.Choice(CLAIMABLE_PROFILES), help="Only cases of this profile.")
@click.option("--case", "patterns", multiple=True, metavar="ID", help="Only this case; * stands for any letters.")
@click.option("--one-shot", is_flag=True, help="The adapter is started anew for each case.")
@click.option("--jobs", type=click.IntRange(1, _JOBS_MAX), default=1, show_default=True, help="Processes at a time.")
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=1.0,
    show_default=True,
    help="Wait so many times longer, for slow machines and emulators.",
)
@click.option("--known", "known_path", type=_PATH, help="Cases that are expected not to pass, with reasons.")
@click.option("--fix", is_flag=True, help="Rewrite the list of --known so that it is true.")
@click.option("--json", "json_path", type=_PATH, help="Write the report; - is standard output.")
@click.option("--junit", "junit_path", type=_PATH, help="Write JUnit XML.")
@click.option("--html", "html_path", type=_PATH, help="Write one HTML page.")
@click.option("--badge", "badge_path", type=_PATH, help="Write a badge: FILE.svg, or FILE.json for shields.io.")
@click.option(
    "--crash",
    is_flag=True,
    hidden=True,
    expose_value=False,
    is_eager=True,
    callback=lambda _ctx, _option, given: _crash_is_elsewhere() if given else None,
)
@click.pass_context
def run_command(
    ctx: click.Context,
    /,
    adapter: tuple[str, ...],
    folder: Path | None,
    profile: str | None,
    patterns: tuple[str, ...],
    one_shot: bool,
    jobs: int,
    patience: float,
    known_path: Path | None,
    fix: bool,
    **outputs: Path | None,
) -> None:
    """Ask the ADAPTER every case of the suite, and compare its answers with those that the clauses demand.

    An adapter that fails the first questions, which every adapter answers alike, is broken: nothing is judged.
    """
    if fix and known_path is None:
        raise click.UsageError("--fix rewrites the list of --known FILE: name it")
    _check_outputs(outputs)
    report, suite = conformance(adapter, folder, profile, patterns, one_shot, jobs, patience, known_path, fix=fix)
    _write_outputs(report, suite, outputs)
    if str(outputs["json_path"]) != _STDOUT:
        text.show(StdoutConsole(), report)
    if not report["ok"]:
        ctx.exit(EXIT_FOUND)


def _crash_is_elsewhere() -> None:
    raise click.UsageError("crash safety is judged by `faultinject conform -- ADAPTER`, which asks these cases too")


def conformance(
    adapter: tuple[str, ...],
    folder: Path | None,
    profile: str | None,
    patterns: tuple[str, ...],
    one_shot: bool,
    jobs: int,
    patience: float,
    known_path: Path | None,
    *,
    fix: bool = False,
) -> tuple[document.Document, Suite]:
    """The report of one run, and its suite. Raises click's errors for people."""
    with _exit_codes():
        suite = load_suite(folder)
        reasons = {} if known_path is None or (fix and not known_path.exists()) else known.load_known(known_path)
        cases = _selected(suite, profile, patterns)
        plan = Plan(adapter, suite.version, cases, one_shot, min(jobs, len(cases)), patience)
        done = _run(plan)
        if fix and known_path is not None:
            reasons = _fixed(known_path, reasons, done, suite)
        setting = document.Setting(suite, adapter, one_shot, folder, reasons)
        report = document.document(done, setting)
    return report, suite


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        yield
    except SuiteError as error:
        raise InvalidSuite(safe_lines(str(error))) from error
    except BrokenAdapterError as error:
        raise Fatal(safe_lines(f"the adapter is broken: {error}")) from error


def _check_outputs(outputs: dict[str, Path | None]) -> None:
    """What would fail at the end of a long run is said before it."""
    badge_path = outputs["badge_path"]
    if badge_path is not None and badge_path.suffix not in SUFFIXES:
        raise click.UsageError("--badge writes FILE.svg or FILE.json")
    if outputs["html_path"] is not None:
        _html_writer()
    for path in outputs.values():
        if path is not None and str(path) != _STDOUT and not path.absolute().parent.is_dir():
            raise click.UsageError(f"{safe(str(path))}: its folder does not exist")


def _selected(suite: Suite, profile: str | None, patterns: tuple[str, ...]) -> list[Case]:
    for pattern in patterns:
        if not fnmatch.filter(suite.cases, pattern):
            raise click.UsageError(f"--case {safe(pattern)}: no case of the suite is called so")
    found = [
        case
        for case in suite.cases.values()
        if (profile is None or case.profile == profile)
        and (not patterns or any(fnmatch.fnmatchcase(case.id, pattern) for pattern in patterns))
    ]
    if not found:
        raise click.UsageError("no case is left of --case and --profile together")
    return found


def _run(plan: Plan) -> Run:
    """The run, with a bar where a person watches."""
    lock = threading.Lock()
    watched = sys.stderr is not None and sys.stderr.isatty()
    with click.progressbar(length=len(plan.cases), label="cases", file=sys.stderr, hidden=not watched) as bar:

        def on_outcome(_outcome: Outcome) -> None:
            with lock:
                bar.update(1)

        return run(replace(plan, on_outcome=on_outcome))


def _fixed(path: Path, reasons: dict[str, str], done: Run, suite: Suite) -> dict[str, str]:
    gone = [one.id for one in known.stale(reasons, done.outcomes, suite.cases)]
    new = known.unexpected(done.outcomes.values(), reasons)
    if gone or new:
        known.rewrite(path, gone, new)
        note(f"{safe(str(path))}: {counted(len(gone), 'entry', 'entries')} removed, {len(new):,} added")
    return known.load_known(path) if path.exists() else {}


def _html_writer() -> Callable[[list[document.Document], Suite, Path], None]:
    try:
        found: Callable[[list[document.Document], Suite, Path], None] = importlib.import_module(_HTML).write
        return found
    except ImportError as error:
        raise Fatal(f"--html is not there: {error}") from error


def _write_outputs(report: document.Document, suite: Suite, outputs: dict[str, Path | None]) -> None:
    json_path, junit_path = outputs["json_path"], outputs["junit_path"]
    badge_path, html_path = outputs["badge_path"], outputs["html_path"]
    if json_path is not None and str(json_path) == _STDOUT:
        print_json(report)
    elif json_path is not None:
        json_path.write_text(json.dumps(report, indent=1) + "\n", encoding="ascii")
    if junit_path is not None:
        # Here and not above: every other command of kvformat would wait for the library.
        from kvformat.conform.junit import junit

        junit_path.write_bytes(junit(report))
    if badge_path is not None:
        badge_path.write_bytes(badge(report).rendered(badge_path.name))
    if html_path is not None:
        _html_writer()([report], suite, html_path)


@conform.command("export", short_help="Write the suite to a folder of its own.")
@click.argument("path", metavar="DIR", type=_PATH)
@click.option("--suite", "folder", type=_PATH, help="The folder with suite.toml; that of this version by default.")
def export_command(path: Path, folder: Path | None) -> None:
    """Write the cases, their JSON Schemas and the documents to the new folder DIR.

    The folder needs nothing of kvformat: another runner can be written from it, and it can be kept with the
    implementation that it judges. `kvformat conform --suite DIR/cases` runs it.
    """
    with _exit_codes():
        suite = load_suite(folder)
        try:
            export(suite, path)
        except OSError as error:
            raise Fatal(system_message(error, os.fspath(path))) from error
    say(f"{counted(len(suite.cases), 'case')} of suite {suite.version} in {safe(os.fspath(path))}")


@conform.command("diff", short_help="Compare two reports.", epilog="Exit codes: 0 nothing got worse, 1 something did.")
@click.argument("before", metavar="OLD.json", type=_PATH)
@click.argument("after", metavar="NEW.json", type=_PATH)
@click.pass_context
def diff_command(ctx: click.Context, before: Path, after: Path) -> None:
    """Compare two reports of --json, case by case."""
    changes = difference.changes(_report(before), _report(after))
    for change in changes:
        was, now = (str(one) if one is not None else "not there" for one in (change.before, change.after))
        say(f"{'WORSE' if change.is_worse else 'other'}  {safe(change.id)}: {was} -> {now}")
    worse = sum(change.is_worse for change in changes)
    say(f"{counted(len(changes), 'case')} changed, {worse:,} for the worse")
    if worse:
        ctx.exit(EXIT_FOUND)


@conform.command("html", short_help="Write one page for several reports.")
@click.argument("path", metavar="PAGE.html", type=_PATH)
@click.argument("reports", metavar="REPORT.json...", type=_PATH, nargs=-1, required=True)
@click.option("--suite", "folder", type=_PATH, help="The folder with suite.toml; that of this version by default.")
def html_command(path: Path, reports: tuple[Path, ...], folder: Path | None) -> None:
    """Write one HTML page that sets implementations beside each other, from the reports of --json."""
    write = _html_writer()
    with _exit_codes():
        suite = load_suite(folder)
    found = [_report_of(report, suite) for report in reports]
    write(found, suite, path)


def _report(path: Path) -> document.Document:
    try:
        return document.load(path)
    except document.DocumentError as error:
        raise Fatal(safe_lines(str(error))) from error


def _report_of(path: Path, suite: Suite) -> document.Document:
    found = _report(path)
    strange = [case["id"] for case in found["cases"] if case["id"] not in suite.cases]
    if strange:
        raise Fatal(
            f"{safe(os.fspath(path))}: {safe(strange[0])} is no case of this suite; name its suite with --suite"
        )
    return found
