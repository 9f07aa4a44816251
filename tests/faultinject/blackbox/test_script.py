"""Scripts with public tools leave what the audit has seen: each is run and held against a real run under the fault."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultinject.blackbox.audit import opened
from faultinject.blackbox.baseline import Baseline, prepare
from faultinject.blackbox.executor import AuditExecutor
from faultinject.blackbox.place import TEMPORARY_LABEL, Place, remove
from faultinject.blackbox.script import script_of
from faultinject.blackbox.script_text import EMBEDDED_BYTES_MAX, in_directory
from faultinject.blackbox.state import NodeKind, Root, Roots, State
from faultinject.blackbox.subject import Audited, Start, with_directory
from faultinject.faults import IGNORED, Fault, FaultClass, Form
from faultinject.ops import Op
from faultinject.oracle import Finding, Kind
from faultinject.report.document import schema
from faultinject.selftest.manifest import PLANTED, Planted
from faultinject.selftest.run import audited, build, compiler
from tests.faultinject.blackbox.audits import DIRECT, audit, faultinject, write_program

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are traced on Linux only"),
    pytest.mark.skipif(
        not (shutil.which("strace") and shutil.which("prlimit")), reason="strace and prlimit are what is tried out"
    ),
]

VISIBLE = Finding(Kind.PARTIAL_VISIBLE, "data", "")
LEFT = Finding(Kind.ORPHAN_UNRECLAIMED, "data", "")
UNHEALED = Finding(Kind.NEVER_HEALS, "data", "")
DAMAGED_SHELL = 'echo started; cat "$0" >"$1/new" && mv "$1/new" "$1/data" || { echo refused >&2; exit 1; }'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs here write no times, so that nobody has to wait for the clock to go on."""
    monkeypatch.setattr("faultinject.blackbox.baseline.APART_SECONDS", 0)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """For what runs leave."""
    place = tmp_path / "base"
    place.mkdir()
    yield place
    remove(place)


def baselines(what: Audited, base: Path) -> list[Baseline]:
    return prepare(what, base)[0]


def executor_of(baseline: Baseline, base: Path) -> AuditExecutor:
    return opened(baseline, Place(baseline.key.audited, base / f"run-{baseline.key.start}", baseline.seed))


def left(directory: Path, baseline: Baseline) -> list[tuple[str, NodeKind, bytes]]:
    roots = Roots([Root(str(directory / "directory")), Root(str(directory / "tmp"), TEMPORARY_LABEL)])
    return canonical(roots.read(), baseline)


def canonical(state: State, baseline: Baseline) -> list[tuple[str, NodeKind, bytes]]:
    return sorted((baseline.canonical(key), node.kind, node.data) for key, node in state.items())


def run_script(text: str, directory: Path) -> subprocess.CompletedProcess[bytes]:
    shutil.rmtree(directory, ignore_errors=True)
    file = directory.with_suffix(".sh")
    file.write_bytes(os.fsencode(text))
    return subprocess.run(["sh", file, directory], capture_output=True, timeout=30, check=False)


def faults(executor: AuditExecutor) -> list[Fault]:
    """Of every class, at every operation; and at a few bytes of each transfer."""
    classes = [one for one in FaultClass if one in (FaultClass.ERROR, FaultClass.INTERRUPT, FaultClass.KILL)]
    every = [
        fault
        for fault_class in classes
        if not executor.void(fault_class)
        for group in executor.groups(fault_class, executor.record(), exhaustive=False)
        for fault in group.faults
    ]
    return [fault for fault in every if fault.byte is None or fault.byte in (0, 3)]


def is_refusal(text: str) -> bool:
    return "no script for this one" in text


def differences(what: Audited, base: Path, every: int = 1) -> tuple[list[str], int]:
    """Faults whose script leaves something else than the fault does, and how many scripts were run.

    every: one fault of so many is tried.
    """
    wrong, tried = [], 0
    for baseline in baselines(what, base):
        executor = executor_of(baseline, base)
        for fault in faults(executor)[::every]:
            # What only the next transfer meets cannot be had by a limit: the script says that, see below.
            if executor.unmeasurable(fault) or (fault.form is Form.CUT and fault.byte and not fault.sticky):
                continue
            done = executor.perform(fault)
            text = script_of(baseline, fault, VISIBLE, returns=done.ran.returned)
            if done.reason or is_refusal(text):
                continue
            tried += 1
            ran = run_script(text, base / "script")
            if ran.returncode or left(base / "script", baseline) != canonical(executor.place.read(), baseline):
                wrong.append(f"{baseline.key.start} {fault.id}: {ran.stdout!r} {ran.stderr!r}")
        executor.close()
    return wrong, tried


def planted(name: str) -> Planted:
    return next(one for one in PLANTED if one.name == name)


IN_C = ["right_stdio", "direct_final", "right_raw", "signal_leaves_temp", "right_signals"]


def differences_in_c(name: str, base: Path, every: int) -> tuple[list[str], int]:
    one = planted(name)
    build(one, compiler() or "", base)
    what = audited(one, base)
    arguments = tuple("8" if word == "150" else word for word in what.argv)
    return differences(Audited(arguments, signals=what.signals[:1]), base, every)


@pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
@pytest.mark.parametrize("name", IN_C)
def test_scripts_of_a_program_in_c_do_what_the_faults_do(name: str, base: Path) -> None:
    wrong, tried = differences_in_c(name, base, 11)
    assert not wrong
    assert tried > 5


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
@pytest.mark.parametrize("name", IN_C)
def test_every_script_of_a_program_in_c_does_what_the_fault_does(name: str, base: Path) -> None:
    wrong, tried = differences_in_c(name, base, 1)
    assert not wrong
    assert tried > 50


def test_scripts_of_a_program_in_python_do_too(base: Path) -> None:
    program = (
        "import os, sys\n"
        "name = os.path.join(sys.argv[1], 'data')\n"
        "print('started', flush=True)\n"
        "with open(name + '.tmp', 'w') as file:\n"
        "    file.write('text')\n"
        "os.replace(name + '.tmp', name)\n"
    )
    wrong, tried = differences(Audited((sys.executable, "-I", "-S", "-c", program, "{dir}")), base, 7)
    assert not wrong
    assert tried > 5


def test_scripts_of_several_processes_do_too_or_are_refused(base: Path) -> None:
    what = Audited(("sh", "-c", DAMAGED_SHELL, "/etc/hostname", "{dir}"))
    wrong, tried = differences(what, base, 5)
    assert not wrong
    assert tried > 3
    baseline = baselines(what, base / "again")[0]
    rename = next(one for one in baseline.trace if one.op is Op.RENAME)
    kill = script_of(baseline, Fault(FaultClass.KILL, Form.KILL, rename.index, rename.op), VISIBLE)
    assert is_refusal(kill)
    assert "several processes" in kill
    sticky = Fault(FaultClass.ERROR, Form.ERRNO, rename.index, rename.op, error=errno.EIO, sticky=True)
    assert is_refusal(script_of(baseline, sticky, VISIBLE))


@pytest.fixture
def direct(tmp_path: Path, base: Path) -> Baseline:
    """Of a program of one process that writes some bytes to its final name."""
    program = write_program(tmp_path / "direct program", DIRECT)
    return baselines(Audited((str(program), "{dir}"), directory=str(tmp_path)), base)[0]


def write_of(baseline: Baseline) -> int:
    return next(one.index for one in baseline.trace if one.op is Op.WRITE)


def fault_at_write(baseline: Baseline, form: Form, byte: int | None = None, error: int = 0, **more: Any) -> Fault:
    fault_class = FaultClass.KILL if form is Form.KILL else FaultClass.ERROR
    return Fault(fault_class, form, write_of(baseline), Op.WRITE, byte, error, **more)


@pytest.mark.parametrize(
    ("form", "byte", "why"),
    [(Form.SHORT, 3, "none at all has arrived"), (Form.KILL, 3, "a part of its bytes")],
)
def test_what_no_tool_can_do_is_said(direct: Baseline, tmp_path: Path, form: Form, byte: int, why: str) -> None:
    text = script_of(direct, fault_at_write(direct, form, byte), VISIBLE)
    ran = run_script(text, tmp_path / "place")
    assert ran.returncode == 2
    assert why in ran.stderr.decode()
    assert not (tmp_path / "place").exists()


def test_a_limit_says_what_differs(direct: Baseline, tmp_path: Path) -> None:
    once = script_of(direct, fault_at_write(direct, Form.CUT, 4, errno.ENOSPC), VISIBLE)
    assert "EFBIG here, and ENOSPC in the audit" in once
    assert "only the next one in the audit" in once
    same = script_of(direct, fault_at_write(direct, Form.FILE_LIMIT, 4, what=IGNORED), VISIBLE)
    assert "in the audit" not in same
    for text in (once, same):
        assert run_script(text, tmp_path / "place").returncode == 0
        assert (tmp_path / "place" / "directory" / "data").read_bytes() == b"some"


def test_a_limit_that_an_earlier_write_would_meet_is_refused(base: Path) -> None:
    program = 'printf 0123456789 >"$1/first"; printf ab >"$1/second"'
    baseline = baselines(Audited(("sh", "-c", program, "sh", "{dir}")), base)[0]
    first, second = (one for one in baseline.trace if one.op is Op.WRITE)
    cut = Fault(FaultClass.ERROR, Form.CUT, second.index, Op.WRITE, 1, errno.EFBIG, sticky=True)
    assert is_refusal(script_of(baseline, cut, VISIBLE))
    cut = Fault(FaultClass.ERROR, Form.CUT, first.index, Op.WRITE, 1, errno.EFBIG, sticky=True)
    assert not is_refusal(script_of(baseline, cut, VISIBLE))


def test_a_close_under_strace_says_that_it_does_not_close(direct: Baseline) -> None:
    close = next(one for one in direct.trace if one.op is Op.CLOSE)
    text = script_of(direct, Fault(FaultClass.ERROR, Form.ERRNO, close.index, Op.CLOSE, error=errno.EIO), VISIBLE)
    assert "the file stays open" in " ".join(text.split("\n# "))


def test_calls_that_are_seen_in_part_cannot_be_counted(base: Path) -> None:
    program = (
        "import fcntl, sys\n"
        "with open(sys.argv[1] + '/data', 'wb', 0) as file:\n"
        "    fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "    file.write(b'text')\n"
    )
    baseline = baselines(Audited((sys.executable, "-I", "-S", "-c", program, "{dir}")), base)[0]
    lock = next(one for one in baseline.trace if one.op is Op.LOCK)
    assert baseline.ordinals.of[lock.index] is None
    text = script_of(baseline, Fault(FaultClass.ERROR, Form.ERRNO, lock.index, Op.LOCK, error=errno.ENOLCK), VISIBLE)
    assert is_refusal(text)
    assert "counted" in text


def test_ordinals_count_the_calls_that_are_about_other_files(direct: Baseline, base: Path) -> None:
    assert len(direct.ordinals.of) == len(direct.trace)
    opened_here = next(one for one in direct.trace if one.op is Op.OPEN)
    ordinal = direct.ordinals.of[opened_here.index]
    assert ordinal is not None
    assert ordinal.call == opened_here.call
    # The C library and the script itself are opened before.
    assert ordinal.number > 2
    assert direct.ordinals.processes == 1
    assert ("0", "exit_group", 1) in direct.ordinals.totals


def test_a_fault_that_does_not_come_fails_the_script(direct: Baseline, tmp_path: Path) -> None:
    text = script_of(direct, fault_at_write(direct, Form.ERRNO, error=errno.EIO), VISIBLE)
    ran = run_script(text.replace(":when=", ":when=9"), tmp_path / "place")
    assert ran.returncode == 1
    assert b"nothing was injected" in ran.stderr


def test_a_directory_with_something_in_it_is_left_alone(direct: Baseline, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "precious").write_text("precious")
    file = tmp_path / "script.sh"
    file.write_text(script_of(direct, fault_at_write(direct, Form.KILL), VISIBLE))
    ran = subprocess.run(["sh", file, place], capture_output=True, timeout=30, check=False)
    assert ran.returncode == 2
    assert b"is not empty" in ran.stderr
    assert os.listdir(place) == ["precious"]


def test_a_script_goes_on_as_far_as_the_finding(tmp_path: Path, base: Path) -> None:
    recover = ("sh", "-c", 'rm -f "$1"/data; echo recovered >"$1/log"', "sh", "{dir}")
    program = write_program(tmp_path / "direct", DIRECT)
    baseline = baselines(Audited((str(program), "{dir}"), recover=recover), base)[0]
    kill = fault_at_write(baseline, Form.KILL)
    found = {}
    for finding in (VISIBLE, LEFT, UNHEALED):
        assert run_script(script_of(baseline, kill, finding), tmp_path / "place").returncode == 0
        directory = tmp_path / "place" / "directory"
        found[finding.kind] = {one.name: one.read_bytes() for one in directory.iterdir() if "another" not in one.name}
    assert found == {
        Kind.PARTIAL_VISIBLE: {"data": b""},
        Kind.ORPHAN_UNRECLAIMED: {"log": b"recovered\n"},
        Kind.NEVER_HEALS: {"log": b"recovered\n", "data": b"some bytes"},
    }


def test_the_start_is_made_again_with_odd_names_and_large_files(tmp_path: Path, base: Path) -> None:
    home = tmp_path / "a home, with 'odd' $names"
    start = home / "start"
    (start / "in\nside").mkdir(parents=True)
    (start / "in\nside" / os.fsdecode(b"\xff'\"")).write_bytes(b"kept")
    (start / "link").symlink_to("nowhere")
    size_bytes = EMBEDDED_BYTES_MAX + 1
    program = f'head -c {size_bytes} /dev/zero >"$1/large"; printf x >"$1/\nsmall \'"'
    what = Audited(("sh", "-c", program, "sh", "{dir}"), given=str(start), directory=str(home))
    baseline = next(one for one in baselines(what, base) if one.key.start is Start.OLD)
    (first,) = (one for one in baseline.trace if one.op is Op.OPEN and one.name == "large")
    text = script_of(baseline, Fault(FaultClass.ERROR, Form.ERRNO, first.index, Op.OPEN, error=errno.EIO), VISIBLE)
    # The program is left out, so that the start is what is there.
    ran = run_script(text.partition("\ncommand -v")[0], tmp_path / "place")
    assert ran.returncode == 0, ran.stderr
    made = {key: data for key, _, data in left(tmp_path / "place", baseline)}
    expected = {key: data for key, _, data in canonical(baseline.old, baseline)}
    assert len(made.pop("large")) == len(expected.pop("large"))
    assert made == expected
    assert os.fsdecode(b"in\nside/\xff'\"") in made


_WORD = st.lists(
    st.sampled_from(["{dir}", "'", '"', "$", "`", "\\", "\n", " ", "*", "-", "~", "a", "{", "}", "\udcff"]), max_size=6
).map("".join)


@settings(max_examples=25, deadline=None)
@given(st.lists(_WORD, min_size=1, max_size=6))
def test_the_shell_reads_arguments_as_the_audit_gives_them(words: list[str]) -> None:
    directory = "/a directory"
    command = " ".join(["dir='/a directory'; printf '%s\\0'", *map(in_directory, words)])
    ran = subprocess.run(["sh", "-c", os.fsencode(command)], capture_output=True, check=True)
    expected = with_directory(words, directory)
    assert ran.stdout == b"".join(os.fsencode(word) + b"\0" for word in expected)


def test_an_audit_writes_scripts_that_can_be_run(tmp_path: Path) -> None:
    write_program(tmp_path / "direct", DIRECT)
    report = audit(tmp_path, "--class", "kill", "--scripts", "scripts", "--", "./direct", "{dir}")
    jsonschema.validate(report, schema())
    assert report["violations"]
    for violation in report["violations"]:
        file = tmp_path / "scripts" / f"{violation['id']}.sh"
        assert file.read_text("utf-8") == violation["script"]
        ran = subprocess.run([file, tmp_path / violation["id"]], capture_output=True, timeout=30, check=False)
        assert ran.returncode == 0, ran.stderr
        assert (tmp_path / violation["id"] / "directory" / "data").read_bytes() == b""
    refused = faultinject("audit", "--scripts", "scripts", "--", "./direct", "{dir}", directory=tmp_path, code=2)
    assert "not empty" in refused.stderr
