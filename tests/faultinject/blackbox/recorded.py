"""Runs a program in watched directories and holds what was recorded against what it really left."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from faultinject.blackbox.acknowledged import Acknowledgement
from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.launcher import Launcher
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.place import TEMPORARY_LABEL, clear
from faultinject.blackbox.run import Ran, run
from faultinject.blackbox.started import Program
from faultinject.blackbox.state import Root, Roots, State
from faultinject.blackbox.tree import Tree
from faultinject.faults import Fault
from faultinject.ops import Op, Operation, Trace
from tests.faultinject.blackbox.traced import python


@dataclass(frozen=True)
class Watched:
    """Directories under a base: `d` and `t` are watched, `out` is not."""

    base: Path

    @classmethod
    def in_directory(cls, base: Path) -> Watched:
        base = Path(os.path.realpath(base))
        for name in ("d", "t", "out"):
            (base / name).mkdir()
        return cls(base)

    @property
    def roots(self) -> Roots:
        return Roots([Root(str(self.base / "d")), Root(str(self.base / "t"), TEMPORARY_LABEL)])

    @property
    def directory(self) -> str:
        return str(self.base / "d")

    def program(self, argv: list[str], *, ack: bytes = b"", timeout_seconds: float = 20) -> Program:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": str(self.base / "t")}
        return Program(
            tuple(argv), tuple(environment.items()), str(self.base), Acknowledgement(ack), None, timeout_seconds
        )

    def run(
        self,
        argv: list[str],
        fault: Fault | None = None,
        recorded: Trace | None = None,
        *,
        until: int | None = None,
        patience_seconds: float = 5,
        keep: bool = True,
        ack: bytes = b"",
        limits: Limits | None = None,
        timeout_seconds: float = 20,
    ) -> Ran:
        program = self.program(argv, ack=ack, timeout_seconds=timeout_seconds)
        with Launcher() as launcher:
            return run(
                launcher,
                program,
                self.roots,
                fault,
                recorded,
                until=until,
                keep=keep,
                limits=limits,
                patience_seconds=patience_seconds,
            )

    def explained(self, argv: list[str]) -> Ran:
        """Runs it without a fault; the model must come to exactly what is there then."""
        old, inodes = self.roots.read(), self.roots.inodes()
        ran = self.run(argv)
        assert ran.ending.status == 0, ran.said
        end = Crashes(Tree.of(old, inodes), ran.trace).end
        assert end.state() == self.roots.read()
        assert end.same(self.roots.read())
        return ran

    def read(self) -> State:
        return self.roots.read()

    def clear(self) -> None:
        for name in ("d", "t"):
            clear(str(self.base / name))


PRELUDE = """
import ctypes, fcntl, mmap, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *args):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
base = os.getcwd()
d, t, out = (base + "/" + name for name in ("d", "t", "out"))
"""


def snippet(code: str) -> list[str]:
    """A Python program; `d`, `t`, `out` are the directories, call(n, ...) makes a raw system call."""
    return python(PRELUDE + code)


def only(ran: Ran, op: Op) -> list[Operation]:
    return [operation for operation in ran.trace if operation.op is op]
