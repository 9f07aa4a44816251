"""The run without a fault: made several times, recorded, and held against the model of the directories."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from faultinject.blackbox.copies import content_bytes, copy_tree
from faultinject.blackbox.crash import Crashes
from faultinject.blackbox.formats import format_of
from faultinject.blackbox.masks import Masks, Normalise
from faultinject.blackbox.names import Pattern, pattern_of
from faultinject.blackbox.ordinals import Ordinals
from faultinject.blackbox.place import TEMPORARY_LABEL, Place
from faultinject.blackbox.run import Ran
from faultinject.blackbox.state import NodeKind, State
from faultinject.blackbox.subject import Audited, AuditedStart, Start
from faultinject.blackbox.tree import Tree
from faultinject.inject import HarnessError
from faultinject.ops import Op, Trace
from faultinject.oracle import Reported

FIRST, SECOND = ("aaaaaaaa", "aaaaaaac"), ("bbbbbbbb", "bbbbbbbd")
"""Directories of the runs. A program may write its path into what it saves: so all of it differs and its length never.
"""

APART_SECONDS = 1.1
"""How long after the first run the second begins, so that what a clock in seconds writes differs."""


class UnusableError(Exception):
    """The program cannot be audited from this start; the text says why."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of a program before anything is broken, from one start.

    seed: a directory with the start's content. old, new: the directories before and after a run. again: after one
    more run on top, None where that fails. crashes: every state that the recorded run goes through. rewinds: why the
    program cannot be rewound, empty where it can. point_seconds: what a rewound point takes; run_seconds: what a run
    takes. dense: whether the full disk and the short write come after every byte. patterns: of names of temp files.
    varies: whether two runs write other bytes. ordinals: how a tool that counts calls finds the operations; empty
    where two runs differ.
    """

    key: AuditedStart
    seed: Path
    old: State
    new: State
    again: State | None
    masks: Masks
    trace: Trace
    crashes: Crashes
    rewinds: str
    point_seconds: float
    dense: bool
    notes: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    run_seconds: float
    ordinals: Ordinals
    varies: bool

    def canonical(self, name: str) -> str:
        """One name for all names that differ from run to run, those of temp files included."""
        return canonical(name, self.patterns, self.masks)


def canonical(name: str, patterns: tuple[Pattern, ...], masks: Masks) -> str:
    """One name for all names that differ from run to run. patterns: of names of temp files."""
    head, slash, tail = name.rpartition("/")
    for pattern in patterns:
        if pattern.matches(tail):
            return f"{head}{slash}{pattern.canonical}"
    return masks.path(name)


@dataclass(slots=True)
class _First:
    """After the first run."""

    key: AuditedStart
    seed: Path
    old: State
    new: State
    again: State | None
    ran: Ran
    crashes: Crashes
    ended: float


def prepare(audited: Audited, base: Path) -> tuple[list[Baseline], list[str]]:
    """The baselines of every start that the program can be run from, and why it cannot from the others.

    Raises UnusableError where there is no such start, and LaunchError where the program does not start.
    """
    known = format_of(audited)
    name, content = known.another
    seed = base / "seed"
    try:
        _copy_given(audited, seed)
        if not os.path.lexists(seed / name):
            (seed / name).write_bytes(content)
    except OSError as error:
        why = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise UnusableError(f"what it is to start with, {audited.given}, cannot be copied: {why}") from error
    start = Start.EMPTY if audited.given is None else Start.GIVEN
    with closing(Place(audited, base / FIRST[0], seed)) as place:
        first = _first(AuditedStart(audited, start), seed, place)
    firsts, refused = [first], []
    old_seed = base / "seed-old"
    if _make_old(first, old_seed, known.older):
        with closing(Place(audited, base / FIRST[1], old_seed)) as place:
            try:
                firsts.append(_first(AuditedStart(audited, Start.OLD), old_seed, place))
            except (UnusableError, OSError) as error:
                refused.append(f"not run from the start {Start.OLD}: {error}")
                place.restore()
    else:
        refused.append(f"not run from the start {Start.OLD}: the program makes no new file there that could be old")
    baselines = []
    for one, own in zip(firsts, SECOND, strict=False):
        with closing(Place(audited, base / own, one.seed)) as place:
            baselines.append(_second(one, place, known.normalise))
    return baselines, refused


def _copy_given(audited: Audited, seed: Path) -> None:
    if audited.given is None:
        seed.mkdir(parents=True)
        return
    size_bytes = content_bytes(audited.given)
    if size_bytes > audited.content_limit_bytes:
        raise UnusableError(
            f"what it is to start with, {audited.given}, holds {size_bytes} bytes, more than "
            f"{audited.content_limit_bytes}; take a smaller directory or raise the limit (--content-limit)"
        )
    copy_tree(audited.given, seed)


def _make_old(first: _First, seed: Path, older: Callable[[str, bytes], bytes]) -> bool:
    """A start in which every new file is there already, with other content. False where there is no such file."""
    made = [
        (key, node)
        for key, node in first.new.items()
        if node.kind is NodeKind.FILE and key not in first.old and not key.startswith((TEMPORARY_LABEL, "/"))
    ]
    if not made:
        return False
    copy_tree(first.seed, seed)
    for key, node in made:
        path = seed / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(older(key, node.data))
    return True


def _first(key: AuditedStart, seed: Path, place: Place) -> _First:
    old, inodes = place.template.state, place.roots.inodes()
    program = place.program()
    ran = place.run()
    if ran.ending.timed_out:
        raise UnusableError(f"without a fault it did not end within {program.timeout_seconds:g} s; see --timeout")
    if ran.reported is not Reported.SUCCESS:
        how = f"exit status {ran.ending.status}" if ran.ending.signal is None else f"signal {ran.ending.signal}"
        raise UnusableError(f"without a fault it did not report success ({how}): {ran.said or 'it said nothing'}")
    new = place.read()
    if new == old:
        raise UnusableError("it changes nothing in the watched directories")
    crashes = Crashes(Tree.of(old, inodes, place.roots.limit_bytes), ran.trace)
    if not crashes.end.same(new):
        what = unlike(crashes.end, new)
        raise HarnessError(f"what the program left is not what its recorded calls come to: {what}; {_OUTSIDE}")
    again = place.read() if place.run_plainly(program).reported is Reported.SUCCESS else None
    place.restore()  # directories besides the scratch directory are those of the next place, too
    return _First(key, seed, old, new, again, ran, crashes, time.monotonic())


_OUTSIDE = "what directories from outside hold cannot be recorded, nor what other programs do"


def unlike(model: Tree, real: State) -> str:
    """Where they differ, for people."""
    computed = model.state()
    names = [name for name in sorted(computed.keys() | real.keys()) if computed.get(name) != real.get(name)]
    return f"{', '.join(map(repr, names[:5]))}{' and more' if len(names) > 5 else ''}"


def _second(first: _First, place: Place, normalise: Normalise | None) -> Baseline:
    """The same once more, later and in another directory: what differs then is no content of the program's."""
    time.sleep(max(0.0, first.ended + APART_SECONDS - time.monotonic()))
    began = time.monotonic()
    ran = place.run()
    seconds = time.monotonic() - began
    if ran.reported is not Reported.SUCCESS:
        raise UnusableError(f"it does not succeed each time: {ran.said}")
    masks = Masks.of(first.new, place.read(), first.old, normalise)
    place.restore()
    notes = list(dict.fromkeys([*masks.sentences(), *first.ran.notes]))
    if ran.trace.shape() != first.ran.trace.shape():
        notes.append("two runs without a fault differ in what they do: points that move are not measured")
    if any(operation.op is Op.MMAP for operation in first.ran.trace):
        notes.append("a watched file is mapped for shared writing: a fault during stores to it is not measured")
    notes += [f"written outside of the watched directories: {path!r}" for path in sorted(first.ran.outside)[:10]]
    if first.again is None:
        notes.append("run once more on its own result, the program fails: repetitions on that are not judged")
    return Baseline(
        first.key,
        first.seed,
        first.old,
        first.new,
        first.again,
        masks,
        first.ran.trace,
        first.crashes,
        "",
        0.0,
        False,
        tuple(notes),
        patterns_of(first.ran.trace, ran.trace),
        seconds,
        _ordinals(first.ran, ran),
        [operation.data for operation in first.ran.trace] != [operation.data for operation in ran.trace],
    )


def _ordinals(one: Ran, other: Ran) -> Ordinals:
    """Those of the later run: in the first one, a program may still have had caches to fill."""
    steps = [[(each.op, each.task, each.nth) for each in ran.trace] for ran in (one, other)]
    return other.ordinals if steps[0] == steps[1] else Ordinals()


def patterns_of(one: Trace, other: Trace) -> tuple[Pattern, ...]:
    """Of the names that the same operation uses in two runs and that are not the same."""
    if one.shape() != other.shape():
        return ()
    found: dict[Pattern | None, None] = {}
    for first, second in zip(one, other, strict=False):
        names = [os.path.basename(name) for name in (first.name, second.name) if name is not None]
        if first.op is second.op and len(names) == 2 and names[0] != names[1]:
            found[pattern_of(*names)] = None
    return tuple(pattern for pattern in found if pattern is not None)
