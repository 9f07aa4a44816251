"""Memory, signals and time after a fault: what was really done is taken back, and comes to what a real run leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultinject.faults import Fault, FaultClass, Form
from faultinject.ops import Op
from tests.faultinject.blackbox.rewound import cut, program, rewinding
from tests.faultinject.blackbox.test_rewind import unlike
from tests.faultinject.blackbox.traced import needs_linux

pytestmark = needs_linux

HEAD = """
    char text[60] = "", *large; struct sigaction now = {0}, before = {0}; sigset_t set, old; struct timespec short_while = {0, 1000};
    int fd = open("x", O_WRONLY | O_CREAT, 0600);
    long got = write(fd, "0123456789", 10);
"""
TAIL = """
    strcat(text, "end");
    pwrite(fd, text, strlen(text), 20);
    return 0;
"""
SERVED = {
    "heap": "for (int i = 0; i < 50; i++) { large = malloc(1000 * (got + 2)); memset(large, i, 1000); } sprintf(text, \"%d\", large[7]);",
    "brk": "large = sbrk(5000); memset(large, got, 5000); sprintf(text, \"%d %d\", large[4999], sbrk(0) == large + 5000);",
    "mmap": "large = mmap(0, 9000, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); large[8999] = got; mprotect(large, 4096, 1);"
    " sprintf(text, \"%d\", large[8999]); madvise(large, 4096, MADV_NORMAL); if (got % 2 == 0) munmap(large, 9000);",
    "mask": "sigfillset(&set); sigprocmask(SIG_BLOCK, &set, &old); raise(SIGTERM); sigprocmask(0, 0, &set);"
    " sprintf(text, \"%d %d\", sigismember(&set, SIGTERM), sigismember(&old, SIGTERM));",
    "actions": "now.sa_handler = SIG_IGN; sigaction(SIGUSR1, &now, &before); now.sa_handler = (void (*)(int))exit;"
    " sigaction(SIGUSR1, &now, &before); sigaction(SIGUSR1, 0, &now);"
    " sprintf(text, \"%d %d\", before.sa_handler == SIG_IGN, now.sa_handler == (void (*)(int))exit);",
    "sleep": "nanosleep(&short_while, 0); usleep(10); strcpy(text, \"slept\");",
    "abort": "if (got > 3 && got < 10) abort();",
    "limits": "getrlimit(7, (void *)text); sprintf(text, \"%d\", text[0] != 0);",
    "outside": "int passwd = open(\"/etc/passwd\", O_RDONLY); read(passwd, text, 4); text[4] = 0; lseek(passwd, 0, SEEK_SET);",
    "time": "sprintf(text, \"%d\", time(0) > 1000 && getpid() > 0);",
}  # fmt: skip
GIVEN_UP = {
    "fixed": (
        "mmap((void *)0x10000000, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);",
        "cannot be taken back",
    ),
    "protect": ("mprotect((void *)((long)&environ & -4096), 4096, 1);", "what its memory may be used for"),
    "limit": ("setrlimit(7, (long[]){5, 5});", "changes its limits"),
    "other": ("kill(1, 0);", "another process"),
    "stack": ("stack_t stack = {malloc(20000), 0, 20000}; sigaltstack(&stack, 0);", "signal stack"),
}


def faults() -> list[Fault]:
    shorts = [Fault(FaultClass.ERROR, Form.SHORT, 1, Op.WRITE, byte) for byte in range(1, 10)]
    return [cut(1, 0), *shorts, cut(1, 4, sticky=False), cut(1, 5, sticky=False)]


@pytest.mark.parametrize("name", SERVED)
def test_it_is_done_and_taken_back(name: str, tmp_path: Path) -> None:
    with rewinding(tmp_path, program(HEAD + SERVED[name] + TAIL)) as one:
        assert {unlike(one, fault) for fault in faults()} == {""}, one.rewinder.why


@pytest.mark.parametrize("name", GIVEN_UP)
def test_what_cannot_be_taken_back_is_given_up(name: str, tmp_path: Path) -> None:
    body, why = GIVEN_UP[name]
    with rewinding(tmp_path, program("extern char **environ;" + HEAD + "if (got != 10) {" + body + "}" + TAIL)) as one:
        for fault in faults()[:3]:
            assert one.rewinder.run(fault) is None
            assert why in one.rewinder.why
