"""The report for people: one table, the violations in words, what was not measured."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from faultinject.coverage import ClassCount, Run
from faultinject.faults import FaultClass
from faultinject.oracle import Verdict

_SHOWN_MAX = 20


def print_report(console: Console, runs: list[Run]) -> None:
    """Prints everything that a person needs to decide; the JSON document has the rest."""
    groups = _grouped(runs)
    console.print(_table(groups))
    _print_regions(console, runs)
    _print_violations(console, runs)
    _print_problems(console, runs)
    console.print(_verdict(runs))


def verdict(runs: list[Run]) -> Verdict:
    """One word for all runs: the worst that any of them has to say."""
    counts = [count for run in runs for count in run.classes.values()]
    if any(count.harness_errors for count in counts):
        return Verdict.HARNESS_ERROR
    if any(count.violated for count in counts):
        return Verdict.VIOLATED
    if not counts or any(count.not_measured or not count.points for count in counts):
        return Verdict.NOT_MEASURED
    return Verdict.HELD


def level(runs: Iterable[Run]) -> int | None:
    """The lowest level of all runs, None where one is not decided."""
    levels = [run.level for run in runs]
    decided = [one for one in levels if one is not None]
    return min(decided) if decided and len(decided) == len(levels) else None


def _grouped(runs: list[Run]) -> dict[tuple[str, str], list[Run]]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.target.subject, run.target.strategy), []).append(run)
    return groups


def _table(groups: dict[tuple[str, str], list[Run]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("operation", no_wrap=True)
    table.add_column("class", no_wrap=True)
    for column in ("points", "run", "by class", "held", "viol.", "miss"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("level", no_wrap=True)
    for (subject, strategy), runs in groups.items():
        reached = level(runs)
        lines = _label(subject, strategy)
        swept = {name for run in runs for name in run.classes}
        classes = [name for name in FaultClass if name in swept]
        for place, fault_class in enumerate(classes):
            count = _sum(run.classes[fault_class] for run in runs if fault_class in run.classes)
            missed = count.not_measured + count.harness_errors
            table.add_row(
                escape(lines[place] if place < len(lines) else ""),
                str(fault_class),
                _number(count.points),
                _number(count.by_execution),
                _number(count.by_class) if count.by_class else "-",
                _number(count.held),
                f"[bold red]{_number(count.violated)}[/]" if count.violated else "0",
                f"[yellow]{_number(missed)}[/]" if missed else "0",
                (f"[bold]L{reached}[/]" if reached is not None else "?") if place == 0 else "",
                end_section=place == len(classes) - 1,
            )
    return table


def _number(count: int) -> str:
    """Exact up to six digits; above, what fits a column. The JSON document has every digit."""
    if count < 1_000_000:
        return f"{count:,}"
    return f"{count / 1e6:,.2f}M" if count < 1e9 else f"{count / 1e9:,.2f}G"


def _label(subject: str, strategy: str) -> list[str]:
    """What is swept, in lines short enough for a terminal of 80 columns."""
    operation, _, detail = subject.removeprefix("kvformat ").replace("-tool-map", " map").partition(" (")
    first = operation if strategy == "-" else f"{operation} {strategy}"
    return [first, detail.rstrip(")")] if detail else [first]


def _sum(counts: Iterable[ClassCount]) -> ClassCount:
    total = ClassCount()
    for count in counts:
        total.add(count)
    return total


def _print_regions(console: Console, runs: list[Run]) -> None:
    """At how many bytes of each region the file was cut; over all runs, the least."""
    cutting = [run for run in runs if run.regions and {FaultClass.ERROR, FaultClass.KILL} & set(run.classes)]
    if not cutting:
        return
    sizes: dict[str, tuple[int, int]] = {}
    for run in cutting:
        for name, (start, end) in run.regions.items():
            covered, total = sizes.get(name, (0, 0))
            sizes[name] = (covered + run.covered_bytes(name), total + end - start)
    # Rounded down: 100% is said of all bytes and of nothing less.
    listed = ", ".join(
        f"{name} {covered * 100 // total}%" if total else name for name, (covered, total) in sizes.items()
    )
    covered = sum(covered for covered, _ in sizes.values())
    total = sum(total for _, total in sizes.values())
    console.print(f"Cut at {covered:,} of {total:,} bytes of the files saved: {listed}", highlight=False)


def _print_violations(console: Console, runs: list[Run]) -> None:
    shown = 0
    for run in runs:
        for violation in run.violations:
            shown += 1
            if shown > _SHOWN_MAX:
                continue
            finding = violation.finding
            where = f", byte {violation.offset}" if violation.offset is not None else ""
            where += f" ({violation.region})" if violation.region else ""
            more = f"  [dim](and {violation.points - 1:,} more points alike)[/]" if violation.points > 1 else ""
            console.print(
                f"[bold red]V{shown} {finding.kind}[/] {finding.kind.clause}: "
                f"{escape(run.target.subject)}, {escape(run.target.strategy)}, {escape(run.target.scenario)}\n"
                f"   at {escape(violation.operation)}{where}: {escape(violation.fault.id)}{more}\n"
                f"   {escape(repr(finding.name))}: {escape(finding.detail)}",
                highlight=False,
            )
    if shown > _SHOWN_MAX:
        console.print(f"… and {shown - _SHOWN_MAX} more violations; --json has them all", highlight=False)


def _print_problems(console: Console, runs: list[Run]) -> None:
    problems = list(dict.fromkeys(problem for run in runs for problem in run.problems))
    for problem in problems[:_SHOWN_MAX]:
        console.print(f"[yellow]note[/] {escape(problem)}", highlight=False)
    if len(problems) > _SHOWN_MAX:
        console.print(f"… and {len(problems) - _SHOWN_MAX} more notes; --json has them all", highlight=False)


def _verdict(runs: list[Run]) -> str:
    points = sum(count.points for run in runs for count in run.classes.values())
    covered = sum(count.covered for run in runs for count in run.classes.values())
    violations = sum(len(run.violations) for run in runs)
    said = verdict(runs)
    colour = {Verdict.HELD: "green", Verdict.VIOLATED: "red"}.get(said, "yellow")
    return (
        f"[bold {colour}]{said}[/]: {covered:,} of {points:,} fault points covered, "
        f"{violations} violation{'' if violations == 1 else 's'}\n"
        f"level: {_LEVELS[level(runs)]}"
    )


_LEVELS = {
    None: "not decided; it takes every point of the classes error, interrupt and kill",
    0: "not even L1 (error-safe)",
    1: "L1 (error-safe)",
    2: "L2 (kill-safe)",
}
