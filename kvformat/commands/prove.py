"""`kvformat prove`: the theorems of spec/proofs, and mistakes that must be found."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvformat.commands.common import EXIT_FOUND, Fatal, print_json, say, system_message
from kvformat.display import counted
from kvformat.interrupts import InterruptGate

if TYPE_CHECKING:
    from kvformat.proofs.theorems import Judged, Theorem

_STDOUT = "-"


@click.command(
    short_help="Prove that saves are safe, for every size and fault.",
    epilog="Exit codes: 0 everything is proved and every mistake is found, 1 not, 2 wrong use, or z3 is missing.",
)
@click.option("--theorem", "names", multiple=True, metavar="NAME", help="Only this theorem; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="Show the theorems and what they say.")
@click.option("--quiet", is_flag=True, help="Only what is not proved, and the sums.")
@click.option("--no-mistakes", is_flag=True, help="Do not look for the faults that show mistakes.")
@click.option(
    "--json", "json_path", metavar="FILE", help="Write the result, - is standard output; faultinject replay reads it."
)
@click.pass_context
def prove(
    ctx: click.Context, names: tuple[str, ...], listing: bool, quiet: bool, no_mistakes: bool, json_path: str | None
) -> None:
    """Prove the save protocol and the other operations of the store, for every size, chunking and fault.

    Each obligation is printed with what the solver says of it. Then come programs with one mistake each: a fault is
    found that shows it, and `faultinject replay` runs it on real files.

    \b
    Examples:
      kvformat prove
      kvformat prove --list
      kvformat prove --theorem save-direct --quiet
      kvformat prove --json proofs.json
      faultinject replay proofs.json save-direct/no-sync
    """
    try:
        importlib.import_module("z3")
    except ImportError as error:
        raise Fatal("the solver is not there: pip install 'kvformat[proofs]' (z3-solver)") from error
    from kvformat.proofs.theorems import THEOREMS

    if listing:
        for theorem in THEOREMS:
            say(f"{theorem.name}: {theorem.sentence} [{', '.join(theorem.clauses)}]")
        return
    unknown = [name for name in names if name not in {theorem.name for theorem in THEOREMS}]
    if unknown:
        raise click.UsageError(f"no theorem {unknown[0]!r}; there are: {', '.join(one.name for one in THEOREMS)}")
    chosen = [theorem for theorem in THEOREMS if not names or theorem.name in names]
    with InterruptGate() as gate:  # a signal waits for the next answer: inside the solver it would be lost
        done = _Proving(quiet=quiet, to_stdout=json_path != _STDOUT, gate=gate)
        done.prove(chosen)
        if not no_mistakes:
            done.refute([theorem.name for theorem in chosen], everything=not names)
        done.sum_up()
    if json_path is not None:
        _write(json_path, done.document())
    if done.failures:
        ctx.exit(EXIT_FOUND)


class _Proving:
    """A run: what was asked, and what came of it."""

    def __init__(self, *, quiet: bool, to_stdout: bool, gate: InterruptGate) -> None:
        from kvformat.proofs.mistakes import Mistake, Refutation

        self.gate = gate
        self.quiet = quiet
        self.to_stdout = to_stdout
        self.started = time.monotonic()
        self.proofs: list[tuple[Theorem, list[Judged]]] = []
        self.refutations: list[tuple[Mistake, Refutation | None]] = []
        self.wrapped: dict[str, int] | None = None
        self.looked_at: bool | None = None
        self.failures = 0

    def _say(self, line: str) -> None:
        if self.to_stdout:
            say(line)
        else:
            click.echo(line, err=True)

    def prove(self, theorems: list[Theorem]) -> None:
        from kvformat.proofs.system import Answer
        from kvformat.proofs.theorems import prove as judged

        for theorem in theorems:
            self._say(f"{theorem.name}: {theorem.sentence}.")
            found = []
            for one in judged(theorem):
                self.gate.checkpoint()
                found.append(one)
                good = one.answer is Answer.PROVED
                self.failures += not good
                if not good or not self.quiet:
                    self._say(f"  {one.answer:<8} {one.obligation.name}")
            self.proofs.append((theorem, found))
            proved = sum(one.answer is Answer.PROVED for one in found)
            seconds = sum(one.seconds for one in found)
            self._say(f"  {proved} of {counted(len(found), 'obligation')} proved in {seconds:.1f} s\n")

    def refute(self, theorems: list[str], *, everything: bool) -> None:
        from kvformat.proofs import sizes
        from kvformat.proofs.counterexample import calls, fault, sentence
        from kvformat.proofs.mistakes import MISTAKES, refute
        from kvformat.proofs.theorems import lemma_is_looked_at

        self._say("Mistakes that must be found:")
        for mistake in MISTAKES:
            if mistake.id.partition("/")[0] not in theorems:
                continue
            self.gate.checkpoint()
            refutation = refute(mistake)
            self.refutations.append((mistake, refutation))
            if refutation is None:
                self.failures += 1
                self._say(f"  NOT FOUND {mistake.id}: {mistake.sentence}")
                continue
            told = sentence(fault(refutation), calls(refutation.path))
            self._say(f"  refuted  {mistake.id}: {mistake.sentence}: {mistake.violation} [{refutation.broken.clause}]")
            self._say(f"           {told}")
        if not everything:
            return
        self.gate.checkpoint()
        self.wrapped = sizes.wrapped()
        self.looked_at = lemma_is_looked_at()
        self.failures += (self.wrapped is None) + (not self.looked_at)
        if self.wrapped is not None:
            self._say(
                f"  refuted  sizes/sum-before-check: A sum that is made before it is checked wraps: a payload of "
                f"{self.wrapped['payload']} bytes would pass"
            )
        if self.looked_at:
            self._say("  refuted  classes/prying: A cleaning-up that looks at the length is not alike for all cuts")

    def sum_up(self) -> None:
        from kvformat.proofs.system import Answer

        found = [one for _, judged in self.proofs for one in judged]
        proved = sum(one.answer is Answer.PROVED for one in found)
        refuted = sum(refutation is not None for _, refutation in self.refutations)
        refuted += (self.wrapped is not None) + bool(self.looked_at)
        seconds = time.monotonic() - self.started
        self._say(
            f"\n{proved:,} of {counted(len(found), 'obligation')} proved, {counted(refuted, 'mistake')} found, "
            f"{self.failures} failures, in {seconds:.1f} s"
        )

    def document(self) -> dict[str, object]:
        from kvformat.proofs.document import document

        return document(self.proofs, self.refutations, self.wrapped, self.looked_at)


def _write(path: str, document: dict[str, object]) -> None:
    if path == _STDOUT:
        print_json(document)
        return
    try:
        Path(path).write_text(json.dumps(document, indent=2) + "\n", encoding="ascii")
    except OSError as error:
        raise Fatal(system_message(error, path)) from error
