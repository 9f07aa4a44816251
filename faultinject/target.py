"""What is swept: a target that can be prepared anywhere, and the contract that it keeps with the sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from faultinject.faults import Fault
from faultinject.memory import MemoryFileSystem
from kvformat.filesystem import FileSystem


class File(Protocol):
    """The content under a name at one moment."""

    size_bytes: int

    def read_all(self) -> bytes:
        """Every byte."""

    def same_content(self, other: File, /) -> bool:
        """Whether both hold the same bytes."""


Files = Mapping[str, File]
"""A directory at one moment: every name with its file."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the oracle holds a directory against (KVS-INV).

    target: the name that the operation is about, None where it is about none (recovery). new: the content of
    `target` after success, None where success means that it is gone. live: temp files of living writers, never
    to be touched. stale: temp files of dead writers, which may stay until a recovery and not longer. gone: names
    that success promises to have removed.
    """

    target: str | None
    new: File | None
    live: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


@dataclass(slots=True)
class PayloadFault:
    """A fault of the payload's producer; the target sets `fired` when the producer gets there."""

    fault: Fault
    fired: bool = False


class Prepared(ABC):
    """A target ready to run, any number of times. Everything random in it is fixed, but for temp names."""

    base: MemoryFileSystem
    """The directory before; runs work on snapshots of it."""

    expectation: Expectation

    @abstractmethod
    def act(self, fs: FileSystem, payload: PayloadFault | None = None) -> None:
        """The operation under test. `payload` is given where the payload's producer is to be at fault.

        It returns to report success and raises to report failure.
        """

    @abstractmethod
    def recover(self, fs: FileSystem) -> None:
        """The recovery that the program offers, as the next start would run it."""

    @abstractmethod
    def is_entry(self, name: str) -> bool:
        """Whether readers take a file of that name for an entry."""

    @abstractmethod
    def check(self, name: str, file: File) -> str | None:
        """What a public reader has against the file, None where it accepts it."""

    @abstractmethod
    def names_left(self, error: BaseException) -> frozenset[str]:
        """The names that a reported failure says it had to leave behind (KVS-FAIL-3)."""

    def expectation_of_repetition(self, after: Files) -> Expectation:  # noqa: ARG002 - most operations do not count
        """What holds when the operation is done once more on a directory with these files."""
        return self.expectation

    @property
    def is_durable(self) -> bool:
        """Whether success promises that a loss of power takes nothing back (KVS-DURABLE-3)."""
        return True

    @property
    def payload_bytes(self) -> int | None:
        """Size of the payload whose producer can be made to fail, None where there is none."""
        return None

    @property
    def payload_is_counted(self) -> bool:
        """Whether a payload of another size than predicted must fail the operation (KVS-DIRECT-2)."""
        return False

    def region_of(self, offset: int) -> str | None:  # noqa: ARG002 - a target without regions has none anywhere
        """The region of the new file at `offset`, None where the target has no regions."""
        return None

    def regions(self) -> Mapping[str, tuple[int, int]]:
        """Regions of the new file: name to (offset, end)."""
        return {}


class Subject(Protocol):
    """What is swept, as reports name it; hashable, and small enough to be sent to another process."""

    @property
    def subject(self) -> str:
        """What is swept, as reports name it."""

    @property
    def strategy(self) -> str:
        """How it saves; - where there is only one way."""

    @property
    def scenario(self) -> str:
        """What the directory holds before."""

    @property
    def heading(self) -> str:
        """What stands above the table; empty where its rows say all."""

    @property
    def label(self) -> tuple[str, ...]:
        """How a row of the table is called, in lines that are short enough for it; equal ones are added up."""

    def description(self) -> dict[str, Any]:
        """What it takes to run it again, as plain data for a report."""


class Target(Subject, Protocol):
    """A subject in process: a description that is prepared where it is run."""

    def prepare(self) -> Prepared:
        """Makes it ready to run."""
