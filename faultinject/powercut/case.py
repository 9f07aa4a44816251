"""What is put to the test: a program, from one start, on one kind of file system."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from faultinject.blackbox.state import State
from faultinject.blackbox.subject import Audited, AuditedStart, Start
from faultinject.powercut.filesystems import Kind

SETTLE_SECONDS = 2.5
"""How long after the program the file system is left alone: with `commit=1` two commits of its journal."""

DIRECTORY = "directory"
"""How the directory is called that {dir} stands for, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class PowerSubject:
    """What a run of the report is about; see `faultinject.target.Subject`."""

    audited: Audited
    kind: Kind
    start: Start

    @property
    def subject(self) -> str:
        """The command line, as it was given."""
        return AuditedStart(self.audited, self.start).subject

    @property
    def strategy(self) -> str:
        """Unknown: the program is not ours."""
        return "-"

    @property
    def scenario(self) -> str:
        """The file system and the start."""
        return f"{self.kind}, {self.start}"

    @property
    def heading(self) -> str:
        """All rows are of one program."""
        return self.subject

    @property
    def label(self) -> tuple[str, ...]:
        """The row of the table."""
        return (self.scenario,)

    def description(self) -> dict[str, Any]:
        """What was run, where."""
        return {
            "powercut": {"file_system": self.kind.name, "mount_options": self.kind.options},
            "start": str(self.start),
            "program": asdict(self.audited),
        }


@dataclass(frozen=True, slots=True)
class Case:
    """One recording and its images.

    directory_name: of the directory that {dir} stands for, below the top of the file system. older: files that are
    there besides what the start gives. images_max: no more of them are built. settle_seconds: how long
    the file system is left alone after the program. judged: whether the program's recovery
    and its repetition run on the images and all is judged; without, the states alone are told. kept_in: a directory for
    the first image of each violation, None where none is kept.
    """

    audited: Audited
    kind: Kind
    start: Start = Start.EMPTY
    directory_name: str = DIRECTORY
    older: State = field(default_factory=dict)
    images_max: int = 1000
    seed: int = 1
    settle_seconds: float = SETTLE_SECONDS
    judged: bool = True
    kept_in: str | None = None

    @property
    def subject(self) -> PowerSubject:
        """How the report calls it."""
        return PowerSubject(self.audited, self.kind, self.start)


def check_directory_name(name: str) -> str:
    """A path below the top of the file system. Raises ValueError for another one."""
    parts = name.split("/")
    if os.path.isabs(name) or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name!r} is no path of a directory below the top of a file system, such as {DIRECTORY!r}")
    if parts[0] in RESERVED:
        raise ValueError(f"the name {parts[0]!r} is taken there; choose another one")
    return name


TEMPORARY = "tmp"
WITNESS = "witness"
RESERVED = frozenset({TEMPORARY, WITNESS, "lost+found"})
"""What is at the top of the file system besides: $TMPDIR, and the file of another program."""
