"""Follows all tasks of a traced program: what each of them does next becomes an event, in the order of arrival.

Sources: ptrace(2) (PTRACE_SEIZE), wait(2).
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from faultinject.blackbox.abi import X32_BIT, native
from faultinject.blackbox.process import bury, group_of, tracer_of
from faultinject.blackbox.ptrace import (
    EVENT_CLONE,
    EVENT_EXEC,
    EVENT_FORK,
    EVENT_SECCOMP,
    EVENT_STOP,
    EVENT_VFORK,
    PTRACE_CONT,
    WALL,
    WNOTHREAD,
    Ptrace,
)
from faultinject.blackbox.task import (
    ENTRY,
    EXIT,
    FREE,
    GONE,
    RUNNING,
    Ending,
    Finished,
    Memory,
    Stop,
    Task,
    TracerError,
)

_SYSCALL_STOP = signal.SIGTRAP | 0x80
_BIRTHS = frozenset({EVENT_FORK, EVENT_VFORK, EVENT_CLONE})
_GROUP_STOPS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_PEEK = os.WEXITED | os.WNOWAIT | WALL | WNOTHREAD
_TRAPPED = 4  # CLD_TRAPPED
_POLL_SECONDS = 0.0002
_POLLS = 50


class Loop:
    """The tasks of one program and what they do.

    A task runs until it is stopped at a trapped call, which is put into `_ready`, or at the exit of a call that was
    resumed with PTRACE_SYSCALL. All other stops pass: signals are delivered, group stops kept, new tasks followed.
    """

    def __init__(self) -> None:
        self._abi = native()
        self._ptrace = Ptrace(self._abi)
        self._tasks: dict[int, Task] = {}
        self._memories: dict[int, Memory] = {}
        # New tasks that have shown up before the call that made them: their status waits for a name.
        self._early: dict[int, int] = {}
        self._ready: deque[Stop | Finished] = deque()
        self._free: list[Task] = []
        self._running = 0
        self._births = 0
        self._dying = False
        self._raced = False
        self._root = 0
        self.foreign = False
        """Whether the program has made a call of another machine (i386, x32); its stop has no name."""
        self.ending = Ending()

    @property
    def tasks(self) -> Mapping[int, Task]:
        """The tasks that are alive, by id."""
        return self._tasks

    @property
    def single(self) -> bool:
        """Whether the program has had one task only so far."""
        return self._births == 1

    def next(self) -> Stop | Finished | None:
        """Lets run what is free to, and returns the next trapped call or the end of a followed one.

        None when the program is over, which is when its last task has ended; `ending` tells how.
        """
        self._release()
        ready = self._ready
        # The deadline may act at any point in here: it only marks the program, and we look.
        while not ready or self._dying:
            if not self._running and not self._adopt():
                self._end()
                return None
            self._wait()
        event = ready.popleft()
        if isinstance(event, Finished) and event.result is not None:
            self._free.append(event.stop.task)
        return event

    def quiet(self, seconds: float) -> bool:
        """Lets run what is free to; whether nothing comes of it for so long, so that `next` would have to wait."""
        self._release()
        until = time.monotonic() + seconds
        while not self._ready and not self._dying and (found := self._peek(os.WNOHANG)) is not None:
            if found != (0, 0):
                self._wait_any()  # a task that is born or gets a signal is no event
            elif time.monotonic() >= until:
                return True
            else:
                time.sleep(_POLL_SECONDS)
        return False

    def _release(self) -> None:
        if self._free:
            free, self._free = self._free, []
            for task in free:
                if task.state == FREE or task.state == EXIT:
                    self._resume(task)

    def _begin(self, pid: int) -> None:
        """Takes over the first task, which stands at the end of its exec."""
        self._root = pid
        task = self._add(pid, pid, "0")
        task.state = FREE
        self._running -= 1
        self._free.append(task)

    def _end(self) -> None:
        """Kills and reaps all that is left of the program; nothing where it is over."""
        if self._tasks or self._early:
            self._slay()
        while self._tasks:
            self._wait()
        if not self._root:
            return
        self._root = 0
        for tid in tuple(self._early):
            bury(tid)
        self._early.clear()
        # A task that was killed in a fork may leave a child that nobody has told us of.
        for _ in range(_POLLS if self._raced else 1):
            found = self._peek(os.WNOHANG)
            while found is not None and found[0] and self._is_ours(*found):
                bury(found[0])
                found = self._peek(os.WNOHANG)
            if found is None:
                break
            if self._raced:
                time.sleep(_POLL_SECONDS)
        self._ready.clear()

    def _slay(self) -> None:
        self._raced = self._raced or self._running > 0
        self._dying = True
        for pid in {*(task.pid for task in tuple(self._tasks.values())), *tuple(self._early)}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _adopt(self) -> bool:
        """Nothing runs: False where the program is over, True where something runs again.

        A new task that is left then has lost the one that made it, killed before it could tell us.
        """
        if not self._births:
            raise TracerError("the program is not running: enter the tracer (with) first")
        if self._early and not self._dying:
            tid, status = self._early.popitem()
            self._report(self._add(tid, group_of(tid), f"?.{self._births}"), status)
            return True
        if not self._tasks:
            return False
        if not self._dying:
            self._look_for_the_dead()
            if not self._running:
                raise TracerError("every task is held at a call: hand one back (go, finish, ...) before next")
        return True

    def _look_for_the_dead(self) -> None:
        """Finds tasks that somebody has killed at a call that is held: they no longer are where we think."""
        for task in self._tasks.values():
            try:
                self._ptrace.event_message(task.tid)
            except ProcessLookupError:
                self._count_in(task)

    def _add(self, tid: int, pid: int, name: str) -> Task:
        memory = self._memories.get(pid)
        if memory is None:
            memory = self._memories[pid] = Memory(pid)
        task = self._tasks[tid] = Task(tid, pid, name, memory)
        task.request = PTRACE_CONT
        self._births += 1
        self._running += 1
        return task

    def _remove(self, task: Task) -> None:
        del self._tasks[task.tid]
        task.state = GONE
        memory = task.memory
        memory.users -= 1
        if not memory.users:
            memory.close()
            del self._memories[task.pid]
        if self._ready:
            # A call that nobody has seen, of a task that never made it; the end of a call stays: it has happened.
            kept = [event for event in self._ready if isinstance(event, Finished) or event.task is not task]
            if len(kept) < len(self._ready):
                self._ready.clear()
                self._ready.extend(kept)
        if task.following and task.stop is not None and not self._dying:
            self._ready.append(Finished(task.stop, None))

    def _resume(self, task: Task, signal_number: int = 0) -> None:
        self._count_in(task)
        # Killed meanwhile: it runs to its end, which is reported like any other.
        with suppress(ProcessLookupError):
            self._ptrace.resume(task.request, task.tid, signal_number)

    def _count_in(self, task: Task) -> None:
        task.state = RUNNING
        self._running += 1

    def _wait(self) -> None:
        """Waits until some task does something, and acts on that."""
        if len(self._tasks) == 1 and not self._early:
            (task,) = self._tasks.values()
            try:
                _, status = os.waitpid(task.tid, WALL)
            except ChildProcessError:
                self._vanished(task)
                return
            self._report(task, status)
            return
        self._wait_any()

    def _peek(self, options: int = 0) -> tuple[int, int] | None:
        """Which child of this thread has something to report, and of which kind; it is not taken yet.

        (0, 0) where there are children and none has; None where there are no children.
        """
        try:
            found = os.waitid(os.P_ALL, 0, _PEEK | options)
        except ChildProcessError:
            return None
        return (0, 0) if found is None else (found.si_pid, found.si_code)

    def _wait_any(self) -> None:
        found = self._peek()
        if found is None:
            for task in tuple(self._tasks.values()):
                self._vanished(task)
            return
        # Each that has something to report, so that a task that stops often does not keep the others waiting.
        for _ in range(len(self._tasks) + 1):
            tid, kind = found
            if not self._is_ours(tid, kind):
                # A child of somebody else's in this thread hides the ones behind it, and is not ours to reap.
                self._poll()
                return
            _, status = os.waitpid(tid, WALL)
            known = self._tasks.get(tid)
            if known is not None:
                self._report(known, status)
            elif self._dying:
                bury(tid)
            else:
                self._early[tid] = status
            found = self._peek(os.WNOHANG)
            if found is None or not found[0]:
                return

    def _poll(self) -> None:
        while True:
            for tid, task in tuple(self._tasks.items()):
                found, status = os.waitpid(tid, WALL | os.WNOHANG)
                if found:
                    self._report(task, status)
                    return
            time.sleep(_POLL_SECONDS)

    def _is_ours(self, tid: int, kind: int) -> bool:
        if tid in self._tasks or kind == _TRAPPED:
            return True
        return tracer_of(tid) != 0

    def _report(self, task: Task, status: int) -> None:
        """Acts on what waitpid says of a task."""
        if task.state == RUNNING:  # a task that was held has been killed
            self._running -= 1
        if status & 0xFF != 0x7F:
            self._ended(task, status)
            return
        if self._dying:
            self._count_in(task)  # it runs to its death
            with suppress(ProcessLookupError):
                os.kill(task.pid, signal.SIGKILL)
            return
        event, number = status >> 16, status >> 8 & 0xFF
        try:
            if event == EVENT_SECCOMP:
                self._trapped(task)
            elif number == _SYSCALL_STOP:
                self._returned(task)
            elif event in _BIRTHS:
                self._born(task)
            elif event == EVENT_EXEC:
                self._executed(task)
            elif event == EVENT_STOP and number in _GROUP_STOPS:
                self._ptrace.listen(task.tid)
                self._count_in(task)  # a SIGCONT is reported
            else:
                self._resume(task, 0 if event else number)
        except ProcessLookupError:
            # Killed between the report and our question: its end is the next that we hear of it.
            self._count_in(task)

    def _trapped(self, task: Task) -> None:
        _, arch, number, *args = self._ptrace.entry(task.tid)
        if arch != self._abi.audit_arch or X32_BIT <= number < 2 * X32_BIT:
            self.foreign = True
            name = ""
        else:
            name = self._abi.names.get(number, "")
        task.stop = stop = Stop(task, name, number, tuple(args))
        task.state = ENTRY
        self._ready.append(stop)

    def _returned(self, task: Task) -> None:
        task.result = self._ptrace.result(task.tid)
        task.request = PTRACE_CONT
        task.state = EXIT
        if task.following and task.stop is not None:
            task.following = False
            self._ready.append(Finished(task.stop, task.result))

    def _born(self, task: Task) -> None:
        tid = self._ptrace.event_message(task.tid)
        is_thread = os.path.exists(f"/proc/{task.pid}/task/{tid}")
        child = self._add(tid, task.pid if is_thread else tid, f"{task.name}.{task.children}")
        task.children += 1
        self._resume(task)
        status = self._early.pop(tid, None)
        if status is not None:
            self._report(child, status)

    def _executed(self, task: Task) -> None:
        former = self._tasks.get(self._ptrace.event_message(task.tid))
        if former is not None and former is not task:
            # The kernel gives a thread that becomes a program the id of the first thread, which ends unheard.
            if task.state == RUNNING:
                self._running -= 1
            self._remove(task)
            del self._tasks[former.tid]
            former.tid = task.tid
            self._tasks[task.tid] = task = former
        task.memory.close()
        self._resume(task)

    def _ended(self, task: Task, status: int) -> None:
        killed_by = status & 0x7F
        if task.tid == self._root:
            if killed_by:
                self.ending.signal = killed_by
            else:
                self.ending.status = status >> 8 & 0xFF
        if killed_by == signal.SIGKILL:
            self._raced = self._raced or (task.state == RUNNING and not self._dying)
        self._remove(task)

    def _vanished(self, task: Task) -> None:
        if task.state == RUNNING:
            self._running -= 1
        self._remove(task)
