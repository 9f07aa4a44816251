"""Mutation testing: `python tools/mutation.py` breaks modules in small ways and sees whether a test notices.

Cosmic Ray says where a module can be broken and how; each mutant is written into a copy of the
repository, and the tests that concern the module run there until the first one fails. A mutant
under which they all pass has *survived*: a test is missing, or the mutant does the same as the
module. The second is stated, with the reason, in tools/equivalent.toml; any other survivor is
printed as a diff, and the exit status is 1.

Of the replacements of one operator at one place, one is drawn (`--seed`); `--sample` limits the
places of each module. Numbers are stated as "n of N". See docs/mutation.md.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "tools" / "equivalent.toml"

KILLED, TIMEOUT, SURVIVED, EQUAL = "killed", "timeout", "survived", "equivalent"

PYTEST = ("-m", "pytest", "-xqm", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0")
"""How tests run under a mutant: until the first failure, with the same examples each time."""

_NOT_COPIED = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "node_modules", "build", "dist")


@dataclass(frozen=True)
class Target:
    """A module, and the quick tests that concern it."""

    path: str
    tests: tuple[str, ...]


_CASES = "tests/spec/test_cases.py"

TARGETS = (
    Target("kvformat/layout.py", ("tests/kvformat/test_layout.py", "tests/kvformat/test_rules.py", _CASES)),
    Target("kvformat/reader.py", ("tests/kvformat/test_reader.py", "tests/kvformat/test_payload.py", _CASES)),
    Target("kvformat/recovery.py", ("tests/kvformat/test_recovery.py",)),
    Target("kvformat/rules.py", ("tests/kvformat/test_rules.py", "tests/kvformat/test_reader.py", _CASES)),
    Target("kvformat/schema.py", ("tests/kvformat/test_schema.py", "tests/kvformat/test_reader.py", _CASES)),
    Target("kvformat/sections.py", ("tests/kvformat/test_reader.py", "tests/kvformat/test_payload.py", _CASES)),
    Target("kvformat/temp.py", ("tests/kvformat/test_temp.py", "tests/kvformat/test_writer.py")),
    Target("kvformat/transfer.py", ("tests/kvformat/test_transfer.py", "tests/kvformat/test_temp.py")),
    Target("kvformat/updates.py", ("tests/kvformat/test_updates.py", _CASES)),
    Target("kvformat/writer.py", ("tests/kvformat/test_writer.py", _CASES)),
    Target("faultinject/oracle.py", ("tests/faultinject/test_oracle.py", "tests/mutants/test_mutants.py")),
)


@dataclass(frozen=True, order=True)
class Mutant:
    """One small change: which operator of Cosmic Ray, at its how-manieth place, where in the source."""

    operator: str
    occurrence: int
    start: tuple[int, int]
    end: tuple[int, int]

    @property
    def site(self) -> tuple[object, ...]:
        """The place and the kind of change: the replacements of one operator there count as one kind."""
        return self.start, self.end, self.operator.partition("_")[0]


@dataclass
class Score:
    """What became of a module's mutants. `known` exist, `seconds` is how long its tests take without one."""

    target: Target
    known: int
    seconds: float
    outcomes: Counter[str] = field(default_factory=Counter)
    diffs: list[str] = field(default_factory=list)


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module. Annotations are left out: nothing evaluates them (PEP 563)."""
    nodes = list(ast_nodes(get_ast(source)))
    spans = _annotations(source)
    found = []
    for name in operator_names():
        operator_class = get_operator(name)
        if operator_class.arguments():
            continue  # would have to be told what to insert
        positions = (position for node in nodes for position in operator_class().mutation_positions(node))
        for occurrence, (start, end) in enumerate(positions):
            if not any(first <= start and end <= last for first, last in spans):
                found.append(Mutant(name, occurrence, tuple(start), tuple(end)))
    return sorted(found)


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations stand, as first and last (line, column)."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            found.append(node.returns)
        elif isinstance(node, (ast.arg, ast.AnnAssign)):
            found.append(node.annotation)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset))
        for node in found
        if node is not None
    ]


def chosen(found: Sequence[Mutant], seed: int, sample: int | None) -> list[Mutant]:
    """One mutant of each site, and of the sites at most `sample`; the same for the same seed."""
    chance = random.Random(seed)
    sites: dict[tuple[object, ...], list[Mutant]] = {}
    for mutant in found:
        sites.setdefault(mutant.site, []).append(mutant)
    drawn = [chance.choice(kinds) for kinds in sites.values()]
    return drawn if sample is None or sample >= len(drawn) else chance.sample(drawn, sample)


def mutated(source: str, mutant: Mutant) -> str:
    """The module with this change. Raises RuntimeError where there is none: then nothing would be tested."""
    changed = mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)
    if changed is None or changed == source:
        raise RuntimeError(f"{mutant} changes nothing")
    return str(changed)


def difference(path: str, source: str, changed: str) -> str:
    """The change as a unified diff."""
    lines = difflib.unified_diff(source.splitlines(), changed.splitlines(), path, path, n=0, lineterm="")
    return "\n".join(lines)


def passes(tests: Iterable[str], copy: Path, timeout_seconds: float) -> bool | None:
    """Whether the tests pass in this copy of the repository, None where they take too long."""
    # No byte code: the source of a mutant can be as old and as long as that of the one before.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(copy)}
    process = subprocess.Popen(
        [sys.executable, *PYTEST, *tests],
        cwd=copy,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout_seconds) == 0
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of them have ended
            os.killpg(process.pid, signal.SIGKILL)  # with whatever a broken program has started
        process.wait()


def test(target: Target, *, seed: int, sample: int | None, equivalent: dict[str, str]) -> Score:
    """Breaks one module. Raises RuntimeError where its tests fail without a mutant."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=_NOT_COPIED)
        module = copy / target.path
        source = module.read_text(encoding="utf-8")
        start = time.monotonic()
        if not passes(target.tests, copy, 120):
            raise RuntimeError(f"{target.path}: its tests fail, or take more than 120 s, without any mutant")
        seconds = time.monotonic() - start
        found = mutants(source)
        score = Score(target, len(found), seconds)
        for mutant in chosen(found, seed, sample):
            changed = mutated(source, mutant)
            module.write_text(changed, encoding="utf-8")
            passed = passes(target.tests, copy, 10 + 5 * score.seconds)
            outcome = {True: SURVIVED, False: KILLED, None: TIMEOUT}[passed]
            if outcome == SURVIVED:
                diff = difference(target.path, source, changed)
                if change(diff) in equivalent:
                    outcome = EQUAL
                else:
                    score.diffs.append(diff)
            score.outcomes[outcome] += 1
    return score


def change(diff: str) -> str:
    """What a diff takes away and adds, without where: it stays the same when other lines move."""
    path, *lines = diff.splitlines()[1:]
    return "\n".join((path[4:], *(f"{line[0]} {line[1:].strip()}" for line in lines if line[0] in "+-")))


def stated(path: Path = EQUIVALENT) -> dict[str, str]:
    """The changes that are stated to be equivalent, and why. Raises ValueError where a reason is missing."""
    found = {}
    for one in tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", ()):
        if not one["why"].strip():
            raise ValueError(f"{path}: no reason is given for {one['change']!r}")
        found[one["change"].strip()] = one["why"]
    return found


def table(scores: Sequence[Score]) -> str:
    """What docs/mutation.md shows."""
    columns = (KILLED, TIMEOUT, EQUAL, SURVIVED)
    lines = [f"| module | run | of | {' | '.join(columns)} |", "|---|" + "---|" * (2 + len(columns))]
    for score in scores:
        counts = " | ".join(str(score.outcomes[column]) for column in columns)
        lines.append(f"| {score.target.path} | {score.outcomes.total()} | {score.known} | {counts} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every mutant was noticed or is stated to be equivalent, 1 where one was not, 2 for wrong use."""
    parser = argparse.ArgumentParser(description="Breaks modules in small ways and runs their tests.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="paths such as kvformat/layout.py; all by default")
    parser.add_argument("--sample", type=int, help="at most so many mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="modules at a time")
    options = parser.parse_args(arguments)
    targets = [target for target in TARGETS if not options.modules or target.path in options.modules]
    if unknown := set(options.modules) - {target.path for target in targets}:
        parser.error(f"not among the targets: {', '.join(sorted(unknown))}")
    equivalent = stated()

    def run(target: Target) -> Score:
        return test(target, seed=options.seed, sample=options.sample, equivalent=equivalent)

    with ThreadPoolExecutor(options.jobs) as pool:
        scores = list(pool.map(run, targets))
    print(table(scores))
    for score in scores:
        for diff in score.diffs:
            print(f"\n{diff}")
    return 1 if any(score.diffs for score in scores) else 0


if __name__ == "__main__":
    sys.exit(main())
