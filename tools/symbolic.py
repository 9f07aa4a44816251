"""The symbolic gate: `python tools/symbolic.py` proves contracts over all paths with CrossHair.

CrossHair says nothing, and succeeds, about code that it cannot look into. So it is not
enough that it finds no error. Here every `post:` line of every listed function must be
reported as "Confirmed over all paths", every function with a contract must be listed, and
for each module there are false contracts (tests/canaries) that must be refuted.

A contract whose `pre:` nobody can meet would be confirmed by emptiness. So each module is
checked once more with `post: False` for every contract: that must be refuted.
Exit status 1 and a line for each that is not so. docs/symbolic.md has the whole.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS_PER_CONDITION = 60
SECONDS_MAX = 240

CONFIRMED = "info: Confirmed over all paths."
REFUTED = "error: false when calling"


@dataclass(frozen=True)
class Target:
    """A module, the functions in it whose contracts must be confirmed, and its canaries."""

    path: str
    functions: frozenset[str]
    canaries: str


TARGETS = (
    Target(
        "kvformat/layout.py",
        frozenset(
            {
                "bytes_left",
                "decode_fields",
                "decode_text_bytes",
                "encode_fields",
                "file_bytes",
                "payload_offset",
                "readable_bytes",
                "region_at",
                "region_bounds",
                "title_section_bytes",
                "tool_entry_bytes",
            }
        ),
        "tests/canaries/layout.py",
    ),
    Target("kvformat/utf8.py", frozenset({"character_bytes", "cut_bytes"}), "tests/canaries/utf8.py"),
    Target("kvformat/rules.py", frozenset({"is_whole"}), "tests/canaries/rules.py"),
    Target("kvformat/eviction.py", frozenset({"removals"}), "tests/canaries/eviction.py"),
    Target("kvformat/identity.py", frozenset({"is_entry_name"}), "tests/canaries/identity.py"),
    Target(
        "faultinject/spans.py",
        frozenset({"clip", "first_block", "inside_one_block", "intersect", "overlap"}),
        "tests/canaries/spans.py",
    ),
)

TWIN = "emptied_"

_POST = re.compile(r"\s*post(\[.*\])?:")
_LINE = re.compile(r"(?P<path>.+?):(?P<line>\d+): (?P<message>(?:info|error|warning): .*)")


def functions(source: str) -> Iterator[ast.FunctionDef]:
    """The functions of a module that have a docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            yield node


def contracts(source: str) -> dict[str, list[int]]:
    """The line numbers of the `post:` lines of each function of a module that has any."""
    lines = source.splitlines()
    found: dict[str, list[int]] = {}
    for node in functions(source):
        doc = node.body[0]
        span = range(doc.lineno, (doc.end_lineno or doc.lineno) + 1)
        posts = [number for number in span if _POST.match(lines[number - 1])]
        if posts:
            found[node.name] = posts
    return found


def verdicts(output: str, path: Path) -> dict[int, str]:
    """What CrossHair said of each line of the file at `path`."""
    matches = (_LINE.fullmatch(line) for line in output.splitlines())
    return {
        int(match["line"]): match["message"] for match in matches if match and Path(match["path"]).resolve() == path
    }


def unconfirmed(target: Target, source: str, said: dict[int, str]) -> Iterator[str]:
    """One line for each contract of a module that is not proved, or not listed, or not there."""
    found = contracts(source)
    for name in sorted(target.functions - found.keys()):
        yield f"{target.path}: {name} is listed and has no contract"
    for name in sorted(found.keys() - target.functions):
        yield f"{target.path}: {name} has a contract and is not listed in tools/symbolic.py"
    for name, lines in found.items():
        for line in lines:
            message = said.get(line, "nothing was said of it")
            if message != CONFIRMED:
                yield f"{target.path}:{line}: {name} is not confirmed: {message}"


def emptied(target: Target, source: str) -> str:
    """A module with a twin of each function that has a contract: the same `pre:` and body, `post: False`.

    Twins call what the functions call, which keeps its own contracts: CrossHair holds callees to theirs.
    """
    module = target.path.removesuffix(".py").replace("/", ".")
    text = f"from __future__ import annotations\nimport {module} as original\n"
    text += "globals().update({name: it for name, it in vars(original).items() if name[:2] != '__'})\n"
    named = contracts(source).keys()
    for node in functions(source):
        if node.name in named:
            doc = ast.get_docstring(node) or ""
            kept = [line for line in doc.splitlines() if not _POST.match(line)]
            node.name = f"{TWIN}{node.name}"
            node.body[0] = ast.Expr(ast.Constant("\n".join([*kept, "post: False", ""])))
            text += ast.unparse(node) + "\n"
    return text


def vacuous(target: Target, source: str, twins: str, said: dict[int, str]) -> Iterator[str]:
    """One line for each contract that holds of nothing: under its `pre:` even `post: False` is not refuted."""
    found = contracts(twins)
    for name in contracts(source):
        message = said.get(found[f"{TWIN}{name}"][0], "nothing was said of it")
        if not message.startswith(REFUTED):
            yield f"{target.path}: {name} has a vacuous contract, 'post: False' is not refuted: {message}"


def unrefuted(path: str, source: str, said: dict[int, str]) -> Iterator[str]:
    """One line for each false contract that was not refuted."""
    found = contracts(source)
    if not found:
        yield f"{path}: there is no canary"
    for name, lines in found.items():
        for line in lines:
            message = said.get(line, "nothing was said of it")
            if not message.startswith(REFUTED):
                yield f"{path}:{line}: the canary {name} is not refuted: {message}"


def crosshair(path: Path, root: Path = ROOT) -> dict[int, str]:
    """What CrossHair says of each line of one file. Raises RuntimeError where it fails or takes too long.

    root: where the packages are that the file imports.
    """
    command = [sys.executable, "-m", "crosshair", "check", "--report_all", "--analysis_kind=PEP316"]
    command += [f"--per_condition_timeout={SECONDS_PER_CONDITION}", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{path}: CrossHair took more than {SECONDS_MAX} s") from error
    # 1 says that something was refuted, which canaries want, and also that CrossHair itself fell over
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"{path}: CrossHair failed with {done.returncode}: {done.stderr.strip()}")
    return verdicts(done.stdout, path.resolve())


def proofs(target: Target, root: Path) -> list[str]:
    """Everything that is wrong with the proofs of one module."""
    path = root / target.path
    return list(unconfirmed(target, path.read_text(encoding="utf-8"), crosshair(path, root)))


def refutations(target: Target, root: Path) -> list[str]:
    """Everything that is wrong with its canaries."""
    path = root / target.canaries
    return list(unrefuted(target.canaries, path.read_text(encoding="utf-8"), crosshair(path, root)))


def emptiness(target: Target, root: Path) -> list[str]:
    """Which of its contracts are vacuous."""
    source = (root / target.path).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="symbolic-") as directory:
        path = Path(directory) / f"{TWIN}{Path(target.path).name}"
        twins = emptied(target, source)
        path.write_text(twins, encoding="utf-8")
        return list(vacuous(target, source, twins, crosshair(path, root)))


STEPS = (proofs, refutations, emptiness)


def attempt(step: Callable[[Target, Path], list[str]], target: Target, root: Path) -> list[str]:
    """What a step finds; where CrossHair itself fails that is the finding."""
    try:
        return step(target, root)
    except RuntimeError as error:
        return [str(error)]


def check(targets: Sequence[Target], root: Path = ROOT) -> list[str]:
    """Everything that is wrong with the proofs, the canaries and the contracts of some modules.

    As many at a time as there are processors: more would only spend each other's time limits.
    """
    jobs = [(step, target) for target in targets for step in STEPS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda job: attempt(job[0], job[1], root), jobs)
        return [line for lines in found for line in lines]


def main() -> int:
    """Checks every target; 0 if all contracts are proved and all canaries refuted, else 1."""
    start = time.monotonic()
    failures = check(TARGETS)
    for line in failures:
        print(line, file=sys.stderr)
    proved = sum(len(target.functions) for target in TARGETS)
    verdict = (
        f"{len(failures)} failures"
        if failures
        else f"{proved} functions proved, no contract vacuous, all canaries refuted"
    )
    print(f"symbolic: {verdict} in {time.monotonic() - start:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
