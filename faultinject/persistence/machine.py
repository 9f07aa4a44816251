"""Replays the operations of a program and keeps account of what is on the disk and what is not (KVS-POWER-1)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from faultinject.ops import Op, Operation
from faultinject.persistence.blocks import FileSpace
from faultinject.persistence.names import Key, NameChoice, NameSpace
from faultinject.persistence.pieces import Pieces, cut
from faultinject.persistence.profiles import Kept, Profile

BLOCKS_MAX = 2048
"""Files of more blocks than this have larger ones: then a block stands for all its parts (KVS-CLASS-6)."""

_SYNCHRONOUS = os.O_DSYNC
_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 0x01, 0x02, 0x10  # linux/falloc.h
_MS_SYNC = 4


class NotModelledError(Exception):
    """An operation whose effect on the disk is not known here; the text says which."""


class NodeKind(StrEnum):
    """What a name leads to."""

    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class StartNode:
    """Something that is there, durably, before the program runs. given: what the caller knows it by."""

    kind: NodeKind
    content: Pieces = ()
    inode: int | None = None
    given: object = None


@dataclass(slots=True)
class Node:
    """A file, directory or other thing. touched: whether the program has changed it. given: as in `StartNode`, or the
    operation that has made it.

    flushed: a rename of it that is not on the disk before its data, and the file as it is where that rename is.
    synchronous: whether every descriptor that writes to it has O_SYNC or O_DSYNC.
    """

    kind: NodeKind
    space: FileSpace | None = None
    touched: bool = False
    given: object = None
    flushed: tuple[Key, int, FileSpace] | None = None
    synchronous: bool | None = None

    def spaces(self) -> list[FileSpace]:
        """Every account of its content."""
        own = [] if self.space is None else [self.space]
        return own if self.flushed is None else [*own, self.flushed[2]]


class Effect(Enum):
    """What an operation has done to what may be lost."""

    NONE = auto()
    MORE = auto()  # there is more that may be lost
    LESS = auto()  # there is less


class Machine:
    """The directories of a program as the disk may have them, operation by operation."""

    def __init__(self, profile: Profile, start: Mapping[str, StartNode], block_bytes: int) -> None:
        self.profile = profile
        self.block_bytes = block_bytes
        self.names = NameSpace(profile.names)
        self.nodes: list[Node] = []
        self._roots: dict[str, int] = {}
        self._labels: dict[int, str] = {}
        self._by_inode: dict[int, int] = {}
        shared: dict[int, int] = {}
        for path in sorted(start):
            node = start[path]
            if node.inode is not None and node.inode in shared:
                number = shared[node.inode]
            else:
                number = self._new(node.kind, node.content, given=node.given)
                if node.inode is not None:
                    shared[node.inode] = self._by_inode[node.inode] = number
            self.names.start(self._key(path), number)

    # Where things are

    def _key(self, path: str) -> Key:
        parent, slash, name = path.rpartition("/")
        return self._directory(parent if slash else ""), name

    def _directory(self, path: str) -> int:
        if path not in self._roots and path:
            key = self._key(path)
            number = self.names.now(key)
            if number is not None and self.nodes[number].kind is NodeKind.DIRECTORY:
                return number
        number = self._roots.get(path)
        if number is None:
            number = self._roots[path] = self._new(NodeKind.DIRECTORY)
            self._labels[number] = f"{path}/" if path else ""
        return number

    def _new(self, kind: NodeKind, content: Pieces = (), given: object = None) -> int:
        space = FileSpace(self.profile, self.block_bytes, content) if kind is NodeKind.FILE else None
        self.nodes.append(Node(kind, space, given=given))
        return len(self.nodes) - 1

    def paths(self, choice: NameChoice) -> dict[str, int]:
        """Every path with its node, where the names are as in `choice`; below what is lost nothing is there."""
        children: dict[int, list[tuple[str, int]]] = {}
        for (directory, name), number in self.names.resolved(choice).items():
            children.setdefault(directory, []).append((name, number))
        found: dict[str, int] = {}
        waiting = list(self._labels.items())
        while waiting:
            directory, prefix = waiting.pop()
            for name, number in children.get(directory, ()):
                found[prefix + name] = number
                if self.nodes[number].kind is NodeKind.DIRECTORY:
                    waiting.append((number, f"{prefix}{name}/"))
        return found

    def node_of(self, operation: Operation) -> int | None:
        """The node that an operation works on, None where it is none that is known."""
        if operation.inode is not None and operation.inode in self._by_inode:
            return self._by_inode[operation.inode]
        return None if operation.name is None else self.names.now(self._key(operation.name))

    def path_of(self, number: int) -> str:
        """A path that leads to a node now, for people; its own name last."""
        for directory, name in self.names.names_of(number):
            return self._labels.get(directory, "") + name
        return "a file without a name"

    # What operations do

    def apply(self, operation: Operation, accepted_bytes: int | None = None) -> Effect:
        """The effect of a recorded operation; of a transfer only of its first bytes where `accepted_bytes` is given.

        Raises NotModelledError.
        """
        if operation.error:
            if operation.op in (Op.FSYNC, Op.FDATASYNC):
                for space in self._spaces(operation):
                    space.fail_sync()
            return Effect.NONE
        method = _METHODS.get(operation.op)
        if operation.op.transfers or operation.op in (Op.STORE, Op.CLONE):
            return self._write(operation, accepted_bytes)
        return Effect.NONE if method is None else method(self, operation)

    def _spaces(self, operation: Operation) -> list[FileSpace]:
        number = self.node_of(operation)
        if number is None:
            return []
        node = self.nodes[number]
        node.touched = True
        return node.spaces()

    def space_in(self, number: int, choice: NameChoice) -> FileSpace | None:
        """The account of a file's content that holds where the names are as in `choice`."""
        node = self.nodes[number]
        if node.flushed is not None:
            key, time, space = node.flushed
            if self.names.time_of(key, choice) >= time:
                return space
        return node.space

    def _open(self, operation: Operation) -> Effect:
        if operation.name is None:
            return Effect.NONE
        key = self._key(operation.name)
        number = self.names.now(key)
        effect = Effect.NONE
        if number is None:
            if not operation.flags & os.O_CREAT:
                return Effect.NONE
            number = self._new(NodeKind.FILE)
            self.nodes[number].touched = True
            self.names.set((key, number))
            effect = Effect.MORE
        if self.nodes[number].kind is NodeKind.OTHER and operation.inode in self._by_inode:
            number = self._by_inode[operation.inode]  # through a symbolic link
        node = self.nodes[number]
        if operation.inode is not None and node.kind is NodeKind.FILE:
            self._by_inode[operation.inode] = number
        if node.space is not None and operation.flags & os.O_ACCMODE:
            writes_through = bool(operation.flags & _SYNCHRONOUS)
            node.synchronous = writes_through if node.synchronous is None else node.synchronous and writes_through
        if node.space is not None and operation.flags & os.O_TRUNC and node.space.size_bytes:
            node.touched = True
            for space in node.spaces():
                space.resize(0)
            effect = Effect.MORE
        return effect

    def _open_unnamed(self, operation: Operation) -> Effect:
        number = self._new(NodeKind.FILE)
        node = self.nodes[number]
        node.touched, node.synchronous = True, bool(operation.flags & _SYNCHRONOUS)
        if operation.inode is not None:
            self._by_inode[operation.inode] = number
        return Effect.NONE

    def _write(self, operation: Operation, accepted_bytes: int | None) -> Effect:
        spaces = self._spaces(operation)
        if not spaces:
            return Effect.NONE
        pieces = self.source_of(operation, operation.result if accepted_bytes is None else accepted_bytes)
        for space in spaces:
            if operation.op is Op.CLONE and operation.flags:
                space.resize(0)
            offset = operation.offset or 0
            for piece in pieces:
                space.write(offset, piece)
                offset += len(piece)
        number = self.node_of(operation)
        written_through = accepted_bytes is None and operation.op.transfers  # stores to a mapped file never are
        if written_through and number is not None and self.nodes[number].synchronous:
            for space in spaces:
                space.sync()
        return Effect.MORE

    def source_of(self, operation: Operation, size_bytes: int) -> Pieces:
        """The first bytes of a transfer. Raises NotModelledError where nobody knows them."""
        if size_bytes <= 0:
            return ()
        if operation.data is not None:
            return cut((operation.data,), 0, size_bytes)
        number = self._by_inode.get(operation.source_inode or 0)
        source = None if number is None else self.nodes[number].space
        if source is None:
            raise NotModelledError(f"{operation}: its bytes were not recorded")
        return source.read(operation.source_offset or 0, size_bytes)

    def _truncate(self, operation: Operation) -> Effect:
        for space in self._spaces(operation):
            space.resize(operation.size_bytes)
        return Effect.MORE

    def _fallocate(self, operation: Operation) -> Effect:
        offset, size_bytes, mode = operation.offset or 0, operation.size_bytes, operation.flags
        if mode & ~(_KEEP_SIZE | _PUNCH_HOLE | _ZERO_RANGE):
            raise NotModelledError(f"{operation}: the mode {mode:#x} of fallocate is not modelled")
        for space in self._spaces(operation):
            if mode & (_PUNCH_HOLE | _ZERO_RANGE):
                space.zero(offset, size_bytes)
            if not mode & _KEEP_SIZE and offset + size_bytes > space.size_bytes:
                space.resize(offset + size_bytes)
        return Effect.MORE

    def _link(self, operation: Operation) -> Effect:
        number = self._by_inode.get(operation.inode or 0)
        if number is None or operation.name is None:
            return self._bring_in(operation, operation.name)
        self.names.set((self._key(operation.name), number))
        self.nodes[number].touched = True
        return Effect.MORE

    def _bring_in(self, operation: Operation, name: str | None) -> Effect:
        """A file from a directory that nobody watches: nobody knows whether it was synced there, so it was not.

        It may be another link to one that has a name here already.
        """
        if name is None:
            return Effect.NONE
        known = self._by_inode.get(operation.inode or 0)
        if known is not None and self.names.names_of(known):
            self.names.set((self._key(name), known))
            return Effect.MORE
        number = self._new(NodeKind.FILE)
        node = self.nodes[number]
        assert node.space is not None
        node.touched = True
        if operation.data is not None:
            node.space.write(0, operation.data)
        if operation.inode is not None:
            self._by_inode[operation.inode] = number
        self.names.set((self._key(name), number))
        return Effect.MORE

    def _rename(self, operation: Operation) -> Effect:
        name, target = operation.name, operation.target
        if name is None:
            return self._bring_in(operation, target)
        source = self._key(name)
        moved = self.names.now(source)
        if target is None:
            if operation.flags == _EXCHANGE:
                return self._bring_in(operation, name)
            self.names.set((source, None))
            return Effect.MORE
        key = self._key(target)
        replaced = self.names.now(key)
        if moved is None or moved == replaced:
            return Effect.NONE
        if operation.flags == _EXCHANGE:
            self.names.set((key, moved), (source, replaced), both=True)
            return Effect.MORE
        node = self.nodes[moved]
        node.touched = True
        self.names.set((key, moved), (source, None), implied=True)
        if self.profile.rename_flushes and replaced is not None and node.space is not None:
            flushed = node.space.copy()
            flushed.sync()
            node.flushed = key, self.names.time, flushed
        return Effect.MORE

    def _unlink(self, operation: Operation) -> Effect:
        if operation.name is None:
            return Effect.NONE
        self.names.set((self._key(operation.name), None))
        return Effect.MORE

    def _make(self, operation: Operation) -> Effect:
        if operation.name is None:
            return Effect.NONE
        kind = NodeKind.DIRECTORY if operation.op is Op.MKDIR else NodeKind.OTHER
        number = self._new(kind, given=operation)
        self.nodes[number].touched = True
        if operation.inode is not None and kind is NodeKind.OTHER:
            self._by_inode[operation.inode] = number
        self.names.set((self._key(operation.name), number))
        return Effect.MORE

    def _sync(self, operation: Operation) -> Effect:
        number = self.node_of(operation)
        if number is None or self.nodes[number].kind is NodeKind.DIRECTORY:
            return self._sync_directory(operation)  # fdatasync(2) of a directory, whose entries are its data
        for space in self._spaces(operation):
            space.sync()
        if operation.op is Op.FSYNC:
            if self.profile.sync_file is Kept.OWN:
                self.names.sync_names_of(number)
            elif self.profile.sync_file is Kept.ALL:
                self.names.sync_all()
        return Effect.LESS

    def _sync_directory(self, operation: Operation) -> Effect:
        if self.profile.sync_directory is Kept.ALL:
            self.names.sync_all()
            return Effect.LESS
        path = operation.name or ""
        self.names.sync(self._directory("" if path == "." else path.rstrip("/")))
        return Effect.LESS

    def _sync_all(self, _: Operation) -> Effect:
        if not self.profile.sync_all:
            return Effect.NONE
        self.names.sync_all()
        for node in self.nodes:
            for space in node.spaces():
                space.sync()
        return Effect.LESS

    def _msync(self, operation: Operation) -> Effect:
        """msync(2): only where it waits for all of the file."""
        if not operation.flags & _MS_SYNC:
            return Effect.NONE
        for space in self._spaces(operation):
            if operation.size_bytes >= space.size_bytes:
                space.sync()
        return Effect.LESS


_METHODS = {
    Op.OPEN: Machine._open,
    Op.OPEN_UNNAMED: Machine._open_unnamed,
    Op.LINK: Machine._link,
    Op.RENAME: Machine._rename,
    Op.UNLINK: Machine._unlink,
    Op.RMDIR: Machine._unlink,
    Op.MKDIR: Machine._make,
    Op.SYMLINK: Machine._make,
    Op.MKNOD: Machine._make,
    Op.TRUNCATE: Machine._truncate,
    Op.FALLOCATE: Machine._fallocate,
    Op.FSYNC: Machine._sync,
    Op.FDATASYNC: Machine._sync,
    Op.FSYNC_DIRECTORY: Machine._sync_directory,
    Op.SYNC: Machine._sync_all,
    Op.MSYNC: Machine._msync,
}


def block_bytes_for(profile: Profile, sizes_bytes: Iterable[int]) -> int:
    """The size of a block where the largest file has so many bytes: the profile's, or larger (BLOCKS_MAX)."""
    block_bytes = profile.block_bytes
    largest = max(sizes_bytes, default=0)
    while largest > block_bytes * BLOCKS_MAX:
        block_bytes *= 2
    return block_bytes
