"""Changes of a published entry as transition systems: touch and remove (KVS-TOUCH, KVS-REMOVE)."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from kvformat.proofs.program import CLOSE, DEAD, DONE, FAILED, FALSE, FLOCK, FSTAT, STAT, TRUE, UNLINK, Program, sets
from kvformat.proofs.system import Condition, Formula, Property, State, Step, System

OLD, NEW, MIXED = 0, 1, 2
"""What the mutable fields of the entry hold."""

_ENDS = (DONE, FAILED, DEAD)


def _lives(points: tuple[str, ...]) -> Condition:
    return lambda s: z3.Not(z3.Or([s.pc == points.index(end) for end in _ENDS]))


def _killed(points: tuple[str, ...]) -> Step:
    return Step("", "", "SIGKILL", DEAD, _lives(points), fault=True)


def _at(points: tuple[str, ...], *names: str) -> Condition:
    return lambda s: z3.Or([s.pc == points.index(name) for name in names])


_TOUCH = ("open", "fstat", "flock", "stat", "close again", "pread", "size", "write", "write.rest", "sync", "release")


def touch(mistake: str = "") -> System:
    """Hit count and last-used time, in one write inside a sector, which is done wholly or not at all (KVS-ATOM-1)."""
    points = (*_TOUCH, "undo.close", *_ENDS)

    def number(point: str) -> Formula:
        return z3.IntVal(points.index(point))

    program = Program(number, "undo.close")
    call = program.call

    def steps() -> Iterator[Step]:
        yield from call("open", "open", "fstat", failure=FAILED)
        yield from call("fstat", FSTAT, "flock")
        yield from call("flock", FLOCK, "stat")
        yield Step("stat", STAT, "it is the file that was opened", "pread")
        yield Step("stat", STAT, "it is another", "close again")
        yield Step("stat", STAT, "fails", "undo.close", fault=True)
        yield from call("close again", CLOSE, "open", failure=FAILED)
        yield from call("pread", "pread", "size")
        yield from call("size", FSTAT, "write")
        after = program.either(lambda s: s.durable, "release" if mistake == "no-sync" else "sync", "release")
        content = MIXED if mistake == "touched-in-two-writes" else NEW
        first = "write.rest" if mistake == "touched-in-two-writes" else after
        yield from call("write", "pwrite", first, effect=lambda _: {"content": z3.IntVal(content), "dirty": TRUE})
        if mistake == "touched-in-two-writes":
            yield from call("write.rest", "pwrite", after, effect=lambda _: {"content": z3.IntVal(NEW), "dirty": TRUE})
        yield from call("sync", "fsync", "release", effect=lambda s: {"on_disk": s.content, "dirty": FALSE})
        yield from call("release", CLOSE, DONE, failure=FAILED)
        yield from call("undo.close", CLOSE, FAILED, failure=FAILED)
        yield Step("", "", "write-back", "", lambda s: s.dirty, lambda s: {"on_disk": s.content})
        yield _killed(points)

    def start(s: State) -> Formula:
        return z3.And(s.pc == 0, s.content == OLD, s.on_disk == OLD, z3.Not(s.dirty))

    def whole(value: Formula) -> Formula:
        return z3.Or(value == OLD, value == NEW)

    def at(*names: str) -> Condition:
        return _at(points, *names)

    after_write = at("sync", "release", DONE)
    return System(
        "touch",
        {
            "pc": z3.IntSort(),
            "content": z3.IntSort(),
            "on_disk": z3.IntSort(),
            "dirty": z3.BoolSort(),
            "durable": z3.BoolSort(),
        },
        frozenset(),
        frozenset({"durable"}),
        points,
        lambda _: TRUE,
        start,
        tuple(steps()),
        (
            ("a program point", lambda s: z3.And(s.pc >= 0, s.pc < len(points))),
            ("one write changes all fields", lambda s: z3.And(whole(s.content), whole(s.on_disk))),
            ("no second write is needed", lambda s: z3.Not(at("write.rest")(s))),
            ("it is written before it is reported", lambda s: z3.Implies(after_write(s), s.content == NEW)),
            (
                "and synced, where that is promised",
                lambda s: z3.Implies(
                    z3.And(s.durable, at("release", DONE)(s)), z3.And(s.on_disk == NEW, z3.Not(s.dirty))
                ),
            ),
        ),
        (
            Property(
                "a reader finds the old fields or the new ones",
                "KVS-INV-1",
                "partial-visible",
                lambda s: z3.And(whole(s.content), whole(s.on_disk)),
            ),
            Property(
                "after success the new fields are there",
                "KVS-INV-5",
                "false-success",
                lambda s: z3.Implies(at(DONE)(s), s.content == NEW),
            ),
            Property(
                "and after a loss of power too",
                "KVS-INV-7",
                "lost-after-ack",
                lambda s: z3.Implies(z3.And(s.durable, at(DONE)(s)), s.on_disk == NEW),
            ),
        ),
    )


def remove(mistake: str = "") -> System:
    """An entry is there or gone (KVS-REMOVE-1)."""
    points = ("unlink", "sync directory", *_ENDS)

    def number(point: str) -> Formula:
        return z3.IntVal(points.index(point))

    program = Program(number, FAILED)

    def steps() -> Iterator[Step]:
        after = program.either(lambda s: s.durable, DONE if mistake == "no-directory-sync" else "sync directory", DONE)
        yield from program.call("unlink", UNLINK, after, effect=sets(gone=True))
        yield from program.call("sync directory", "fsync(directory)", DONE, effect=sets(gone_on_disk=True))
        yield Step("", "", "the removal reaches the disk", "", lambda s: s.gone, sets(gone_on_disk=True))
        yield _killed(points)

    def at(*names: str) -> Condition:
        return _at(points, *names)

    return System(
        "remove",
        {"pc": z3.IntSort(), "gone": z3.BoolSort(), "gone_on_disk": z3.BoolSort(), "durable": z3.BoolSort()},
        frozenset(),
        frozenset({"durable"}),
        points,
        lambda _: TRUE,
        lambda s: z3.And(s.pc == 0, z3.Not(s.gone), z3.Not(s.gone_on_disk)),
        tuple(steps()),
        (
            ("a program point", lambda s: z3.And(s.pc >= 0, s.pc < len(points))),
            ("what is gone from the disk was removed", lambda s: z3.Implies(s.gone_on_disk, s.gone)),
            ("it is removed before it is reported", lambda s: z3.Implies(at("sync directory", DONE)(s), s.gone)),
            (
                "and synced, where that is promised",
                lambda s: z3.Implies(z3.And(s.durable, at(DONE)(s)), s.gone_on_disk),
            ),
        ),
        (
            Property(
                "after success the entry is gone",
                "KVS-INV-5",
                "false-success",
                lambda s: z3.Implies(at(DONE)(s), s.gone),
            ),
            Property(
                "and after a loss of power too",
                "KVS-INV-7",
                "lost-after-ack",
                lambda s: z3.Implies(z3.And(s.durable, at(DONE)(s)), s.gone_on_disk),
            ),
        ),
    )
