"""Audits of programs that do what they should not, from the plan to the verdict."""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys
import xml.etree.ElementTree as ElementTree
from hashlib import sha1
from io import StringIO
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from faultinject.blackbox import baseline
from faultinject.blackbox.baseline import UnusableError
from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.executor import AuditExecutor
from faultinject.blackbox.launch import LaunchError
from faultinject.blackbox.limits import Limits
from faultinject.blackbox.place import Place
from faultinject.blackbox.state import Node, NodeKind, State
from faultinject.blackbox.subject import Audited, Format, Start
from faultinject.coverage import Run
from faultinject.faults import Fault, FaultClass, Form
from faultinject.inject import HarnessError
from faultinject.kvc_checker import known
from faultinject.ops import Op
from faultinject.oracle import Verdict
from faultinject.report.document import document, schema
from faultinject.report.junit import junit
from faultinject.report.text import print_report, verdict
from faultinject.sweep import CLASSES
from tests.faultinject.blackbox.audited import KILL, audit, found, of, planned, problems, saver
from tests.faultinject.blackbox.traced import needs_linux
from tests.faultinject.blackbox.unprivileged import unprivileged

pytestmark = needs_linux

ERROR = [FaultClass.ERROR]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run need not be a second later, where no clock is written."""
    monkeypatch.setattr(baseline, "APART_SECONDS", 0.0)


def starts(runs: list[Run]) -> list[str]:
    return [run.target.scenario for run in runs]


def text_of(runs: list[Run]) -> str:
    console = Console(file=StringIO(), width=200)
    print_report(console, runs)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


# Without a fault


def test_a_right_program_holds_at_every_point(tmp_path: Path) -> None:
    runs = audit(of(*saver("durable")), tmp_path)
    assert verdict(runs) is Verdict.HELD, problems(runs)
    assert starts(runs) == ["empty", "old-entry"]
    assert [run.level for run in runs] == [3, 3]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("false", "{dir}"), "did not report success (exit status 1): it said nothing"),
        (("true", "{dir}"), "changes nothing"),
        (("sh", "-c", "kill -9 $$", "{dir}"), "signal 9"),
        (
            ("sh", "-c", "echo x >$0/x; printf 'why\\n\\033[1mnot\\n' >&2; exit 3", "{dir}"),
            "exit status 3): \\x1b[1mnot",
        ),
        (("sh", "-c", "echo x >$0/x; sleep 9 &", "{dir}"), "did not end within 1 s"),
    ],
)
def test_programs_that_cannot_be_audited(argv: tuple[str, ...], why: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableError) as caught, planned(of(*argv, timeout_seconds=1), tmp_path):
        pass
    assert why in str(caught.value)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="no such program"), planned(of("/nowhere/program", "{dir}"), tmp_path):
        pass


OUTSIDE = "mkdir -p $1/d && echo x >$1/d/f && rm -rf $0/d && mv $1/d $0/d"


def test_what_cannot_be_recorded_is_said_by_name(tmp_path: Path) -> None:
    what = pytest.raises(HarnessError, match=r"brings in from outside|directories from outside")
    with what, planned(of("sh", "-c", OUTSIDE, "{dir}", str(tmp_path / "outside")), tmp_path):
        pass


def test_a_program_that_refuses_an_existing_file(tmp_path: Path) -> None:
    with planned(of(*saver("refuse")), tmp_path, KILL) as plan:
        assert [one.key.start for one in plan.baselines] == [Start.EMPTY]
        assert any(
            "not run from the start old-entry" in note and "\\x1b[1mis there already" in note for note in plan.notes
        )
        assert any("the program fails" in note for note in plan.baselines[0].notes)
        assert plan.baselines[0].again is None
    # After a loss of power both names may be there, and who refuses the one will never remove the other.
    assert verdict(audit(of(*saver("refuse")), tmp_path, [*CLASSES[:-1]])) is Verdict.HELD
    runs = audit(of(*saver("refuse-durable")), tmp_path, [FaultClass.POWER])
    assert found(runs) == {("power", "never-heals"), ("power", "orphan-unreclaimed")}


@pytest.mark.parametrize("how", ["path", "grow", "closed"])
def test_right_programs_that_save_in_other_ways(how: str, tmp_path: Path) -> None:
    runs = audit(of(*saver(how)), tmp_path, KILL)
    assert verdict(runs) is Verdict.HELD, problems(runs)
    if how == "path":
        notes = [note for run in runs for note in run.notes]
        assert any("not compared" in note and "as a whole" not in note for note in notes), "the rest still counts"


def test_times_and_process_numbers_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "APART_SECONDS", 1.1)
    runs = audit(of(*saver("time")), tmp_path, KILL)
    assert verdict(runs) is Verdict.HELD, problems(runs)


def test_content_that_varies_as_a_whole_is_said_so(tmp_path: Path) -> None:
    with planned(of(*saver("random-size")), tmp_path, KILL) as plan:
        assert any("'x' differs as a whole" in note for one in plan.baselines for note in one.notes)


def test_random_names_of_temp_files_are_one_mistake(tmp_path: Path) -> None:
    runs = audit(of(*saver("random-name")), tmp_path, KILL)
    assert found(runs) == {("kill", "orphan-unreclaimed")}
    assert [len(run.violations) for run in runs] == [1, 1]
    recovered = audit(of(*saver("random-name"), recover=("sh", "-c", "rm -f $0/x.*.tmp", "{dir}")), tmp_path, KILL)
    assert verdict(recovered) is Verdict.HELD


def test_a_program_that_does_not_repeat_itself_is_never_held(tmp_path: Path) -> None:
    script = (
        "echo $$ >$0/x; test $(($(date +%N | sed 's/^0*//;s/...$//') % 2)) = 0 && echo 1 >$0/y && sync $0/y; exit 0"
    )
    runs = audit(of("sh", "-c", script, "{dir}"), tmp_path, KILL)
    assert verdict(runs) is not Verdict.HELD


def test_operations_beyond_the_recorded_ones_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "flag"
    script = f"echo 1 >$0/x; test -e {flag} && echo 2 >$0/x; exit 0"
    with planned(of("sh", "-c", script, "{dir}"), tmp_path, ERROR) as plan:
        flag.touch()
        with plan.units[0].enter() as executor:
            beyond = executor.beyond(FaultClass.ERROR, executor.record())
            assert beyond is not None
            assert executor.run(beyond).reason is None
            flag.unlink()
            assert executor.run(beyond).reason is not None


# After a fault


def test_a_recovery_that_fails_or_hangs_or_destroys(tmp_path: Path) -> None:
    for recover, expected in (
        (("false",), {"orphan-unreclaimed"}),
        (("sleep", "9"), {"orphan-unreclaimed"}),
        (saver("destroy"), {"entry-lost"}),
        (saver("clean"), set[str]()),
    ):
        assert after_the_last_kill(of(*saver(), recover=recover, timeout_seconds=0.5), tmp_path) == expected, recover


def after_the_last_kill(audited: Audited, base: Path) -> set[str]:
    """What is found where a kill comes before the rename, with an old entry there."""
    with planned(audited, base, KILL) as plan:
        trace = plan.baselines[1].trace
        rename = next(one for one in trace if one.op is Op.RENAME)
        with plan.units[1].enter() as executor:
            result = executor.run(Fault(FaultClass.KILL, Form.KILL, rename.index, rename.op))
    assert result.reason is None
    return {str(one.kind) for one in result.findings}


def test_a_repetition_that_hangs_or_fails_on_what_is_left(tmp_path: Path) -> None:
    assert after_the_last_kill(of(*saver("hang-on-leftover"), timeout_seconds=0.5), tmp_path) == {"never-heals"}
    assert "never-heals" in after_the_last_kill(of(*saver("fail-on-leftover")), tmp_path)


@pytest.mark.parametrize(("status", "expected"), [(0, Verdict.HELD), (1, Verdict.VIOLATED), (2, Verdict.HARNESS_ERROR)])
def test_a_checker_decides(status: int, expected: Verdict, tmp_path: Path) -> None:
    (tmp_path / "check.sh").write_text(
        f'test -d "$1" && test "$FAULTINJECT_STAGE" = fault && echo "it is wrong" && exit {status}; exit 0'
    )
    runs = audit(of(*saver(), check=("sh", str(tmp_path / "check.sh"))), tmp_path, KILL)
    assert verdict(runs) is expected
    if expected is Verdict.VIOLATED:
        assert found(runs) == {("kill", "partial-visible")}
        assert {one.finding.detail for run in runs for one in run.violations} == {"it is wrong"}


def test_a_mistake_that_shows_at_several_stages_is_counted_once_a_point(tmp_path: Path) -> None:
    """The checker names the same violation after the fault and after the repetition."""
    (run, *_) = audit(
        of(*saver(), check=("sh", "-c", "echo partial-visible: $FAULTINJECT_STAGE; exit 1")), tmp_path, KILL
    )
    assert {(str(one.finding.kind), one.points) for one in run.violations} == {
        ("partial-visible", run.classes[KILL[0]].violated)
    }


def test_a_kill_after_the_acknowledgement_must_not_lose_what_was_acknowledged(tmp_path: Path) -> None:
    assert verdict(audit(of(*saver("late-durable"), acknowledgement="saved"), tmp_path)) is Verdict.HELD
    runs = audit(of(*saver("early-durable"), acknowledgement="saved"), tmp_path)
    # A temp file that a kill leaves is none of its mistakes: the next run takes it away.
    assert found(runs) == {("error", "false-success"), ("kill", "false-success"), ("power", "lost-after-ack")}
    assert "miss" in text_of(runs)
    assert all(not count.not_measured for run in runs for count in run.classes.values())


def test_signals_that_are_not_handled_are_kills(tmp_path: Path) -> None:
    runs = audit(of(*saver(), signals=("SIGTERM",)), tmp_path, [FaultClass.INTERRUPT])
    assert verdict(runs) is Verdict.HELD
    assert {count.points for run in runs for count in run.classes.values()} == {6}
    without = audit(of(*saver()), tmp_path, [FaultClass.INTERRUPT])
    assert all(run.classes[FaultClass.INTERRUPT].void for run in without)


# The harness itself


def test_a_wrong_model_is_a_harness_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Crashes.state

    def wrong(self: Crashes, fault: Fault) -> State:
        return {**real(self, fault), "never there": Node(NodeKind.FILE, b"x")} if fault.byte else real(self, fault)

    monkeypatch.setattr(Crashes, "state", wrong)
    runs = audit(of(*saver()), tmp_path, KILL)
    assert verdict(runs) is Verdict.HARNESS_ERROR
    assert "synthesised says differs from what a real run leaves" in problems(runs)


def test_a_model_that_loses_bytes_is_a_harness_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Crashes.state

    def wrong(self: Crashes, fault: Fault) -> State:
        return {
            key: Node(node.kind, node.data[:-1]) if key.endswith(".tmp") else node
            for key, node in real(self, fault).items()
        }

    monkeypatch.setattr(Crashes, "state", wrong)
    assert verdict(audit(of(*saver()), tmp_path, KILL)) is Verdict.HARNESS_ERROR


def test_a_limit_that_is_not_set_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "impose", lambda self, pid: None)
    runs = audit(of(*saver()), tmp_path, ERROR)
    assert verdict(runs) is Verdict.NOT_MEASURED
    assert "file-limit" in problems(runs)


def test_what_it_holds_is_put_back(tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.mkdir()
    place = Place(of("true", "{dir}"), tmp_path / "place", seed)
    state = {
        "a": Node(NodeKind.DIRECTORY),
        "a/b": Node(NodeKind.DIRECTORY),
        "a/b/x\n\udcff": Node(NodeKind.FILE, b"1"),
        "l": Node(NodeKind.SYMLINK, b"/etc/passwd"),
        "p": Node(NodeKind.FIFO, mode=0o620),
        "s": Node(NodeKind.SOCKET, mode=0o755),
        "$TMPDIR/t": Node(NodeKind.FILE, b"2"),
    }
    place.put(state)
    assert place.read() == dict(sorted(state.items()))
    assert [place.read()[name].mode for name in "ps"] == [0o620, 0o755]
    os.chmod(place.roots.path("a/b"), 0)
    os.chmod(place.roots.path("a"), 0o500)
    place.put({})
    assert place.read() == {}
    assert Path("/etc/passwd").exists()


# What it starts with, and where


def test_a_start_that_is_given(tmp_path: Path) -> None:
    given = tmp_path / "given"
    (given / "ro").mkdir(parents=True)
    (given / "ro" / "f").write_text("keep")
    (given / "link").symlink_to("/etc/passwd")
    (given / "another-entry").symlink_to(tmp_path / "outside")
    (given / "ro").chmod(0o555)
    runs = audit(of(*saver(), given=str(given)), tmp_path, KILL)
    assert verdict(runs) is Verdict.HELD, problems(runs)
    assert starts(runs) == ["given", "old-entry"]
    assert not (tmp_path / "outside").exists()
    (given / "ro").chmod(0o755)
    os.mkfifo(given / "ro" / "pipe", 0o640)
    os.mknod(given / "ro" / "socket", stat.S_IFSOCK | 0o600)
    runs = audit(of(*saver(), given=str(given)), tmp_path, KILL)
    assert verdict(runs) is Verdict.HELD, problems(runs)


def test_as_an_ordinary_user(tmp_path: Path) -> None:
    argv = saver("closed")
    os.chmod(Path(argv[0]).parent, 0o755)

    def check(home: str) -> None:
        ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: without an exec since it was root, nobody may trace it
        runs = audit(of(*argv), Path(home), KILL)
        assert verdict(runs) is Verdict.HELD, problems(runs)
        assert not os.listdir(home)

    unprivileged(check)


def test_directories_of_runs_are_as_long_as_each_other(tmp_path: Path) -> None:
    with planned(of(*saver()), tmp_path, KILL) as plan, plan.units[0].enter() as executor:
        assert isinstance(executor, AuditExecutor)
        lengths = {
            len(path.parts[-1]) for path in (tmp_path / "audit").iterdir() if path.is_dir() and "seed" not in path.name
        }
        assert lengths == {len(baseline.FIRST[0])}


# Reports

ODD = b"\x1b[31mred\xff\n[bold]x[dim]"


@pytest.fixture
def odd(tmp_path: Path) -> list[Run]:
    code = "import os,sys;d=sys.argv[1];n=os.fsencode(d)+b'/'+bytes.fromhex(sys.argv[2])\nfor k in (b'1',b'2'):\n    open(n+k,'wb').write(b'content '+k)"
    return audit(of(sys.executable, "-S", "-E", "-c", code, "{dir}", ODD.hex()), tmp_path, KILL)


def test_odd_names_reach_no_terminal_and_no_document_as_they_are(odd: list[Run]) -> None:
    assert found(odd) >= {("kill", "partial-visible")}
    shown = text_of(odd)
    assert "\x1b" not in shown
    assert "\udcff" not in shown
    assert "\\x1b[31mred\\udcff\\n[bold]x[dim]1" in shown
    written = json.loads(json.dumps(document(odd)))
    jsonschema.validate(written, schema())
    assert {violation["name"] for violation in written["violations"]} >= {os.fsdecode(ODD) + "1"}
    root = ElementTree.fromstring(junit(odd))
    assert root.tag == "testsuites"
    messages = [failure.get("message", "") for failure in root.iter("failure")]
    assert any("[31mred" in message for message in messages)


def test_junit_has_a_case_for_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "impose", lambda self, pid: None)
    runs = audit(of(*saver("early"), acknowledgement="saved"), tmp_path)
    root = ElementTree.fromstring(junit(runs))
    assert [suite.get("tests") for suite in root] == ["4", "4"]
    first = next(iter(root))
    error, interrupt, kill, power = first.iter("testcase")
    assert {failure.get("type") for failure in kill.iter("failure")} == {"false-success"}
    assert {failure.get("type") for failure in power.iter("failure")} == {"lost-after-ack"}
    assert [one.get("type") for one in error.iter("error")] == ["not-measured"]
    assert list(interrupt.iter("skipped"))
    assert next(first.iter("property")).get("value") == "not decided"


@pytest.mark.slow
def test_exhaustive_finds_the_same(tmp_path: Path) -> None:
    classes = [FaultClass.ERROR, FaultClass.KILL]
    some, every = (audit(of(*saver("early")), tmp_path, classes, exhaustive=one) for one in (False, True))
    assert found(some) == found(every)
    for one, other in zip(some, every, strict=True):
        for fault_class in classes:
            assert other.classes[fault_class].points == one.classes[fault_class].points
            assert other.classes[fault_class].by_class == 0


# Content that differs from run to run, and content of a format


def test_a_temp_file_that_differs_each_time_and_leaves_no_trace(tmp_path: Path) -> None:
    """A journal has a number of its own; that it is gone at the end does not make it comparable byte for byte."""
    journalled = 'printf %016d $$ >"$0/journal" && printf x >"$0/data" && rm "$0/journal"'
    runs = audit(of("sh", "-c", journalled, "{dir}"), tmp_path, KILL)
    assert not problems(runs)
    assert found(runs) == {("kill", "partial-visible")}


def test_kvc_files_are_known_to_the_audit(tmp_path: Path) -> None:
    _, content = known().another
    source = tmp_path / "source"
    source.write_bytes(content.replace(b"another", b"my very"))
    saved = sha1(b"my very entry").hexdigest() + ".kv"
    atomic = 'cat "$1" >"$0/t" && mv "$0/t" "$0/$2" || { rm -f "$0/t"; exit 1; }'
    runs = audit(of("sh", "-c", atomic, "{dir}", str(source), saved, format=Format.KVC), tmp_path, KILL)
    assert (verdict(runs), starts(runs)) == (Verdict.HELD, ["empty", "old-entry"]), problems(runs)
    in_place = of("sh", "-c", 'cat "$1" >"$0/$2"', "{dir}", str(source), saved, format=Format.KVC)
    assert found(audit(in_place, tmp_path, KILL)) == {("kill", "partial-visible")}


def test_a_file_that_is_emptied_first_is_cut_at_every_byte(tmp_path: Path) -> None:
    """KVS-ATOM-1 is about bytes that are there to be written over, and not about a file that grows anew."""
    runs = audit(of("sh", "-c", 'printf 0123456789 >"$0/data"', "{dir}"), tmp_path, KILL)
    cuts = {run.target.scenario: run.classes[FaultClass.KILL].ranges for run in runs}
    assert cuts["old-entry"] == cuts["empty"] != []
    patched = "import os, sys; fd = os.open(sys.argv[1] + '/there', os.O_RDWR); os.pwrite(fd, b'new', 2); os.close(fd)"
    given = tmp_path / "given"
    given.mkdir()
    (given / "there").write_bytes(b"0123456789")
    whole = audit(of(sys.executable, "-S", "-c", patched, "{dir}", given=str(given)), tmp_path, KILL)
    assert whole[0].classes[FaultClass.KILL].ranges == [(2, 3)], "before it alone, not inside"


def test_a_program_that_cannot_be_brought_back_is_run_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(*_: object) -> None:
        raise HarnessError("memory was not restored")

    monkeypatch.setattr("faultinject.blackbox.rewind.Rewinder.run", spoiled)
    with planned(of(*saver()), tmp_path, ERROR) as plan:
        assert all(one.rewinds == "memory was not restored" for one in plan.baselines)
        assert "run anew for every fault, not rewound: memory was not restored" in plan.notes


def test_a_limit_that_does_not_kill_is_no_kill(tmp_path: Path) -> None:
    """KVS-AUDIT-4: the program takes the short write for the whole, and writes no more."""
    once = "import os, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); "
    once += "os.write(os.open(sys.argv[1] + '/data', os.O_CREAT | os.O_WRONLY, 0o600), b'0123456789')"
    (run, *_) = audit(of(sys.executable, "-S", "-c", once, "{dir}"), tmp_path, KILL)
    count = run.classes[FaultClass.KILL]
    assert count.not_measured == 9
    assert any("SIGXFSZ did not come" in problem for problem in run.problems)
