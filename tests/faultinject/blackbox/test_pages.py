"""Every page that a program changes is found and brought back, and none is looked for in vain."""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path

import pytest

from faultinject.blackbox.pages import PAGE_BYTES, Held
from faultinject.blackbox.ptrace import PTRACE_CONT, SECCOMP_STOP, WALL
from faultinject.blackbox.single import Single
from faultinject.blackbox.task import Memory
from faultinject.blackbox.unrewindable import UnrewindableError
from faultinject.inject import HarnessError
from tests.faultinject.blackbox.rewound import PRELUDE, checkpoint, single, until
from tests.faultinject.blackbox.traced import compiled, needs_linux

pytestmark = needs_linux

PAGES = 40
TOUCHER = (
    PRELUDE
    + r"""
static char room[(40 + 1) * 4096];
int main(int n, char **a) {
    char *pages = (char *)(((unsigned long)room + 4095) & ~4095ul);
    if (n > 1) memset(pages, 1, 40 * 4096);
    for (;;) {
        /* The tracer answers with the number of a page, 0 to 39, which is written to; -1 ends it. */
        long page = lseek(-1, (long)pages, 0);
        if (page < 0) return 0;
        pages[page * 4096 + page] += 1;
    }
}
"""
)


def command(*arguments: str) -> list[str]:
    return [compiled(TOUCHER), *arguments]


def touch(process: Single, page: int) -> resource.struct_rusage:
    """The program gets a number, writes to that page and comes to its call again; what it has used until then."""
    process.answer(page)
    return go(process)


def go(process: Single) -> resource.struct_rusage:
    process.ptrace.resume(PTRACE_CONT, process.task.tid)
    _, status, usage = os.wait4(process.task.tid, WALL)
    assert status == SECCOMP_STOP
    return usage


@pytest.mark.parametrize("filled", [False, True], ids=["untouched", "filled"])
@pytest.mark.parametrize("counted", [False, True], ids=["pagemap", "page-faults"])
def test_pages_that_change_are_found_and_restored(filled: bool, counted: bool, tmp_path: Path) -> None:
    chosen = random.Random(7)
    with single(tmp_path, command(*["fill"] * filled)) as process:
        start = until(process, "lseek").args[1]
        with checkpoint(process) as point:
            memory = Memory(process.task.pid)
            before = memory.read(start, PAGES * PAGE_BYTES)
            point.proceed(0)
            go(process)
            known: set[int] = {0}
            for _ in range(30):
                wanted = [chosen.randrange(PAGES) for _ in range(chosen.randrange(4))]
                for page in wanted:
                    usage = touch(process, page)
                    point.pages.usage = usage if counted else None
                known.update(wanted)
                point.pages.look()
                assert {start + page * PAGE_BYTES for page in known} <= set(point.pages.changed)
                point.restore(mask=False)
                assert memory.read(start, PAGES * PAGE_BYTES) == before
                point.pages.verify()
            assert len(point.pages.changed) < PAGES + 20
            memory.close()


def test_pages_are_held_against_what_they_held_at_another_moment(tmp_path: Path) -> None:
    with single(tmp_path, command("fill")) as process:
        until(process, "lseek")
        with checkpoint(process) as point:
            pages = point.pages
            held = []
            for page in (3, 3, 17, 5):
                touch(process, page)
                pages.look()
                held.append(Held(pages.changed, bytes(pages.read())))
            now = pages.read()
            assert [pages.are(one, now) for one in held] == [False, False, False, True]
            assert all(one.pages is pages.changed for one in held)  # those that were not changed then are known, too
            pages.restore(held[-1])
            assert not pages.are(held[-1], pages.read())
            pages.verify()
            touch(process, 3)
            assert pages.are(held[0], pages.read())
            pages.restore(held[0])
            pages.verify()


def test_what_is_not_restored_is_noticed(tmp_path: Path) -> None:
    with single(tmp_path, command("fill")) as process:
        start = until(process, "lseek").args[1]
        with checkpoint(process) as point:
            touch(process, 8)
            with pytest.raises(HarnessError, match="was not restored"):
                point.pages.verify()
            point.restore(mask=False)
            memory = Memory(process.task.pid)
            memory.write(start + 20 * PAGE_BYTES, b"x")
            with pytest.raises(HarnessError, match="was not restored"):
                point.pages.verify()
            point.pages.doubt()  # as who writes to it has to say
            point.restore(mask=False)
            point.pages.verify()
            memory.close()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("char *m = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);", "it shares memory"),
        ("char *m = mmap(0, 1L << 30, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);", "more than 256 MiB"),
    ],
)
def test_memory_that_cannot_be_brought_back_is_refused(body: str, why: str, tmp_path: Path) -> None:
    source = PRELUDE + f"int main(void) {{ {body} lseek(-1, 0, 0); return m == 0; }}"
    with single(tmp_path, [compiled(source)]) as process:
        until(process, "lseek")
        with pytest.raises(UnrewindableError, match=why), checkpoint(process):
            pass
        process.answer(0)
        go(process)  # and it goes on as if nothing had been
