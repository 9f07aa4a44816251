"""What is audited: a program that saves files, and what its user says of it."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from faultinject.blackbox.state import LIMIT_BYTES
from faultinject.faults import SIGNALS

DIRECTORY = "{dir}"
"""Stands for the scratch directory in any argument."""


class Start(StrEnum):
    """What the scratch directory holds before a run (KVS-FAULT-6); another file lies there always."""

    EMPTY = "empty"
    GIVEN = "given"
    OLD = "old-entry"


class Format(StrEnum):
    """How content is judged: byte for byte, or as a KVC file with its times aside."""

    BYTES = "bytes"
    KVC = "kvc"


@dataclass(frozen=True, slots=True)
class Audited:
    """A program to audit. Commands are argument lists, in which {dir} stands for the scratch directory.

    recover: run after a kill; None where the next run of the program is all the recovery that it has. check: judges
    the directory in place of the byte rules. acknowledgement: text on standard output that reports success; empty
    where exit status 0 does. signals: those that the program says it handles. directories: watched besides the
    scratch directory. given: a directory whose content the scratch directory starts with.
    answers: commands answer in JSON, and `acknowledgement` is the result of such an answer. stdin_text,
    recover_stdin_text: given on standard input, with the scratch directory for {dir}.
    directory: where the commands run. content_limit_bytes: the watched directories hold no more, since all of it is
    kept in memory.
    """

    argv: tuple[str, ...]
    recover: tuple[str, ...] | None = None
    check: tuple[str, ...] | None = None
    format: Format = Format.BYTES
    acknowledgement: str = ""
    signals: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    given: str | None = None
    directory: str = "."
    stdin: str | None = None
    timeout_seconds: float = 60
    content_limit_bytes: int = LIMIT_BYTES
    answers: bool = False
    stdin_text: str | None = None
    recover_stdin_text: str | None = None


def with_directory(command: Iterable[str], directory: str) -> tuple[str, ...]:
    """The command with the directory in its arguments."""
    return tuple(argument.replace(DIRECTORY, directory) for argument in command)


@dataclass(frozen=True, slots=True)
class AuditedStart:
    """A program together with what is there before it runs: what one run of the report is about."""

    audited: Audited
    start: Start

    @property
    def subject(self) -> str:
        """The command line, as it was given."""
        name = os.path.basename(self.audited.argv[0])
        rest = [os.path.basename(one) if one.startswith("/") else one for one in self.audited.argv[1:]]
        line = " ".join([name, *rest])
        return line if len(line) <= 60 else line[:59] + "…"

    @property
    def strategy(self) -> str:
        """Unknown: the program is not ours."""
        return "-"

    @property
    def scenario(self) -> str:
        """The start."""
        return str(self.start)

    @property
    def heading(self) -> str:
        """See `Subject.heading`: all rows are of one program."""
        return self.subject

    @property
    def label(self) -> tuple[str, ...]:
        """See `Subject.label`."""
        return (str(self.start),)

    def description(self) -> dict[str, Any]:
        """See `Subject.description`."""
        return {"start": str(self.start), **asdict(self.audited)}

    @classmethod
    def described(cls, target: dict[str, Any]) -> AuditedStart:
        """The inverse of `description`. Raises KeyError, TypeError or ValueError for another one."""
        signals = _words(target, "signals", least=0)
        if not set(signals) <= set(SIGNALS):
            raise ValueError(f"signals are {', '.join(SIGNALS)} and not {', '.join(signals)}")
        seconds = target["timeout_seconds"]
        if isinstance(seconds, bool) or not 0 < seconds <= threading.TIMEOUT_MAX or math.isnan(seconds):
            raise ValueError(f"timeout_seconds is no number of seconds: {seconds!r}")
        limit_bytes = target["content_limit_bytes"]
        if isinstance(limit_bytes, bool) or not isinstance(limit_bytes, int) or limit_bytes <= 0:
            raise ValueError(f"content_limit_bytes is no number of bytes: {limit_bytes!r}")
        audited = Audited(
            _words(target, "argv"),
            None if target["recover"] is None else _words(target, "recover"),
            None if target["check"] is None else _words(target, "check"),
            Format(target["format"]),
            _text(target["acknowledgement"]),
            signals,
            _words(target, "directories", least=0),
            None if target["given"] is None else _text(target["given"]),
            _text(target["directory"]),
            None if target["stdin"] is None else _text(target["stdin"]),
            seconds,
            limit_bytes,
            _flag(target, "answers"),
            *(None if target[one] is None else _text(target[one]) for one in ("stdin_text", "recover_stdin_text")),
        )
        return cls(audited, Start(target["start"]))


def _words(target: dict[str, Any], name: str, *, least: int = 1) -> tuple[str, ...]:
    words = target[name]
    if not isinstance(words, list | tuple) or len(words) < least:
        raise TypeError(f"{name} is no list of {'words' if least else 'names'}")
    return tuple(_text(word) for word in words)


def _flag(target: dict[str, Any], name: str) -> bool:
    """A switch."""
    value = target[name]
    if not isinstance(value, bool):
        raise TypeError(f"{name} is true or false and not {value!r}")
    return value


def _text(value: object) -> str:
    """A text that the system takes as an argument or as a path."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    if b"\0" in os.fsencode(value):
        raise ValueError(f"{value!r} has a zero byte in it")
    return value


def environment(temporary: str) -> tuple[tuple[str, str], ...]:
    """That of the user, but for the directory for temporary files, which is watched too."""
    return tuple(sorted({**os.environ, "TMPDIR": temporary}.items()))


def check_system() -> None:
    """Raises NotImplementedError where programs cannot be traced."""
    if not sys.platform.startswith("linux"):
        raise NotImplementedError("auditing a program needs ptrace and seccomp of Linux; this is " + sys.platform)
