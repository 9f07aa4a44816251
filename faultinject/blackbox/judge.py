"""Judges what a program has left, byte for byte, against the start and the run without a fault (KVS-INV)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from faultinject.blackbox.checkers import Checker, Stage
from faultinject.blackbox.masks import Masks
from faultinject.blackbox.state import Node, NodeKind, State
from faultinject.difference import common_bytes
from faultinject.oracle import Finding, Kind, Reported

_REMEMBERED = 4096
_REMEMBERED_BYTES = 64 * 1024**2

Group = dict[str, list[Node]]
"""Nodes by canonical key: several where a varying name was used several times."""


class Judge:
    """Holds states against `old`, the start, and `new`, what the run without a fault has left.

    Every path that is in either must hold its old or its new node: each path for itself, since nobody has promised that
    several files change together. Every other path is something left over. `content` is False where somebody else
    judges content, and only what is left over is looked for. A verdict depends on the arguments of `judge` alone and is
    remembered. Of a name that varies every bearer must be as one of the new ones; how many there are is not judged.

    One path depends on others: an entry that the run without a fault evicts may be gone only where one that it saves is
    there, and may stay (KVS-AUDIT-10). Only a format knows what is an entry, so only with a `checker` is it judged.
    """

    def __init__(
        self, old: State, new: State, masks: Masks, checker: Checker | None = None, *, content: bool = True
    ) -> None:
        self.masks = masks
        self.checker = checker
        self._content = content
        self._old = self._grouped(old)
        self._new = self._grouped(new)
        self._paths = self._old.keys() | self._new.keys()
        self._saved = frozenset(path for path in self._new if self._is_saved(path))
        self._evicted = frozenset(path for path in self._old if self._saved and self._is_evicted(path))
        self._remembered: OrderedDict[Hashable, tuple[Finding, ...]] = OrderedDict()
        self._remembered_bytes = 0

    def is_entry(self, path: str) -> bool:
        """Whether a key is one that was there at the start or is there after success, so that it is no leftover."""
        return self.masks.path(path) in self._paths

    def judge(self, after: State, reported: Reported, stage: Stage) -> tuple[Finding, ...]:
        """The violations that a state shows, in the order of the paths; one of each kind for a path at most."""
        key = (reported, stage, tuple(after.items()))
        found = self._remembered.get(key)
        if found is None:
            found = tuple(self._judged(self._grouped(after), reported, stage))
            self._remember(key, after, found)
        return found

    def _remember(self, key: Hashable, after: State, found: tuple[Finding, ...]) -> None:
        size_bytes = sum([len(node.data) for node in after.values()])
        if self._remembered_bytes + size_bytes > _REMEMBERED_BYTES or len(self._remembered) == _REMEMBERED:
            self._remembered.clear()
            self._remembered_bytes = 0
        self._remembered[key] = found
        self._remembered_bytes += size_bytes

    def _grouped(self, state: State) -> Group:
        groups: Group = {}
        for key, node in state.items():
            groups.setdefault(self.masks.path(key), []).append(node)
        return groups

    def _judged(self, after: Group, reported: Reported, stage: Stage) -> Iterator[Finding]:
        if stage is Stage.REPEATED and reported is not Reported.SUCCESS:
            yield Finding(Kind.NEVER_HEALS, "", f"the repetition without a fault reported {reported}")
        for path in sorted(self._paths | after.keys()):
            if not self.masks.is_judged(path):
                continue
            nodes = after.get(path, [])
            if path not in self._paths:
                yield from self._left_over(path, nodes, after, reported, stage)
            elif self._content:
                if path in self._evicted and not nodes:
                    found = self._gone(path, after)
                else:
                    found = self._entry(path, nodes, reported, stage)
                for finding in found:
                    healed = stage is not Stage.REPEATED or finding.kind is Kind.ORPHAN_UNRECLAIMED
                    yield finding if healed else _never_heals(finding)

    def _entry(self, path: str, nodes: list[Node], reported: Reported, stage: Stage) -> Iterator[Finding]:
        old, new = self._old.get(path, []), self._new.get(path, [])
        if not self._is_entry(path, [*nodes, *new, *old]):
            yield from self._not_an_entry(path, nodes, reported, stage)
            return
        wrong = [node for node in nodes if not self._is_one_of(path, node, [*new, *old])]
        is_new = all(self._is_one_of(path, node, new) for node in nodes)
        is_new = is_new and all(self._is_one_of(path, node, nodes) for node in new)
        untouched = old == new or (bool(old) and all(self._is_one_of(path, node, new) for node in old))
        if wrong and untouched:
            what = self._what_is_wrong(path, wrong[0], old, new)
            yield Finding(Kind.ENTRY_LOST, path, f"another file than the ones saved has changed: {what}")
        elif wrong:
            yield Finding(Kind.PARTIAL_VISIBLE, path, self._what_is_wrong(path, wrong[0], old, new))
        elif old and new and not nodes:
            what = "another file than the ones saved is gone" if untouched else _GONE
            yield Finding(Kind.ENTRY_LOST, path, what)
        if reported is not Reported.SUCCESS or (path in self._evicted and not wrong):
            return
        if not is_new:
            what = "the new content is not there" if new else "the old file is still there"
            yield Finding(Kind.FALSE_SUCCESS, path, f"success was reported and {what}")
        elif (complaint := self._complaint(path, nodes)) is not None:
            yield Finding(Kind.FALSE_SUCCESS, path, f"success was reported and a public reader rejects it: {complaint}")

    def _not_an_entry(self, path: str, nodes: list[Node], reported: Reported, stage: Stage) -> Iterator[Finding]:
        """A file that no reader takes for an entry, such as a temp file that was there before: content is free."""
        old, new = self._old.get(path, []), self._new.get(path, [])
        if old == new:
            if nodes != old:
                what = "has changed" if nodes else "is gone"
                yield Finding(Kind.ENTRY_LOST, path, f"another file than the ones saved {what}")
        elif not new and nodes and (reported is Reported.SUCCESS or stage is not Stage.FAULT):
            yield Finding(Kind.ORPHAN_UNRECLAIMED, path, "it was left by an earlier run and is still there")

    def _gone(self, path: str, after: Group) -> Iterator[Finding]:
        """An evicted entry is gone: room is made after a save has succeeded, never for one (KVS-EVICT-1)."""
        if not any(self._is_published(saved, after) for saved in self._saved):
            yield Finding(Kind.ENTRY_LOST, path, "another entry was removed and the new one is not there")

    def _is_published(self, path: str, after: Group) -> bool:
        nodes = after.get(path, [])
        return bool(nodes) and all(self._is_one_of(path, node, self._new[path]) for node in nodes)

    def _is_saved(self, path: str) -> bool:
        """Whether the run without a fault gives an entry new content."""
        new, old = self._new[path], self._old.get(path, [])
        if self.checker is None or not all(self.checker.is_entry(path, node) for node in new):
            return False
        return not all(self._is_one_of(path, node, old) for node in new)

    def _is_evicted(self, path: str) -> bool:
        """Whether it is a good entry that the run without a fault removes."""
        if self.checker is None or path in self._new:
            return False
        old = self._old[path]
        return all(self.checker.is_entry(path, node) for node in old) and self._complaint(path, old) is None

    def _left_over(
        self, path: str, nodes: list[Node], after: Group, reported: Reported, stage: Stage
    ) -> Iterator[Finding]:
        if self.checker is not None and any(self.checker.is_entry(path, node) for node in nodes):
            finding = Finding(Kind.PARTIAL_VISIBLE, path, "an entry that nobody saved has appeared")
            yield finding if stage is not Stage.REPEATED else _never_heals(finding)
            return
        parent = path.rpartition("/")[0]
        if parent in after and parent not in self._paths:
            return  # the directory that it is in is the leftover
        below = sum(1 for other in after if other.startswith(f"{path}/"))
        what = _described(nodes[0]) + (f" with {below} names in it" if below else "")
        if stage is Stage.RECOVERED:
            yield Finding(Kind.ORPHAN_UNRECLAIMED, path, f"{what} is left after the recovery")
        elif stage is Stage.REPEATED:
            yield Finding(Kind.ORPHAN_UNRECLAIMED, path, f"{what} is left after the repetition without a fault")
        elif reported is not Reported.NOTHING:  # a killed program keeps no promises; recovery comes next
            yield Finding(Kind.TEMP_LEAKED, path, f"{what} is left although the program lived and reported {reported}")

    def _is_entry(self, path: str, nodes: list[Node]) -> bool:
        if self.checker is None:
            return True
        return any(self.checker.is_entry(path, node) is not False for node in nodes)

    def _is_one_of(self, path: str, node: Node, others: list[Node]) -> bool:
        return any(self.masks.same(path, node, other) for other in others)

    def _complaint(self, path: str, nodes: list[Node]) -> str | None:
        if self.checker is None:
            return None
        complaints = (self.checker.complaint(path, node) for node in nodes)
        return next((complaint for complaint in complaints if complaint is not None), None)

    def _what_is_wrong(self, path: str, node: Node, old: list[Node], new: list[Node]) -> str:
        """One sentence on content that is neither old nor new, for whoever has to find the cause."""
        expected = (new or old)[0]
        if node.kind is not expected.kind:
            return f"it is a {node.kind} and was to be a {expected.kind}"
        if node.kind is not NodeKind.FILE:
            return f"the {node.kind} is neither the old nor the new one"
        size_bytes = len(node.data)
        if not size_bytes:
            return "the file is empty"
        content, complete = self.masks.masked(path, node.data), self.masks.masked(path, expected.data)
        differs = common_bytes(content, complete)
        which = "new" if new else "old"
        if differs == size_bytes < len(complete):
            what = f"only the first {size_bytes} of {len(complete)} bytes are there"
        elif differs == len(complete):
            what = f"the {which} content is followed by {size_bytes - differs} bytes too many"
        else:
            what = f"neither old nor new: it differs from the {which} content first at byte {differs}"
            what += "" if size_bytes == len(complete) else f", and has {size_bytes} bytes instead of {len(complete)}"
        complaint = self._complaint(path, [node])
        return what if complaint is None else f"{what} (a public reader says: {complaint})"


_GONE = "the old file is gone and the new one is not there"


def _never_heals(finding: Finding) -> Finding:
    return Finding(Kind.NEVER_HEALS, finding.name, f"after the repetition: {finding.kind}: {finding.detail}")


def _described(node: Node) -> str:
    return f"a file of {len(node.data)} bytes" if node.kind is NodeKind.FILE else f"a {node.kind}"
