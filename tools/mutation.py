"""Mutation testing: `python -m tools.mutation` breaks modules in small ways and sees whether a test notices.

Each mutant (tools/broken_code.py) is written into a copy of the repository, and the tests that concern
the module run there until the first one fails. A mutant under which they all pass has *survived*:
a test is missing, or the mutant does the same as the module. The second is stated, with the reason,
in tools/equivalent.toml; any other survivor is printed as it would stand there, and the exit status
is 1. Survivors are printed as they are found, the table at the end. See docs/mutation.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tools.broken_code import change, chosen, mutants, mutated

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "tools" / "equivalent.toml"

BASELINE_SECONDS_MAX = 120
"""The tests of a module have to be quick: they run once for each mutant."""

KILLED, TIMEOUT, SURVIVED, EQUAL = "killed", "timeout", "survived", "equivalent"

PYTEST = ("-m", "pytest", "-xqm", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0")
"""How tests run under a mutant: until the first failure, with the same examples each time."""

_NOT_COPIED = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "node_modules", "build", "dist")


class UnusableError(Exception):
    """Nothing can be measured: what is wrong, where, and what to do."""


class StoppedError(Exception):
    """Another thread has failed, or somebody has pressed Ctrl-C."""


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
    Target(
        "kvformat/sections.py",
        ("tests/kvformat/test_sections.py", "tests/kvformat/test_reader.py", "tests/kvformat/test_payload.py", _CASES),
    ),
    Target("kvformat/temp.py", ("tests/kvformat/test_temp.py", "tests/kvformat/test_writer.py")),
    Target("kvformat/transfer.py", ("tests/kvformat/test_transfer.py", "tests/kvformat/test_temp.py")),
    Target("kvformat/updates.py", ("tests/kvformat/test_updates.py", _CASES)),
    Target("kvformat/writer.py", ("tests/kvformat/test_writer.py", _CASES)),
    Target("faultinject/oracle.py", ("tests/faultinject/test_oracle.py", "tests/mutants/test_mutants.py")),
)


@dataclass
class Score:
    """What became of a module's mutants: of the `mutants` that exist, at so many `places`, some were run."""

    target: Target
    places: int = 0
    mutants: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


def stated(path: Path) -> dict[str, str]:
    """The changes that are stated to be equivalent, and why. Raises UnusableError where this is not stated well."""
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableError(f"{path}: {error}") from error
    tables = listed.get("mutant", [])
    if listed.keys() - {"mutant"} or not isinstance(tables, list):
        raise UnusableError(f"{path}: only tables [[mutant]] may stand here")
    found: dict[str, str] = {}
    for number, one in enumerate(tables, 1):
        where = f"{path}: [[mutant]] number {number}"
        texts = one if isinstance(one, dict) else {}
        if texts.keys() != {"change", "why"} or not all(
            isinstance(text, str) and text.strip() for text in texts.values()
        ):
            raise UnusableError(f"{where}: it needs a text `change`, a reason `why`, and nothing else")
        key = texts["change"].strip()
        if key in found:
            raise UnusableError(f"{where}: this change is stated twice")
        found[key] = texts["why"]
    return found


def outdated(changes: Iterable[str], root: Path) -> list[str]:
    """The changes that take away lines which the module no longer has: their reasons hold for nothing."""
    found = []
    for one in changes:
        head, *lines = one.splitlines()
        module = root / head.partition(" ")[0]
        text = module.read_text(encoding="utf-8") if module.is_file() else ""
        gone = {line[2:] for line in lines if line.startswith("- ")}
        if not gone or not gone <= {line.strip() for line in text.splitlines()}:
            found.append(one)
    return found


@dataclass(frozen=True)
class Run:
    """One run of the tool: what is drawn, what is known to be equivalent, and whether all is to stop."""

    root: Path
    seed: int
    sample: int | None
    equivalent: dict[str, str]
    stop: threading.Event = field(default_factory=threading.Event)

    def passes(self, tests: Iterable[str], copy: Path, limit_seconds: float) -> bool | None:
        """Whether the tests pass in this copy of the repository, None where they take too long."""
        environment = {
            **os.environ,
            # No byte code: the source of a mutant can be as old and as long as that of the one before.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(copy),
            # What a killed test leaves behind goes away with the copy.
            "TMPDIR": str(copy.parent),
        }
        process = subprocess.Popen(
            [sys.executable, *PYTEST, *tests],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + limit_seconds
            while process.poll() is None:
                if time.monotonic() > end:
                    return None
                if self.stop.wait(0.05):
                    raise StoppedError
            return process.returncode == 0
        finally:
            with contextlib.suppress(ProcessLookupError):  # all of them have ended
                os.killpg(process.pid, signal.SIGKILL)  # with whatever a broken program has started
            process.wait()

    def test(self, score: Score) -> None:
        """Breaks one module. Raises UnusableError where its tests fail without a mutant."""
        target = score.target
        with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
            copy = Path(scratch) / "copy"
            shutil.copytree(self.root, copy, symlinks=True, ignore=_NOT_COPIED)
            module = copy / target.path
            source = module.read_text(encoding="utf-8")
            start = time.monotonic()
            if not self.passes(target.tests, copy, BASELINE_SECONDS_MAX):
                raise UnusableError(
                    f"{target.path}: without any mutant its tests fail, or take more than {BASELINE_SECONDS_MAX} s; "
                    f"see python -m pytest {' '.join(target.tests)}"
                )
            limit_seconds = 10 + 5 * (time.monotonic() - start)
            found = mutants(source)
            drawn = chosen(found, self.seed, self.sample)
            score.mutants, score.places = len(found), len({mutant.site for mutant in found})
            for number, mutant in enumerate(drawn, 1):
                changed = mutated(source, mutant)
                module.write_text(changed, encoding="utf-8")
                passed = self.passes(target.tests, copy, limit_seconds)
                outcome = {True: SURVIVED, False: KILLED, None: TIMEOUT}[passed]
                if outcome == SURVIVED:
                    text = change(target.path, source, changed)
                    if text in self.equivalent:
                        outcome = EQUAL
                    else:
                        print(f"{text}\n", flush=True)
                score.outcomes[outcome] += 1
                print(f"{target.path} {number}/{len(drawn)} {outcome}", file=sys.stderr, flush=True)

    def all(self, scores: Sequence[Score], jobs: int) -> None:
        """Breaks the modules, so many at a time. Whatever ends it, no process and no copy stays."""
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(self.test, score) for score in scores]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise


def report(scores: Sequence[Score]) -> str:
    """The table of docs/mutation.md."""
    columns = (KILLED, TIMEOUT, EQUAL, SURVIVED)
    lines = [f"| module | run | places | mutants | {' | '.join(columns)} |", "|---|" + "---|" * (3 + len(columns))]
    for score in scores:
        counts = " | ".join(str(score.outcomes[column]) for column in columns)
        run = score.outcomes.total()
        lines.append(f"| {score.target.path} | {run} | {score.places} | {score.mutants} | {counts} |")
    return "\n".join(lines)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Breaks modules in small ways and runs their tests.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="paths such as kvformat/layout.py; all by default")
    parser.add_argument("--sample", type=_positive, help="at most so many mutants of each module")
    parser.add_argument("--seed", type=int, default=0, help="draws the mutants; the same for the same seed")
    parser.add_argument("--jobs", type=_positive, default=1, help="modules at a time")
    options = parser.parse_args(arguments)
    if unknown := set(options.modules) - {target.path for target in TARGETS}:
        parser.error(f"not among the targets: {', '.join(sorted(unknown))}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 where no mutant survived but those that are stated to be equivalent, 1 where one did.

    2: nothing could be measured. 130: interrupted; what was found until then is printed.
    """
    options = _options(arguments)
    scores = [Score(target) for target in TARGETS if not options.modules or target.path in options.modules]
    try:
        equivalent = stated(EQUIVALENT)
        if old := outdated(equivalent, ROOT):
            raise UnusableError("\n".join((f"{EQUIVALENT}: no module has these lines any more:", *old)))
        Run(ROOT, options.seed, options.sample, equivalent).all(scores, options.jobs)
    except UnusableError as error:
        print(f"mutation: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(report(scores))
        print("mutation: interrupted", file=sys.stderr)
        return 130
    print(report(scores))
    return 1 if any(score.outcomes[SURVIVED] for score in scores) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by `timeout`: nothing stays either
    sys.exit(main())
