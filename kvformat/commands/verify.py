"""`kvformat verify`: every clause that files break, one line a problem."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import click

from kvformat import identity, listing, reader, rules
from kvformat.commands.common import EXIT_FOUND, json_option, note, print_json, profile_option, say, system_message
from kvformat.commands.documents import name_value, problem_value, schema_id
from kvformat.display import counted, safe, safe_lines
from kvformat.errors import Problem
from kvformat.filesystem import OsFileSystem
from kvformat.hints import Hint
from kvformat.portfile import PortFile
from kvformat.reader import VerifyReport

_EXIT_UNREADABLE = 2


@dataclass(frozen=True, slots=True)
class Checked:
    """One file and what became of it; `error` where the system did not open or read it."""

    path: str
    report: VerifyReport | None = None
    error: OSError | None = None

    @property
    def notes(self) -> Iterator[Hint]:
        """What breaks no reader's clause and limits what "good" says (spec/kvc.md, 1.4)."""
        if self.report is None or self.report.header is None:
            return
        if self.report.trailing_bytes:
            found = counted(self.report.trailing_bytes, "byte stands", "bytes stand")
            yield Hint(f"{found} behind the last section", "KVC-FILE-5")
        if self.report.ok and self.report.name is None:
            name = os.path.basename(self.path)
            if name in identity.FIXED_NAMES:
                yield Hint("a fixed name says nothing of the content", "KVC-NAME-4")
            else:
                yield Hint("this is no entry's name; it was not compared with the content", "KVC-NAME-1")


@dataclass(slots=True)
class Tally:
    """How many files of each kind."""

    good: int = 0
    broken: int = 0
    unreadable: int = 0

    def add(self, checked: Checked) -> None:
        """Counts one file."""
        if checked.report is None:
            self.unreadable += 1
        elif checked.report.ok:
            self.good += 1
        else:
            self.broken += 1

    @property
    def files(self) -> int:
        """All of them."""
        return self.good + self.broken + self.unreadable

    @property
    def exit_code(self) -> int:
        """2 before 1: what could not be read may be broken too."""
        return _EXIT_UNREADABLE if self.unreadable else EXIT_FOUND if self.broken else 0


@click.command(
    short_help="Name every clause that files break.",
    epilog="Exit codes: 0 every file is good, 1 a clause is broken, 2 wrong use or a file or directory that cannot "
    "be read. Nothing is changed: a directory is not recovered and may be read-only.",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what cannot be read; the exit code says the rest.")
@json_option
@profile_option
@click.pass_context
def verify(ctx: click.Context, paths: tuple[str, ...], quiet: bool, as_json: bool, profile: str) -> None:
    """Check files, and every entry of directories, against every clause that readers check.

    Prints a line for each problem: file, category, field, offset, message and clause of spec/kvc.md. The payload
    has no checksum, so its content cannot be judged.

    \b
    Examples:
      kvformat verify ~/.cache/kv
      kvformat verify X.kv Y.kv
      kvformat verify --quiet DIR && echo all good
    """
    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other")
    tally = Tally()
    files: list[dict[str, object]] = []
    for path in paths:
        for checked in _check(path, profile):
            tally.add(checked)
            if checked.error is not None:
                note(system_message(checked.error, checked.path))
            if as_json:
                files.append(_file_value(checked))
            elif not quiet:
                _say(checked)
    if as_json:
        print_json(_document(files, tally))
    elif not quiet:
        say(_summary(tally))
    ctx.exit(tally.exit_code)


def _check(path: str, profile: str) -> Iterator[Checked]:
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            yield from _check_directory(path, profile)
        else:
            yield Checked(path, reader.verify(path, profile=profile, follow_symlinks=False))
    except OSError as error:
        yield Checked(path, error=error)


def _check_directory(path: str, profile: str) -> Iterator[Checked]:
    """Its entries by name; what has another name is passed over (KVC-NAME-5)."""
    with OsFileSystem(path) as fs:
        found = listing.scan(fs, profile=profile, limits=rules.DEFAULT_LIMITS)
        known = {damaged.name: damaged.problem for damaged in found.damaged}
        unreadable = {entry.name: entry.error for entry in found.unreadable}
        for name in sorted([*(entry.name for entry in found.entries), *known, *unreadable]):
            checked = _check_entry(fs, os.path.join(path, name), name, known.get(name), profile, unreadable.get(name))
            if checked is not None:
                yield checked


def _check_entry(
    fs: OsFileSystem, path: str, name: str, known: Problem | None, profile: str, error: OSError | None
) -> Checked | None:
    """One entry, None where it was removed meanwhile. `known` is what the listing found, `error` why it could not."""
    if error is not None:
        return Checked(path, error=error)
    if known is not None and known.clause == "KVC-NAME-7":
        return Checked(path, VerifyReport((known,)))
    try:
        with PortFile(fs, fs.open(name, os.O_RDONLY), owned=True) as stream:
            if not stat.S_ISREG(stream.status().mode):
                return Checked(path, VerifyReport((rules.not_regular(name),)))
            report = reader.verify(stream, profile=profile, name=name)
    except FileNotFoundError:
        return None
    except OSError as second:
        return Checked(path, error=second)
    if known is not None and known.clause == "KVC-NAME-6":
        # The file is whole, and the entry is another one: only the listing can know.
        report = VerifyReport((*report.problems, known), header=report.header, profile=report.profile)
    return Checked(path, report)


def _say(checked: Checked) -> None:
    if checked.report is None:
        return
    path = safe(checked.path)
    for problem in checked.report.problems:
        say(f"{path}: {safe_lines(str(problem))}")
    for hint in checked.notes:
        say(f"{path}: note: {hint.message} [{hint.clause}]")


def _summary(tally: Tally) -> str:
    parts = [f"{tally.good:,} good"]
    if tally.broken:
        parts.append(f"{tally.broken:,} broken")
    if tally.unreadable:
        parts.append(f"{tally.unreadable:,} unreadable")
    said = f"{counted(tally.files, 'file')}: {', '.join(parts)}"
    return said + (" (payloads have no checksum: their content is not judged)" if tally.good else "")


def _file_value(checked: Checked) -> dict[str, object]:
    report = checked.report
    return {
        "path": name_value(checked.path),
        "ok": report is not None and report.ok,
        "usable": report is not None and report.usable,
        "size_bytes": None if report is None else report.size_bytes,
        "profile": None if report is None or report.profile is None else report.profile.name,
        "identity_checked": report is not None and report.name is not None,
        "problems": [problem_value(problem) for problem in report.problems] if report is not None else [],
        "notes": [{"message": hint.message, "clause": hint.clause} for hint in checked.notes],
        "error": None if checked.error is None else checked.error.strerror or str(checked.error),
    }


def _document(files: list[dict[str, object]], tally: Tally) -> dict[str, object]:
    return {
        "schema": schema_id("verify"),
        "ok": tally.exit_code == 0,
        "files": files,
        "summary": {
            "files": tally.files,
            "good": tally.good,
            "broken": tally.broken,
            "unreadable": tally.unreadable,
        },
    }
