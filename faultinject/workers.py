"""The processes that share a sweep: they end with the one that has started them, whatever ends that."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process


@contextmanager
def workers(jobs: int, on_killed: Callable[[int], None] | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of so many processes. Where the block raises they are killed at once.

    on_killed: called with the number of each that was, to remove what it could not.
    """
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("forkserver"), initializer=_start_worker)
    others = {child.pid for child in active_children()}
    try:
        yield pool
    except BaseException:
        # Whoever interrupts does not want to wait for the units under way, nor for those queued with them.
        own = [child for child in active_children() if child.pid not in others]
        # First the queue: to see workers die, the pool must have no cancelled units left that it would call failed.
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in own:
            worker.kill()
        for worker in own:
            worker.join()
            if on_killed is not None and worker.pid is not None:
                on_killed(worker.pid)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; a worker that has nothing to do must not print a traceback for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_command, daemon=True).start()


def _end_with_command() -> None:
    """However the command ends, SIGKILL included, no worker goes on alone, nor what it traces."""
    command = parent_process()
    assert command is not None, "a worker has been started by the command"
    command.join()
    os.kill(os.getpid(), signal.SIGKILL)
