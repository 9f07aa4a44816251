"""Programs that are rewound, and the same faults run for real beside them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faultinject.blackbox.checkpoint import Checkpoint
from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.place import Place
from faultinject.blackbox.rewind import Rewinder
from faultinject.blackbox.run import Ran
from faultinject.blackbox.single import Single
from faultinject.blackbox.started import Program
from faultinject.blackbox.state import State
from faultinject.blackbox.tail_process import HARMLESS
from faultinject.blackbox.task import Stop
from faultinject.blackbox.tree import Tree
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ops import Op, Trace
from faultinject.oracle import Reported
from tests.faultinject.blackbox.audited import of
from tests.faultinject.blackbox.traced import compiled

PRELUDE = r"""
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
"""


def program(body: str) -> str:
    """The path of a C program whose main has this body; it starts in the watched directory, its last argument."""
    return compiled(
        PRELUDE + "int main(int n, char **a) { if (n < 2 || chdir(a[n - 1])) return 99;\n" + body + "\n}", "-w"
    )


@dataclass
class Rewinding:
    """A rewinder, the recorded trace, and a place for real runs of the same program."""

    rewinder: Rewinder
    trace: Trace
    crashes: Crashes
    place: Place
    real: Place

    def really(self, fault: Fault) -> tuple[Reported, State]:
        """The fault, run from the start."""
        self.real.restore()
        ran: Ran = self.real.run(fault, self.trace)
        assert ran.fired, fault.id
        return ran.reported, self.real.read()

    def again(self) -> Rewinder:
        """Another rewinder of the same program."""
        return Rewinder(self.place.program(), self.place.roots, self.trace, self.crashes, self.place.restore)

    def faults(self, step: int = 1) -> Iterator[Fault]:
        """Of class error, in the order of the trace: each operation fails, and transfers are cut at every `step`."""
        for one in self.trace:
            if not one.op.fails or one.op is Op.ACKNOWLEDGE:
                continue
            for sticky in (False, True):
                yield Fault(FaultClass.ERROR, Form.ERRNO, one.index, one.op, error=errno.ENOSPC, sticky=sticky)
            if one.op.transfers:
                for byte in range(0, one.result, step):
                    for sticky in (True, False):
                        yield cut(one.index, byte, op=one.op, sticky=sticky)
                    if byte:
                        yield Fault(FaultClass.ERROR, Form.SHORT, one.index, one.op, byte)


def cut(index: int, byte: int, *, op: Op = Op.WRITE, sticky: bool = True) -> Fault:
    return Fault(FaultClass.ERROR, Form.CUT, index, op, byte, error=errno.ENOSPC, sticky=sticky)


@contextmanager
def rewinding(
    base: Path, *argv: str, seed: dict[str, bytes] | None = None, ack: str = "", timeout_seconds: float = 20
) -> Iterator[Rewinding]:
    """A recorded program, to be rewound inside. seed: files that are there before."""
    given = base / "seed"
    given.mkdir()
    for name, data in {"another-entry": b"of somebody else", **(seed or {})}.items():
        (given / name).parent.mkdir(parents=True, exist_ok=True)
        (given / name).write_bytes(data)
    audited = of(*(argv or ("true",)), "{dir}", acknowledgement=ack, timeout_seconds=timeout_seconds)
    place, real = Place(audited, base / "a", given), Place(audited, base / "b", given, aside=True)
    try:
        old, inodes = place.template.state, place.roots.inodes()
        ran = place.run()
        assert ran.reported is Reported.SUCCESS, ran.said
        crashes = Crashes(Tree.of(old, inodes), ran.trace)
        assert crashes.end.same(place.read())
        rewinder = Rewinder(place.program(), place.roots, ran.trace, crashes, place.restore)
        with rewinder:
            yield Rewinding(rewinder, ran.trace, crashes, place, real)
    finally:
        place.close()
        real.close()


@contextmanager
def single(base: Path, argv: list[str], *, env: dict[str, str] | None = None) -> Iterator[Single]:
    """A program of one task, taken from call to call."""
    process = Single(Program(tuple(argv), tuple((env or {}).items()), str(base)), HARMLESS)
    try:
        yield process
    finally:
        process.close()


def until(process: Single, call: str, count: int = 1) -> Stop:
    """Goes on to the count-th call of this name."""
    while True:
        stop = process.next()
        assert stop is not None, f"it has ended before {call}"
        if stop.call == call:
            count -= 1
            if not count:
                return stop


@contextmanager
def checkpoint(process: Single) -> Iterator[Checkpoint]:
    """One where the program stands."""
    one = Checkpoint(process.abi, process.ptrace, process.task)
    try:
        yield one
    finally:
        one.close()
