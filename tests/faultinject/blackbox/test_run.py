from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.tree import Tree
from faultinject.faults import ERRNOS, Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation, Trace
from faultinject.oracle import Reported
from tests.faultinject.blackbox.recorded import Watched, only, snippet
from tests.faultinject.blackbox.traced import compiled, needs_linux

pytestmark = needs_linux

WRITER = """
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/uio.h>
static FILE *report;
static long said(const char *what, long result) {
    fprintf(report, "%s %ld %d\\n", what, result, result < 0 ? errno : 0);
    fflush(report);
    return result;
}
int main(int n, char **argv) {
    (void)n;
    char name[500], final[500], one[] = "abcdef", two[] = "ghi", three[] = "jkl";
    snprintf(name, sizeof name, "%s/x", argv[1]);
    snprintf(final, sizeof final, "%s/y", argv[1]);
    report = fopen(argv[2], "w");
    int fd = said("open", open(name, O_WRONLY | O_CREAT, 0600));
    said("write", write(fd, one, 6));
    struct iovec pieces[] = {{two, 3}, {three, 3}}, before[2];
    memcpy(before, pieces, sizeof pieces);
    said("writev", writev(fd, pieces, 2));
    said("same", memcmp(before, pieces, sizeof pieces) || strcmp(one, "abcdef") || strcmp(three, "jkl"));
    said("pwrite", pwrite(fd, "P", 1, 0));
    said("fsync", fsync(fd));
    said("close", close(fd));
    said("closed", fcntl(fd, F_GETFD));
    said("rename", rename(name, final));
    return 0;
}
"""
NAMES = ["open", "write", "writev", "pwrite", "fsync", "close", "rename"]

Log = dict[str, tuple[int, int]]


class Writer:
    """The program above, with what it said of its calls."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.log = watched.base / "out" / "log"
        self.argv = [compiled(WRITER), watched.directory, str(self.log)]
        self.start = Tree.of(watched.roots.read(), watched.roots.inodes())
        self.trace = watched.run(self.argv).trace
        assert [str(one.op) for one in self.trace] == [*NAMES, "exit"]
        self.crashes = Crashes(self.start, self.trace)

    def under(self, fault: Fault, *, keep: bool = False) -> tuple[Log, dict[str, bytes]]:
        self.watched.clear()
        self.log.write_text("")
        ran = self.watched.run(self.argv, fault, self.trace, keep=keep)
        assert ran.fired == 1
        assert bool(ran.trace.operations) is keep
        lines = [line.split() for line in self.log.read_text().splitlines()]
        said = {name: (int(result), int(number)) for name, result, number in lines}
        return said, {key: node.data for key, node in self.watched.read().items()}

    def at(self, name: str) -> Operation:
        return self.trace[NAMES.index(name)]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched.in_directory(tmp_path)


@pytest.fixture
def writer(watched: Watched) -> Writer:
    return Writer(watched)


RESULTS: Log = {"open": (4, 0), "write": (6, 0), "writev": (6, 0), "pwrite": (1, 0), "fsync": (0, 0), "close": (0, 0)}


def without(*names: str) -> bytes:
    """What the file holds where these transfers did nothing."""
    content = b"".join(b for name, b in (("write", b"abcdef"), ("writev", b"ghijkl")) if name not in names)
    return content if "pwrite" in names else b"P" + content[1:]


@pytest.mark.parametrize("name", NAMES)
def test_an_error_is_seen_by_the_program_and_the_call_does_nothing(name: str, writer: Writer) -> None:
    operation = writer.at(name)
    for number in (ERRNOS[operation.op][0], ERRNOS[operation.op][-1]):
        said, files = writer.under(Fault(FaultClass.ERROR, Form.ERRNO, operation.index, operation.op, error=number))
        assert said[name] == (-1, number)
        assert said["same"] == (0, 0)
        if name == "open":
            assert all(said[other] == (-1, errno.EBADF) for other in NAMES[1:6])
            assert files == {}
            continue
        assert all(said[other] == RESULTS[other] for other in NAMES[:6] if other != name)
        assert said["closed"] == (-1, errno.EBADF)  # a close that fails has closed
        assert files == {"x" if name == "rename" else "y": without(name)}


def test_a_short_transfer_moves_so_many_bytes_and_leaves_memory_as_it_was(writer: Writer) -> None:
    for name, content in (("write", b"abcdef"), ("writev", b"ghijkl")):
        for byte in range(6):
            operation = writer.at(name)
            said, files = writer.under(Fault(FaultClass.ERROR, Form.SHORT, operation.index, operation.op, byte))
            assert said[name] == (byte, 0)
            assert {other: said[other] for other in RESULTS if other != name} == {
                other: result for other, result in RESULTS.items() if other != name
            }
            assert said["same"] == (0, 0)
            first, second = (content[:byte], b"ghijkl") if name == "write" else (b"abcdef", content[:byte])
            assert files["y"] == b"P" + (first + second)[1:]


@pytest.mark.parametrize("sticky", [False, True])
def test_a_cut_fails_the_transfers_that_follow(sticky: bool, writer: Writer) -> None:
    operation = writer.at("write")
    fault = Fault(FaultClass.ERROR, Form.CUT, operation.index, operation.op, 2, errno.ENOSPC, sticky)
    said, files = writer.under(fault)
    assert said["write"] == (2, 0)
    assert said["writev"] == (-1, errno.ENOSPC)
    assert said["pwrite"] == ((-1, errno.ENOSPC) if sticky else (1, 0))
    assert said["fsync"] == (0, 0)
    assert files == {"y": b"ab" if sticky else b"Pb"}


def test_a_full_disk_makes_no_new_files_either(watched: Watched) -> None:
    code = (
        "f = os.open(d + '/x', os.O_WRONLY | os.O_CREAT)\nos.write(f, b'abc')\nresult = []\n"
        "for what in ('os.open(d + \"/new\", os.O_CREAT)', 'os.mkdir(d + \"/m\")', 'os.open(d + \"/x\", os.O_RDONLY)', 'os.unlink(d + \"/x\")'):\n"
        "    try:\n        eval(what)\n        result.append(0)\n    except OSError as error:\n        result.append(error.errno)\n"
        "open(out + '/log', 'w').write(repr(result))"
    ).replace("os.write(f, b'abc')", "\ntry:\n    os.write(f, b'abc')\nexcept OSError:\n    pass")
    ran = watched.run(snippet(code))
    trace, write = ran.trace, only(ran, Op.WRITE)[0]
    watched.clear()
    fault = Fault(FaultClass.ERROR, Form.ERRNO, write.index, write.op, error=errno.ENOSPC, sticky=True)
    assert watched.run(snippet(code), fault, trace).fired == 1
    assert (watched.base / "out" / "log").read_text() == f"[{errno.ENOSPC}, {errno.ENOSPC}, 0, 0]"


def test_a_kill_anywhere_leaves_what_the_model_says(writer: Writer) -> None:
    faults = [Fault(FaultClass.KILL, Form.KILL, one.index, one.op) for one in writer.trace]
    for name in ("write", "writev"):
        one = writer.at(name)
        faults += [Fault(FaultClass.KILL, Form.KILL, one.index, one.op, byte) for byte in range(1, 6)]
    for fault in faults:
        writer.watched.clear()
        ran = writer.watched.run(writer.argv, fault, writer.trace, keep=False)
        assert (ran.fired, ran.ending.killed, ran.ending.signal, ran.reported) == (
            1,
            True,
            signal.SIGKILL,
            Reported.NOTHING,
        )
        assert writer.watched.read() == writer.crashes.state(fault), fault.id


def test_a_fault_past_the_end_does_not_fire_but_where_there_is_more(writer: Writer) -> None:
    beyond = Fault(FaultClass.ERROR, Form.ERRNO, len(writer.trace), error=errno.EIO)
    assert writer.watched.run(writer.argv, beyond, writer.trace, keep=False).fired == 0
    longer = Trace(writer.trace.operations[:-2])
    again = Fault(FaultClass.ERROR, Form.ERRNO, len(longer), error=errno.EIO)
    writer.watched.clear()
    assert writer.watched.run(writer.argv, again, longer, keep=False).fired == 1
    assert "x" in writer.watched.read()  # the rename, which was not recorded, has failed


def test_a_fault_that_the_program_does_not_come_to_is_not_fired(watched: Watched) -> None:
    code = "f = os.open(d + '/x', os.O_WRONLY | os.O_CREAT)\nif len(os.listdir(out)) == 0:\n    os.write(f, b'abc')"
    trace = watched.run(snippet(code)).trace
    (watched.base / "out" / "flag").touch()
    last = trace[len(trace) - 1]
    assert watched.run(snippet(code), Fault(FaultClass.KILL, Form.KILL, last.index, last.op), trace).fired == 0


def test_another_operation_at_the_point_is_a_harness_error(watched: Watched) -> None:
    code = (
        "f = os.open(d + '/x', os.O_WRONLY | os.O_CREAT)\nos.write(f, b'abc') if not os.listdir(out) else os.fsync(f)"
    )
    trace = watched.run(snippet(code)).trace
    write = next(one for one in trace if one.op is Op.WRITE)
    (watched.base / "out" / "flag").touch()
    with pytest.raises(HarnessError, match="does not repeat itself"):
        watched.run(snippet(code), Fault(FaultClass.ERROR, Form.ERRNO, write.index, write.op, error=5), trace)


def test_a_transfer_that_has_become_smaller_is_a_harness_error(watched: Watched) -> None:
    code = "f = os.open(d + '/x', os.O_WRONLY | os.O_CREAT)\nos.write(f, b'abcdef' if not os.listdir(out) else b'ab')"
    trace = watched.run(snippet(code)).trace
    write = next(one for one in trace if one.op is Op.WRITE)
    (watched.base / "out" / "flag").touch()
    for form, fault_class in ((Form.SHORT, FaultClass.ERROR), (Form.KILL, FaultClass.KILL)):
        with pytest.raises(HarnessError, match="2 bytes were accepted instead"):
            watched.run(snippet(code), Fault(fault_class, form, write.index, write.op, 5), trace)


SIGNALLED = """
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char path[500];
static void handler(int n) { (void)n; if (path[0]) unlink(path); }
static void leaves(int n) { unlink(path); signal(n, SIG_DFL); raise(n); }
int main(int n, char **argv) {
    (void)n;
    strcat(strcpy(path, argv[1]), "/x");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (!strcmp(argv[2], "handler")) { struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART}; sigaction(SIGTERM, &a, 0); }
    if (!strcmp(argv[2], "leaves")) signal(SIGTERM, leaves);
    if (!strcmp(argv[2], "ignored")) signal(SIGTERM, SIG_IGN);
    if (!strcmp(argv[2], "blocked")) sigprocmask(SIG_BLOCK, &set, 0);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (write(fd, "abc", 3) != 3) return 3;
    sigpending(&set);
    return !strcmp(argv[2], "blocked") && !sigismember(&set, SIGTERM) ? 4 : 0;
}
"""


@pytest.mark.parametrize(
    ("how", "handled", "status", "files"),
    [
        ("default", False, None, {"x": b""}),
        ("handler", True, 0, {}),
        ("leaves", True, None, {}),
        ("ignored", False, 0, {"x": b"abc"}),
        ("blocked", False, 0, {"x": b"abc"}),
    ],
)
def test_signals(how: str, handled: bool, status: int | None, files: dict[str, bytes], watched: Watched) -> None:
    argv = [compiled(SIGNALLED), watched.directory, how]
    trace = (
        watched.run(argv).trace
        if how != "blocked"
        else Trace(tuple(one for one in watched.run([*argv[:-1], "ignored"]).trace))
    )
    write = next(one for one in trace if one.op is Op.WRITE)
    watched.clear()
    ran = watched.run(argv, Fault(FaultClass.INTERRUPT, Form.SIGNAL, write.index, write.op, what="SIGTERM"), trace)
    assert (ran.fired, ran.handled, ran.ending.status) == (1, handled, status)
    assert ran.ending.signal == (signal.SIGTERM if status is None else None)
    assert {key: node.data for key, node in watched.read().items()} == files
    assert len(only(ran, Op.SIGNAL)) == 1


def test_an_acknowledgement_has_its_place_among_the_operations(watched: Watched) -> None:
    code = (
        "open(d + '/x', 'w').write('abc')\nprint('y' * 100_000, flush=True)\nos.write(1, b'sa')\nos.write(1, b'ved\\n')\n"
        "os.rename(d + '/x', d + '/y')\nsys.exit(3)"
    )
    ran = watched.run(snippet(code), ack=b"saved")
    assert ran.reported is Reported.SUCCESS
    kinds = [one.op for one in ran.trace]
    assert kinds.index(Op.ACKNOWLEDGE) == kinds.index(Op.RENAME) - 1
    assert kinds.count(Op.ACKNOWLEDGE) == 1
    rename = next(one for one in ran.trace if one.op is Op.RENAME)
    close = next(one for one in ran.trace if one.op is Op.CLOSE)
    for point, reported in ((rename, Reported.SUCCESS), (close, Reported.NOTHING)):
        watched.clear()
        fault = Fault(FaultClass.KILL, Form.KILL, point.index, point.op)
        killed = watched.run(snippet(code), fault, ran.trace, keep=False, ack=b"saved")
        assert killed.reported is reported


def test_an_acknowledgement_by_another_process_and_another_call(watched: Watched) -> None:
    code = (
        "open(out + '/ok', 'w').write('all is saved\\n')\ns = os.open(out + '/ok', os.O_RDONLY)\nopen(d + '/x', 'w').write('abc')\n"
        "if not os.fork():\n    os.sendfile(1, s, 0, 100)\n    os._exit(0)\nos.wait()\nos.rename(d + '/x', d + '/y')"
    )
    ran = watched.run(snippet(code), ack=b"is saved")
    assert ran.reported is Reported.SUCCESS
    kinds = [one.op for one in ran.trace]
    assert kinds.index(Op.CLOSE) < kinds.index(Op.ACKNOWLEDGE) < kinds.index(Op.RENAME)


def test_without_its_line_exit_0_is_no_success(watched: Watched) -> None:
    assert watched.run(snippet("print('saving')"), ack=b"saved").reported is Reported.FAILURE
    assert watched.run(snippet("os.write(2, b'saved')"), ack=b"saved").reported is Reported.FAILURE


def test_waiting_for_a_line_does_not_hang_on_a_pipe(watched: Watched) -> None:
    code = (
        "r, w = os.pipe()\nif not os.fork():\n    os.close(w)\n    open(d + '/b', 'w').write('child')\n    n = 0\n"
        "    while part := os.read(r, 9999):\n        n += len(part)\n    print('got', n)\n    sys.stdout.flush()\n    os._exit(0)\n"
        "os.close(r)\nos.write(w, b'x' * 300_000)\nos.close(w)\nos.wait()"
    )
    began = time.monotonic()
    ran = watched.run(snippet(code), ack=b"got 300000")
    assert (ran.reported, ran.ending.timed_out) == (Reported.SUCCESS, False)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("ignored", [True, False])
def test_a_limit_on_files_is_none_on_what_is_printed(ignored: bool, watched: Watched) -> None:
    code = (
        "import signal\nprint('x' * 5000, flush=True)\nprint('why' * 2000, file=sys.stderr)\nf = os.open(d + '/x', os.O_WRONLY | os.O_CREAT)\n"
        "n = os.write(f, b'a' * 200)\nopen(out + '/log', 'w').write(str(n))\n"
        "try:\n    os.write(f, b'b')\nexcept OSError as error:\n    open(out + '/log', 'a').write(' ' + str(error.errno))\n"
        "os.writev(1, [b'do', b'ne'])\nprint('at the end', file=sys.stderr)"
    )
    argv = snippet("import signal\nif signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN:\n    pass\n" + code)
    if not ignored:
        # Python ignores SIGXFSZ whatever it inherits.
        argv = snippet("import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n" + code)
    ran = watched.run(argv, ack=b"done", limits=Limits(123, ignored))
    assert (watched.base / "out" / "log").read_text() == ("123 " + str(errno.EFBIG) if ignored else "123")
    assert ran.ending.signal == (None if ignored else signal.SIGXFSZ)
    assert ran.reported is (Reported.SUCCESS if ignored else Reported.NOTHING)
    assert ran.said.endswith("at the end" if ignored else "whywhy")


def test_a_limit_is_inherited_with_its_disposition(watched: Watched) -> None:
    argv = [compiled('#include <fcntl.h>\n#include <unistd.h>\n#include <string.h>\nint main(int n, char **a) { (void)n; char p[500];'
                     'int f = open(strcat(strcpy(p, a[1]), "/x"), O_WRONLY | O_CREAT, 0600); write(f, "abc", 3); return write(f, "d", 1) == 1; }', "-w"),
            watched.directory]  # fmt: skip
    assert watched.run(argv, limits=Limits(3, ignore_sigxfsz=True)).ending.status == 0
    assert watched.run(argv, limits=Limits(3, ignore_sigxfsz=False)).ending.signal == signal.SIGXFSZ


def test_a_program_that_does_not_end_is_ended(watched: Watched) -> None:
    ran = watched.run(snippet("open(d + '/x', 'w').write('a')\nimport time\ntime.sleep(100)"), timeout_seconds=1)
    assert (ran.ending.timed_out, ran.reported) == (True, Reported.NOTHING)
    assert ran.said == "died of SIGKILL"


def test_a_daemon_that_is_left_behind_is_ended(watched: Watched) -> None:
    code = "open(d + '/x', 'w').write('a')\nif not os.fork():\n    os.setsid()\n    import time\n    time.sleep(100)"
    ran = watched.run(snippet(code + "\nopen(out + '/pid', 'w').write(str(os.getpid()))"), timeout_seconds=1)
    assert ran.ending.timed_out
    assert ran.ending.status == 0


def test_the_last_line_is_told_without_what_a_terminal_would_act_upon(watched: Watched) -> None:
    ran = watched.run(snippet("os.write(2, b'first\\n\\x1b[31m no \\xff\\x07 space\\n\\n  \\n')\nsys.exit(1)"))
    assert ran.said == "\\x1b[31m no \ufffd\\x07 space"
    assert watched.run(snippet("os.abort()")).said == "died of SIGABRT"


def test_what_cannot_be_started(watched: Watched) -> None:
    with pytest.raises(LaunchError, match="no such"):
        watched.run([watched.directory + "/nothing"])


THREADS = (
    "import threading\nf = os.open(d + '/x', os.O_WRONLY | os.O_CREAT)\n"
    "def save(i):\n    for k in range(3):\n        os.pwrite(f, bytes([65 + i]) * 4, 12 * i + 4 * k)\n"
    "ts = [threading.Thread(target=save, args=(i,)) for i in range(3)]\n[one.start() for one in ts]\n[one.join() for one in ts]\nos.fsync(f)"
)


def test_tasks_keep_to_the_recorded_order_up_to_the_fault(watched: Watched) -> None:
    start = Tree.of(watched.roots.read(), watched.roots.inodes())
    recorded = watched.run(snippet(THREADS)).trace
    # Another order that the threads allow: the last one first.
    places: dict[tuple[str, int], Operation] = {(one.task, one.nth): one for one in recorded}
    order = sorted(places, key=lambda place: (place != ("0", 0), place[0] == "0", -int(place[0][-1]), place[1]))
    operations = tuple(
        Operation(**{**{name: getattr(places[place], name) for name in Operation.__slots__}, "index": index})
        for index, place in enumerate(order)
    )
    trace = Trace(operations)
    crashes = Crashes(start, trace)
    for operation in operations[1:-1]:
        watched.clear()
        fault = Fault(FaultClass.KILL, Form.KILL, operation.index, operation.op)
        ran = watched.run(snippet(THREADS), fault, trace, keep=False)
        assert ran.fired == 1
        assert watched.read() == crashes.state(fault)


def test_an_order_that_cannot_be_is_given_up(watched: Watched) -> None:
    recorded = watched.run(snippet(THREADS)).trace
    operations = list(recorded)
    first = next(place for place, one in enumerate(operations) if one.task != "0")
    # The first thing is said to be done by a thread that does not exist yet: everybody waits for it.
    odd = Trace((operations[first], *operations[:first], *operations[first + 1 :]))
    assert not watched.run(
        snippet(THREADS), Fault(FaultClass.KILL, Form.KILL, len(odd) - 1, Op.EXIT), odd
    ).ending.timed_out


def test_no_descriptor_is_left_open(watched: Watched) -> None:
    argv = snippet(
        "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT)\nos.ftruncate(f, 4096)\nm = mmap.mmap(f, 4096)\nm[0] = 1"
    )
    watched.run(argv)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        watched.run(argv)
    assert len(os.listdir("/proc/self/fd")) == before


SPLICING = """
import os
f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT)
r, w = os.pipe()
if os.fork():
    os.close(w)
    WAIT
    os.splice(r, f, 5)
else:
    os.close(os.open(d + '/b', os.O_WRONLY | os.O_CREAT))
    os.write(w, b'piped')
"""


def test_a_splice_is_cut_where_its_pipe_holds_enough(watched: Watched) -> None:
    argv = snippet(SPLICING.replace("WAIT", "os.wait()"))
    ran = watched.run(argv)
    (splice,) = only(ran, Op.SPLICE)
    watched.clear()
    watched.run(argv, Fault(FaultClass.ERROR, Form.SHORT, splice.index, Op.SPLICE, 2), ran.trace)
    assert watched.read()["a"].data == b"pi"


def test_a_splice_that_would_wait_for_a_task_that_waits_for_it_is_not_measured(watched: Watched) -> None:
    """At once: it used to be noticed by the time limit, once for each byte."""
    argv = snippet(SPLICING.replace("WAIT", "pass"))
    ran = watched.run(argv)
    (splice,) = only(ran, Op.SPLICE)
    watched.clear()
    started = time.monotonic()
    with pytest.raises(HarnessError, match="its pipe holds 0 so far"):
        watched.run(argv, Fault(FaultClass.ERROR, Form.SHORT, splice.index, Op.SPLICE, 2), ran.trace)
    assert time.monotonic() - started < 20
