"""Traces of a tiny program, and the states that the package finds for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from faultinject.ops import Op, Operation
from faultinject.persistence.machine import Machine, StartNode
from faultinject.persistence.profiles import Profile
from faultinject.persistence.survivors import Survived, state_classes, survived, survivor_numbered
from tests.faultinject.persistence.brute import State
from tests.faultinject.persistence.small import BLOCK_BYTES, small

CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL


def opened(name: str, inode: int, flags: int = CREATE) -> Operation:
    return Operation(-1, Op.OPEN, name, inode=inode, flags=flags)


def wrote(inode: int, offset: int, data: bytes) -> Operation:
    return Operation(-1, Op.PWRITE, inode=inode, offset=offset, size_bytes=len(data), data=data, result=len(data))


def synced(inode: int, op: Op = Op.FSYNC, error: int = 0) -> Operation:
    return Operation(-1, op, inode=inode, error=error)


def renamed(name: str, target: str, flags: int = 0) -> Operation:
    return Operation(-1, Op.RENAME, name, target, flags=flags)


def linked(inode: int, name: str) -> Operation:
    return Operation(-1, Op.LINK, name, inode=inode)


def unlinked(name: str) -> Operation:
    return Operation(-1, Op.UNLINK, name)


def made(name: str) -> Operation:
    return Operation(-1, Op.MKDIR, name)


def synced_directory(name: str | None = None) -> Operation:
    return Operation(-1, Op.FSYNC_DIRECTORY, name)


def replayed(
    operations: Sequence[Operation], profile: Profile | None = None, start: Mapping[str, StartNode] | None = None
) -> Machine:
    known = {path: replace(node, given=b"".join(node.content)) for path, node in (start or {}).items()}
    machine = Machine(profile or small("strict"), known, BLOCK_BYTES)
    for index, operation in enumerate(operations):
        machine.apply(replace(operation, index=index))
    return machine


def content_of(file: Survived) -> bytes:
    if not file.touched and isinstance(file.given, bytes):
        return file.given
    content = bytearray(file.size_bytes)
    for extent in file.extents:
        data = b"".join(extent.pieces)
        content[extent.offset : extent.offset + len(data)] = data
    return bytes(content[: file.size_bytes])


def states_of(machine: Machine) -> set[State]:
    """Every state, with each file as the node that it is; asked for by its number it is the same."""
    found = set()
    for one in state_classes(machine, lambda path: ()):
        survivors = list(one.every())
        assert len(survivors) == one.states
        assert {survivor.number for survivor in one.survivors} <= {survivor.number for survivor in survivors}
        for survivor in survivors:
            assert survivor_numbered(machine, survivor.number) == survivor
            files = survived(machine, survivor)
            found.add(frozenset((path, file.node, content_of(file)) for path, file in files.items()))
    return found


def plain(machine: Machine) -> set[frozenset[tuple[str, bytes]]]:
    """The same without the nodes."""
    return {frozenset((path, content) for path, _, content in state) for state in states_of(machine)}
