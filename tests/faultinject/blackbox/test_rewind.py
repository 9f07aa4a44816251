"""What is rewound is what a real run leaves (KVS-AUDIT-6): for every byte, of right programs and of wrong ones."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from faultinject.blackbox.checkpoint import Checkpoint, Snapshot
from faultinject.blackbox.rewind import Rewinder
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.ops import Op
from faultinject.oracle import Reported
from tests.faultinject.blackbox.rewound import Rewinding, cut, program, rewinding
from tests.faultinject.blackbox.traced import alive, descriptors, needs_linux

pytestmark = needs_linux

RIGHT = r"""
    FILE *f = fopen("x.tmp", "w");
    if (!f) return 1;
    int failed = fputs("what is saved\n", f) < 0;
    failed |= fclose(f) != 0;
    failed = failed || rename("x.tmp", "x") != 0;
    if (failed) unlink("x.tmp");
    return failed;
"""
IGNORES = r"""
    int fd = open("x", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write(fd, "first ", 6); write(fd, "second", 6); close(fd);
    return 0;
"""
RETRIES = r"""
    int fd = open("x", O_WRONLY | O_CREAT | O_TRUNC, 0600), tries = 0;
    if (fd < 0) return 1;
    for (size_t done = 0; done < 9 && tries < 3;) {
        ssize_t wrote = write(fd, "123456789" + done, 9 - done);
        if (wrote < 0) tries++; else done += wrote;
    }
    if (tries == 3) { ftruncate(fd, 0); unlink("x"); }
    return close(fd) || tries == 3;
"""
READS_BACK = r"""
    char back[20] = {0}, log[30]; struct stat s;
    int fd = open("x", O_RDWR | O_CREAT | O_APPEND, 0600);
    if (fd < 0) return 1;
    ssize_t wrote = write(fd, "ABCDEFGH", 8);
    lseek(fd, 0, SEEK_SET);
    ssize_t got = read(fd, back, sizeof back);
    fstat(fd, &s);
    int other = open("log", O_WRONLY | O_CREAT, 0600), copy = dup(fd);
    snprintf(log, sizeof log, "%zd %zd %ld %s", wrote, got, (long)s.st_size, back);
    if (other >= 0) { pwrite(other, log, strlen(log), 3); close(other); }
    if (copy >= 0) close(copy);
    close(fd);
    return wrote != 8;
"""
PIECES = r"""
    struct iovec piece[2] = {{"one, ", 5}, {"two", 3}};
    mkdir("new", 0700);
    int fd = open("new/x.tmp", O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0) { rmdir("new"); return 1; }
    ssize_t wrote = writev(fd, piece, 2);
    if (wrote != 8 || fsync(fd)) { close(fd); unlink("new/x.tmp"); rmdir("new"); perror("save"); return 1; }
    close(fd);
    return renameat(AT_FDCWD, "new/x.tmp", AT_FDCWD, "new/x") != 0;
"""
ABORTS = r"""
    int fd = open("x", O_WRONLY | O_CREAT, 0600);
    char *large = malloc(1 << 18);
    memset(large, 'x', 1 << 18);
    ssize_t wrote = write(fd, "0123456", 7);
    free(large);
    if (wrote > 0 && wrote < 4) abort();
    if (wrote == 5) *(volatile char *)0 = 1;
    if (write(1, "written", 7) != 7 || fd < 0) return 3;
    return wrote != 7;
"""
BY_COUNT = r"""
    int fd = open("x", O_WRONLY | O_CREAT, 0600);
    if (fd < 0) return 1;
    ssize_t wrote = write(fd, "0123456789abcdef", 16);
    if (wrote % 3 == 0) unlink("x");
    else if (wrote == 7) ftruncate(fd, 2);
    else if (wrote > 0 && wrote < 16) write(fd, "0123456789abcdef" + wrote, 16 - wrote);
    return wrote % 5 == 2;
"""
PROGRAMS = {
    "right": RIGHT, "ignores": IGNORES, "retries": RETRIES, "reads-back": READS_BACK, "pieces": PIECES,
    "aborts": ABORTS, "by-count": BY_COUNT,
}  # fmt: skip


def unlike(one: Rewinding, fault: Fault) -> str:
    """How the rewound outcome differs from a real one; empty where it does not, "given up" where it was not had."""
    rewound = one.rewinder.run(fault)
    if rewound is None:
        return "given up"
    reported, state = one.really(fault)
    if rewound.reported is not reported:
        return f"{fault.id}: {rewound.reported} and really {reported}"
    return "" if rewound.state == state else f"{fault.id}: {rewound.state} and really {state}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_byte_of_a_small_writer_comes_to_what_a_real_run_leaves(name: str, tmp_path: Path) -> None:
    """KVS-AUDIT-6."""
    with rewinding(tmp_path, program(PROGRAMS[name])) as one:
        every = [fault for fault in one.faults() if fault.op is not Op.FSYNC or fault.sticky]
        differ = [unlike(one, fault) for fault in every]
        given_up = differ.count("given up")
        assert [text for text in differ if text not in ("", "given up")] == []
        assert one.rewinder.served == len(every) - given_up
        assert given_up <= len(every) // 3, one.rewinder.why


LINES = r"""
    FILE *f = fopen("x.tmp", "w");
    if (!f) return 1;
    int failed = 0;
    for (int i = 0; i < 200 && !failed; i++) failed = fprintf(f, "line %d of what is saved\n", i) < 0;
    failed |= fclose(f) != 0;
    failed = failed || rename("x.tmp", "x") != 0;
    if (failed) unlink("x.tmp");
    return failed;
"""


def outcomes(rewinder: Rewinder, faults: list[Fault]) -> list[object]:
    found = [rewinder.run(fault) for fault in faults]
    assert None not in found, rewinder.why
    return [(one.reported, one.state, one.said) for one in found if one is not None]


@pytest.mark.parametrize("body", [LINES, BY_COUNT, READS_BACK.replace("struct stat s;", "struct stat s = {0};")])
def test_a_tail_that_meets_another_comes_to_what_it_comes_to_alone(body: str, tmp_path: Path) -> None:
    with rewinding(tmp_path, program(body)) as one:
        faults = [fault for fault in one.faults(step=1 if body is not LINES else 29) if fault.op is Op.WRITE]
        with one.again() as alone:
            alone._meets = False
            expected = outcomes(alone, faults)
            assert alone.met == 0
        assert outcomes(one.rewinder, faults) == expected


def test_most_tails_of_neighbouring_bytes_meet(tmp_path: Path) -> None:
    with rewinding(tmp_path, program(LINES)) as one:
        (first, *_) = [operation for operation in one.trace if operation.op is Op.WRITE]
        for form in (cut(first.index, 0), Fault(FaultClass.ERROR, Form.SHORT, first.index, Op.WRITE)):
            before = one.rewinder.met
            for byte in range(1, 200):
                fault = Fault(form.fault_class, form.form, form.index, form.op, byte, form.error, form.sticky)
                assert one.rewinder.run(fault) is not None
            assert one.rewinder.met - before > 180


def test_tails_that_wrongly_meet_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States that only have equal general registers are taken for equal here, and a tail is run to its end for that."""

    def find(self: Checkpoint, snapshots: list[Snapshot]) -> int | None:
        self.pages.look()
        return 0 if list(snapshots) else None

    body = r"""
        char text[40]; static int wrote;
        int fd = open("x", O_WRONLY | O_CREAT, 0600);
        wrote = write(fd, "0123456789abcdef", 16);
        fsync(fd);
        snprintf(text, sizeof text, "%4d", wrote);
        pwrite(fd, text, 4, 20);
        return 0;
    """
    with rewinding(tmp_path, program(body)) as one:
        write = next(operation for operation in one.trace if operation.op is Op.WRITE)
        monkeypatch.setattr(Checkpoint, "find", find)
        with pytest.raises(HarnessError, match="run to its end it leaves something else"):
            for byte in range(1, 16):
                assert one.rewinder.run(Fault(FaultClass.ERROR, Form.SHORT, write.index, Op.WRITE, byte)) is not None


def test_words_count_where_they_report_success(tmp_path: Path) -> None:
    body = r"""
        int fd = open("x", O_WRONLY | O_CREAT, 0600);
        puts("O"); fflush(stdout);
        if (write(fd, "abc", 3) == 3) puts("K"); else fputs("line\nlast words\n", stderr);
        return 0;
    """
    with rewinding(tmp_path, program(body), ack="O\nK") as one:
        write = next(operation for operation in one.trace if operation.op is Op.WRITE)
        failed = one.rewinder.run(cut(write.index, 1))
        assert failed is not None
        assert failed.reported is Reported.FAILURE
        assert failed.said == "last words"
        short = Fault(FaultClass.ERROR, Form.ERRNO, write.index - 1, Op.OPEN, error=errno.EROFS)
        assert unlike(one, short) == ""


def test_faults_are_served_in_any_order(tmp_path: Path) -> None:
    with rewinding(tmp_path, program(IGNORES)) as one:
        faults = [fault for fault in one.faults() if fault.op is Op.WRITE]
        forward = outcomes(one.rewinder, faults)
        assert outcomes(one.rewinder, faults[::-1]) == forward[::-1]
        assert one.rewinder.launches > 1


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ('system("true")', "which is not modelled"),
        ('link("x", "y")', "it makes a link after the fault"),
        ("for (;;) getpgid(0)", "it did not end within 1 s"),
        ("for (;;) lseek(fd, 0, 0)", "it did not end within 1 s"),
        ("raise(SIGSTOP)", "a signal stops it"),
        ("mmap(0, 1L << 40, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)", "it asks for much memory"),
    ],
)
def test_what_cannot_be_rewound_is_given_up_with_a_reason(then: str, why: str, tmp_path: Path) -> None:
    body = f"""
        int first = open("first", O_WRONLY | O_CREAT, 0600);
        if (first < 0) return 1;
        int fd = open("x", O_WRONLY | O_CREAT, 0600);
        if (write(fd, "abc", 3) != 3) {then};
        return 0;
    """
    with rewinding(tmp_path, program(body), timeout_seconds=1) as one:
        write = next(operation for operation in one.trace if operation.op is Op.WRITE)
        assert one.rewinder.run(Fault(FaultClass.ERROR, Form.ERRNO, write.index, Op.WRITE, error=errno.EIO)) is None
        assert why in one.rewinder.why
        # The next fault is served all the same.
        assert unlike(one, Fault(FaultClass.ERROR, Form.ERRNO, 0, Op.OPEN, error=errno.EROFS)) == ""


def test_shared_memory_is_refused(tmp_path: Path) -> None:
    body = """
        char *shared = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int fd = open("x", O_WRONLY | O_CREAT, 0600);
        write(fd, "abc", 3);
        return *shared;
    """
    with rewinding(tmp_path, program(body)) as one:
        assert one.rewinder.run(cut(1, 1)) is None
        assert "shares memory" in one.rewinder.why


def test_faults_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with rewinding(tmp_path, program(IGNORES)) as one:
        write = next(operation for operation in one.trace if operation.op is Op.WRITE)
        end = len(one.trace)
        for fault in (
            Fault(FaultClass.KILL, Form.KILL, write.index, Op.WRITE, 1),
            Fault(FaultClass.ERROR, Form.FILE_LIMIT, write.index, Op.WRITE, 1, what="ignored"),
            Fault(FaultClass.ERROR, Form.ERRNO, end, error=errno.EIO),
            cut(write.index, 1).then(cut(write.index, 1)),
        ):
            assert one.rewinder.run(fault) is None
            assert one.rewinder.why
        assert one.rewinder.launches == 0


def test_a_program_that_differs_from_run_to_run_is_given_up_or_right(tmp_path: Path) -> None:
    body = 'if (getpid() % 2) mkdir("odd", 0700); int fd = open("x", O_WRONLY|O_CREAT, 0600); write(fd, "abc", 3); return 0;'
    with rewinding(tmp_path, program(body)) as one:
        write = next(operation for operation in one.trace if operation.op is Op.WRITE)
        outcomes = set()
        for _ in range(6):
            rewound = one.rewinder.run(cut(write.index, 2))
            outcomes.add(None if rewound is None else tuple(rewound.state))
            assert rewound is not None or "repeat" in one.rewinder.why or "ended" in one.rewinder.why
            one.rewinder.close()
        assert outcomes


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    counts = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        with rewinding(tmp_path / str(number), program(IGNORES)) as one:
            write = next(operation for operation in one.trace if operation.op is Op.WRITE)
            assert one.rewinder.run(cut(write.index, 1)) is not None
            here = one.rewinder._here
            assert here is not None
            pids = [here.point.task.tid, here.checkpoint._holder]
            assert all(map(alive, pids))
            one.rewinder.close()
            assert not any(map(alive, pids))
            del here
        counts.append(descriptors())
    assert counts[1] == counts[2], "what the first run keeps for the programs to come is kept once"
