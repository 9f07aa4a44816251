"""The command `faultinject conform`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from faultinject.blackbox.cli import run_audit
from faultinject.conform.asked import audited, changing, profile_of
from faultinject.conform.document import Crash, document, exit_code, junit, schema
from faultinject.conform.living import removed
from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.oracle import Kind
from faultinject.persistence.profiles import profiles
from faultinject.printable import printable
from faultinject.profile_option import ALL, chosen_profiles
from faultinject.report.text import print_report
from faultinject.sweep import CLASSES
from faultinject.terminal import check_writable, leave, terminable, write_json, write_report
from kvformat.badge import SUFFIXES
from kvformat.commands.conform import conformance
from kvformat.conform import text
from kvformat.conform.badge import badge
from kvformat.conform.case import CLAIMABLE_PROFILES, Operation
from kvformat.conform.suite import Suite
from kvformat.display import StdoutConsole

_BUDGET_SECONDS = 120.0

_EPILOG = (
    "Exit codes, the worse of both: 0 all as expected and every point held, 1 not as expected, or violated, 2 wrong "
    "use, or the adapter is broken, 3 the suite is invalid, a harness error, or points not measured."
)


def _print_schema(ctx: click.Context, _option: click.Parameter, given: bool) -> None:
    if given:
        click.echo(json.dumps(schema(), indent=1))
        ctx.exit()


@click.command("conform", epilog=_EPILOG, context_settings={"allow_interspersed_args": False})
@click.option(
    "--schema", is_flag=True, is_eager=True, expose_value=False, callback=_print_schema, help="Show that of --json."
)
@click.option("--suite", "folder", type=click.Path(path_type=Path), help="The folder with suite.toml.")
@click.option("--profile", type=click.Choice(CLAIMABLE_PROFILES), help="Only cases of this profile; saves under it.")
@click.option("--case", "patterns", multiple=True, metavar="ID", help="Only this case; * stands for any letters.")
@click.option("--one-shot", is_flag=True, help="The adapter is started anew for each case.")
@click.option("--patience", type=click.FloatRange(1), default=1.0, show_default=True, help="Wait longer for answers.")
@click.option("--known", type=click.Path(path_type=Path), help="Cases that are expected not to pass, with reasons.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice([str(one) for one in CLASSES]),
    help="Only this fault class; repeat. The level needs all.",
)
@click.option(
    "--power-profile",
    "named_profiles",
    multiple=True,
    type=click.Choice([*profiles(), ALL]),
    metavar="NAME",
    help="Persistence profile of class power (default strict); repeat; or all.",
)
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=_BUDGET_SECONDS,
    show_default=True,
    help="For all audits together; what there is no time for is not measured.",
)
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=60, show_default=True, help="Seconds a run may take."
)
@click.option("--jobs", type=click.IntRange(1), default=lambda: os.cpu_count() or 1, help="Workers (one a core).")
@click.option("--json", "json_path", type=click.Path(dir_okay=False), help="Write the report as JSON; - for stdout.")
@click.option("--junit", "junit_path", type=click.Path(dir_okay=False), help="Write the report as JUnit XML.")
@click.option("--badge", "badge_path", type=click.Path(dir_okay=False), help="Write a badge: FILE.svg, or FILE.json.")
@click.argument("adapter", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- ADAPTER...")
def conform_command(
    folder: Path | None,
    profile: str | None,
    patterns: tuple[str, ...],
    one_shot: bool,
    patience: float,
    known: Path | None,
    classes: tuple[str, ...],
    named_profiles: tuple[str, ...],
    budget: float,
    timeout: float,
    jobs: int,
    json_path: str | None,
    junit_path: str | None,
    badge_path: str | None,
    adapter: tuple[str, ...],
) -> None:
    """Hold an implementation against the cases of the specification, and break its own saves.

    First what `kvformat conform` does; then every operation of the ADAPTER that changes entries (write, touch,
    replace-tool-map) is audited as `faultinject audit --format kvc` does it, with its own recover as the recovery.

    \b
    faultinject conform -- ./my-adapter
    faultinject conform --one-shot --json report.json -- examples/c/build/kvc_adapter
    """
    outputs = {"--json": json_path, "--junit": junit_path, "--badge": badge_path}
    for option, path in outputs.items():
        check_writable(option, path)
    if list(outputs.values()).count("-") > 1:
        raise click.UsageError("only one report can be written to standard output")
    if badge_path is not None and not badge_path.endswith(SUFFIXES):
        raise click.UsageError("--badge writes FILE.svg or FILE.json")
    console = Console(stderr="-" in outputs.values())
    try:
        with terminable():
            report, suite = conformance(adapter, folder, profile, patterns, one_shot, jobs, patience, known)
            crash = _crash(
                adapter,
                report,
                suite,
                one_shot=one_shot,
                profile=profile,
                classes=[FaultClass(one) for one in dict.fromkeys(classes)] or list(CLASSES),
                profiles_=chosen_profiles(named_profiles),
                budget=budget,
                timeout=timeout,
                jobs=jobs,
            )
    except KeyboardInterrupt as error:
        leave(error, console)
    if not console.stderr:
        text.show(StdoutConsole(), report)
    _print_crash(console, crash, conforms=report["ok"])
    if json_path is not None:
        write_json(json_path, document(report, crash))
    if junit_path is not None:
        write_report("--junit", junit_path, junit(report, crash))
    if badge_path is not None:
        write_report("--badge", badge_path, badge(report, crash.words).rendered(badge_path))
    sys.exit(exit_code(report["ok"], crash.verdict))


def _crash(
    adapter: tuple[str, ...],
    report: dict[str, Any],
    suite: Suite,
    *,
    one_shot: bool,
    profile: str | None,
    classes: list[FaultClass],
    profiles_: tuple[str, ...],
    budget: float,
    timeout: float,
    jobs: int,
) -> Crash:
    claimed = report["adapter"]["operations"]
    operations = changing(claimed)
    recovers = Operation.RECOVER in claimed
    if not operations:
        return Crash(not_claimed="the adapter claims no operation that changes entries")
    runs: dict[str, list[Run]] = {}
    for operation in operations:
        subject = audited(
            adapter,
            operation,
            profile_of(profile, report["adapter"]["profiles"]),
            suite.version,
            one_shot=one_shot,
            recovers=recovers,
            timeout_seconds=timeout,
        )
        runs[str(operation)] = run_audit(
            subject,
            classes,
            jobs=jobs,
            exhaustive=False,
            budget=budget / len(operations),
            profiles=profiles_,
            console=Console(stderr=True),
        )
    return Crash(runs, recovers, removed(adapter, suite, one_shot=one_shot) if recovers else ())


def _print_crash(console: Console, crash: Crash, *, conforms: bool) -> None:
    for name, runs in crash.runs.items():
        console.print(f"\n[bold]crash safety of {name}[/]", highlight=False)
        print_report(console, list(runs))
    for one in crash.removed:
        kind = Kind.LIVE_TEMP_REMOVED
        console.print(
            f"{kind} {kind.clause}: {one['case']}: {printable(repr(one['name']))}", markup=False, highlight=False
        )
    console.print()
    if crash.runs and not crash.recovers:
        console.print(
            "the adapter claims no recover: its next operation was all the recovery there was", highlight=False
        )
    said = f"not claimed: {crash.not_claimed}" if crash.not_claimed else f"{crash.words}, {crash.verdict}"
    console.print(f"conformance: {'conforms' if conforms else 'DOES NOT CONFORM'}", highlight=False)
    console.print(f"crash safety: {said}", highlight=False)
