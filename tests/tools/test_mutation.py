"""The mutation tool notices what tests notice, says what they do not, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import broken_code, mutation

ROOT = Path(__file__).resolve().parents[2]

SOURCE = "def double(number: int | None = 2) -> int | None:\n    return number * 2\n"


def test_annotations_are_not_mutated() -> None:
    changed = [broken_code.mutated(SOURCE, mutant) for mutant in broken_code.mutants(SOURCE)]
    assert changed
    assert all(one.count("int | None") == 2 for one in changed)
    assert any("number + 2" in one for one in changed)


def test_a_sample_is_the_same_for_a_seed_and_has_one_mutant_of_each_site() -> None:
    found = broken_code.mutants((ROOT / "kvformat/transfer.py").read_text(encoding="utf-8"))
    drawn = broken_code.chosen(found, 1, None)
    assert drawn == broken_code.chosen(found, 1, None)
    assert {one.site for one in drawn} == {one.site for one in found}
    assert len({one.site for one in drawn}) == len(drawn)
    assert len(broken_code.chosen(found, 1, 5)) == 5


def test_a_mutant_that_changes_nothing_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="changes nothing"):
        broken_code.mutated(SOURCE, broken_code.Mutant("core/AddNot", 99, (1, 0), (1, 1)))


def test_a_change_is_known_again_when_lines_move() -> None:
    one = broken_code.change("a.py", "x = 1\n", "x = 2\n")
    other = broken_code.change("a.py", "\n\nx = 1\n", "\n\nx = 2\n")
    assert one == other == "a.py <module>\n- x = 1\n+ x = 2"


TWINS = """\
class A:
    def f(self):
        x = 1
        x = 1

    def g(self):
        x = 1
"""


@pytest.mark.parametrize(("line", "where"), [(2, "A.f #1"), (3, "A.f #2"), (6, "A.g")])
def test_equal_lines_of_a_module_are_told_apart(line: int, where: str) -> None:
    """A reason for one of them excuses no other."""
    lines = TWINS.splitlines()
    lines[line] = "        x = 2"
    assert broken_code.change("a.py", TWINS, "\n".join(lines)) == f"a.py {where}\n- x = 1\n+ x = 2"


def test_a_line_that_is_taken_out_names_its_mutant_too() -> None:
    assert broken_code.change("a.py", "@cache\ndef f():\n    pass\n", "def f():\n    pass\n") == "a.py <module>\n- @cache"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[[mutant]]\nchange = "a.py"\nwhy = " "\n', "number 1: it needs"),
        ('[[mutant]]\nchange = "a.py"\n', "number 1: it needs"),
        ('[[mutant]]\nchange = "a.py"\nwhy = 3\n', "number 1: it needs"),
        ('[[mutant]]\nchange = "a.py"\nwhy = "w"\nmore = "m"\n', "number 1: it needs"),
        ("mutant = [1]\n", "number 1: it needs"),
        ("mutant = 1\n", "only tables"),
        ('[[mutants]]\nchange = "a.py"\nwhy = "w"\n', "only tables"),
        (
            '[[mutant]]\nchange = "a"\nwhy = "w"\n[[mutant]]\nchange = "a"\nwhy = "w"\n',
            "number 2: this change is stated",
        ),
        ("[[mutant", "equivalent.toml: "),
        ("\udcff", "equivalent.toml: "),
        (None, "No such file"),
    ],
)
def test_what_is_stated_wrongly_is_told_and_nothing_runs(
    content: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "equivalent.toml"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    monkeypatch.setattr(mutation, "EQUIVALENT", path)
    assert mutation.main(["kvformat/rules.py"]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.out == ""


def test_what_the_repository_states_is_stated_well_and_of_today() -> None:
    assert mutation.outdated(mutation.stated(mutation.EQUIVALENT), ROOT) == []


@pytest.mark.parametrize("change", ["a.py f\n- y = 1\n+ y = 2", "b.py f\n- x = 1\n+ x = 2", "a.py f\n+ x = 1"])
def test_a_reason_for_a_line_that_is_gone_is_found(change: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    assert mutation.outdated([change, "a.py f\n- x = 1\n+ x = 2"], tmp_path) == [change]


def test_every_target_exists() -> None:
    for target in mutation.TARGETS:
        assert all((ROOT / path).is_file() for path in (target.path, *target.tests))


@pytest.mark.parametrize("arguments", [["no/such.py"], ["--sample", "0"], ["--jobs", "-1"], ["--seed", "x"]])
def test_wrong_use_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        mutation.main(arguments)
    assert caught.value.code == 2
    assert "usage: " in capsys.readouterr().err


LOOKING = "from a import double\n\n\ndef test_double():\n    assert double(3) == 6\n    assert double() == 4\n"
BLIND = "import a\n\n\ndef test_blind():\n    assert a\n"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one module and one test, which each test writes as it likes."""
    root = tmp_path / "small"
    root.mkdir()
    (root / "a.py").write_text(SOURCE)
    (root / "equivalent.toml").touch()
    monkeypatch.setattr(mutation, "ROOT", root)
    monkeypatch.setattr(mutation, "EQUIVALENT", root / "equivalent.toml")
    monkeypatch.setattr(mutation, "TARGETS", (mutation.Target("a.py", ("test_a.py",)),))
    return root


def test_noticed_mutants_are_status_0(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small / "test_a.py").write_text(LOOKING)
    assert mutation.main(["--sample", "2"]) == 0
    shown = capsys.readouterr()
    assert "| a.py | 2 | " in shown.out
    assert shown.out.splitlines()[-1].endswith("| 2 | 0 | 0 | 0 |")
    assert shown.err.splitlines() == ["a.py 1/2 killed", "a.py 2/2 killed"]
    assert (small / "a.py").read_text() == SOURCE


def test_a_survivor_is_status_1_until_it_is_stated(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small / "test_a.py").write_text(BLIND)
    assert mutation.main(["--sample", "1"]) == 1
    survivor, table = capsys.readouterr().out.strip().split("\n\n")
    assert table.endswith("| 0 | 0 | 0 | 1 |")
    (small / "equivalent.toml").write_text(f"[[mutant]]\nchange = '''\n{survivor}\n'''\nwhy = 'nobody calls it'\n")
    assert mutation.main(["--sample", "1"]) == 0
    assert capsys.readouterr().out.strip().endswith("| 0 | 0 | 1 | 0 |")
    (small / "a.py").write_text(SOURCE.replace("number", "n"))
    assert mutation.main(["--sample", "1"]) == 2
    assert survivor in capsys.readouterr().err


def test_tests_that_fail_anyway_measure_nothing(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small / "test_a.py").write_text("def test_fails():\n    raise AssertionError\n")
    assert mutation.main([]) == 2
    shown = capsys.readouterr()
    assert "a.py: without any mutant its tests fail" in shown.err
    assert shown.out == ""


def test_a_mutant_that_hangs_is_a_timeout(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / "test_a.py").write_text("import time\n\n\ndef test_hangs():\n    time.sleep(99)\n")
    run = mutation.Run(small, 0, None, {})
    start = time.monotonic()
    assert run.passes(["test_a.py"], small, 1) is None
    assert time.monotonic() - start < 20


_INTERRUPTED = """
import sys, tempfile
from pathlib import Path
from tools import mutation
mutation.ROOT = Path(sys.argv[1])
mutation.EQUIVALENT = mutation.ROOT / "equivalent.toml"
mutation.TARGETS = (mutation.Target("a.py", ("test_a.py",)),)
sys.exit(mutation.main([]))
"""


def test_after_ctrl_c_no_process_and_no_copy_stays(small: Path, tmp_path: Path) -> None:
    pid_file, scratch = tmp_path / "pid", tmp_path / "scratch"
    scratch.mkdir()
    (small / "test_a.py").write_text(
        "import os, pathlib, time\n\n\ndef test_waits():\n"
        f"    part = pathlib.Path({str(pid_file)!r} + 't')\n    part.write_text(str(os.getpid()))\n"
        f"    part.rename({str(pid_file)!r})\n    time.sleep(99)\n"
    )
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _INTERRUPTED, str(small)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        end = time.monotonic() + 30
        while not pid_file.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        assert any(scratch.iterdir())  # the copy is there
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "| a.py | 0 |" in out
    assert err == "mutation: interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_a_real_module_is_broken_and_its_tests_notice() -> None:
    score = mutation.Score(mutation.Target("kvformat/identity.py", ("tests/kvformat/test_identity.py",)))
    mutation.Run(ROOT, 0, 3, {}).test(score)
    assert score.outcomes.total() == 3
    assert score.outcomes[mutation.KILLED] > 0
