"""What a program's tail does to the watched directories after a fault: kept beside the model of them, and cheap.

A file that holds the beginning of what it will hold at the end of the run without a fault is known by its length
alone: then the outcomes of a fault at every byte can be told apart, or found equal, without looking at content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from faultinject.blackbox.content import Content
from faultinject.blackbox.state import DIRECTORY, Node, NodeKind, State
from faultinject.blackbox.tree import DIRECTORY_ID, ModelError, Tree

_SHORT_BYTES = 64
_EMPTY = Content(Node(NodeKind.FILE))

Names = dict[str, int]
Files = dict[int, Content]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a file holds at the end of the run without a fault. `number` stands for it in keys."""

    number: int
    data: bytes


class File:
    """One file as the tail has made it: the first bytes of its reference, or a content and edits on top."""

    __slots__ = ("_base", "_edits", "_origin", "reference", "size_bytes")

    def __init__(self, base: Content, reference: Reference | None, size_bytes: int) -> None:
        self._base = base
        self._origin: Hashable = base
        self._edits: list[tuple[str, int, bytes]] = []
        self.reference = reference
        self.size_bytes = size_bytes

    @classmethod
    def of(cls, content: Content, reference: Reference | None) -> File:
        """A file of the model; the reference counts only where it begins with the content."""
        if reference is not None and (
            content.kind is not NodeKind.FILE
            or content.size_bytes > len(reference.data)
            or not reference.data.startswith(content.node().data)
        ):
            reference = None
        return cls(content, reference, content.size_bytes)

    @classmethod
    def new(cls) -> File:
        """An empty file that nobody has seen before."""
        return cls(_EMPTY, None, 0)

    def copy(self) -> File:
        """The same, of a file that has no edits yet."""
        return File(self._base, self.reference, self.size_bytes)

    def write(self, offset: int, data: bytes) -> None:
        """As pwrite(2)."""
        if not data:
            return
        end = offset + len(data)
        reference = self.reference
        if reference is None or offset > self.size_bytes or not reference.data.startswith(data, offset):
            self._settle()
            self._edits.append(("write", offset, data))
        self.size_bytes = max(self.size_bytes, end)

    def resize(self, size_bytes: int) -> None:
        """As ftruncate(2)."""
        if self.reference is None or size_bytes > self.size_bytes:
            self._settle()
            self._edits.append(("resize", size_bytes, b""))
        self.size_bytes = size_bytes

    def content(self) -> Content:
        """The content now."""
        if self.reference is not None:
            return Content(Node(NodeKind.FILE, self.reference.data[: self.size_bytes]))
        content = self._base
        for change, where, data in self._edits:
            content = content.write(where, data) if change == "write" else content.resize(where)
        return content

    def token(self) -> Hashable:
        """Stands for the content: equal tokens mean equal contents."""
        if self.reference is not None:
            return self.reference.number, self.size_bytes
        if not self._edits:
            return self._origin
        return self._origin, tuple((change, where, _digest(data)) for change, where, data in self._edits)

    def _settle(self) -> None:
        """From here on the content is another one than the reference's."""
        if self.reference is not None:
            self._origin = self.token()
            self._base = self.content()
            self.reference = None


def _digest(data: bytes) -> bytes:
    return data if len(data) <= _SHORT_BYTES else hashlib.blake2b(data, digest_size=32).digest()


class Base:
    """The watched directories just before a faulty call. reference: the reference of a file, by its identity."""

    def __init__(self, tree: Tree, start: Tree, reference: Callable[[int], Reference | None]) -> None:
        self.names, self._contents, self.inodes = tree.parts()
        self.limit_bytes = tree.limit_bytes
        self._reference = reference
        self._files: dict[int, File] = {}
        self._links: dict[int, list[str]] | None = None
        self._tree = tree
        self._state: State | None = None
        old_names, old_contents, _ = start.parts()
        self.old_names = old_names.keys()
        self.changed: dict[str, Hashable] = dict.fromkeys(name for name in old_names if name not in self.names)
        for name, identity in self.names.items():
            if old_names.get(name) != identity or old_contents[identity] is not self._contents[identity]:
                self.changed[name] = self.token(identity)
        self.has_symlinks = any(self._contents[one].kind is NodeKind.SYMLINK for one in self.names.values())

    def kind(self, identity: int) -> NodeKind:
        """What kind of thing it is."""
        return self._contents[identity].kind

    def file(self, identity: int) -> File:
        """A file as it is here, not to be changed."""
        file = self._files.get(identity)
        if file is None:
            file = self._files[identity] = File.of(self._contents[identity], self._reference(identity))
        return file

    def token(self, identity: int) -> Hashable:
        """Stands for the content of a file, or for a directory."""
        return "directory" if identity == DIRECTORY_ID else self.file(identity).token()

    def links(self, identity: int) -> list[str]:
        """The names of a file."""
        if self._links is None:
            self._links = {}
            for name, one in self.names.items():
                self._links.setdefault(one, []).append(name)
        return self._links.get(identity, [])

    def state(self) -> State:
        """All that the directories hold here."""
        if self._state is None:
            self._state = self._tree.state()
        return self._state


class Overlay:
    """What one tail has changed. Where it has ended, it stays as it is."""

    __slots__ = ("base", "files", "names")

    def __init__(self, base: Base) -> None:
        self.base = base
        self.names: dict[str, int | None] = {}
        self.files: dict[int, File] = {}

    def lookup(self, name: str) -> int | None:
        """The file of a name, None where there is none."""
        if name in self.names:
            return self.names[name]
        return self.base.names.get(name)

    def kind(self, identity: int) -> NodeKind:
        """What kind of thing it is."""
        return NodeKind.FILE if identity < 0 else self.base.kind(identity)

    def file(self, identity: int) -> File:
        """A file, to be changed."""
        file = self.files.get(identity)
        if file is None:
            file = self.files[identity] = self.base.file(identity).copy()
        return file

    def look(self, identity: int) -> File:
        """A file, not to be changed."""
        return self.files.get(identity) or self.base.file(identity)

    def create(self, name: str) -> int:
        """Makes a new empty file under a name."""
        identity = -1 - len(self.files)
        self.files[identity] = File.new()
        self.names[name] = identity
        return identity

    def is_empty(self, directory: str) -> bool:
        """Whether nothing is in a directory."""
        inside = f"{directory}/"
        return not any(name.startswith(inside) and self.lookup(name) is not None for name in self._all_names())

    def touches(self, identity: int) -> bool:
        """Whether the tail has changed this file, or a name of it."""
        return identity in self.files or any(name in self.names for name in self.base.links(identity))

    def model(self) -> Hashable:
        """All that has been changed, unnamed files included: equal ones of one base stay equal under equal changes."""
        return (
            frozenset(self.names.items()),
            frozenset((identity, file.token()) for identity, file in self.files.items()),
        )

    def key(self) -> frozenset[tuple[str, Hashable]]:
        """What differs from the start of the run: equal keys mean equal states."""
        base = self.base
        changed = base.changed.copy()
        for identity, file in self.files.items():
            if identity >= 0:
                for name in base.links(identity):
                    changed[name] = file.token()
        for name, now in self.names.items():
            if now is not None:
                one = self.files.get(now)
                changed[name] = base.token(now) if one is None else one.token()
            elif name in base.old_names:
                changed[name] = None
            else:
                changed.pop(name, None)
        return frozenset(changed.items())

    def state(self) -> State:
        """All that the directories hold. Raises ModelError where that is more than the limit."""
        if sum(file.size_bytes for file in self.files.values()) > self.base.limit_bytes:
            raise ModelError(None, f"the directories hold more than {self.base.limit_bytes} bytes")
        state = dict(self.base.state())
        nodes = {identity: file.content().node() for identity, file in self.files.items()}
        for identity, node in nodes.items():
            for name in self.base.links(identity):
                state[name] = node
        before = self.base.state()
        for name, now in self.names.items():
            if now is None:
                state.pop(name, None)
            elif now in nodes:
                state[name] = nodes[now]
            elif now == DIRECTORY_ID:
                state[name] = DIRECTORY
            else:
                state[name] = before[self.base.links(now)[0]]
        return dict(sorted(state.items()))

    def _all_names(self) -> set[str]:
        return {*self.base.names, *self.names}
