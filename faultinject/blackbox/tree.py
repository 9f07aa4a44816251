"""A model of the watched directories: what they hold after each recorded operation, computed and not executed.

A process does not notice that it is killed, so the state after a kill at any byte is that of the recorded run up to
that byte (KVS-FAULT-5). The model follows POSIX: names are links to files, and a file lives on without a name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping

from faultinject.blackbox.content import Content
from faultinject.blackbox.state import DIRECTORY, HERE, LIMIT_BYTES, Node, NodeKind, State
from faultinject.inject import HarnessError
from faultinject.ops import Op, Operation

RENAME_NOREPLACE = 1  # linux/fs.h, as renameat2(2) takes them
RENAME_EXCHANGE = 2

CLONE_WHOLE = 1
"""The flag of a recorded ioctl(FICLONE): the whole file is replaced. FICLONERANGE has none."""

DIRECTORY_ID = 0
"""The identity that all directories share in a Tree."""

_NO_EFFECT = frozenset(
    {
        Op.DUP, Op.CLOSE, Op.READ, Op.PREAD, Op.CHMOD, Op.CHOWN, Op.UTIMENS, Op.SETXATTR, Op.FSYNC, Op.FSYNC_DIRECTORY,
        Op.FDATASYNC, Op.SYNC_RANGE, Op.SYNC, Op.MMAP, Op.MSYNC, Op.STAT, Op.FSTAT, Op.READDIR, Op.FLOCK, Op.LOCK,
        Op.SIGNAL, Op.ACKNOWLEDGE, Op.EXIT,
    }
)  # fmt: skip
"""Operations that change neither names nor content. A new operation is in no list and raises ModelError."""


class ModelError(HarnessError):
    """The model cannot explain an operation: what was recorded is not all that happened."""

    def __init__(self, operation: Operation | None, problem: str) -> None:
        where = "the start" if operation is None else f"operation {operation}"
        super().__init__(f"{where}: {problem}; something has changed the directories that was not recorded")
        self.operation = operation


class Tree:
    """The watched directories at one moment. `apply` changes it, `copy` gives another one for almost nothing."""

    __slots__ = ("_by_inode", "_files", "_names", "limit_bytes")

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._names: dict[str, int] = {}
        self._files: dict[int, Content] = {DIRECTORY_ID: Content(DIRECTORY)}
        self._by_inode: dict[int, int] = {}

    @classmethod
    def of(cls, state: State, inodes: Mapping[str, tuple[int, int]], limit_bytes: int = LIMIT_BYTES) -> Tree:
        """The real directories as they were read. `inodes`: device and inode of every path (`Roots.inodes`).

        Raises ModelError where two devices use one inode number: operations could not be told apart.
        """
        tree = cls(limit_bytes)
        devices: dict[int, int] = {}
        for key, node in state.items():
            if node.kind is NodeKind.DIRECTORY:
                tree._names[key] = DIRECTORY_ID
                continue
            if key not in inodes:
                raise ModelError(None, f"nobody knows the inode of {key!r}")
            device, inode = inodes[key]
            if devices.setdefault(inode, device) != device:
                raise ModelError(None, f"{key!r} and a file on another device have the inode number {inode}")
            if inode not in tree._by_inode:
                tree._by_inode[inode] = tree._new(node)
            tree._names[key] = tree._by_inode[inode]
        return tree

    def copy(self) -> Tree:
        """The same tree, independent from here on; contents are shared."""
        other = Tree.__new__(Tree)
        other.limit_bytes = self.limit_bytes
        other._names = self._names.copy()
        other._files = self._files.copy()
        other._by_inode = self._by_inode.copy()
        return other

    def state(self) -> State:
        """What the directories hold. Raises ModelError where that is more than the limit."""
        files = self._files
        if sum([files[identity].size_bytes for identity in self._names.values()]) > self.limit_bytes:
            raise ModelError(None, f"the directories hold more than {self.limit_bytes} bytes")
        return {key: files[self._names[key]].node() for key in sorted(self._names)}

    def parts(self) -> tuple[dict[str, int], dict[int, Content], dict[int, int]]:
        """What it is made of, not to be changed: names and their files, the files' contents, the files by inode."""
        return self._names, self._files, self._by_inode

    def inode_of(self, key: str) -> int | None:
        """The inode number of a file, None where there is no such file or its number is not known."""
        identity = self._names.get(key)
        return next((inode for inode, known in self._by_inode.items() if known == identity), None)

    def same(self, state: State) -> bool:
        """Whether the directories hold exactly this."""
        if self._names.keys() != state.keys():
            return False
        contents = [(self._files[identity], state[key]) for key, identity in self._names.items()]
        return all(
            content.kind is node.kind and content.size_bytes == len(node.data) for content, node in contents
        ) and all(content.node() == node for content, node in contents)

    def apply(self, operation: Operation, accepted_bytes: int | None = None) -> None:
        """The effect of a recorded operation; of a transfer only of its first `accepted_bytes` bytes where given.

        An operation that failed has none. Raises ModelError where the model knows no file or name of it.
        """
        if operation.error:
            return
        if operation.op in _WRITES:
            self._write(operation, accepted_bytes)
            return
        if accepted_bytes is not None:
            raise ModelError(operation, "it transfers no bytes and cannot be cut")
        change = _CHANGES.get(operation.op)
        if change is not None:
            change(self, operation)
        elif operation.op not in _NO_EFFECT:
            raise ModelError(operation, "its effect is not known")

    def _new(self, node: Node) -> int:
        identity = len(self._files)  # nothing is ever taken out: a file without a name may still be written
        self._files[identity] = Content(node)
        return identity

    def _named(self, operation: Operation, name: str) -> int:
        if name not in self._names:
            raise ModelError(operation, f"there is no {name!r}")
        return self._names[name]

    def _file(self, operation: Operation) -> int:
        """The file that an operation on a descriptor, or by name, works on."""
        if operation.inode is not None:
            identity = self._by_inode.get(operation.inode)
            if identity is None:
                raise ModelError(operation, f"no file has the inode {operation.inode}")
        elif operation.name is not None:
            identity = self._named(operation, operation.name)
        else:
            raise ModelError(operation, "it has neither an inode nor a name")
        if self._files[identity].kind is not NodeKind.FILE:
            raise ModelError(operation, f"it works on a {self._files[identity].kind}")
        return identity

    def _create(self, operation: Operation, node: Node) -> int:
        inode = operation.inode
        if inode is not None and self._has_name(self._by_inode.get(inode)):
            raise ModelError(operation, f"the inode {inode} of a new file belongs to one that still has a name")
        identity = self._new(node)
        if inode is not None:
            self._by_inode[inode] = identity
        return identity

    def _has_name(self, identity: int | None) -> bool:
        return identity is not None and identity in self._names.values()

    def _open(self, operation: Operation) -> None:
        name, flags = operation.name, operation.flags
        if name is None:
            return
        identity = self._names.get(name)
        if identity is None:
            if flags & os.O_CREAT:
                self._names[name] = self._create(operation, Node(NodeKind.FILE))
            elif name != HERE and not name.endswith("/"):  # those are the roots themselves
                raise ModelError(operation, f"there is no {name!r}")
            return
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise ModelError(operation, f"it created {name!r}, which was there")
        kind = self._files[identity].kind
        if kind is NodeKind.SYMLINK:
            self._open_through_link(operation)
        elif kind is NodeKind.FILE:
            self._bind(operation, identity)
            if flags & os.O_TRUNC:
                self._files[identity] = self._files[identity].resize(0)

    def _open_through_link(self, operation: Operation) -> None:
        """The recorder has named the link and not its end: only a file that is known otherwise can be written."""
        flags, identity = operation.flags, self._by_inode.get(operation.inode or 0)
        if identity is not None:
            if flags & os.O_TRUNC and self._files[identity].kind is NodeKind.FILE:
                self._files[identity] = self._files[identity].resize(0)
        elif flags & (os.O_CREAT | os.O_TRUNC):
            raise ModelError(operation, f"{operation.name!r} is a symbolic link to a file that is not known")

    def _bind(self, operation: Operation, identity: int) -> None:
        """From now on the inode number stands for this file."""
        inode = operation.inode
        if inode is None or self._by_inode.get(inode) == identity:
            return
        if identity in self._by_inode.values():
            raise ModelError(operation, f"{operation.name!r} is another file, with the inode {inode}")
        self._by_inode[inode] = identity

    def _open_unnamed(self, operation: Operation) -> None:
        self._create(operation, Node(NodeKind.FILE))

    def _write(self, operation: Operation, accepted_bytes: int | None) -> None:
        data = operation.data
        if data is None:
            if operation.result > 0:
                raise ModelError(operation, "its bytes were not recorded")
            return
        if isinstance(data, memoryview) and not data.readonly:
            data = bytes(data)
        if accepted_bytes is not None:
            if not 0 <= accepted_bytes <= len(data):
                raise ModelError(operation, f"{accepted_bytes} of its {len(data)} bytes cannot be accepted")
            data = memoryview(data)[:accepted_bytes] if accepted_bytes < len(data) else data
        if operation.offset is None:
            raise ModelError(operation, "nobody knows where in the file it writes")
        identity = self._file(operation)
        content = self._files[identity]
        if operation.op is Op.CLONE and operation.flags & CLONE_WHOLE:
            content = content.resize(0)
        self._files[identity] = content.write(operation.offset, data)

    def _truncate(self, operation: Operation) -> None:
        identity = self._file(operation)
        self._files[identity] = self._files[identity].resize(operation.size_bytes)

    def _fallocate(self, operation: Operation) -> None:
        identity = self._file(operation)
        content = self._files[identity].allocate(operation.flags, operation.offset or 0, operation.size_bytes)
        if content is None:
            raise ModelError(operation, f"the mode {operation.flags:#x} of fallocate is not known")
        self._files[identity] = content

    def _rename(self, operation: Operation) -> None:
        name, target, flags = operation.name, operation.target, operation.flags
        if flags not in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
            raise ModelError(operation, f"the flags {flags:#x} of renameat2 are not known")
        if flags == RENAME_NOREPLACE and target is not None and target in self._names:
            raise ModelError(operation, f"it kept {target!r}, which was there, and succeeded")
        if name is not None and target is not None:
            one, other = self._named(operation, name), self._names.get(target)
            if one == other and one != DIRECTORY_ID:
                return  # two links to one file: rename(2) does nothing
            if flags == RENAME_EXCHANGE:
                self._named(operation, target)
                moved, back = self._take(name), self._take(target)
                self._put(target, moved)
                self._put(name, back)
            else:
                moved = self._take(name)
                self._clear(operation, target)
                self._put(target, moved)
        elif name is not None:
            self._named(operation, name)
            self._take(name)
            if flags == RENAME_EXCHANGE:
                self._bring_in(operation, name)
        elif target is not None:
            if flags == RENAME_EXCHANGE:
                self._named(operation, target)
                self._take(target)
            self._clear(operation, target)
            self._bring_in(operation, target)

    def _bring_in(self, operation: Operation, name: str) -> None:
        """A file from outside gets a name here; it may be another link to one that has a name here already."""
        known = self._by_inode.get(operation.inode or 0)
        if known is not None and self._has_name(known):
            self._names[name] = known
            return
        if operation.data is None:
            raise ModelError(operation, f"nobody knows what {name!r} brings in from outside")
        self._names[name] = self._create(operation, Node(NodeKind.FILE, bytes(operation.data)))

    def _take(self, name: str) -> dict[str, int]:
        """Takes out a name and all below it, by their paths relative to it."""
        below = [key for key in self._names if key == name or key.startswith(f"{name}/")]
        return {key[len(name) :]: self._names.pop(key) for key in below}

    def _put(self, name: str, taken: dict[str, int]) -> None:
        self._names.update({name + rest: identity for rest, identity in taken.items()})

    def _clear(self, operation: Operation, name: str) -> None:
        """What a rename replaces is gone: a file, or a directory with nothing in it."""
        if len(self._take(name)) > 1:
            raise ModelError(operation, f"it replaced the directory {name!r}, which was not empty")

    def _link(self, operation: Operation) -> None:
        name = operation.name
        if name is None:
            return
        if name in self._names:
            raise ModelError(operation, f"it created {name!r}, which was there")
        identity = self._by_inode.get(operation.inode or 0)
        if identity is not None:
            self._names[name] = identity
        else:
            self._bring_in(operation, name)

    def _symlink(self, operation: Operation) -> None:
        self._make(operation, lambda: self._create(operation, Node(NodeKind.SYMLINK, bytes(operation.data or b""))))

    def _mknod(self, operation: Operation) -> None:
        kind = Node.special(operation.flags, 0).kind
        node = Node(kind, bytes(operation.data or b""), stat.S_IMODE(operation.flags))
        self._make(operation, lambda: self._create(operation, node))

    def _mkdir(self, operation: Operation) -> None:
        self._make(operation, lambda: DIRECTORY_ID)

    def _make(self, operation: Operation, made: Callable[[], int]) -> None:
        name = operation.name
        if name is None:
            return
        if name in self._names:
            raise ModelError(operation, f"it created {name!r}, which was there")
        self._names[name] = made()

    def _unlink(self, operation: Operation) -> None:
        if operation.name is None:
            return
        if self._named(operation, operation.name) == DIRECTORY_ID:
            raise ModelError(operation, f"it removed the directory {operation.name!r} as a file")
        del self._names[operation.name]

    def _rmdir(self, operation: Operation) -> None:
        if operation.name is None:
            return
        if self._named(operation, operation.name) != DIRECTORY_ID:
            raise ModelError(operation, f"it removed {operation.name!r} as a directory, which is none")
        if len(self._take(operation.name)) > 1:
            raise ModelError(operation, f"it removed the directory {operation.name!r}, which was not empty")


_WRITES = frozenset(
    {
        Op.WRITE, Op.PWRITE, Op.WRITEV, Op.PWRITEV, Op.SENDFILE, Op.SPLICE, Op.COPY_RANGE, Op.CLONE, Op.STORE,
    }
)  # fmt: skip

_CHANGES: dict[Op, Callable[[Tree, Operation], None]] = {
    Op.OPEN: Tree._open,
    Op.OPEN_UNNAMED: Tree._open_unnamed,
    Op.LINK: Tree._link,
    Op.TRUNCATE: Tree._truncate,
    Op.FALLOCATE: Tree._fallocate,
    Op.RENAME: Tree._rename,
    Op.UNLINK: Tree._unlink,
    Op.RMDIR: Tree._rmdir,
    Op.MKNOD: Tree._mknod,
    Op.MKDIR: Tree._mkdir,
    Op.SYMLINK: Tree._symlink,
}
