"""The report for people: one table, the violations in words, what was not measured."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from faultinject.coverage import ClassCount, Run, Violation
from faultinject.faults import FaultClass
from faultinject.oracle import Verdict
from faultinject.printable import printable

_SHOWN_MAX = 20


def print_report(console: Console, runs: list[Run]) -> None:
    """Prints everything that a person needs to decide; the JSON document has the rest."""
    heading = runs[0].target.heading if runs else ""
    if heading:
        console.print(f"[bold]{_shown(heading)}[/]", highlight=False)
    console.print(_table(_grouped(runs), "start" if heading else "operation"))
    _print_executors(console, runs)
    _print_regions(console, runs)
    _print_violations(console, runs)
    _print_notes(console, runs)
    console.print(_verdict(runs))


def _shown(text: str) -> str:
    """Names and texts that are not ours: neither markup nor control characters."""
    return escape(printable(text))


def verdict(runs: list[Run]) -> Verdict:
    """One word for all runs: the worst that any of them has to say."""
    counts = [count for run in runs for count in run.classes.values()]
    if any(count.harness_errors for count in counts):
        return Verdict.HARNESS_ERROR
    if any(count.violated for count in counts):
        return Verdict.VIOLATED
    if not counts or any(count.not_measured or not (count.points or count.void) for count in counts):
        return Verdict.NOT_MEASURED
    return Verdict.HELD


def level(runs: Iterable[Run]) -> int | None:
    """The lowest level of all runs, None where one is not decided."""
    levels = [run.level for run in runs]
    decided = [one for one in levels if one is not None]
    return min(decided) if decided and len(decided) == len(levels) else None


def _grouped(runs: list[Run]) -> dict[tuple[str, ...], list[Run]]:
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(run.target.label, []).append(run)
    return groups


def _table(groups: dict[tuple[str, ...], list[Run]], first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    table.add_column("class", no_wrap=True)
    for column in ("points", "run", "by class", "held", "viol.", "miss"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("level", no_wrap=True)
    for lines, runs in groups.items():
        reached = level(runs)
        swept = {name for run in runs for name in run.classes}
        classes = [name for name in FaultClass if name in swept]
        for place, fault_class in enumerate(classes):
            count = _sum(run.classes[fault_class] for run in runs if fault_class in run.classes)
            missed = count.not_measured + count.harness_errors
            table.add_row(
                _shown(lines[place] if place < len(lines) else ""),
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
        _shown(f"{name} {covered * 100 // total}%" if total else name) for name, (covered, total) in sizes.items()
    )
    covered = sum(covered for covered, _ in sizes.values())
    total = sum(total for _, total in sizes.values())
    console.print(f"Cut at {covered:,} of {total:,} bytes of the files saved: {listed}", highlight=False)


def _print_executors(console: Console, runs: list[Run]) -> None:
    """Of a program that is not ours: how its points were run."""
    total = _sum(count for run in runs for count in run.classes.values())
    if total.executors:
        listed = ", ".join(f"{name} {made:,}" for name, made in sorted(total.executors.items()))
        console.print(f"Runs by executor: {listed}", highlight=False)
    for reason in dict.fromkeys(
        f"{name}: {count.void}" for run in runs for name, count in run.classes.items() if count.void
    ):
        console.print(f"No points of class {_shown(reason)}", highlight=False)


def _print_violations(console: Console, runs: list[Run]) -> None:
    """Each cause once, whatever scenarios it shows in; ids are those of the JSON document."""
    alike: dict[Hashable, list[tuple[int, Run, Violation]]] = {}
    number = 0
    for run in runs:
        for violation in run.violations:
            number += 1
            key = run.target.heading, violation.cause if run.target.heading else number
            alike.setdefault(key, []).append((number, run, violation))
    for shown in list(alike.values())[:_SHOWN_MAX]:
        _print_violation(console, shown)
    if len(alike) > _SHOWN_MAX:
        console.print(f"… and {len(alike) - _SHOWN_MAX} more violations; --json has them all", highlight=False)


def _print_violation(console: Console, shown: list[tuple[int, Run, Violation]]) -> None:
    number, run, violation = shown[0]
    finding = violation.finding
    target = run.target
    others = "".join(f", V{other} {_shown(one.target.scenario)}" for other, one, _ in shown[1:])
    which = target.scenario if target.heading else f"{target.subject}, {target.strategy}, {target.scenario}"
    where = f", byte {violation.offset}" if violation.offset is not None else ""
    where += f" ({violation.region})" if violation.region else ""
    console.print(
        f"[bold red]V{number} {finding.kind}[/] {finding.kind.clause}: {_shown(which)}{others}\n"
        f"   at {_shown(violation.operation)}{_shown(where)}: {_shown(violation.fault.id)}\n"
        f"   {_shown(repr(finding.name)) + ': ' if finding.name else ''}{_shown(finding.detail)}",
        highlight=False,
    )
    if violation.repair:
        console.print(f"   [green]repair[/] {_shown(violation.repair)}", highlight=False)
    points = sum(one.points for _, _, one in shown)
    if points > 1:
        console.print(f"   [dim]{points:,} points: {_shown(_where_all(shown))}[/]", highlight=False)


def _where_all(shown: list[tuple[int, Run, Violation]]) -> str:
    """At which operations it shows, added up by their kind."""
    kinds: dict[str, int] = {}
    for _, _, violation in shown:
        for operation, points in violation.operations.items():
            _, _, rest = operation.partition(" ")
            kind = rest.partition(" ")[0] if operation.startswith("#") else operation
            kinds[kind] = kinds.get(kind, 0) + points
    listed = ", ".join(f"{kind} {points:,}" for kind, points in kinds.items())
    span = shown[0][2].span
    return listed + (f"; cut at bytes {span[0]:,} to {span[1]:,}" if span is not None and span[0] < span[1] else "")


def _print_notes(console: Console, runs: list[Run]) -> None:
    problems = list(dict.fromkeys(problem for run in runs for problem in run.problems))
    notes = list(dict.fromkeys(note for run in runs for note in run.notes))
    marked = [f"[yellow]problem[/] {_shown(one)}" for one in problems] + [f"note {_shown(one)}" for one in notes]
    for line in marked[:_SHOWN_MAX]:
        console.print(line, highlight=False)
    if len(marked) > _SHOWN_MAX:
        console.print(f"… and {len(marked) - _SHOWN_MAX} more notes; --json has them all", highlight=False)


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
    3: "L3 (power-safe)",
}
