"""The C implementation behind its adapter: it reads as the others do, and writes, touches and recovers."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from kvformat import layout
from tests.kvformat.samples import PLAIN, PLAIN_NAME, SESSION, SESSION_NAME, patched
from tests.spec.generated import questions
from tests.spec.oracles import integers_answer

CRASHED = 99
"""What a sanitizer ends the program with; its own default would look like a rejection."""


def ask(c_adapter: str, *words: str | Path) -> tuple[int, dict[str, Any]]:
    options = f"exitcode={CRASHED}"
    environment = {**os.environ, "ASAN_OPTIONS": options, "UBSAN_OPTIONS": options}
    done = subprocess.run([c_adapter, *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1, 2, 3, 77), done.stderr
    return done.returncode, json.loads(done.stdout) if done.returncode in (0, 1) else {}


def test_it_reads_as_the_others_do(c_adapter: str, tmp_path: Path) -> None:
    said: Counter[str] = Counter()
    path = tmp_path / "input"
    for question in islice(questions(3), 80):
        path.write_bytes(question.data)
        arguments = json.dumps({"text_bytes_max": str(question.text_bytes_max)})
        name = [] if question.name is None else ["--name", question.name]
        status, answer = ask(c_adapter, "read", path, "--profile", question.profile, "--arguments", arguments, *name)
        answer.pop("message", None)
        expected = integers_answer(question.data, question)
        said[expected["result"]] += 1
        if status == 0:
            assert expected == {"result": "accept", "view": answer}, question
        else:
            assert (status, {"result": "reject", **answer}) == (1, expected), question
    assert min(said["accept"], said["reject"]) > 20


def test_a_long_payload_is_told_without_its_hash(c_adapter: str, tmp_path: Path) -> None:
    """conformance.md, chapter 3: of more than 16,777,216 bytes the hash may be left out."""
    path = tmp_path / "input"
    size_bytes = 2**40
    path.write_bytes(patched(PLAIN[:60], 40, size_bytes.to_bytes(8, "little")))
    os.truncate(path, 56 + size_bytes + 8)
    status, view = ask(c_adapter, "read", path)
    assert (status, view["payload"]) == (0, {"bytes": str(size_bytes)})
    assert view["tool_map"] is None, "eight zeros are a damaged tool map (KVC-TOOLMAP-6)"


def test_what_it_does_not_have_is_unsupported(c_adapter: str, tmp_path: Path) -> None:
    assert ask(c_adapter, "list", tmp_path)[0] == 77
    assert ask(c_adapter, "no-such-operation", tmp_path)[0] == 77
    assert ask(c_adapter, "read", tmp_path, "--profile", "ds5")[0] == 77
    assert ask(c_adapter, "start")[1]["operations"] == ["read", "touch", "recover", "write"]


@pytest.mark.parametrize(("hits", "added", "expected"), [(0, 1, 1), (5, 0, 5), (layout.U32_MAX - 1, 9, layout.U32_MAX)])
def test_touch_changes_two_fields(c_adapter: str, tmp_path: Path, hits: int, added: int, expected: int) -> None:
    """KVC-HEADER-11, KVC-HEADER-16."""
    path = tmp_path / PLAIN_NAME
    path.write_bytes(before := patched(PLAIN, 12, hits.to_bytes(4, "little")))
    arguments = json.dumps({"hits_added": str(added), "last_used": "18446744073709551615"})
    assert ask(c_adapter, "touch", tmp_path, "--name", PLAIN_NAME, "--arguments", arguments) == (0, {})
    assert path.read_bytes() == patched(patched(before, 12, expected.to_bytes(4, "little")), 32, b"\xff" * 8)
    assert os.listdir(tmp_path) == [PLAIN_NAME]


def test_touch_of_a_name_of_no_entry_is_rejected(c_adapter: str, tmp_path: Path) -> None:
    """KVC-NAME-5; the escaped form is never taken for a name on the disk."""
    (tmp_path / "a%0Ab").write_bytes(PLAIN)
    for name in ("a%0Ab", "../x.kv", ""):
        status, answer = ask(c_adapter, "touch", tmp_path, "--name", name)
        assert (status, answer["category"], answer["clause"]) == (1, "identity-mismatch", "KVC-NAME-5")
    assert (tmp_path / "a%0Ab").read_bytes() == PLAIN


def test_recover_removes_what_dead_writers_left(c_adapter: str, tmp_path: Path) -> None:
    """KVS-RECOVER-2, KVS-RECOVER-4, KVS-RECOVER-5."""
    dead, folder = f".kvc-save-{'0' * 32}.tmp", f".kvc-save-{'1' * 32}.tmp"
    foreign = os.fsencode(f"{PLAIN_NAME}.tmp.%\n\xff")
    for name in (os.fsencode(dead), foreign, b"other"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    (tmp_path / folder).mkdir()
    escaped = f"{PLAIN_NAME}.tmp.%25%0A%C3%BF"
    assert ask(c_adapter, "recover", tmp_path) == (0, {"removed": [dead], "temps": [folder, escaped]})
    assert set(os.listdir(os.fsencode(tmp_path))) == {foreign, b"other", os.fsencode(folder)}


HEADER = {
    "quantisation_bits": "4",
    "reason": "6",
    "flags": "9",
    "tokens": "2",
    "context_tokens": "4096",
    "created": "1700000000",
    "payload_bytes": "4",
}
VIEW: dict[str, Any] = {
    "profile": "ds4-abi0",
    "header": HEADER,
    "text": {"content": "Hi %C3"},
    "tool_map": [{"id": {"content": "c1"}, "block": {"content": "<t/>"}}],
    "title": {"content": "Demo"},
}


def write(c_adapter: str, folder: Path, view: str, *options: str) -> tuple[int, dict[str, Any], bytes | None]:
    given = folder / "input"
    given.mkdir(exist_ok=True)
    (given / "payload").write_bytes(b"\xde\xad\xbe\xef")
    (given / "view.json").write_text(view)
    output = folder / "output"
    status, answer = ask(c_adapter, "write", given, "--output", output, "--profile", "ds4-abi0", *options)
    data = output.read_bytes() if output.exists() else None
    output.unlink(missing_ok=True)
    assert os.listdir(folder) == ["input"], "nothing is left beside the output"
    return status, answer, data


def test_write_makes_the_file_of_the_specification(c_adapter: str, tmp_path: Path) -> None:
    """kvc.md, 4.6, byte by byte."""
    assert write(c_adapter, tmp_path, json.dumps(VIEW)) == (0, {"name": SESSION_NAME}, SESSION)
    named = write(c_adapter, tmp_path, json.dumps(VIEW), "--name", "sysprompt.kv")
    assert named == (0, {"name": "sysprompt.kv"}, SESSION)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", "0"),
        ("tokens", "4294967296"),
        ("hits", "18446744073709551616"),
        ("quantisation_bits", "3"),
        ("reason", "7"),
        ("flags", "1"),
        ("flags", "25"),
        ("byte7", "1"),
        ("payload_bytes", "9223372036854775807"),
    ],
)
def test_write_refuses_what_a_reader_would_reject(c_adapter: str, tmp_path: Path, field: str, value: str) -> None:
    """KVC-WRITER-5: a refusal says clause and field, and leaves nothing."""
    view = {**VIEW, "header": {**HEADER, field: value}}
    status, answer, data = write(c_adapter, tmp_path, json.dumps(view))
    assert (status, answer["field"], data) == (1, f"header.{field}", None)
    assert answer["clause"].startswith("KVC-") and "category" not in answer


@pytest.mark.parametrize("predicted", ["3", "5"])
def test_write_fails_where_the_prediction_is_wrong(c_adapter: str, tmp_path: Path, predicted: str) -> None:
    """KVC-WRITER-2."""
    view = {**VIEW, "header": {**HEADER, "payload_bytes": predicted}}
    status, answer, data = write(c_adapter, tmp_path, json.dumps(view))
    assert (status, answer["clause"], answer["field"], data) == (1, "KVC-WRITER-2", "header.payload_bytes", None)


def test_a_view_that_is_none_is_no_crash(c_adapter: str, tmp_path: Path) -> None:
    """Every cut, and seeded damage, of the JSON that a runner gives: the reader of it stays inside its bytes."""
    chance = random.Random(4)
    text = json.dumps(VIEW)
    for cut in range(0, len(text), 17):
        assert write(c_adapter, tmp_path, text[:cut])[2] is None
    for _ in range(60):
        at = chance.randrange(len(text))
        write(c_adapter, tmp_path, text[:at] + chance.choice('{}[]",:\\%\x00 0n') + text[at + 1 :])
    for hostile in ("[" * 100_000, '{"text":' * 50, '"%', '{"text": {"content": "%4"}}', "{} {}", "nul"):
        assert write(c_adapter, tmp_path, hostile)[2] is None
