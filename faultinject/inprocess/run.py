"""One run of a function on its directory."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from faultinject.blackbox.place import Plainly
from faultinject.faults import Fault
from faultinject.inject import HarnessError
from faultinject.inprocess.patches import watching
from faultinject.inprocess.saver import Save
from faultinject.inprocess.scratch import Scratch
from faultinject.inprocess.watch import Watch
from faultinject.ops import Trace
from faultinject.oracle import Reported
from faultinject.signals import InjectedInterrupt, RealTermination

_CHILD_FAILED = 70  # EX_SOFTWARE of sysexits.h


@dataclass(frozen=True, slots=True)
class Ran:
    """said: what was raised. excused: names that could not be removed, which the failure says (KVS-FAIL-3)."""

    reported: Reported
    fired: bool
    trace: Trace
    said: str
    excused: frozenset[str]


def run(save: Save, scratch: Scratch, fault: Fault | None = None, *, record: bool = False) -> Ran:
    """Runs the function on what the directory holds. Raises HarnessError, and what the user of the process wants."""
    watch = Watch(scratch.roots, fault, record=record)
    with watching(watch):
        reported, said, excused = _call(save, scratch, watch)
        if any(known.owned for known in watch.opened.values()):
            gc.collect()  # files that only a cycle holds are flushed and closed by this run and not by the next one
        watch.close_unowned()
    if watch.retouched:
        scratch.forget()
    wanted = 0 if fault is None else 1 if fault.second is None else 2
    return Ran(reported, watch.fired == wanted, watch.trace, said, excused)


def _call(save: Save, scratch: Scratch, watch: Watch) -> tuple[Reported, str, frozenset[str]]:
    try:
        save(scratch.path)
    except HarnessError:
        raise
    except BaseException as error:
        if _is_of_the_user(error):
            raise
        chain = _chain(error)
        words = "\n".join(note for link in chain for note in (str(link), *getattr(link, "__notes__", ())))
        excused = frozenset(
            name for name, refused in watch.refused if refused in chain or os.path.basename(name) in words
        )
        said = f"{type(error).__name__}: {error}"
        for link in chain:
            link.__traceback__ = None  # its frames hold files open
        watch.refused.clear()
        return Reported.FAILURE, said, excused
    return Reported.SUCCESS, "", frozenset()


def _is_of_the_user(error: BaseException) -> bool:
    """A Ctrl-C, or a signal to end, that no fault has sent."""
    if isinstance(error, RealTermination | GeneratorExit):
        return True
    return isinstance(error, KeyboardInterrupt) and not any(isinstance(one, InjectedInterrupt) for one in _chain(error))


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None and link not in found:
            found.append(link)
            links += [link.__cause__, link.__context__]
            links += link.exceptions if isinstance(link, BaseExceptionGroup) else ()
    return found


def run_plainly(function: Save, scratch: Scratch) -> Plainly:
    """A run at which nobody looks, of the function or of its recovery."""
    ran = run(function, scratch)
    return Plainly(ran.reported, ran.said, timed_out=False)


def run_killed(save: Save, scratch: Scratch, fault: Fault) -> bool:
    """A child runs the function and dies by SIGKILL at the point; whether it did. Raises HarnessError."""
    with warnings.catch_warnings():
        # Of other threads the child needs nothing: it makes calls on files and dies.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _die_at(save, scratch, fault)
    scratch.forget()
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) == _CHILD_FAILED:
        raise HarnessError(f"{fault.id}: the child process failed before it could be killed")
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _die_at(save: Save, scratch: Scratch, fault: Fault) -> NoReturn:
    status = _CHILD_FAILED
    kill: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731 - it is one call
    try:
        with watching(Watch(scratch.roots, fault, kill=kill)):
            save(scratch.path)
        status = 0
    finally:
        os._exit(status)
