"""How tails end, and what a faulty operation itself does."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from faultinject.blackbox import drive
from faultinject.faults import Fault, FaultClass, Form
from faultinject.ops import Op
from faultinject.oracle import Reported
from tests.faultinject.blackbox.rewound import cut, program, rewinding
from tests.faultinject.blackbox.test_rewind import unlike
from tests.faultinject.blackbox.traced import needs_linux

pytestmark = needs_linux

WRITES = 'int fd = open("x", O_WRONLY | O_CREAT, 0600); ssize_t got = write(fd, "0123456789", 10); '


@pytest.mark.parametrize(
    ("rest", "reported", "said"),
    [
        ("return got == 10 ? 0 : 7;", Reported.FAILURE, ""),
        ("return got == 10 ? 0 : 256;", Reported.SUCCESS, ""),
        ("if (got != 10) *(volatile char *)8 = 1; return 0;", Reported.NOTHING, "died of SIGSEGV"),
        ("if (got != 10) raise(SIGTERM); return 0;", Reported.NOTHING, "died of SIGTERM"),
        ("if (got != 10) kill(getpid(), SIGKILL); return 0;", None, ""),
        ("signal(SIGTERM, SIG_IGN); if (got != 10) raise(SIGTERM); return 0;", Reported.SUCCESS, ""),
        ("if (got != 10) raise(SIGCHLD); return 0;", Reported.SUCCESS, ""),
        ("if (got != 10) { fputs(\"no\\nspace\\n\", stderr); _exit(3); } return 0;", Reported.FAILURE, "space"),
    ],
)  # fmt: skip
def test_ends_are_told_apart(rest: str, reported: Reported | None, said: str, tmp_path: Path) -> None:
    with rewinding(tmp_path, program(WRITES + rest)) as one:
        for byte in range(5):
            rewound = one.rewinder.run(cut(1, byte))
            if rewound is None:
                assert reported is None or "handles" in one.rewinder.why, one.rewinder.why
                continue
            assert (rewound.reported, rewound.said) == (reported, said)
            assert unlike(one, cut(1, byte)) == ""


def test_a_signal_that_is_handled_is_given_up(tmp_path: Path) -> None:
    rest = "signal(SIGTERM, (void (*)(int))exit); if (got != 10) raise(SIGTERM); return 0;"
    with rewinding(tmp_path, program(WRITES + rest)) as one:
        assert one.rewinder.run(cut(1, 3)) is None
        assert "a signal that it handles" in one.rewinder.why


def test_a_tail_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "_CALLS_MAX", 500)
    rest = 'while (got != 10) got = write(fd, "0123456789", 10); return 0;'
    with rewinding(tmp_path, program(WRITES + rest)) as one:
        for byte in range(6):
            assert one.rewinder.run(cut(1, byte)) is None, "a full disk stays full"
            assert "does not end" in one.rewinder.why
        assert unlike(one, cut(1, 4, sticky=False)) == ""


@pytest.mark.parametrize(
    ("call", "op"),
    [
        ('pwrite(fd, "0123456789", 10, 3)', Op.PWRITE),
        ('writev(fd, (struct iovec[]){{"0123", 4}, {"", 0}, {"456789", 6}}, 3)', Op.WRITEV),
        ('pwritev(fd, (struct iovec[]){{"01234", 5}, {"56789", 5}}, 2, 4)', Op.PWRITEV),
    ],
)
def test_each_transfer_is_cut_at_each_byte(call: str, op: Op, tmp_path: Path) -> None:
    body = f'int fd = open("x", O_RDWR | O_CREAT, 0600); int got = {call}; lseek(fd, 0, SEEK_CUR); write(fd, "end", 3); return got != 10;'
    with rewinding(tmp_path, program(body), seed={"x": b"was here before"}) as one:
        for byte in range(10):
            for sticky in (True, False):
                assert unlike(one, cut(1, byte, op=op, sticky=sticky)) == ""
            if byte:
                assert unlike(one, Fault(FaultClass.ERROR, Form.SHORT, 1, op, byte)) == ""


def test_a_close_that_fails_has_closed_all_the_same(tmp_path: Path) -> None:
    body = (
        WRITES + 'int failed = close(fd); int again = close(fd); mkdir(again ? "closed" : "open", 0700); return failed;'
    )
    with rewinding(tmp_path, program(body)) as one:
        close = next(operation for operation in one.trace if operation.op is Op.CLOSE)
        fault = Fault(FaultClass.ERROR, Form.ERRNO, close.index, Op.CLOSE, error=errno.EIO)
        rewound = one.rewinder.run(fault)
        assert rewound is not None
        assert "closed" in rewound.state
        assert unlike(one, fault) == ""
