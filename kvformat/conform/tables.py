"""TOML tables read key by key: a wrong type, a missing key and a key that nobody reads are each said clearly."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path

from kvformat.display import safe
from kvformat.errors import KvformatError


class SuiteError(KvformatError):
    """Cases, a registry or a list of known failures that cannot be used: which file, where in it, what to do."""


class Table:
    """One table. `end` raises for the keys that were not asked for, as they are misspelt more often than new."""

    def __init__(self, where: str, values: dict[str, object]) -> None:
        self.where = where
        self._values = values
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def error(self, message: str) -> SuiteError:
        """The error of this table."""
        return SuiteError(f"{self.where}: {message}")

    def text(self, key: str, *, among: Collection[str] | None = None) -> str:
        """A string that must be there, and be one of `among`."""
        value = self.maybe_text(key, among=among)
        if value is None:
            raise self.error(f"{key} is missing")
        return value

    def maybe_text(self, key: str, *, among: Collection[str] | None = None) -> str | None:
        """A string, None where it is absent."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        if among is not None and value not in among:
            raise self.error(f"{key} is {safe(value)!r}; known are {', '.join(sorted(among))}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, empty where it is absent."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self._wrong(key, value, "a list of strings")
        return tuple(value)

    def count(self, key: str) -> int | None:
        """An integer of 0 or more, None where it is absent."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(key, value, "an integer, 0 or more")
        return value

    def positive(self, key: str) -> float | None:
        """A number above 0, None where it is absent."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
            raise self._wrong(key, value, "a number above 0")
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false; false where it is absent."""
        value = self._take(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return bool(value)

    def table(self, key: str) -> Table:
        """A table; empty where it is absent."""
        value = self._take(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self._wrong(key, value, "a table")
        return Table(f"{self.where}: {key}", value)

    def tables(self, key: str) -> tuple[Table, ...]:
        """A list of tables; empty where it is absent."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self._wrong(key, value, "a list of tables")
        return tuple(Table(f"{self.where}: {key}[{index}]", one) for index, one in enumerate(value))

    def raw(self, key: str) -> dict[str, object]:
        """A table as it is, whose keys are not checked here; empty where it is absent."""
        self.table(key)
        value = self._values.get(key, {})
        return dict(value) if isinstance(value, dict) else {}

    def names(self) -> tuple[str, ...]:
        """The names of a table of tables."""
        return tuple(self._values)

    def end(self) -> None:
        """Raises where a key was not asked for."""
        left = sorted(safe(key) for key in set(self._values) - self._asked)
        if left:
            raise self.error(f"{', '.join(left)}: no such key; correct or remove it")

    def _take(self, key: str) -> object:
        self._asked.add(key)
        return self._values.get(key)

    def _wrong(self, key: str, value: object, wanted: str) -> SuiteError:
        return self.error(f"{key} is {ascii(value)[:80]}, expected {wanted}")


def read_table(path: Path, where: str) -> Table:
    """The table that a file holds. Raises SuiteError where there is none."""
    try:
        return Table(where, tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SuiteError(f"{where}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(f"{where}: no TOML: {error}") from error
