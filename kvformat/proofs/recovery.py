"""One recovery beside one writer and any number of other recoveries, call by call (KVS-TEMP-3, KVS-RECOVER-2).

The program is the recovery; writer and other recoveries are its surroundings. The name is one of KVS-TEMP-1: no two
writers draw the same one (128 random bits), and nobody else uses it.
"""

from __future__ import annotations

from collections.abc import Iterator

import z3

from kvformat.proofs.program import CLOSE, DEAD, DONE, FALSE, FLOCK, FSTAT, STAT, TRUE, UNLINK
from kvformat.proofs.system import Formula, Property, State, Step, System

NOT_YET, CREATED, LOCKED, WRITING, ENDED, KILLED = range(6)
"""How far the writer is; ENDED: published, failed and cleaned up, or the name given up."""

NOBODY, WRITER, SELF, OTHER = range(4)
"""Who holds the lock."""

_POINTS = ("readdir", "open", "fstat", "flock", "stat", "unlink", "close", DONE, DEAD)


def recovery(mistake: str = "") -> System:
    """The system. `mistake` makes the recovery wrong in one place."""

    def at(s: State, *names: str) -> Formula:
        return z3.Or([s.pc == _POINTS.index(name) for name in names])

    def free(s: State) -> Formula:
        return s.holder == NOBODY

    def dropped(s: State) -> dict[str, Formula]:
        return {"holder": z3.If(s.holder == SELF, NOBODY, s.holder)}

    def program() -> Iterator[Step]:
        yield Step(
            "readdir",
            "readdir",
            "the name is there",
            "open",
            lambda s: s.link,
            lambda s: {"orphan": s.writer == KILLED},
        )
        yield Step("readdir", "readdir", "there is no such name", DONE, lambda s: z3.Not(s.link))
        yield Step("open", "open", "done", "fstat", lambda s: s.link)
        yield Step("open", "open", "the name is gone", DONE, lambda s: z3.Not(s.link))
        yield Step("fstat", FSTAT, "done", "flock")
        yield Step("flock", FLOCK, "done", "stat", free, lambda _: {"holder": z3.IntVal(SELF)})
        busy = "stat" if mistake == "lock-ignored" else "close"
        yield Step(
            "flock", FLOCK, "somebody has it", busy, lambda s: z3.Not(free(s)), lambda s: {"met": s.holder == OTHER}
        )
        yield Step("stat", STAT, "it is this file", "unlink", lambda s: s.link)
        yield Step("stat", STAT, "the name is gone", "close", lambda s: z3.Not(s.link))
        removed = {"link": FALSE} if mistake != "no-unlink" else {}
        yield Step("unlink", UNLINK, "done", "close", effect=lambda _: removed)
        yield Step("close", CLOSE, "done", DONE, effect=dropped)
        failed = lambda s: {**dropped(s), "failed": TRUE}  # noqa: E731 - an effect
        for point, op in (("open", "open"), ("fstat", FSTAT), ("flock", FLOCK), ("stat", STAT), ("unlink", UNLINK)):
            yield Step(point, op, "fails", "close", effect=lambda _: {"failed": TRUE}, fault=True)
        yield Step("close", CLOSE, "fails", DONE, effect=failed, fault=True)
        yield Step("", "", "SIGKILL", DEAD, lambda s: z3.Not(at(s, DONE, DEAD)), dropped, fault=True)

    def writer() -> Iterator[Step]:
        def step(outcome: str, before: tuple[int, ...], after: int, when: Formula, **changes: Formula) -> Step:
            return Step(
                "",
                "",
                f"the writer {outcome}",
                "",
                lambda s: z3.And(z3.Or([s.writer == state for state in before]), when(s)),
                lambda _: {"writer": z3.IntVal(after), **changes},
            )

        any_time = lambda _: TRUE  # noqa: E731 - a condition
        nobody, itself = z3.IntVal(NOBODY), z3.IntVal(WRITER)
        mine = lambda s: s.holder == WRITER  # noqa: E731 - a condition
        yield step("creates the file", (NOT_YET,), CREATED, any_time, link=TRUE)
        yield step("locks it", (CREATED,), LOCKED, free, holder=itself)
        yield step("finds it locked and gives the name up", (CREATED,), ENDED, lambda s: z3.Not(free(s)), link=FALSE)
        yield step("finds that it has its name", (LOCKED,), WRITING, lambda s: s.link)
        yield step("finds the name gone", (LOCKED,), ENDED, lambda s: z3.Not(s.link), holder=nobody)
        yield step("publishes it", (WRITING,), ENDED, mine, link=FALSE, holder=nobody)
        yield step("fails and removes it", (LOCKED, WRITING), ENDED, any_time, link=FALSE, holder=nobody)
        yield Step(
            "",
            "",
            "the writer is killed",
            "",
            lambda s: z3.And(s.writer != NOT_YET, s.writer != ENDED),
            lambda s: {"writer": z3.IntVal(KILLED), "holder": z3.If(s.holder == WRITER, NOBODY, s.holder)},
            fault=True,
        )

    def others() -> Iterator[Step]:
        take = lambda _: {"holder": z3.IntVal(OTHER)}  # noqa: E731 - an effect
        drop = lambda _: {"holder": z3.IntVal(NOBODY)}  # noqa: E731 - an effect
        has_it = lambda s: s.holder == OTHER  # noqa: E731 - a condition
        yield Step("", "", "another recovery takes the lock", "", free, take)
        yield Step("", "", "another recovery removes the name", "", has_it, lambda _: {"link": FALSE})
        yield Step("", "", "another recovery drops the lock", "", has_it, drop)

    def start(s: State) -> Formula:
        truths = [z3.Not(value) for value in (s.link, s.orphan, s.met, s.failed)]
        return z3.And(s.pc == 0, s.writer == NOT_YET, s.holder == NOBODY, *truths)

    def reclaimed(s: State) -> Formula:
        whole = z3.And(s.orphan, z3.Not(s.met), z3.Not(s.failed))
        return z3.Implies(z3.And(at(s, DONE), whole), z3.Not(s.link))

    numbers = {"pc": z3.IntSort(), "writer": z3.IntSort(), "holder": z3.IntSort()}
    return System(
        "recover",
        {**numbers, **dict.fromkeys(("link", "orphan", "met", "failed"), z3.BoolSort())},
        frozenset(),
        frozenset(),
        _POINTS,
        lambda _: TRUE,
        start,
        (*program(), *writer(), *others()),
        (
            ("a program point", lambda s: z3.And(s.pc >= 0, s.pc < len(_POINTS))),
            (
                "known states",
                lambda s: z3.And(s.writer >= NOT_YET, s.writer <= KILLED, s.holder >= NOBODY, s.holder <= OTHER),
            ),
            (
                "who writes holds the lock",
                lambda s: z3.Implies(z3.Or(s.writer == LOCKED, s.writer == WRITING), s.holder == WRITER),
            ),
            (
                "who does not, does not",
                lambda s: z3.Implies(s.holder == WRITER, z3.Or(s.writer == LOCKED, s.writer == WRITING)),
            ),
            ("and its name is there", lambda s: z3.Implies(s.writer == WRITING, s.link)),
            (
                "the recovery removes nothing without the lock",
                lambda s: z3.Implies(at(s, "stat", "unlink"), s.holder == SELF),
            ),
            (
                "after its end it holds nothing",
                lambda s: z3.Implies(at(s, "readdir", "open", "fstat", "flock", DONE, DEAD), s.holder != SELF),
            ),
            ("an orphan stays one", lambda s: z3.Implies(s.orphan, s.writer == KILLED)),
            (
                "it is gone before the recovery closes it",
                lambda s: z3.Implies(
                    z3.And(at(s, "close", DONE), s.orphan, z3.Not(s.met), z3.Not(s.failed)), z3.Not(s.link)
                ),
            ),
        ),
        (
            Property(
                "the file that a living writer writes keeps its name",
                "KVS-INV-4",
                "live-temp-removed",
                lambda s: z3.Implies(s.writer == WRITING, s.link),
            ),
            Property(
                "what a dead writer left is gone after a recovery, unless that failed or another one has it",
                "KVS-INV-3",
                "orphan-unreclaimed",
                reclaimed,
            ),
        ),
    )
