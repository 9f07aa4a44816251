"""The symbolic gate: `python tools/symbolic.py` proves contracts over all paths with CrossHair.

CrossHair says nothing, and succeeds, about code that it cannot look into. So it is not
enough that it finds no error. Here every `post:` line of every listed function must be
reported as "Confirmed over all paths", every function with a contract must be listed, and
for each module there are false contracts (tests/canaries) that must be refuted. Exit
status 1 and a line for each that is not so.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS_PER_CONDITION = 20
SECONDS_MAX = 50

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
                "decode_fields",
                "decode_text_bytes",
                "encode_fields",
                "file_bytes",
                "payload_offset",
                "region_bounds",
                "title_section_bytes",
                "tool_entry_bytes",
            }
        ),
        "tests/canaries/layout.py",
    ),
    Target("kvformat/rules.py", frozenset({"is_whole"}), "tests/canaries/rules.py"),
)

_LINE = re.compile(r"(?P<path>.+?):(?P<line>\d+): (?P<message>(?:info|error|warning): .*)")


def contracts(source: str) -> dict[str, list[int]]:
    """The line numbers of the `post:` lines of each function of a module that has any."""
    lines = source.splitlines()
    found: dict[str, list[int]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            doc = node.body[0]
            span = range(doc.lineno, (doc.end_lineno or doc.lineno) + 1)
            posts = [number for number in span if re.match(r"\s*post(\[.*\])?:", lines[number - 1])]
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


def crosshair(path: str) -> str:
    """What CrossHair prints about one file. Raises RuntimeError where it fails or takes too long."""
    command = [sys.executable, "-m", "crosshair", "check", "--report_all", "--analysis_kind=PEP316"]
    command += [f"--per_condition_timeout={SECONDS_PER_CONDITION}", path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{path}: CrossHair took more than {SECONDS_MAX} s") from error
    if done.returncode not in (0, 1):  # 1: something was refuted, which canaries want
        raise RuntimeError(f"{path}: CrossHair failed with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def check(target: Target) -> list[str]:
    """Everything that is wrong with one module's proofs and canaries."""
    try:
        proofs, refutations = crosshair(target.path), crosshair(target.canaries)
    except RuntimeError as error:
        return [str(error)]
    module, canaries = ROOT / target.path, ROOT / target.canaries
    return [
        *unconfirmed(target, module.read_text(encoding="utf-8"), verdicts(proofs, module)),
        *unrefuted(target.canaries, canaries.read_text(encoding="utf-8"), verdicts(refutations, canaries)),
    ]


def main() -> int:
    """Checks every target; 0 if all contracts are proved and all canaries refuted, else 1."""
    start = time.monotonic()
    with ThreadPoolExecutor() as pool:
        failures = [line for lines in pool.map(check, TARGETS) for line in lines]
    for line in failures:
        print(line, file=sys.stderr)
    proved = sum(len(target.functions) for target in TARGETS)
    verdict = f"{len(failures)} failures" if failures else f"{proved} functions proved, all canaries refuted"
    print(f"symbolic: {verdict} in {time.monotonic() - start:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
