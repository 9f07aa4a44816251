"""The commands that only read: inspect, verify, ls, lookup. None of them changes a byte of a directory."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from kvformat.cli import main
from kvformat.commands.inputs import _seekable
from kvformat.filesystem import OsFileSystem
from kvformat.testing import broken_files, files
from tests.kvformat.cli_runner import put, run, run_json, schema, validator
from tests.kvformat.samples import PLAIN, PLAIN_NAME, SESSION, SESSION_NAME, Pipe, patched

READING = ("inspect", "verify", "ls", "lookup")
WRITING = ("save", "touch", "tool-map", "recover", "rm")
JSON_COMMANDS = ("inspect", "verify", "ls", "save", "lookup", "recover")
TEMP = ".kvc-save-0123456789abcdef0123456789abcdef.tmp"
FOREIGN = f"{PLAIN_NAME}.tmp.\x1b[31m\n42"
ODD = os.fsdecode(b"odd [red]\x1b[2J\n\xff.txt")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two good entries, a damaged one, one in upper case, a FIFO, temps of both kinds, something else."""
    where = tmp_path / "store"
    where.mkdir()
    put(where / PLAIN_NAME, PLAIN)
    put(where / SESSION_NAME, patched(SESSION, 32, (2**64 - 1).to_bytes(8, "little")))
    put(where / f"{'0' * 40}.kv", PLAIN[:50])
    put(where / PLAIN_NAME.upper().replace(".KV", ".kv"), PLAIN)
    os.mkfifo(where / f"{'f' * 40}.kv")
    put(where / TEMP, b"")
    put(where / FOREIGN, b"")
    put(where / ODD, b"")
    return where


# --- the group ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [None, *READING, *WRITING])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_examples_and_exit_codes(command: str | None, option: str) -> None:
    shown = run(*([command] if command else []), option).stdout
    assert "Examples:" in shown
    assert "Exit codes: 0" in shown


def test_version() -> None:
    assert re.fullmatch(r"kvformat, version \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("args", [["--\x1b[31m"], ["\x1b[31m"], ["ls", "--sort", "\x1b[31m", "d"], ["inspect"], ["ls"]])
def test_wrong_use(args: list[str]) -> None:
    assert run(*args, exit_code=2).stdout == ""


def test_schemas_agree_on_what_they_share() -> None:
    shared: dict[str, Any] = {}
    for command in (*JSON_COMMANDS, "tool-map"):
        validator(command)
        for name, definition in schema(command).get("$defs", {}).items():
            assert shared.setdefault(name, definition) == definition
    for command in JSON_COMMANDS:
        assert schema(command)["$id"] == f"urn:kvformat:{command}:1"


def test_a_document_of_another_command_is_not_valid(directory: Path) -> None:
    assert not validator("verify").is_valid(run_json("ls", directory))


# --- inspect -----------------------------------------------------------------------------------------------------


def test_inspect_shows_the_example_of_the_specification(tmp_path: Path) -> None:
    shown = run("inspect", put(tmp_path / SESSION_NAME, SESSION)).stdout
    for expected in (
        r"size +90 bytes",
        r"profile +ds4-abi0",
        r"name +the one that the content calls for",
        r'title +"Demo"',
        r" 5  reason +6  agent-session",
        r" 6  flags +0x09  tool-map, session-title",
        r"24  created +1700000000  2023-11-14T22:13:20Z",
        r"tool map +60 +22",
        r"title +82 +8",
        r'0  "c1" +4',
        r"  Hi \\xc3",
        r"\[KVC-TEXT-2\]",
        r"no clause is broken",
    ):
        assert re.search(expected, shown), expected
    assert max(map(len, shown.splitlines()[1:])) <= 80


def test_inspect_as_json(tmp_path: Path) -> None:
    path = put(tmp_path / SESSION_NAME, SESSION)
    document = run_json("inspect", path)
    assert document["path"] == {"utf8": str(path)}
    assert (document["ok"], document["usable"], document["identity"]) == (True, True, "matches")
    assert document["expected_name"] == SESSION_NAME
    assert document["header"]["flag_names"] == ["tool-map", "session-title"]
    assert [field["offset"] for field in document["fields"]] == [0, 3, 4, 5, 6, 7, 8, 12, 16, 20, 21, 24, 32, 40, 48]
    assert sum(region["bytes"] for region in document["regions"]) == document["size_bytes"] == 90
    assert document["text"] == {"bytes": 4, "start": {"base64": "SGkgww=="}, "end": None}
    assert document["tool_map"] == [{"id": {"utf8": "c1"}, "block_bytes": 4}]
    assert document["title"] == {"utf8": "Demo"}


def test_inspect_reads_standard_input(tmp_path: Path) -> None:
    document = run_json("inspect", "-", stdin=SESSION)
    assert (document["path"], document["identity"]) == (None, "not-checked")
    assert document["expected_name"] == SESSION_NAME
    assert "the content calls for " + SESSION_NAME in run("inspect", "-", stdin=SESSION).stdout
    with _seekable(Pipe(SESSION)) as kept:  # type: ignore[arg-type]
        assert kept.read() == SESSION


def test_inspect_names_the_identity(tmp_path: Path) -> None:
    assert "NOT the one" in run("inspect", put(tmp_path / f"{'0' * 40}.kv", PLAIN), exit_code=1).stdout
    assert "KVC-NAME-4" in run("inspect", put(tmp_path / "sysprompt.kv", PLAIN)).stdout
    assert f"calls for {PLAIN_NAME}" in run("inspect", put(tmp_path / "copy", PLAIN)).stdout


def test_inspect_of_a_long_text_shows_both_ends(tmp_path: Path) -> None:
    text = b"first\n" + "ä".encode() * 40_000 + b"last"
    data = patched(PLAIN, 48, len(text).to_bytes(4, "little"))[:52] + text + PLAIN[56:]
    path = put(tmp_path / (hashlib.sha1(text).hexdigest() + ".kv"), data)
    document = run_json("inspect", path)
    assert document["text"]["start"]["utf8"].startswith("first\nä")
    assert document["text"]["end"]["utf8"].endswith("ä" + "last")
    shown = run("inspect", path).stdout
    assert "  first\\n\n" in shown
    assert "last\n" in shown
    assert max(map(len, shown.splitlines()[1:])) <= 80


def test_inspect_of_what_is_no_file(tmp_path: Path) -> None:
    os.symlink(put(tmp_path / "file", PLAIN), tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        assert "KVC-NAME-7" in run("inspect", tmp_path / name, exit_code=1).stdout
        assert run_json("inspect", tmp_path / name, exit_code=1)["header"] is None
    assert "Is a directory" in run("inspect", tmp_path, exit_code=2).stderr
    assert "No such file" in run("inspect", tmp_path / ODD, exit_code=2).stderr


def test_inspect_of_any_truncation_says_what_is_broken() -> None:
    for size_bytes in range(len(SESSION)):
        document = run_json("inspect", "-", stdin=SESSION[:size_bytes], exit_code=1)
        shown = run("inspect", "-", stdin=SESSION[:size_bytes], exit_code=1).stdout
        assert document["problems"]
        assert all(problem["clause"] in shown for problem in document["problems"])
        assert (document["header"] is not None) == (size_bytes >= 52)


@pytest.mark.parametrize("value", [0, 0xFF])
def test_inspect_of_any_header_byte_changed(value: int) -> None:
    for offset in range(52):
        data = patched(SESSION, offset, bytes((value,)))
        result = CliRunner().invoke(main, ["inspect", "-", "--json"], input=data)
        assert result.exit_code in (0, 1), result.output
        document = json.loads(result.stdout)
        validator("inspect").validate(document)
        assert (result.exit_code == 0) == (document["problems"] == [])
        shown = run("inspect", "-", stdin=data, exit_code=result.exit_code).stdout
        assert max(map(len, shown.splitlines())) <= 80


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(st.one_of(files(max_trailing_bytes=3), broken_files().map(lambda broken: broken.data)))
def test_inspect_and_verify_agree_on_any_file(data: bytes) -> None:
    result = CliRunner().invoke(main, ["inspect", "-"], input=data)
    assert result.exit_code in (0, 1), result.output
    document = run_json("inspect", "-", stdin=data, exit_code=result.exit_code)
    assert all(character.isprintable() or character == "\n" for character in result.output)
    assert document["ok"] == (result.exit_code == 0)
    # In cells of the terminal: a combining mark takes none, and a character of Chinese two.
    assert max(map(cell_len, result.output.splitlines())) <= 80


def test_inspect_cuts_a_long_tool_map_for_people_only(tmp_path: Path) -> None:
    entry = bytes.fromhex("0200000001000000") + b"\x1b[x"
    data = PLAIN[:60] + b"KTM\x01" + (30).to_bytes(4, "little") + entry * 30
    shown = run("inspect", "-", stdin=data).stdout
    assert shown.count('"\\x1b["') == 20
    assert "and 10 more" in shown
    assert len(run_json("inspect", "-", stdin=data)["tool_map"]) == 30


# --- verify ------------------------------------------------------------------------------------------------------


def test_verify_of_a_directory(directory: Path) -> None:
    result = run("verify", directory, exit_code=1)
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert f"{'0' * 40}.kv: truncated: header at offset 50: " in lines[0]
    assert lines[0].endswith("[KVC-FILE-3]")
    assert [line[-12:] for line in lines[1:3]] == ["[KVC-NAME-6]", "[KVC-NAME-7]"]
    assert lines[3].startswith("5 files: 2 good, 3 broken (")
    document = run_json("verify", directory, exit_code=1)
    assert document["summary"] == {"files": 5, "good": 2, "broken": 3, "unreadable": 0}
    assert [file["identity_checked"] for file in document["files"] if file["ok"]] == [True, True]


def test_verify_of_good_files(tmp_path: Path) -> None:
    path = put(tmp_path / SESSION_NAME, SESSION + b"tail")
    lines = run("verify", path, tmp_path).stdout.splitlines()
    assert lines[0] == f"{path}: note: 4 bytes stand behind the last section [KVC-FILE-5]"
    assert lines[2].startswith("2 files: 2 good")
    assert run("verify", "--quiet", path).output == ""
    copied = run("verify", put(tmp_path / "copy", PLAIN), put(tmp_path / "sysprompt.kv", PLAIN)).stdout
    assert "[KVC-NAME-1]" in copied
    assert "[KVC-NAME-4]" in copied


def test_verify_goes_on_behind_what_cannot_be_read(tmp_path: Path) -> None:
    broken = put(tmp_path / "broken", b"KVC")
    result = run("verify", tmp_path / ODD, broken, exit_code=2)
    assert result.stderr == f"{tmp_path}/odd [red]\\x1b[2J\\n\\xff.txt: No such file or directory\n"
    assert "2 files: 0 good, 1 broken, 1 unreadable" in result.stdout
    assert run("verify", "-q", broken, exit_code=1).output == ""
    document = run_json("verify", tmp_path / ODD, broken, exit_code=2)
    assert "base64" in document["files"][0]["path"]
    assert document["files"][0]["error"] == "No such file or directory"
    run("verify", "-q", "--json", broken, exit_code=2)


def test_verify_of_an_empty_directory(tmp_path: Path) -> None:
    assert run("verify", tmp_path).stdout == "0 files: 0 good\n"


def test_verify_under_a_profile(tmp_path: Path) -> None:
    path = put(tmp_path / PLAIN_NAME, PLAIN)
    assert "[KVC-PROFILE-3]" in run("verify", "--profile", "ds4-abi2", path, exit_code=1).stdout
    assert "header.byte20" in run("inspect", "--profile", "ds4-abi2", path, exit_code=1).stdout


def test_what_the_system_does_not_read_is_told_apart(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = OsFileSystem.open

    def refuse(self: OsFileSystem, name: str, flags: int, mode: int = 0o600) -> int:
        if name == PLAIN_NAME:
            raise PermissionError(13, "Permission denied", name)
        return real(self, name, flags, mode)

    monkeypatch.setattr(OsFileSystem, "open", refuse)
    assert f"{PLAIN_NAME}: Permission denied" in run("verify", directory, exit_code=2).stderr
    assert f"unreadable  {PLAIN_NAME}: Permission denied" in run("ls", directory).stdout
    assert run_json("ls", directory)["unreadable"] == [{"name": PLAIN_NAME, "error": "Permission denied"}]


# --- ls ----------------------------------------------------------------------------------------------------------


def test_ls(directory: Path) -> None:
    lines = run("ls", directory).stdout.splitlines()
    assert lines[1].split() == [PLAIN_NAME, "2", "4,096", "0", "82", "B"]
    assert lines[2] == '  4-bit agent-session, used 2023-11-14T22:13:20Z "Hi \\xc3"'
    assert lines[3].startswith(SESSION_NAME)
    assert lines[4] == '  4-bit agent-session, used at 18446744073709551615 s "Hi \\xc3"'
    assert [line.split()[0] for line in lines[5:-1]] == ["damaged"] * 3 + ["temp", "foreign"]
    assert f"{PLAIN_NAME}.tmp.\\x1b[31m\\n42" in lines[-2]
    assert lines[-1] == "2 entries, 172 bytes; 3 damaged; 1 temp; 1 temp of other programs; 1 other"
    assert all(len(line) <= 80 for line in lines[:5])


def test_ls_as_json(directory: Path) -> None:
    document = run_json("ls", directory)
    assert [entry["answers_prompts"] for entry in document["entries"]] == [True, False]
    assert document["entries"][1]["header"]["last_used"] == 2**64 - 1
    assert document["entries"][1]["header"]["last_used_utc"] is None
    assert [one["problem"]["clause"] for one in document["damaged"]] == ["KVC-FILE-3", "KVC-NAME-6", "KVC-NAME-7"]
    assert (document["temps"], document["foreign_temps"]) == ([TEMP], [{"utf8": FOREIGN}])
    assert (document["others"], document["totals"]) == (1, {"entries": 2, "bytes": 172})


@pytest.mark.parametrize(("sort", "first"), [("size", 1), ("last-used", 1), ("name", 0), ("tokens", 0)])
def test_ls_sorts(directory: Path, sort: str, first: int) -> None:
    entries = run_json("ls", directory, "--sort", sort)["entries"]
    assert entries[0]["name"] == (PLAIN_NAME, SESSION_NAME)[first]


def test_ls_of_what_is_no_directory(tmp_path: Path) -> None:
    assert "Not a directory" in run("ls", put(tmp_path / "file", b""), exit_code=2).stderr
    assert "No such file" in run("ls", tmp_path / ODD, exit_code=2).stderr


def test_ls_of_an_entry_that_is_removed_meanwhile(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = OsFileSystem.open
    opened: set[str] = set()

    def gone_at_second_sight(self: OsFileSystem, name: str, flags: int, mode: int = 0o600) -> int:
        if name in opened:
            raise FileNotFoundError(2, "No such file or directory", name)
        opened.add(name)
        return real(self, name, flags, mode)

    monkeypatch.setattr(OsFileSystem, "open", gone_at_second_sight)
    assert "text not readable: No such file" in run("ls", directory).stdout
    opened.clear()
    assert run_json("ls", directory)["entries"][0]["text_start"] is None


# --- lookup ------------------------------------------------------------------------------------------------------


def test_lookup(directory: Path, tmp_path: Path) -> None:
    prompt = put(tmp_path / "prompt", PLAIN[52:56] + b"more")
    assert run("lookup", directory, "--prompt", prompt).stdout.splitlines() == [
        str(directory / PLAIN_NAME),
        "  2 tokens for 4 of 8 bytes of the prompt",
    ]
    document = run_json("lookup", directory, "--prompt", "-", stdin=PLAIN[52:56])
    assert (document["found"], document["entry"]["name"], document["prompt_bytes"]) == (True, PLAIN_NAME, 4)


@pytest.mark.parametrize(
    "options", [["--context-tokens", "4095"], ["--model-id", "1"], ["--quantisation", "2"], ["--payload-abi", "2"]]
)
def test_lookup_that_finds_nothing(directory: Path, options: list[str]) -> None:
    result = run("lookup", directory, "--prompt", "-", *options, stdin=PLAIN[52:56], exit_code=1)
    assert result.stdout == ""
    assert "no entry" in result.stderr
    document = run_json("lookup", directory, "--prompt", "-", *options, stdin=PLAIN[52:56], exit_code=1)
    assert (document["found"], document["entry"]) == (False, None)


def test_lookup_without_a_prompt(directory: Path, tmp_path: Path) -> None:
    assert "Is a directory" in run("lookup", directory, "--prompt", tmp_path, exit_code=2).stderr
    assert "No such file" in run("lookup", directory, "--prompt", tmp_path / "none", exit_code=2).stderr


# --- nothing is changed ------------------------------------------------------------------------------------------


def _forbidden(*_args: object, **_kwargs: object) -> None:
    raise AssertionError("a command that only reads has called what changes a directory")


def test_reading_commands_change_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in ("open_unnamed", "link_unnamed", "pwrite", "copy_range", "rename", "unlink", "try_lock", "lock"):
        monkeypatch.setattr(OsFileSystem, call, _forbidden)
    real = OsFileSystem.open

    def read_only(self: OsFileSystem, name: str, flags: int, mode: int = 0o600) -> int:
        assert flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC) == os.O_RDONLY
        return real(self, name, flags, mode)

    monkeypatch.setattr(OsFileSystem, "open", read_only)
    before = {path.name: path.lstat().st_mtime_ns for path in directory.iterdir()}
    run("ls", directory)
    run("verify", directory, exit_code=1)
    run("inspect", directory / PLAIN_NAME)
    run("lookup", directory, "--prompt", "-", stdin=PLAIN[52:56])
    assert {path.name: path.lstat().st_mtime_ns for path in directory.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only directory")
def test_reading_commands_work_on_a_read_only_directory(directory: Path) -> None:
    directory.chmod(0o555)
    run("ls", directory)
    run("lookup", directory, "--prompt", "-", stdin=PLAIN[52:56])
    directory.chmod(0o000)
    assert "Permission denied" in run("ls", directory, exit_code=2).stderr
    directory.chmod(0o755)
