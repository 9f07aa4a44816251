"""The committed cases as tests read them (spec/conformance.md, 1 and 2): loading, and inputs made in a directory."""

from __future__ import annotations

import fcntl
import json
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "spec" / "cases"

_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


def raw(text: str) -> bytes:
    """The bytes of the escaped form."""
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), text.encode("ascii"))


def escaped(name: str) -> str:
    """The escaped form of a name as Python has it."""
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x25 else f"%{b:02X}" for b in os.fsencode(name))


@dataclass(frozen=True)
class LoadedCase:
    """One committed case: its table, and the folder that it stands in."""

    path: Path
    table: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.table["id"])

    @property
    def operation(self) -> str:
        return str(self.table["operation"])

    @property
    def expect(self) -> dict[str, Any]:
        expect: dict[str, Any] = self.table["expect"]
        return expect

    @property
    def arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = self.table.get("arguments", {})
        return arguments

    @property
    def name(self) -> str | None:
        """What the reader is told that the file is called, or which entry is meant."""
        name = self.table["input"].get("name")
        return None if name is None else os.fsdecode(raw(name))

    def beside(self, file: str) -> bytes:
        return (self.path.parent / file).read_bytes()

    def json(self, file: str) -> Any:
        return json.loads(self.beside(file))

    def items(self) -> list[dict[str, Any]]:
        """The tables of the input: one for a file, each name of a directory."""
        given = self.table["input"]
        if "directory" in given:
            return list(given["directory"])
        return [] if "view" in given else [given]

    @contextmanager
    def made(self, scratch: Path) -> Iterator[Path]:
        """The input below `scratch`: a directory, or the one file; locks are held until the end."""
        alone = "directory" not in self.table["input"]
        with ExitStack() as held:
            for item in self.items():
                name = b"input" if alone else raw(item["name"])
                self._make(item, os.path.join(os.fsencode(scratch), name), held)
            yield scratch / "input" if alone else scratch

    def _make(self, item: dict[str, Any], path: bytes, held: ExitStack) -> None:
        kind = item.get("kind")
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            os.mkdir(path)
        elif kind == "symlink":
            os.symlink(raw(item["target"]), path)
        else:
            with open(path, "wb") as stream:
                stream.write(self.beside(item["file"]))
                stream.truncate(item.get("extend_to_bytes"))
        if item.get("locked"):
            fd = os.open(path, os.O_RDWR)
            held.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX)


def load_all(root: Path = CASES) -> list[LoadedCase]:
    """Every committed case, in the order of the paths."""
    return [LoadedCase(path, tomllib.loads(path.read_text(encoding="utf-8"))) for path in sorted(root.glob("*/*.toml"))]
