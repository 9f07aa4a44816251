"""The text of a script for sh(1): the start is set up, a command is run on it, and what is left is listed."""

from __future__ import annotations

import base64
import os
import shlex
import textwrap

from faultinject.blackbox.baseline import Baseline
from faultinject.blackbox.state import Node, NodeKind
from faultinject.blackbox.subject import DIRECTORY, Audited

EMBEDDED_BYTES_MAX = 1 << 14
"""A larger file of the start is made of other bytes, of the same size."""

_USAGE = "Usage: sh SCRIPT [DIRECTORY]. The directory must be empty or not there yet; without one, a new one is made."

_BEGINNING = """\
set -eu
work=${1:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd -P)
dir=$work/directory
fail() { echo "$1" >&2; exit "$2"; }
empty() { [ -z "$(ls -A "$1")" ] || fail "$1 is not empty" 2; }
empty "$work"
mkdir "$dir" "$work/tmp"
export TMPDIR="$work/tmp"
"""

_LIST = 'ls -lAR "$dir" "$work/tmp"'


def comment(text: str) -> str:
    """As lines of a comment."""
    return textwrap.fill(text, 100, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def in_directory(word: str) -> str:
    """An argument as the shell has to read it, with the scratch directory in it."""
    if DIRECTORY not in word:
        return shlex.quote(word)
    return '"$dir"'.join(shlex.quote(part) if part else "" for part in word.split(DIRECTORY))


class Text:
    """A script that grows. ignore_sigxfsz: the program is started with SIGXFSZ ignored."""

    def __init__(self, baseline: Baseline, title: str, *, ignore_sigxfsz: bool = False) -> None:
        self._audited = baseline.key.audited
        self._ignore_sigxfsz = ignore_sigxfsz
        self._lines = ["#!/bin/sh", comment(title), comment(_USAGE), _BEGINNING.rstrip("\n")]
        for path in self._audited.directories:
            self.add(f"mkdir -p {shlex.quote(path)} && empty {shlex.quote(path)}")
        self._start(baseline)
        self.add(f"cd -- {in_directory(self._audited.directory)}")

    @staticmethod
    def refusal(title: str, why: str) -> str:
        """A script that only says why there is none."""
        sentence = f"no script for this one: {why}; see faultinject replay"
        return "\n".join(["#!/bin/sh", comment(title), f"echo {shlex.quote(sentence)} >&2", "exit 2", ""])

    def add(self, line: str) -> None:
        """One more line, or several."""
        self._lines.append(line)

    def run(self, tool: str, marks: str) -> None:
        """The program under a tool; marks: a line of strace's log that shows that something was injected."""
        name = tool.partition(" ")[0]
        self.add(f"command -v {name} >/dev/null || fail 'this needs {name}' 2")
        # A limit on files would hit what the program prints, were that a file.
        out = '>"$work/stdout.txt" 2>"$work/stderr.txt"' if marks else ">/dev/null 2>&1"
        command = f"{tool} {_command(self._audited.argv)}"
        if self._ignore_sigxfsz:
            command = f"(trap '' XFSZ; exec {command})"
        self.add("status=0")
        self.add(f"{command} <{_stdin(self._audited)} {out} || status=$?")
        self.add('echo "the program: exit status $status"')
        if marks:
            self.add('tail -n 1 "$work/stderr.txt"')
            missing = "fail 'the program did not come to that call: nothing was injected' 1"
            self.add(f'grep -aF -e {shlex.quote(marks)} "$work/strace.txt" || {missing}')

    def follow(self, what: str, command: tuple[str, ...]) -> None:
        """Another command, without any fault, after a look at what is there."""
        self.add(_LIST)
        self.add("status=0")
        stdin = _stdin(self._audited) if command == self._audited.argv else "/dev/null"
        self.add(f'{_command(command)} <{stdin} >>"$work/stdout.txt" 2>>"$work/stderr.txt" || status=$?')
        self.add(f'echo "{what}: exit status $status"')

    def end(self) -> str:
        """The whole script."""
        self.add(_LIST)
        return "\n".join([*self._lines, ""])

    def _start(self, baseline: Baseline) -> None:
        given = self._audited.given
        if given is not None:
            self.add(f'cp -RPp {shlex.quote(given)}/. "$dir"')
        for key, node in baseline.old.items():
            if given is None or not os.path.lexists(os.path.join(given, key)):
                self._make(f'"$dir"/{shlex.quote(key)}', node)

    def _make(self, path: str, node: Node) -> None:
        if node.kind is NodeKind.DIRECTORY:
            self.add(f"mkdir {path}")
        elif node.kind is NodeKind.FIFO:
            self.add(f"mkfifo -m {node.mode:o} {path}")
        elif len(node.data) > EMBEDDED_BYTES_MAX:
            self.add(comment(f"In the audit it holds {len(node.data)} bytes of which most are others."))
            self.add(f"head -c {len(node.data)} /dev/zero | tr '\\0' o >{path}")
        else:
            self.add(f"base64 -d >{path} <<'END'\n{base64.encodebytes(node.data).decode('ascii')}END")


def _command(words: tuple[str, ...]) -> str:
    return " ".join(in_directory(word) for word in words)


def _stdin(audited: Audited) -> str:
    return "/dev/null" if audited.stdin is None else shlex.quote(audited.stdin)
