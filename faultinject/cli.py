"""The command line of faultinject."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click

from faultinject.blackbox.cli import audit_command
from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.replay import AuditReplay
from faultinject.conform.cli import conform_command
from faultinject.conform.document import SCHEMA_ID as JOINED
from faultinject.faults import FaultClass
from faultinject.inject import HarnessError
from faultinject.kvc import SCENARIOS, KvcTarget, Operation, Scenario, targets
from faultinject.kvc_content import Source
from faultinject.powercut.cli import powercut_command
from faultinject.profile_option import chosen_profiles, profile_option, profiles_command
from faultinject.report.refutation import is_of_proofs, refutation
from faultinject.report.replay import Replay, ReplayError
from faultinject.report.text import print_report, verdict
from faultinject.report.told import told
from faultinject.report_options import Outputs, report_options
from faultinject.selftest.cli import selftest_command
from faultinject.sweep import CLASSES, units
from faultinject.terminal import EXIT, EXIT_CODES, run_units
from kvformat.errors import KvcError
from kvformat.options import Strategy
from kvformat.payload import PIECE_BYTES_MAX
from kvformat.temp_names import TempKind

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kvformat", prog_name="faultinject")
def main() -> None:
    """Break a save in every way that the fault model names, and learn which crash-safety level it reaches."""


def _only(
    flag: str, parameter: str, choices: Iterable[StrEnum], text: str, metavar: str | None = None
) -> Callable[[_Command], _Command]:
    """An option that narrows the sweep to some of the choices."""
    values = click.Choice([str(choice) for choice in choices])
    return click.option(flag, parameter, multiple=True, type=values, help=text, metavar=metavar)


main.add_command(audit_command)
main.add_command(conform_command)
main.add_command(powercut_command)
main.add_command(selftest_command)
main.add_command(profiles_command)


@main.command("sweep", epilog=EXIT_CODES)
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False),
    help="Save this KVC file again, instead of a small built-in one.",
)
@click.option(
    "--payload-bytes", type=click.IntRange(1), help="Size of the built-in payload (default 256); GiB cost nothing."
)
@click.option("--piece-bytes", type=click.IntRange(1), help="Offer the payload in pieces of this size.")
@_only("--operation", "operations", Operation, "Only this operation; may be repeated.")
@_only("--strategy", "strategies", Strategy, "Only saves of this strategy; may be repeated.")
@_only(
    "--scenario", "scenarios", Scenario, f"Only this scenario; may be repeated. One of: {', '.join(Scenario)}.", "NAME"
)
@_only("--class", "classes", CLASSES, "Only this fault class; may be repeated. The level needs all.")
@profile_option
@_only("--temp", "temps", (TempKind.NAMED, TempKind.UNNAMED), "Only temp files with a name, or without (O_TMPFILE).")
@click.option(
    "--durable/--not-durable",
    default=True,
    help="Saves that sync before they report success, or that do not (KVS-DURABLE-3).",
)
@click.option(
    "--on",
    "ground",
    type=click.Choice(["memory", "real"]),
    default="memory",
    show_default=True,
    help="An in-memory file system, or a real directory with real SIGKILLs.",
)
@click.option(
    "--dir",
    "parent",
    type=click.Path(exists=True, file_okay=False),
    help="With --on real: where to make the directory.",
)
@click.option("--exhaustive", is_flag=True, help="Execute every point; no equivalence classes.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=lambda: os.cpu_count() or 1,
    help="Processes to use (default: one a core).",
)
@report_options
def sweep_command(
    path: str | None,
    payload_bytes: int | None,
    piece_bytes: int | None,
    operations: tuple[str, ...],
    strategies: tuple[str, ...],
    scenarios: tuple[str, ...],
    classes: tuple[str, ...],
    named_profiles: tuple[str, ...],
    temps: tuple[str, ...],
    durable: bool,
    ground: str,
    parent: str | None,
    exhaustive: bool,
    jobs: int,
    json_path: str | None,
    junit_path: str | None,
    badge_path: str | None,
) -> None:
    """Interrupt every byte and every operation of kvformat's own saves, and print the verdict.

    \b
    faultinject sweep                            everything that there is
    faultinject sweep --file X.kv                a real file is saved again
    faultinject sweep --strategy direct --class kill --exhaustive
    faultinject sweep --on real --dir /mnt/xfs   real files, real SIGKILLs
    faultinject sweep --json report.json         for machines, and for replay
    """
    if path is not None and payload_bytes is not None:
        raise click.UsageError("--file and --payload-bytes exclude each other")
    if parent is not None and ground != "real":
        raise click.UsageError("--dir goes with --on real")
    outputs = Outputs(json_path, junit_path, badge_path)
    root = _real_root(parent) if ground == "real" else None
    work = units(
        _targets(path, payload_bytes, piece_bytes, operations, strategies, scenarios, temps, durable=durable),
        list(dict.fromkeys(map(FaultClass, classes))) or CLASSES,
        parts=jobs * 2 if exhaustive and jobs > 1 else 1,
        exhaustive=exhaustive,
        real=ground == "real",
        real_parent=root,
        profiles=chosen_profiles(named_profiles),
    )
    console = outputs.console
    try:
        runs = run_units(work, jobs, console)
    finally:
        if root is not None:
            # Workers remove their own directories; those that were ended at once could not.
            shutil.rmtree(root, ignore_errors=True)
    print_report(console, runs)
    outputs.write(runs)
    sys.exit(EXIT[verdict(runs)])


def _targets(
    path: str | None,
    payload_bytes: int | None,
    piece_bytes: int | None,
    operations: tuple[str, ...],
    strategies: tuple[str, ...],
    scenarios: tuple[str, ...],
    temps: tuple[str, ...],
    *,
    durable: bool,
) -> list[KvcTarget]:
    default = Source()
    size_bytes = payload_bytes or default.payload_bytes
    if piece_bytes is None:
        large = PIECE_BYTES_MAX if size_bytes >= 1 << 28 else 1 << 20
        piece_bytes = default.piece_bytes if path is None and size_bytes <= 4096 else large
    chosen = list(dict.fromkeys(map(Operation, operations)))
    if strategies and chosen and Operation.SAVE not in chosen:
        raise click.UsageError("--strategy goes with --operation save: no other operation has one")
    if temps and chosen and not {Operation.SAVE, Operation.REPLACE_TOOL_MAP} & set(chosen):
        raise click.UsageError("--temp goes with the operations save and replace-tool-map: no other makes a temp file")
    if (path is not None or payload_bytes is not None or strategies or temps) and not operations:
        chosen = [Operation.SAVE]  # the only one with a strategy, and the one that a file or a size is for
    wanted = list(dict.fromkeys(map(Scenario, scenarios)))
    found = targets(
        source=Source(path, size_bytes, piece_bytes, None if path is None or os.path.isabs(path) else os.getcwd()),
        strategies=tuple(dict.fromkeys(map(Strategy, strategies))) or tuple(Strategy),
        operations=tuple(chosen) or tuple(Operation),
        scenarios=tuple(wanted) or (_of_file() if path is not None else None),
        temps=tuple(dict.fromkeys(map(TempKind, temps))) or (TempKind.UNNAMED, TempKind.NAMED),
        durable=durable,
    )
    if not found:
        raise click.UsageError("no operation has such a scenario; the scenarios of each: " + _scenario_list())
    if path is not None:
        try:
            found[0].prepare()
        except (KvcError, OSError) as error:
            raise click.UsageError(str(error)) from error
    return found


def _of_file() -> tuple[Scenario, ...]:
    """Scenarios whose entry is the file's own: it has a title and a payload, or has not."""
    return tuple(s for s in SCENARIOS[Operation.SAVE] if s not in (Scenario.TITLE, Scenario.STRIPPED))


def _scenario_list() -> str:
    return "; ".join(f"{operation}: {', '.join(scenarios)}" for operation, scenarios in SCENARIOS.items())


def _real_root(parent: str | None) -> str:
    try:
        return tempfile.mkdtemp(prefix="faultinject-", dir=parent)
    except OSError as error:
        raise click.UsageError(f"--on real: no directory can be made: {error}") from error


@main.command("replay", epilog="Exit codes: 0 the violation shows again, 1 it does not, 2 wrong use.")
@click.argument("report", type=click.Path(exists=True, dir_okay=False))
@click.argument("violation")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="An empty directory to work in (default: a new one).",
)
def replay_command(report: str, violation: str, directory: Path | None) -> None:
    """Run one violation of a JSON report again on the real file system, and leave the directory to look at.

    The command of an audit is run as the report has it: replay no report of
    people whose programs you would not run.

    \b
    faultinject sweep --json report.json
    faultinject audit --json report.json -- cp big.bin {dir}/copy.bin
    faultinject replay report.json V1
    kvformat prove --json proofs.json            a mistake that a proof has found
    faultinject replay proofs.json save-direct/no-sync
    """
    try:
        loaded = json.loads(Path(report).read_text("utf-8"))
        if not isinstance(loaded, dict):
            raise ReplayError("it is no report of faultinject")
        if loaded.get("schema") == JOINED:
            loaded = loaded["crash"]["report"] or {}
        shown = _show_replay(_replay(loaded, violation, directory))
    except (ReplayError, HarnessError, LaunchError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise click.UsageError(f"{report}: {error}") from error
    except RecursionError as error:
        raise click.UsageError(f"{report}: it is nested too deeply for a report") from error
    except (KvcError, OSError, NotImplementedError) as error:
        raise click.UsageError(str(error)) from error
    sys.exit(0 if shown else 1)


def _replay(report: dict[str, Any], violation: str, directory: Path | None) -> Replay | AuditReplay:
    if is_of_proofs(report):
        return refutation(report, violation, directory)
    target = told(report, violation).target
    if "powercut" in target:
        raise ReplayError("crash images are of one recorded run and are not replayed: run faultinject powercut again")
    if "argv" in target:
        return AuditReplay(report, violation, directory)
    return Replay.of_report(report, violation, directory)


def _show_replay(replay: Replay | AuditReplay) -> bool:
    """Prints every stage; whether the violation showed again."""
    target = replay.target
    click.echo(f"{target.subject}, strategy {target.strategy}, scenario {target.scenario}")
    click.echo(f"fault: {replay.fault.id}")
    kinds = set()
    for stage in replay.run():
        click.echo(f"\nafter {stage.name}, which reported {stage.outcome.reported}:")
        if stage.outcome.error is not None:
            click.echo(f"  error      {stage.outcome.error!r}")
        if stage.said:
            click.echo(f"  said       {stage.said!r}")
        for size_bytes, name in replay.listing():
            click.echo(f"  {size_bytes:>10,} {name!r}")
        for finding in stage.findings:
            kinds.add(finding.kind)
            click.echo(f"  violation  {finding.kind} ({finding.kind.clause}): {finding.name!r}: {finding.detail}")
    shown = replay.kind in kinds
    click.echo(f"\nthe violation {'shows again' if shown else 'does not show here'}; the directory is left:")
    click.echo(f"  {replay.place}")
    return shown
