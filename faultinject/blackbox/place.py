"""The scratch directories of one worker: filled before every run, read after it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from faultinject.blackbox.acknowledged import Acknowledgement
from faultinject.blackbox.copies import copy_tree
from faultinject.blackbox.launcher import Launcher
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.run import PATIENCE_SECONDS, Ran, run
from faultinject.blackbox.started import Program
from faultinject.blackbox.state import NodeKind, Root, Roots, State
from faultinject.blackbox.subject import DIRECTORY, Audited, environment, with_directory
from faultinject.blackbox.template import Template
from faultinject.faults import Fault
from faultinject.ops import Trace
from faultinject.oracle import Reported

_Result = TypeVar("_Result")

_TRIES = 20
_TRY_SECONDS = 0.1

TEMPORARY_LABEL = "$TMPDIR/"
"""How names in the directory for temporary files begin."""


@dataclass(frozen=True, slots=True)
class Plainly:
    """A run that nobody looked into. said: the last line on standard error, or how it ended."""

    reported: Reported
    said: str
    timed_out: bool


class Place:
    """A scratch directory, a directory for temporary files, and what else is watched, made in `base` from `seed`.

    name: of the scratch directory. aside: programs run in a thread of their own, since one thread has one tracer, and
    another one is in use.
    Raises StateError where the directories cannot be used.
    """

    def __init__(self, audited: Audited, base: Path, seed: Path, *, name: str = "d", aside: bool = False) -> None:
        self.audited = audited
        self._aside = ThreadPoolExecutor(1) if aside else None
        self._launcher = Launcher()
        base.mkdir(parents=True, exist_ok=True)
        self.directory = os.path.realpath(base / name)
        temporary = os.path.realpath(base / "tmp")
        copy_tree(seed, self.directory)
        os.mkdir(temporary)
        others = [Root(path, path.rstrip("/") + "/") for path in audited.directories]
        roots = [Root(self.directory), Root(temporary, TEMPORARY_LABEL), *others]
        self.roots = Roots(roots, audited.content_limit_bytes)
        self.template = Template(self.roots)
        self._environment = environment(temporary)
        self._stdin = self._written(base / "questions", audited.stdin_text) or audited.stdin
        self._recover_stdin = self._written(base / "recover-questions", audited.recover_stdin_text)

    def program(self, command: tuple[str, ...] | None = None) -> Program:
        """The audited program, or another command, to be run here."""
        audited = self.audited
        return Program(
            with_directory(command or audited.argv, self.directory),
            self._environment,
            audited.directory.replace(DIRECTORY, self.directory),
            self._acknowledgement(command),
            self._stdin if command is None else self._recover_stdin,
            audited.timeout_seconds,
        )

    def _acknowledgement(self, command: tuple[str, ...] | None) -> Acknowledgement:
        """Another command reports by its exit status, unless commands here answer."""
        audited = self.audited
        if command is None or audited.answers:
            return Acknowledgement(audited.acknowledgement.encode(), in_answer=audited.answers)
        return Acknowledgement()

    def _written(self, path: Path, text: str | None) -> str | None:
        """A file beside the watched directories with what a program is given on standard input."""
        if text is None:
            return None
        path.write_bytes(os.fsencode(text.replace(DIRECTORY, self.directory)))
        return str(path)

    def restore(self) -> None:
        """Makes everything as it was at the start."""
        self.template.restore()

    def read(self) -> State:
        """What is there now."""
        return self.roots.read()

    def put(self, state: State) -> None:
        """Makes the directories hold this state; permissions are those of new files."""
        fill(self.roots, state)

    def run(
        self,
        fault: Fault | None = None,
        recorded: Trace | None = None,
        *,
        until: int | None = None,
        keep: bool = True,
        limits: Limits | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Ran:
        """A run of the audited program on what is there now; see `run.run`."""
        program, roots = self.program(), self.roots
        return self._do(
            lambda: run(
                self._launcher,
                program,
                roots,
                fault,
                recorded,
                until=until,
                keep=keep,
                limits=limits,
                patience_seconds=patience_seconds,
            )
        )

    def run_plainly(self, program: Program) -> Plainly:
        """A run at which nobody looks. Raises LaunchError where it cannot be started."""
        return self._do(lambda: _run_plainly(self._launcher, program))

    def close(self) -> None:
        """Ends what starts the programs, and the thread that they run in. The directories stay."""
        self._do(self._launcher.close)
        if self._aside is not None:
            self._aside.shutdown()

    def _do(self, what: Callable[[], _Result]) -> _Result:
        return what() if self._aside is None else self._aside.submit(what).result()


def _run_plainly(launcher: Launcher, program: Program) -> Plainly:
    with launcher.started(program, frozenset()) as running:
        while running.tracer.next() is not None:
            pass
        if running.tracer.ending.timed_out:
            said = f"did not end within {program.timeout_seconds:g} s (--timeout)"
            return Plainly(Reported.NOTHING, said, timed_out=True)
        return Plainly(running.reported(), running.said(), timed_out=False)


def fill(roots: Roots, state: State) -> None:
    """Makes watched directories hold a state and nothing else; permissions are those of new files. Raises OSError."""
    for root in roots:
        clear(root.path)
    for key, node in sorted(state.items()):
        path = roots.path(key)
        if node.kind is NodeKind.DIRECTORY:
            os.mkdir(path)
        elif node.kind is NodeKind.SYMLINK:
            os.symlink(os.fsdecode(node.data), path)
        elif node.kind is NodeKind.FILE:
            with open(path, "xb") as file:
                file.write(node.data)
        else:
            node.make(path)


def remove(base: Path) -> None:
    """Removes a directory with all that programs have made in it, though they may have taken permissions away."""
    for left in reversed(range(_TRIES)):
        try:
            _open_up(base)
            shutil.rmtree(base)
        except OSError:
            # A program that is killed together with its tracer has a moment left to make files.
            if not left:
                raise
            time.sleep(_TRY_SECONDS)
        else:
            return


def clear(directory: str) -> None:
    """Removes all that is in a directory; see `remove`. Raises OSError."""
    _open_up(directory)
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _open_up(top: str | Path) -> None:
    """Gives the owner all rights to the directories at and below `top`, so that what is in them can be removed."""
    os.chmod(top, 0o700)
    for directory, names, _ in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)  # before the walk goes into it
