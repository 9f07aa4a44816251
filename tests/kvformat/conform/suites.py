"""A small suite, written by hand: one case at least of each operation, each kind of input, each kind of limit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from kvformat.conform.clauses import read_clauses
from kvformat.conform.escape import escape
from kvformat.conform.suite import specification
from tests.kvformat.samples import PLAIN, PLAIN_NAME, SESSION, SESSION_NAME, patched

CLAUSES = read_clauses(specification())
MEMORY_BYTES = 48 * 1024 * 1024
SECONDS = 2
TEMP = ".kvc-save-" + "0" * 32 + ".tmp"
LIVE = ".kvc-save-" + "1" * 32 + ".tmp"

FLAGS = """
[lenient]
description = "What must be rejected."
kind = "missing check"
effect = "Damage is used."

[strict]
description = "What must be accepted."
kind = "invented check"
effect = "A good entry is lost."
"""

BEHAVIOURS = """
[trailing-bytes]
description = "What a reader says of bytes behind the last section."
values = { mentions = "It says how many.", ignores = "It says nothing." }
"""


def blob(data: bytes) -> dict[str, str]:
    return {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()}


def plain_view(name: str | None = PLAIN_NAME) -> dict[str, Any]:
    return {
        "name": name,
        "profile": "ds4-abi0",
        "file_bytes": str(len(PLAIN)),
        "header": {"version": "1", "flags": "1", "tokens": "2", "created": "1700000000", "payload_bytes": "4"},
        "text": blob(PLAIN[52:56]),
        "payload": blob(b"\xde\xad\xbe\xef"),
        "tool_map": [{"id": blob(b"c1"), "block": blob(b"<t/>")}],
        "title": None,
    }


class Folder:
    """Writes cases to a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        (path / "suite.toml").write_text('version = "9.1"\n')
        (path / "flags.toml").write_text(FLAGS)
        (path / "behaviours.toml").write_text(BEHAVIOURS)

    def put(self, operation: str, name: str, data: bytes | dict[str, Any]) -> str:
        folder = self.path / operation
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return name

    def case(
        self,
        case_id: str,
        clause: str,
        given: str,
        expect: str,
        *,
        profile: str = "auto",
        flags: tuple[str, ...] = ("strict",),
        more: str = "",
    ) -> None:
        operation = next(one for one in ("replace-tool-map", case_id.split("-")[0]) if case_id.startswith(one))
        stated = CLAUSES[clause]
        self.put(
            operation,
            f"{case_id}.toml",
            f"""id = "{case_id}"
since = "1.0"
operation = "{operation}"
profile = "{profile}"
level = "{stated.level}"
authority = "{stated.authority}"
clauses = ["{clause}"]
flags = {json.dumps(list(flags))}
comment = "What {case_id} is about."
[input]
{given}
[expect]
{expect}
{more}
""".encode(),
        )

    def accept(
        self, case_id: str, clause: str, data: bytes, view: dict[str, Any], name: str | None, **more: Any
    ) -> None:
        self.put("read", f"{case_id}.bin", data)
        self.put("read", f"{case_id}.json", view)
        told = "" if name is None else f'name = "{name}"'
        self.case(
            case_id,
            clause,
            f'file = "{case_id}.bin"\n{told}',
            f'verdict = "accept"\nview = "{case_id}.json"',
            **more,
        )

    def reject(self, case_id: str, clause: str, data: bytes, category: str, field: str, **more: Any) -> None:
        self.put("read", f"{case_id}.bin", data)
        self.case(
            case_id,
            clause,
            f'file = "{case_id}.bin"\nname = "{PLAIN_NAME}"' + more.pop("given", ""),
            f'verdict = "reject"\ncategory = "{category}"\nfield = "{field}"\nclause = "{clause}"',
            flags=("lenient",),
            **more,
        )


def small_suite(path: Path) -> Path:
    """The suite in the new folder `path`."""
    suite = Folder(path)
    _reading(suite)
    _directories(suite)
    _writing(suite)
    return path


def _reading(suite: Folder) -> None:
    suite.accept("read-plain", "KVC-FILE-2", PLAIN, plain_view(), PLAIN_NAME)
    suite.accept("read-no-name", "KVC-NAME-5", PLAIN, plain_view(None), None)
    suite.accept(
        "read-upper", "KVC-NAME-2", PLAIN, {"name": PLAIN_NAME[:40].upper() + ".kv"}, PLAIN_NAME[:40].upper() + ".kv"
    )
    session = {"title": blob(b"Demo"), "profile": "ds4-abi0", "header": {"flags": "9"}}
    suite.accept("read-session", "KVC-NAME-3", SESSION, session, SESSION_NAME)
    suite.reject("read-magic", "KVC-HEADER-1", b"KVD" + PLAIN[3:], "bad-magic", "header.magic")
    suite.reject("read-empty", "KVC-FILE-3", b"", "truncated", "header")
    suite.reject("read-cut", "KVC-FILE-3", PLAIN[:58], "truncated", "payload")
    suite.reject("read-told", "KVC-PROFILE-3", PLAIN, "unsupported-profile", "header.byte20", profile="ds4-abi2")
    huge = patched(patched(PLAIN, 6, b"\0"), 48, b"\xff\xff\xff\xff")
    suite.reject(
        "read-hostile",
        "KVC-LIMIT-1",
        huge,
        "truncated",
        "text",
        more=f"[limits]\nseconds = {SECONDS}\nmemory_bytes = {MEMORY_BYTES}",
    )
    # The payload has 5 GiB, all of them a hole but the first four bytes.
    sparse = patched(patched(PLAIN[:60], 6, b"\0"), 40, (5 << 30).to_bytes(8, "little"))
    suite.accept(
        "read-sparse",
        "KVC-PAYLOAD-1",
        sparse,
        {"payload": {"bytes": str(5 << 30)}},
        PLAIN_NAME,
        more=f"[limits]\nseconds = {SECONDS}\nmemory_bytes = {MEMORY_BYTES}",
    )
    with open(suite.path / "read" / "read-sparse.toml", "r+") as stream:
        text = stream.read().replace("[input]\n", f"[input]\nextend_to_bytes = {(5 << 30) + 56}\n")
        stream.seek(0)
        stream.write(text)
    name = 'verdict = "reject"\ncategory = "identity-mismatch"\nfield = "name"'
    for kind in ("fifo", "directory", "symlink"):
        target = '\ntarget = "%FFnowhere%0A"' if kind == "symlink" else ""
        suite.case(f"read-{kind}", "KVC-NAME-7", f'kind = "{kind}"\nname = "{PLAIN_NAME}"{target}', name)
    for value in ("mentions", "ignores"):
        suite.accept(
            f"read-trailing-{value}",
            "KVC-FILE-5",
            PLAIN + b"!",
            {"trailing_bytes": "1"} if value == "mentions" else {},
            PLAIN_NAME,
            more=f'[behaviour]\nkey = "trailing-bytes"\nvalue = "{value}"',
        )


def _members(*members: str) -> str:
    return "directory = [" + ", ".join("{" + member + "}" for member in members) + "]"


def _directories(suite: Folder) -> None:
    for operation in ("list", "lookup", "recover", "touch", "replace-tool-map"):
        suite.put(operation, "plain.bin", PLAIN)
    entry = f'name = "{PLAIN_NAME}", file = "plain.bin"'
    odd = 'name = "odd%FF%0A%25"'
    broken = f'name = "{"0" * 40}.kv"'
    suite.put(
        "list",
        "list.json",
        {"entries": [PLAIN_NAME], "rejected": [{"name": "0" * 40 + ".kv", "category": "truncated"}]},
    )
    suite.case("list-mixed", "KVC-NAME-5", _members(entry, odd, broken), 'verdict = "accept"\nview = "list.json"')
    suite.put("lookup", "found.json", {"found": PLAIN_NAME})
    suite.case(
        "lookup-prefix",
        "KVC-LOOKUP-1",
        _members(entry),
        'verdict = "accept"\nview = "found.json"',
        more='[arguments]\nprompt = "Hi %C3%A4"\ncontext_tokens = "4096"',
    )
    suite.put("recover", "recover.json", {"removed": [TEMP], "temps": [LIVE]})
    suite.case(
        "recover-orphan",
        "KVS-RECOVER-2",
        _members(entry, f'name = "{TEMP}"', f'name = "{LIVE}", locked = true'),
        'verdict = "accept"\nview = "recover.json"',
    )
    touched = patched(patched(PLAIN, 12, b"\x03"), 32, (1800000000).to_bytes(8, "little"))
    suite.put("touch", "touched.bin", touched)
    suite.case(
        "touch-counts",
        "KVC-HEADER-11",
        f'name = "{PLAIN_NAME}"\n' + _members(entry),
        'verdict = "accept"\noutput = "touched.bin"',
        more='[arguments]\nhits_added = "3"\nlast_used = "1800000000"',
    )
    suite.put("replace-tool-map", "dropped.bin", patched(PLAIN, 6, b"\0")[:60])
    suite.case(
        "replace-tool-map-drop",
        "KVC-HEADER-6",
        f'name = "{PLAIN_NAME}"\n' + _members(entry),
        'verdict = "accept"\noutput = "dropped.bin"',
    )


def _writing(suite: Folder) -> None:
    view: dict[str, Any] = {
        "header": {
            "quantisation_bits": "4",
            "tokens": "2",
            "reason": "6",
            "flags": "1",
            "context_tokens": "4096",
            "created": "1700000000",
        },
        "text": {**blob(PLAIN[52:56]), "content": escape(PLAIN[52:56])},
        "tool_map": [{"id": {"content": "c1"}, "block": {"content": "<t/>"}}],
        "title": None,
    }
    suite.put("write", "plain.json", view)
    suite.put("write", "payload.bin", b"\xde\xad\xbe\xef")
    suite.put("write", "plain.bin", PLAIN)
    suite.put("write", "name.json", {"name": PLAIN_NAME})
    given = 'view = "{}"\npayload = "payload.bin"'
    suite.case(
        "write-plain",
        "KVC-WRITER-2",
        given.format("plain.json"),
        'verdict = "accept"\nview = "name.json"\noutput = "plain.bin"',
        profile="ds4-abi0",
    )
    view["header"] = {**view["header"], "tokens": "0"}
    suite.put("write", "zero.json", view)
    suite.case(
        "write-no-tokens",
        "KVC-HEADER-10",
        given.format("zero.json"),
        'verdict = "reject"\nfield = "header.tokens"',
        profile="ds4-abi0",
    )
