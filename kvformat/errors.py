"""What can be wrong with a file, and what can go wrong with a save, as types.

Two families that never mix: `KvcError` says that bytes break a clause of
spec/kvc.md; `SaveError` says that a change to a directory did not complete
and what is visible now (spec/saving.md, KVS-FAIL).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar


class Category(StrEnum):
    """Why a reader rejects (spec/kvc.md, "Reject categories")."""

    TRUNCATED = "truncated"
    BAD_MAGIC = "bad-magic"
    UNSUPPORTED_VERSION = "unsupported-version"
    UNSUPPORTED_PROFILE = "unsupported-profile"
    INVALID_FIELD = "invalid-field"
    BAD_SECTION = "bad-section"
    LIMIT = "limit"
    IDENTITY_MISMATCH = "identity-mismatch"


class KvformatError(Exception):
    """Base of everything that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken clause, where it is and what to do about it.

    `field` is the dotted name of spec/kvc.md ("header.tokens"), `offset` counts
    bytes from the start of the file, None where no single byte is at fault.
    """

    category: Category
    field: str
    offset: int | None
    clause: str
    message: str

    def __str__(self) -> str:
        where = self.field if self.offset is None else f"{self.field} at offset {self.offset}"
        return f"{self.category}: {where}: {self.message} [{self.clause}]"


class KvcError(KvformatError):
    """A file that a reader rejects. `problem` has category, field, offset and clause."""

    category: ClassVar[Category]

    def __init__(self, problem: Problem, source: str = "") -> None:
        super().__init__(problem, source)
        self.problem = problem
        self.source = source

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}" if self.source else str(self.problem)

    @property
    def field(self) -> str:
        """Dotted field name, as in the specification."""
        return self.problem.field

    @property
    def offset(self) -> int | None:
        """Byte offset from the start of the file, None where no single byte is at fault."""
        return self.problem.offset

    @property
    def clause(self) -> str:
        """The clause of spec/kvc.md that is broken."""
        return self.problem.clause


class TruncatedError(KvcError):
    """Fewer bytes than the lengths in the file call for."""

    category = Category.TRUNCATED


class BadMagicError(KvcError):
    """Not a KVC file."""

    category = Category.BAD_MAGIC


class UnsupportedVersionError(KvcError):
    """A KVC file of a version that this reader does not know."""

    category = Category.UNSUPPORTED_VERSION


class UnsupportedProfileError(KvcError):
    """A KVC file whose payload belongs to another dialect than the one asked for."""

    category = Category.UNSUPPORTED_PROFILE


class InvalidFieldError(KvcError):
    """A header field holds a value that no writer may store."""

    category = Category.INVALID_FIELD


class BadSectionError(KvcError):
    """A section behind the payload is damaged."""

    category = Category.BAD_SECTION


class LimitError(KvcError):
    """A length is over a limit, or the sum of lengths does not fit 64 bits."""

    category = Category.LIMIT


class IdentityMismatchError(KvcError):
    """The name of the file is not the one that its content calls for."""

    category = Category.IDENTITY_MISMATCH


_BY_CATEGORY: dict[Category, type[KvcError]] = {
    kind.category: kind
    for kind in (
        TruncatedError,
        BadMagicError,
        UnsupportedVersionError,
        UnsupportedProfileError,
        InvalidFieldError,
        BadSectionError,
        LimitError,
        IdentityMismatchError,
    )
}


def error_for(problem: Problem, source: str = "") -> KvcError:
    """The typed error that carries `problem`."""
    return _BY_CATEGORY[problem.category](problem, source)


@dataclass(frozen=True, slots=True)
class CleanupFailure:
    """A step of cleaning up that failed after a first failure (KVS-FAIL-3)."""

    operation: str
    name: str
    error: BaseException

    def __str__(self) -> str:
        return f"{self.operation} {self.name!r}: {self.error}"


class SaveError(KvformatError):
    """A save, or another change to a directory, that did not complete (KVS-FAIL-1).

    `operation` is the POSIX name of what failed, `offset` the byte of the entry file
    that it had reached (None where the operation has no offset), `visible` whether
    the new content is now under the final name (None: could not be determined),
    `left_behind` the names that could not be removed; the next `recover()` takes them.
    """

    _SAID: ClassVar[Mapping[bool | None, str]] = MappingProxyType(
        {
            True: "the new content IS visible under this name",
            False: "nothing changed under this name",
            None: "whether the new content is visible could not be determined",
        }
    )

    def __init__(
        self,
        message: str,
        *,
        name: str,
        operation: str,
        offset: int | None = None,
        visible: bool | None = False,
        cleanup_failures: tuple[CleanupFailure, ...] = (),
        left_behind: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.operation = operation
        self.offset = offset
        self.visible = visible
        self.cleanup_failures = cleanup_failures
        self.left_behind = left_behind

    def __reduce__(self) -> tuple[Callable[..., SaveError], tuple[str], dict[str, Any]]:
        """What Exception does by itself calls the class with the message alone, and fails (copy, pickle)."""
        return partial(type(self), name=self.name, operation=self.operation), (self.message,), self.__dict__.copy()

    def __str__(self) -> str:
        where = self.operation if self.offset is None else f"{self.operation} at offset {self.offset}"
        return f"{self.name}: {where}: {self.message}; {self.consequences()}"

    def consequences(self) -> str:
        """One clause for people: what is visible now, and what was left behind."""
        said = self._SAID[self.visible]
        if self.left_behind:
            said += f"; left behind for the next recovery: {', '.join(self.left_behind)}"
        for failure in self.cleanup_failures:
            said += f"; while cleaning up: {failure}"
        return said


class RemoveError(SaveError):
    """A removal that did not complete (KVS-REMOVE-1). `visible` says whether the entry is gone."""

    _SAID = MappingProxyType(
        {
            True: "the entry IS removed, and a loss of power may bring it back",
            False: "nothing was removed",
            None: "whether the entry is still there could not be determined",
        }
    )
