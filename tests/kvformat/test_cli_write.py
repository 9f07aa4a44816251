"""The commands that change a directory: save, touch, tool-map, recover, rm."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvformat.commands import progress as progress_module
from kvformat.commands.progress import SaveProgress
from kvformat.commands.tool_map_file import ToolMapError, parse_tool_map
from kvformat.errors import SaveError
from kvformat.filesystem import OsFileSystem
from kvformat.model import ToolEntry
from kvformat.options import Strategy
from kvformat.reader import open_kvc
from kvformat.store import Store
from kvformat.temp_names import TempKind
from tests.kvformat.cli_runner import put, run, run_json, validator
from tests.kvformat.samples import PLAIN, PLAIN_NAME, SESSION, SESSION_NAME

HELLO = "070cd610b0b2e1c06c0e938f2ec10811fc31fe22.kv"
ABSENT = f"{'0' * 40}.kv"
TEMP = ".kvc-save-0123456789abcdef0123456789abcdef.tmp"


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """What `save` needs besides a directory, for the text of spec/kvc.md, 4.4."""
    text = put(tmp_path / "text", b"Hello, KVC")
    payload = put(tmp_path / "payload", bytes(range(256)) * 20)
    return ["--text", str(text), "--payload", str(payload), "--tokens", "3"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    where = tmp_path / "store"
    where.mkdir()
    put(where / PLAIN_NAME, PLAIN)
    put(where / SESSION_NAME, SESSION)
    return where


# --- save --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temp", list(TempKind))
@pytest.mark.parametrize("strategy", [None, *Strategy])
def test_save(tmp_path: Path, inputs: list[str], strategy: Strategy | None, temp: TempKind) -> None:
    where = tmp_path / "new" / "store"
    chosen = [] if strategy is None else ["--strategy", strategy]
    result = run("save", where, *inputs, *chosen, "--temp", temp, "--create", "--not-durable", "--reason", "evict")
    assert f"saved     {where / HELLO}" in result.stdout
    assert f"strategy  {strategy or Strategy.DIRECT}" in result.stdout
    assert "durable   NO" in result.stdout
    assert result.stderr == ""
    assert os.listdir(where) == [HELLO]
    with open_kvc(where / HELLO) as reader:
        assert (reader.header.tokens, reader.header.reason, reader.text) == (3, 3, b"Hello, KVC")
        assert reader.payload.read() == bytes(range(256)) * 20


def test_save_with_everything(directory: Path, inputs: list[str], tmp_path: Path) -> None:
    tool_map = put(tmp_path / "tools.json", b'[{"id": "c1", "block_base64": "/w=="}]')
    title = os.fsdecode(b"Demo\x1b\xff")
    options = ["--quantisation", "2", "--context-tokens", "9", "--profile", "ds4-abi2", "--model-id", "7"]
    document = run_json(
        "save", directory, *inputs, *options, "--tool-map", tool_map, "--title", title, "--created", "1700000000"
    )
    assert document["saved"]
    assert document["durable"]
    with open_kvc(directory / document["name"]) as reader:
        header = reader.header
        assert (header.quantisation_bits, header.context_tokens, header.byte7, header.byte20) == (2, 9, 7, 2)
        assert (header.created, reader.title()) == (1_700_000_000, b"Demo\x1b\xff")
        assert reader.tool_map() == (ToolEntry(b"c1", b"\xff"),)


def test_save_under_a_fixed_name_from_standard_input(directory: Path, inputs: list[str]) -> None:
    inputs[3] = "-"
    document = run_json("save", directory, *inputs, "--name", "sysprompt.kv", "--strategy", "staged", stdin=b"state")
    assert (document["name"], document["payload_bytes"]) == ("sysprompt.kv", 5)


def test_save_within_a_budget(directory: Path, inputs: list[str]) -> None:
    assert "evicted " in run("save", directory, *inputs, "--budget", "5300").stdout
    assert len(os.listdir(directory)) == 2
    assert len(run_json("save", directory, *inputs, "--budget", "0")["evicted"]) == 1
    assert os.listdir(directory) == [HELLO]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model-id", "7"], "KVC-HEADER-9"),
        (["--title", "t" * 65_537], "KVC-TITLE-3"),
        (["--tokens", "0"], "--tokens"),
        (["--payload", "/dev/null", "--strategy", "direct"], "KVS-DIRECT-1"),
        (["--payload", "empty"], "KVC-PAYLOAD-2"),
        (["--payload", "absent"], "absent: No such file"),
        (["--payload", "."], ".: Is a directory"),
        (["--text", "absent"], "absent: No such file"),
        (["--text", "-", "--payload", "-"], "only one of"),
        (["--tool-map", "empty"], "empty: not JSON"),
        (["--name", PLAIN_NAME], "--name"),
    ],
)
def test_a_save_that_is_refused(
    directory: Path, inputs: list[str], options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory.parent)
    put(Path("empty"), b"")
    put(directory / TEMP, b"")
    before = sorted(os.listdir(directory))
    result = run("save", directory, *inputs, *options, exit_code=2)
    assert said in result.stderr
    assert sorted(os.listdir(directory)) == before  # refused before the directory was opened, and recovered


def test_a_save_into_what_is_not_there(tmp_path: Path, inputs: list[str]) -> None:
    assert "--create makes it" in run("save", tmp_path / "none", *inputs, exit_code=2).stderr
    assert "Not a directory" in run("save", put(tmp_path / "file", b""), *inputs, exit_code=2).stderr
    assert "Not a directory" in run("save", tmp_path / "file", *inputs, "--create", exit_code=2).stderr


def test_a_save_that_fails(directory: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: OsFileSystem) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OsFileSystem, "sync_directory", full)
    result = run("save", directory, *inputs, exit_code=1)
    assert result.stderr == (
        f"Error: the save failed: {HELLO}: fsync directory at offset 5182: No space left on device; "
        "the new content IS visible under this name\n"
    )
    document = run_json("save", directory, *inputs, exit_code=1)
    assert (document["saved"], document["visible"], document["operation"]) == (False, True, "fsync directory")


def test_a_save_of_nothing_from_a_pipe_fails(directory: Path, inputs: list[str], tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    if os.fork() == 0:
        os.close(os.open(fifo, os.O_WRONLY))
        os._exit(0)
    inputs[3] = str(fifo)
    assert "KVC-PAYLOAD-2" in run("save", directory, *inputs, exit_code=1).stderr
    assert sorted(os.listdir(directory)) == sorted([PLAIN_NAME, SESSION_NAME])
    os.wait()


def test_failures_to_evict_are_mentioned(directory: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Store, name: str, *, durable: bool = True) -> None:
        raise SaveError("busy \x1b[31m", name=name, operation="unlink")

    monkeypatch.setattr(Store, "remove", fail)
    result = run("save", directory, *inputs, "--budget", "0")
    assert result.stderr.count("not evicted: ") == 2
    assert len(run_json("save", directory, *inputs, "--budget", "0")["eviction_failures"]) == 2


def test_progress_is_for_terminals_and_patience(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_module, "SHOWN_AFTER_SECONDS", 0.0)
    with SaveProgress(100) as silent:
        silent(50)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with SaveProgress(100) as shown:
        shown(50)
        shown(100)
    err = capsys.readouterr().err
    assert "saving" in err
    assert "finishing" in err
    monkeypatch.setattr(progress_module, "SHOWN_AFTER_SECONDS", 60.0)
    with SaveProgress(None) as early:
        early(50)
    assert capsys.readouterr().err == ""


# --- touch, tool-map, rm -----------------------------------------------------------------------------------------


def test_touch(directory: Path) -> None:
    shown = run("touch", directory, PLAIN_NAME, "--hits-added", "4", "--last-used", "1700000001").stdout
    assert shown == f"{PLAIN_NAME}: 4 hits, last used 2023-11-14T22:13:21Z\n"
    shown = run("touch", directory, PLAIN_NAME, "--hits-added", "0", "--last-used", str(2**64 - 1)).stdout
    assert shown == f"{PLAIN_NAME}: 4 hits, last used at 18446744073709551615 s\n"
    assert "5 hits" in run("touch", directory, PLAIN_NAME, "--not-durable").stdout


@pytest.mark.parametrize("command", [["touch"], ["tool-map", "--remove"]])
def test_updates_of_what_is_damaged_or_absent(directory: Path, command: list[str]) -> None:
    put(directory / ABSENT, PLAIN[:55])
    result = run(*command, directory, ABSENT, exit_code=1)
    assert "KVC-FILE-3" in result.stderr
    assert "nothing was changed" in result.stderr
    os.unlink(directory / ABSENT)
    result = run(*command, directory, ABSENT, exit_code=1)
    assert "No such file" in result.stderr
    assert "nothing changed under this name" in result.stderr
    assert "KVC-PROFILE-3" in run(*command, directory, PLAIN_NAME, "--profile", "ds4-abi3", exit_code=1).stderr


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a\x1b\n", "40 hexadecimal digits"), (ABSENT[:-3], f"did you mean {ABSENT}?"), (f"d/{ABSENT}", "the name alone")],
)
def test_only_entries_are_changed(directory: Path, name: str, hint: str) -> None:
    for command in (["touch"], ["rm"], ["tool-map", "--remove"]):
        result = run(*command, directory, name, exit_code=2)
        assert "KVC-NAME-5" in result.stderr
        assert hint in result.stderr


def test_tool_map(directory: Path) -> None:
    tools = json.dumps([{"id": "a", "block": "é"}, {"id": "a", "block": "]"}]).encode()
    shown = run("tool-map", directory, SESSION_NAME, "--set", "-", stdin=tools).stdout
    assert shown == f"{SESSION_NAME}: a tool map of 2 entries, 97 bytes, durable\n"
    with open_kvc(directory / SESSION_NAME) as reader:
        assert reader.tool_map() == (ToolEntry(b"a", "é".encode()), ToolEntry(b"a", b"]"))
        assert reader.title() == b"Demo"
    shown = run("tool-map", directory, SESSION_NAME, "--remove", "--not-durable").stdout
    assert shown == f"{SESSION_NAME}: no tool map, 68 bytes, NOT durable\n"
    run("tool-map", directory, SESSION_NAME, exit_code=2)
    run("tool-map", directory, SESSION_NAME, "--remove", "--set", "-", exit_code=2)
    refused = run("tool-map", directory, SESSION_NAME, "--set", "-", stdin=b'[{"id":"","block":"x"}]', exit_code=2)
    assert "KVC-TOOLMAP-4" in refused.stderr


@given(st.lists(st.tuples(st.binary(min_size=1), st.binary(min_size=1)), max_size=4))
def test_any_tool_map_can_be_written_in_base64(entries: list[tuple[bytes, bytes]]) -> None:
    listed = [
        {"id_base64": base64.b64encode(tool_id).decode(), "block_base64": base64.b64encode(block).decode()}
        for tool_id, block in entries
    ]
    validator("tool-map").validate(listed)
    assert parse_tool_map(json.dumps(listed).encode()) == tuple(ToolEntry(*entry) for entry in entries)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff", "not UTF-8 at byte 0"),
        (b"[", "not JSON: "),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "not JSON: "),
        (b"{}", "expected an array"),
        (b"[1]", "entry 0: expected an object"),
        (b'[{"id": "a", "block": "b"}, {"id": "a"}]', "entry 1: expected either block or block_base64"),
        (b'[{"id": "a", "id_base64": "", "block": "b"}]', "expected either id or id_base64"),
        (b'[{"id": 1, "block": "b"}]', "entry 0: id is not a string"),
        (b'[{"id": "\\ud800", "block": "b"}]', "half a surrogate pair"),
        (b'[{"id_base64": "*", "block": "b"}]', "not base64"),
        (b'[{"id_base64": "\xc3\xa9", "block": "b"}]', "not base64"),
        (b'[{"id": "a", "block": "b", "\\u001b[31m": 1}]', r'unknown key "\x1b[31m"'),
    ],
)
def test_what_is_no_tool_map(data: bytes, said: str) -> None:
    with pytest.raises(ToolMapError) as caught:
        parse_tool_map(data)
    assert said in str(caught.value)


def test_rm(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("rm", directory, ABSENT, PLAIN_NAME, exit_code=1)
    assert result.stdout == f"removed {PLAIN_NAME}\n"
    assert f"{ABSENT}: unlink: No such file or directory; nothing was removed" in result.stderr
    assert os.listdir(directory) == [SESSION_NAME]

    def full(self: OsFileSystem) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(OsFileSystem, "sync_directory", full)
    assert "a loss of power may bring it back" in run("rm", directory, SESSION_NAME, exit_code=1).stderr
    assert os.listdir(directory) == []


# --- recover -----------------------------------------------------------------------------------------------------


def test_recover(directory: Path, tmp_path: Path) -> None:
    live, foreign = TEMP.replace("0", "f"), f"{PLAIN_NAME}.tmp.\x1b\n7"
    for name in (TEMP, live, foreign):
        put(directory / name, b"")
    os.utime(directory / foreign, (time.time() - 100, time.time() - 100))
    os.mkdir(directory / TEMP.replace("0", "e"))
    with open(directory / live, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        document = run_json("recover", directory, exit_code=1)
        assert document["reclaimed"] == [{"utf8": TEMP}]
        assert document["live"] == [{"utf8": live}]
        assert document["foreign"] == [{"utf8": foreign}]
        assert len(document["failed"]) == 1
        os.rmdir(directory / TEMP.replace("0", "e"))
        shown = run("recover", directory, "--foreign-older-than", "1000").stdout
        assert f"foreign    {PLAIN_NAME}.tmp.\\x1b\\n7" in shown
        shown = run("recover", directory, "--foreign-older-than", "50").stdout
        assert shown.splitlines()[-1] == "1 reclaimed, 1 live, 0 foreign, 0 failed"
    assert sorted(os.listdir(directory)) == sorted([live, PLAIN_NAME, SESSION_NAME])
    run("recover", tmp_path / "none", exit_code=2)
    run("recover", directory, "--foreign-older-than", "inf", exit_code=2)


def test_writing_commands_mention_what_they_reclaim(directory: Path) -> None:
    put(directory / TEMP, b"")
    os.mkdir(directory / TEMP.replace("0", "e"))
    result = run("touch", directory, PLAIN_NAME)
    assert f"reclaimed 1 temp file of dead writers: {TEMP}\n" in result.stderr
    assert "not reclaimed: " in result.stderr
    assert not (directory / TEMP).exists()
