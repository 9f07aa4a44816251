"""Every operation of our store, by every strategy, on real file systems; and with any of its syncs missing (KVS-INV-7)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from faultinject.blackbox.state import Node, NodeKind, State
from faultinject.blackbox.subject import Audited, Format, Start
from faultinject.powercut.case import Case
from faultinject.powercut.filesystems import Kind
from faultinject.powercut.outcomes import CrashState, crash_states
from kvformat import Entry, Store
from kvformat.identity import text_name
from tests.faultinject.powercut.rooted import harsh, needs, usual

# The n-th sync is left out, or comes only after the rename.
PROGRAM = """
import os, sys
from kvformat import Entry, Options, Store, Strategy, ToolEntry
from kvformat.filesystem import OsFileSystem
from kvformat.temp_names import TempKind

directory, operation, how, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

class Without(OsFileSystem):
    count = 0
    held = None

    def spoilt(self, sync):
        self.count += 1
        if self.count - 1 != number:
            sync()
        elif how == "late":
            self.held = sync

    def sync(self, fd):
        self.spoilt(lambda: OsFileSystem.sync(self, fd))

    def sync_directory(self):
        self.spoilt(lambda: OsFileSystem.sync_directory(self))

    def rename(self, old, new):
        super().rename(old, new)
        if self.held is not None:
            # Somebody else syncs a file of the same file system just then, which commits the rename.
            with open(directory + "/neighbour", "wb") as neighbour:
                neighbour.write(b"saved")
                neighbour.flush()
                os.fsync(neighbour.fileno())
            self.held()

store = Store(Without(directory), clock=lambda: 1_790_000_100)
entry = Entry(text=b"a prompt that is kept", tokens=7, created=1_790_000_000, last_used=1_790_000_000)
payload = bytes(range(1, 256)) * 80
options = Options(temp=TempKind.NAMED)
name = "@NAME@"
if operation == "touch":
    store.touch(name)
elif operation == "tool-map":
    store.replace_tool_map(name, (ToolEntry(b"id", b"a block"),), options=options)
elif operation == "remove":
    store.remove(name)
else:
    store.save(entry, [payload], payload_bytes=len(payload) if operation == "direct" else None,
               strategy=Strategy(operation), options=options)
"""

SYNCS = {"direct": 2, "staged": 2, "backpatch": 2, "tool-map": 2, "touch": 1, "remove": 1}
"""How many syncs each operation makes; the first is that of the file, but for `remove`."""

FILE_SYSTEMS = [
    pytest.param(usual("ext4"), id="ext4"),
    pytest.param(harsh("ext4"), id="ext4-harsh"),
    pytest.param(usual("xfs"), id="xfs"),
    pytest.param(usual("btrfs"), id="btrfs"),
]
pytestmark = [pytest.mark.root, pytest.mark.slow, *[needs(name) for name in ("ext4", "xfs", "btrfs")]]


@cache
def contents(operation: str) -> tuple[str, bytes, bytes | None]:
    """The name of the entry, what is there before, and what is there after a run that nothing disturbs."""
    name = text_name(b"a prompt that is kept")
    with tempfile.TemporaryDirectory() as directory:
        older = Entry(text=b"a prompt that is kept", tokens=9, created=1_780_000_000, last_used=1_780_000_000)
        Store.open(directory).save(older, bytes(255 - byte for byte in range(255)) * 70)
        old = (Path(directory) / name).read_bytes()
        subprocess.run([*command(name), directory, operation, "whole", "-1"], check=True)
        path = Path(directory) / name
        return name, old, path.read_bytes() if path.exists() else None


def command(name: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.replace("@NAME@", name)]


def states(kind: Kind, operation: str, how: str = "whole", number: int = -1) -> tuple[CrashState, ...]:
    name, old, _ = contents(operation)
    argv = (*command(name), "{dir}", operation, how, str(number))
    one = Case(
        Audited(argv, None, None, Format.BYTES, "", directory="/", timeout_seconds=60),
        kind,
        judged=False,
        images_max=60,
        settle_seconds=2.5 if kind.name == "btrfs" else 0,
    )
    return tuple(crash_states(replace(one, start=Start.OLD, older={name: Node(NodeKind.FILE, old)})))


def wrong(operation: str, found: tuple[CrashState, ...]) -> list[str]:
    """States in which readers find neither the old nor the new content, or not what was reported as done."""
    name, old, new = contents(operation)
    assert any(one.acknowledged for one in found)
    complaints = []
    for one in found:
        is_new = entry(one.state, name) == new
        if not is_new and (one.acknowledged or entry(one.state, name) != old):
            complaints.append(f"{one.description}: {summary(entry(one.state, name))}")
        assert "another-entry" in one.state
    return complaints


def entry(state: State, name: str) -> bytes | None:
    node = state.get(name)
    return None if node is None else node.data


def summary(content: bytes | None) -> str:
    return "no entry" if content is None else f"{len(content)} bytes, {content.count(0)} of them zeros"


@pytest.mark.parametrize("operation", SYNCS)
@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_every_operation_holds(kind: Kind, operation: str, record_property: Callable[[str, object], None]) -> None:
    found = states(kind, operation)
    record_property("images", len(found))
    assert wrong(operation, found) == []


@pytest.mark.parametrize(
    ("operation", "how", "number"),
    [
        pytest.param(operation, how, number, id=f"{operation}-{how}-{number}")
        for operation, count in SYNCS.items()
        for number in range(count)
        for how in ("left-out", "late")
        # Only the sync of a file that is renamed afterwards can come too late.
        if how == "left-out" or (count == 2 and not number)
    ],
)
def test_no_sync_can_be_spared(operation: str, how: str, number: int) -> None:
    """Some file system shows it: each is tried until one does (KVS-DURABLE-2, KVS-DURABLE-5)."""
    kinds = (harsh("ext4"), usual("btrfs"), usual("ext4"), usual("xfs"))
    assert any(wrong(operation, states(kind, operation, how, number)) for kind in kinds)
