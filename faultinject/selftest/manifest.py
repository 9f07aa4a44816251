"""The programs of the self test, and exactly which violations an audit of each has to find.

What `expected` counts on (spec/saving.md, chapters 8 and 9, for files of bytes):

- The scratch directory starts empty but for another file, or holds a data.bin of other bytes besides.
- Faults are single ones. A second fault that hits the cleaning up is not counted on: an unlink that is refused leaves
  a file, whoever called it (KVS-INV-2).
- A temp file left by a kill counts after recovery: the recovery command, and without one the next run of the program.
  What is found then is not found once more after the repetition.
- Class `power` is judged under the profile `strict`. What a kill leaves a loss of power can leave as well; of what was
  reported as done and is not there it finds `lost-after-ack`, a success that was false before included.
- A file that the repetition should give back and does not, another one than the saved included, is `never-heals`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faultinject.blackbox.subject import DIRECTORY, with_directory
from faultinject.faults import FaultClass
from faultinject.oracle import Kind
from faultinject.sweep import CLASSES

PROGRAMS = Path(__file__).parent / "programs"
"""Where the sources are."""

SAVED_NAME = "data.bin"
"""The file that every program saves in the scratch directory."""

COMPILER_FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-O1", "-pthread")

Expected = frozenset[tuple[FaultClass, Kind]]


@dataclass(frozen=True, slots=True)
class Planted:
    """A program and what is to be found in it.

    source: file name in `PROGRAMS`. expected: the violations, no more and no fewer. arguments, recover: behind the
    program, with `{dir}` for the scratch directory; recover is None where the next run is the recovery. classes: to be
    audited. signals: those that the program handles; without any, class `interrupt` has no points. unmeasured: classes
    in which points must come out as `not-measured`. needs_tmpdir: whether it stages in $TMPDIR, to be watched as well.
    """

    source: str
    explanation: str
    expected: Expected = frozenset()
    recover: tuple[str, ...] | None = None
    signals: tuple[str, ...] = ()
    unmeasured: frozenset[FaultClass] = frozenset()
    needs_tmpdir: bool = False
    arguments: tuple[str, ...] = (DIRECTORY, "150", "1")
    classes: tuple[FaultClass, ...] = CLASSES

    @property
    def language(self) -> Literal["c", "python"]:
        """What it is written in."""
        return "c" if self.source.endswith(".c") else "python"

    @property
    def name(self) -> str:
        """Unlike that of any other program."""
        stem = Path(self.source).stem
        return stem if self.language == "c" else f"python_{stem}"

    @property
    def level(self) -> int:
        """The level that it reaches, as in `coverage.Run.level`: it follows from what is expected."""
        undone = {fault_class for fault_class, _ in self.expected} | self.unmeasured
        if FaultClass.ERROR in undone or FaultClass.INTERRUPT in undone:
            return 0
        if FaultClass.KILL in undone:
            return 1
        return 2 if FaultClass.POWER in undone else 3

    @property
    def path(self) -> Path:
        """The source."""
        return PROGRAMS / self.source

    def program(self, built: Path) -> tuple[str, ...]:
        """The start of the command line: the program compiled into `built`, or the interpreter and the script."""
        if self.language == "c":
            return (str(built / self.name),)
        return (sys.executable, "-I", "-S", str(self.path))

    def command(self, built: Path, directory: str) -> list[str]:
        """The command line that saves into `directory`."""
        return [*self.program(built), *with_directory(self.arguments, directory)]

    def recovery(self, built: Path, directory: str) -> list[str] | None:
        """The command line that recovers `directory`; None where there is none."""
        if self.recover is None:
            return None
        return [*self.program(built), *with_directory(self.recover, directory)]

    def compilation(self, built: Path, compiler: str = "cc") -> list[str]:
        """The command line that compiles a program in C into `built`. Raises ValueError for another language."""
        if self.language != "c":
            raise ValueError(f"{self.source} is no program in C: there is nothing to compile")
        return [compiler, *COMPILER_FLAGS, "-o", str(built / self.name), str(self.path)]


_ERROR, _INTERRUPT, _KILL, _POWER = CLASSES
_SIGNALS = ("SIGINT", "SIGTERM")


RIGHT = (
    Planted("right_stdio.c", "Every result is looked at, and the next run overwrites a killed one's temp file."),
    Planted(
        "right_raw.c",
        "The temp file is locked and has a random name; recovery removes those that nobody has locked.",
        recover=("--recover", DIRECTORY),
    ),
    Planted("right_threads.c", "The file is published only after all three threads have written their slice."),
    Planted("right_tmpfile.c", "An unnamed file needs no cleaning up; the next run replaces a name left by a kill."),
    Planted(
        "right_mmap.c",
        "Stores to a mapping can neither fail nor be interrupted one by one: points of both classes are not measured.",
        unmeasured=frozenset({_ERROR, _KILL}),
    ),
    Planted("right_signals.c", "A signal is acted upon between two steps and cleans up.", signals=_SIGNALS),
    Planted("right.py", "Whatever is raised before the rename, the temp file is removed."),
    Planted("right_signals.py", "A signal is acted upon between two steps and cleans up.", signals=_SIGNALS),
)
"""Programs in which nothing may be found."""

WRONG = (
    Planted(
        "no_unlink.c",
        "A refused write, sync, close or rename leaves the temp file.",
        frozenset({(_ERROR, Kind.TEMP_LEAKED)}),
    ),
    Planted(
        "direct_final.c",
        "A failure removes the half-written file, and the old one is gone with it; a kill leaves the half.",
        frozenset(
            {
                (_ERROR, Kind.ENTRY_LOST),
                (_KILL, Kind.PARTIAL_VISIBLE),
                (_POWER, Kind.PARTIAL_VISIBLE),
                (_POWER, Kind.ENTRY_LOST),
            }
        ),
    ),
    Planted(
        "short_ignored.c",
        "A short write is published as it is, and success is reported; so a limit on the file never comes to kill it.",
        frozenset({(_ERROR, Kind.PARTIAL_VISIBLE), (_ERROR, Kind.FALSE_SUCCESS)}),
        unmeasured=frozenset({_KILL}),
    ),
    Planted(
        "close_ignored.c",
        "The bytes of the buffer are written by fclose; where that fails, what arrived is published as a success.",
        frozenset(
            {
                (_ERROR, Kind.PARTIAL_VISIBLE),
                (_ERROR, Kind.FALSE_SUCCESS),
                (_POWER, Kind.PARTIAL_VISIBLE),
                (_POWER, Kind.LOST_AFTER_ACK),
            }
        ),
    ),
    Planted(
        "errno_ignored.c",
        "After a refused write, what had arrived is published, and success is reported.",
        frozenset({(_ERROR, Kind.PARTIAL_VISIBLE), (_ERROR, Kind.FALSE_SUCCESS)}),
    ),
    Planted(
        "rename_early.c",
        "The final name leads to an unfinished file until the last write, and for ever where one fails.",
        frozenset({(_ERROR, Kind.PARTIAL_VISIBLE), (_KILL, Kind.PARTIAL_VISIBLE), (_POWER, Kind.PARTIAL_VISIBLE)}),
    ),
    Planted(
        "unlink_old_first.c",
        "Between unlink and rename there is neither file; a refused rename or a kill leaves it so.",
        frozenset({(_ERROR, Kind.ENTRY_LOST), (_KILL, Kind.ENTRY_LOST), (_POWER, Kind.ENTRY_LOST)}),
    ),
    Planted(
        "pid_temp_no_recovery.c",
        "Every run has another temp name, so the next run does not take a killed one's file away.",
        frozenset({(_KILL, Kind.ORPHAN_UNRECLAIMED), (_POWER, Kind.ORPHAN_UNRECLAIMED)}),
    ),
    Planted(
        "signal_leaves_temp.c",
        "The handler ends the program between two calls and removes nothing.",
        frozenset({(_INTERRUPT, Kind.TEMP_LEAKED)}),
        signals=_SIGNALS,
    ),
    Planted(
        "other_removed.c",
        "A write that fails costs another file, which no repetition brings back.",
        frozenset({(_ERROR, Kind.ENTRY_LOST), (_ERROR, Kind.NEVER_HEALS)}),
    ),
    Planted(
        "never_heals.c",
        "A killed run's lock file stays after the next run, which takes it for a living writer's and fails.",
        frozenset(
            {
                (_KILL, Kind.ORPHAN_UNRECLAIMED),
                (_KILL, Kind.NEVER_HEALS),
                (_POWER, Kind.ORPHAN_UNRECLAIMED),
                (_POWER, Kind.NEVER_HEALS),
            }
        ),
    ),
    Planted(
        "temp_in_tmpdir_left.c",
        "A failure leaves the staged file in $TMPDIR; a kill does too, but the next run uses its name and removes it.",
        frozenset({(_ERROR, Kind.TEMP_LEAKED)}),
        needs_tmpdir=True,
    ),
    Planted(
        "no_fsync.c",
        "After a loss of power the name leads to nothing, or to a part of the content, and success had been reported.",
        frozenset({(_POWER, Kind.PARTIAL_VISIBLE), (_POWER, Kind.LOST_AFTER_ACK)}),
    ),
    Planted(
        "fsync_after_rename.c",
        "Between rename and sync a loss of power leaves a name without its content.",
        frozenset({(_POWER, Kind.PARTIAL_VISIBLE)}),
    ),
    Planted(
        "no_directory_fsync.c",
        "A loss of power brings the old file back after success was reported.",
        frozenset({(_POWER, Kind.LOST_AFTER_ACK)}),
    ),
    Planted(
        "fsync_retried.c",
        "A sync fails, the next one succeeds, and what the first one gave up is published.",
        frozenset({(_POWER, Kind.PARTIAL_VISIBLE), (_POWER, Kind.LOST_AFTER_ACK)}),
    ),
    Planted(
        "wrong_open_w.py",
        "Opening the final name empties it; a failed write and a kill leave a part of the new content.",
        frozenset({(_ERROR, Kind.PARTIAL_VISIBLE), (_KILL, Kind.PARTIAL_VISIBLE), (_POWER, Kind.PARTIAL_VISIBLE)}),
    ),
    Planted("wrong_no_unlink.py", "An exception leaves the temp file.", frozenset({(_ERROR, Kind.TEMP_LEAKED)})),
    Planted(
        "wrong_success.py",
        "A failed save is undone, and the exit status says that it has succeeded.",
        frozenset({(_ERROR, Kind.FALSE_SUCCESS), (_POWER, Kind.LOST_AFTER_ACK)}),
    ),
    Planted(
        "wrong_no_fsync.py",
        "The rename can be on the disk before the bytes are; only a loss of power shows it.",
        frozenset({(_POWER, Kind.PARTIAL_VISIBLE), (_POWER, Kind.LOST_AFTER_ACK)}),
    ),
    Planted(
        "wrong_no_dirsync.py",
        "When success is said the rename need not be on the disk; only a loss of power shows it.",
        frozenset({(_POWER, Kind.LOST_AFTER_ACK)}),
    ),
)
"""Programs with one mistake each."""

PLANTED = RIGHT + WRONG
"""All of them."""
