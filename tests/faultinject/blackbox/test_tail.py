"""Calls after a fault, answered by the model, come to what the kernel makes of them: results and files."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultinject.faults import Fault, FaultClass, Form
from faultinject.ops import Op
from tests.faultinject.blackbox.rewound import cut, program, rewinding
from tests.faultinject.blackbox.traced import needs_linux

pytestmark = needs_linux

INTERPRETER = r"""
    /* Each letter is a call; what all of them have returned is written to a file at the end. */
    static char log[1 << 16], back[64];
    char *at = log;
    int x = open("x", O_RDWR | O_CREAT, 0600), other = -1;
    if (x < 0) return 1;
    write(x, "0123456789", 10);
    for (const char *c = a[1]; *c; c++) {
        struct stat s = {0};
        struct iovec piece[2] = {{"<a>", 3}, {"<bc>", 4}};
        long r = 0;
        errno = 0;
        switch (*c) {
        case 'w': r = write(x, "wrote", 5); break;
        case 'W': r = writev(x, piece, 2); break;
        case 'p': r = pwrite(x, "PP", 2, 12); break;
        case 'P': r = pwritev(x, piece, 2, 1); break;
        case 'r': memset(back, 0, sizeof back); r = read(x, back, 7); break;
        case 'R': memset(back, 0, sizeof back); r = pread(x, back, 60, 2); break;
        case 's': r = lseek(x, 2, SEEK_SET); break;
        case 'S': r = lseek(x, -1, SEEK_END); break;
        case 'c': r = lseek(x, -3, SEEK_CUR); break;
        case 't': r = ftruncate(x, 4); break;
        case 'T': r = ftruncate(x, 30); break;
        case 'f': r = fstat(x, &s) ? -1 : s.st_size; break;
        case 'y': r = fsync(x); break;
        case 'u': r = unlink("x"); break;
        case 'U': r = unlink("there"); break;
        case 'n': r = rename("x", "y"); break;
        case 'N': r = rename("y", "x"); break;
        case 'o': r = other = open("new", O_WRONLY | O_CREAT | O_EXCL, 0600); break;
        case 'O': r = other = open("there", O_WRONLY | O_APPEND); break;
        case 'z': r = other = open("there", O_WRONLY | O_TRUNC); break;
        case 'v': r = write(other, "to another", 10); break;
        case 'k': r = close(other); break;
        case 'd': r = dup(x); break;
        case 'm': r = mkdir("dir", 0700); break;
        case 'M': r = rmdir("dir"); break;
        case 'i': r = rename("x", "dir/x"); break;
        case 'a': r = access("there", F_OK); break;
        case 'A': r = stat("none", &s); break;
        case 'e': r = fcntl(x, F_GETFL); break;
        case 'h': r = fchmod(x, 0640); break;
        case 'b': { char *m = malloc(1 << 20); memset(m, *c, 1 << 20); r = m[5]; free(m); break; }
        }
        at += sprintf(at, "%c %ld %d %.60s\n", *c, r, errno, back);
    }
    int results = open("results", O_WRONLY | O_CREAT, 0600);
    pwrite(results, log, at - log, 0);
    return 0;
"""
CALLS = "wWpPrRsSctTfyuUnNoOzvkdmMiaAehb"


def forms() -> list[Fault]:
    short = Fault(FaultClass.ERROR, Form.SHORT, 1, Op.WRITE, 4)
    return [
        cut(1, 0),
        cut(1, 6),
        cut(1, 3, sticky=False),
        short,
        Fault(FaultClass.ERROR, Form.ERRNO, 1, Op.WRITE, error=errno.EIO),
        Fault(FaultClass.ERROR, Form.ERRNO, 1, Op.WRITE, error=errno.EIO, sticky=True),
    ]


def differences(base: Path, calls: str) -> tuple[list[str], int]:
    """How rewound and real outcomes differ, and how many faults were served."""
    found = []
    with rewinding(base, program(INTERPRETER), calls, seed={"there": b"was there"}) as one:
        for fault in forms():
            rewound = one.rewinder.run(fault)
            if rewound is None:
                continue
            reported, state = one.really(fault)
            if (rewound.reported, rewound.state) != (reported, state):
                found.append(f"{fault.id}: {rewound.state} and really {state}")
        return found, one.rewinder.served


@pytest.mark.parametrize(
    "calls",
    [
        "wr",
        "WsR",
        "pPR",
        "scrSr",
        "tTRf",
        "fwf",
        "yuow",
        "nNnow",
        "UoOv",
        "zvk",
        "Ovkzvk",
        "mMmi",
        "aAeh",
        "bwb",
        "ovkUovk",
    ],
)
def test_each_call_does_what_the_kernel_does(calls: str, tmp_path: Path) -> None:
    found, served = differences(tmp_path, calls)
    assert not found
    assert served >= 3


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.text(CALLS, min_size=2, max_size=8))
def test_any_calls_do_what_the_kernel_does_or_are_given_up(
    calls: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found, _ = differences(tmp_path_factory.mktemp("any"), calls)
    assert not found
