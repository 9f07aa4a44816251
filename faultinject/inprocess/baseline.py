"""The function without a fault: run several times, recorded, and held against the model of the directory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from faultinject.blackbox.baseline import APART_SECONDS, canonical, patterns_of, unlike
from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.formats import ANOTHER, older_bytes
from faultinject.blackbox.masks import Masks
from faultinject.blackbox.names import Pattern
from faultinject.blackbox.state import Node, NodeKind, State
from faultinject.blackbox.tree import ModelError, Tree
from faultinject.inject import HarnessError
from faultinject.inprocess.run import Ran, run
from faultinject.inprocess.saver import EMPTY, OLD, Content, Saver, SaverStart, UnusableError
from faultinject.inprocess.scratch import Scratch
from faultinject.ops import Trace
from faultinject.oracle import Reported

_ANOTHER = Node(NodeKind.FILE, b"a file that nobody has to do with\n" * 4)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of a function before anything is broken, from one start. See `blackbox.baseline.Baseline`."""

    key: SaverStart
    old: State
    new: State
    again: State | None
    masks: Masks
    trace: Trace
    crashes: Crashes
    patterns: tuple[Pattern, ...]
    varies: bool
    notes: tuple[str, ...]

    def canonical(self, name: str) -> str:
        """One name for all names that differ from run to run, those of temp files included."""
        return canonical(name, self.patterns, self.masks)


@dataclass(frozen=True, slots=True)
class _First:
    key: SaverStart
    old: State
    new: State
    again: State | None
    ran: Ran
    crashes: Crashes


def prepare(saver: Saver, starts: dict[str, Content] | None, scratch: Scratch) -> tuple[list[Baseline], list[str]]:
    """The baselines of every start, and why there is none from others. Inside `patched`.

    Raises UnusableError where the function cannot be swept, HarnessError where its calls do not explain what it leaves.
    """
    firsts, refused = [], []
    if starts is None:
        firsts.append(_first(saver, EMPTY, {ANOTHER: _ANOTHER}, scratch))
        older = _older(firsts[0])
        if older is None:
            refused.append(f"not run from the start {OLD}: it makes no new file there that could be old")
        else:
            try:
                firsts.append(_first(saver, OLD, older, scratch))
            except UnusableError as error:
                refused.append(f"not run from the start {OLD}: {error}")
    else:
        for name, content in starts.items():
            state = scratch.filled(content if callable(content) else dict(content))
            firsts.append(_first(saver, name, state, scratch))
    time.sleep(APART_SECONDS)  # so that what a clock in seconds writes differs
    return [_second(saver, first, scratch) for first in firsts], refused


def _older(first: _First) -> State | None:
    made = {key: node for key, node in first.new.items() if key not in first.old}
    files = {
        key: Node(node.kind, older_bytes(key, node.data) if node.kind is NodeKind.FILE else node.data)
        for key, node in made.items()
    }
    return {**first.old, **files} if any(node.kind is NodeKind.FILE for node in made.values()) else None


def _first(saver: Saver, start: str, state: State, scratch: Scratch) -> _First:
    scratch.put(state)
    old, inodes = scratch.read(), scratch.roots.inodes()
    ran = run(saver.save, scratch, record=True)
    if ran.reported is not Reported.SUCCESS:
        raise UnusableError(f"from the start {start} it fails without any fault: {ran.said}")
    new = scratch.read()
    if new == old:
        raise UnusableError(f"from the start {start} it leaves the directory as it was: start with other content")
    try:
        crashes = Crashes(Tree.of(old, inodes), ran.trace)
    except ModelError as error:
        raise HarnessError(f"{error}; {_AUDIT}") from error
    if not crashes.end.same(new):
        raise HarnessError(f"what its calls do does not explain what it leaves: {unlike(crashes.end, new)}; {_AUDIT}")
    again = scratch.read() if run(saver.save, scratch).reported is Reported.SUCCESS else None
    module = getattr(saver.save, "__module__", None) or ""
    return _First(SaverStart(saver.name, start, module), old, new, again, ran, crashes)


_AUDIT = (
    "bytes were written that no call of Python's os or open shows (a C extension, mmap, another process), so nothing "
    "is judged: run it as a program under `faultinject audit`, or the fixture fault_audit"
)


def _second(saver: Saver, first: _First, scratch: Scratch) -> Baseline:
    """The same once more, later: what differs then is no content of the function's."""
    scratch.put(first.old)
    ran = run(saver.save, scratch, record=True)
    if ran.reported is not Reported.SUCCESS:
        raise UnusableError(f"from the start {first.key.start} it does not succeed each time: {ran.said}")
    masks = Masks.of(first.new, scratch.read(), first.old)
    notes = masks.sentences()
    if ran.trace.shape() != first.ran.trace.shape():
        notes.append("two runs without a fault differ in what they do: points that move are not measured")
    if first.again is None:
        notes.append("run once more on its own result, it fails: repetitions on that are not judged")
    return Baseline(
        first.key,
        first.old,
        first.new,
        first.again,
        masks,
        first.ran.trace,
        first.crashes,
        patterns_of(first.ran.trace, ran.trace),
        [one.data for one in first.ran.trace] != [one.data for one in ran.trace],
        tuple(notes),
    )
