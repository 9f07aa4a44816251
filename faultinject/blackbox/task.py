"""What a tracer speaks of: the tasks of a program, their calls, and how the program ended."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass

from faultinject.inject import HarnessError

_CHUNK_BYTES = 1 << 20

# What a call that a signal has interrupted returns inside the kernel (linux/errno.h); the program never sees these.
_RESTARTS = frozenset({-512, -513, -514, -516})


class TracerError(HarnessError):
    """The tracer was used wrongly, or the kernel answered what it should not."""


class TaskGoneError(Exception):
    """The task has died: killed, or ended by another thread. The call may have happened and may not."""


def interrupted(result: int) -> bool:
    """Whether this result of a call says that a signal has cut it short before it did anything.

    The kernel makes the call again, which is a new stop, or the program sees EINTR.
    """
    return result in _RESTARTS


class Memory:
    """The memory of one process, by /proc/PID/mem, which is opened at the first use and again after an exec."""

    __slots__ = ("_fd", "_pid", "users")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._fd = -1
        self.users = 0

    def close(self) -> None:
        """Gives the descriptor back; a later use opens the memory as it is then."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _open(self) -> int:
        if self._fd < 0:
            self._fd = os.open(f"/proc/{self._pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        return self._fd

    def read(self, address: int, size_bytes: int) -> bytes:
        """The bytes at `address`, fewer only where the memory ends; raises OSError where there is none."""
        _check(address)
        fd = self._fd if self._fd >= 0 else self._open()
        # pread makes room for all that it is asked for, and the program can ask for any number.
        first = os.pread(fd, min(size_bytes, _CHUNK_BYTES), address)
        if len(first) == size_bytes:
            return first
        if not first:
            raise ProcessLookupError(errno.ESRCH, f"process {self._pid} has no memory any more")
        parts = [first]
        done = len(first)
        with suppress(OSError):  # the memory ends here
            while done < size_bytes:
                part = os.pread(fd, min(size_bytes - done, _CHUNK_BYTES), address + done)
                if not part:
                    break
                parts.append(part)
                done += len(part)
        return b"".join(parts)

    def write(self, address: int, data: bytes) -> None:
        """Writes all of `data` at `address`; raises OSError where not all of it has memory."""
        _check(address)
        fd = self._open()
        done = 0
        while done < len(data):
            written = os.pwrite(fd, data[done : done + _CHUNK_BYTES], address + done)
            if not written:
                raise OSError(errno.EFAULT, f"no memory at {address + done:#x} of process {self._pid}")
            done += written

    def read_string(self, address: int, max_bytes: int = 4096) -> bytes:
        """The bytes at `address` up to the first NUL; raises OSError where there is none in `max_bytes`."""
        parts = []
        done = 0
        while done < max_bytes:
            # Up to the end of the page first: the next one may not exist.
            at = address + done
            part = self.read(at, min(4096 - at % 4096, max_bytes - done))
            if not part:
                raise OSError(errno.EFAULT, f"no memory at {at:#x} of process {self._pid}")
            end = part.find(b"\0")
            if end >= 0:
                parts.append(part[:end])
                return b"".join(parts)
            parts.append(part)
            done += len(part)
        raise OSError(errno.ENAMETOOLONG, f"no end of the string at {address:#x} within {max_bytes} bytes")


def _check(address: int) -> None:
    if not 0 <= address < 1 << 63:
        raise OSError(errno.EFAULT, f"{address:#x} is no address of a program")


# Where a task is: running, or stopped at a call that has not begun, or at the exit of one, or free to go on.
RUNNING, ENTRY, EXIT, FREE, GONE = range(5)


class Task:
    """One thread of the program.

    tid: its id; pid: of its process. name: "0" is the first thread of the program, "0.1" the second task that this
    one has started, thread or process. An exec by another thread than the first takes over the id of the first; its
    name stays. `stop`, `request`, `state`, `children`, `following` and `result` belong to the tracer.
    """

    __slots__ = ("children", "following", "memory", "name", "pid", "request", "result", "state", "stop", "tid")

    def __init__(self, tid: int, pid: int, name: str, memory: Memory) -> None:
        self.tid = tid
        self.pid = pid
        self.name = name
        self.memory = memory
        self.children = 0
        self.state = RUNNING
        self.request = 0
        self.stop: Stop | None = None
        self.following = False
        self.result = 0
        memory.users += 1

    def __repr__(self) -> str:
        return f"Task({self.name}, tid {self.tid}, pid {self.pid})"

    def read(self, address: int, size_bytes: int) -> bytes:
        """The bytes at `address`, fewer only where the memory ends; raises OSError where there is none."""
        return self.memory.read(address, size_bytes)

    def write(self, address: int, data: bytes) -> None:
        """Writes all of `data` at `address`, whatever the protection; raises OSError where not all has memory."""
        self.memory.write(address, data)

    def read_string(self, address: int, max_bytes: int = 4096) -> bytes:
        """The bytes at `address` up to the first NUL; raises OSError where there is none in `max_bytes`."""
        return self.memory.read_string(address, max_bytes)


class Stop:
    """One trapped call at its entry: it has had no effect yet.

    call: its name in the kernel, "" for a number that we do not know and for a call of another machine.
    args: unsigned, 64 bits each.
    """

    __slots__ = ("args", "call", "number", "task")

    def __init__(self, task: Task, call: str, number: int, args: tuple[int, ...]) -> None:
        self.task = task
        self.call = call
        self.number = number
        self.args = args

    def __repr__(self) -> str:
        arguments = ", ".join(f"{one:#x}" for one in self.args)
        return f"Stop({self.task.name}: {self.call or self.number}({arguments}))"


class Finished:
    """The end of a call that was followed. result: None where the task died in the call."""

    __slots__ = ("result", "stop")

    def __init__(self, stop: Stop, result: int | None) -> None:
        self.stop = stop
        self.result = result

    def __repr__(self) -> str:
        return f"Finished({self.stop!r} = {self.result})"


@dataclass(slots=True)
class Ending:
    """How the program ended. status: exit code of its first process, signal: what killed that; None where it did not.

    killed: the tracer's caller did it; timed_out: the deadline did. Both stay false where the program had already ended
    by itself.
    """

    status: int | None = None
    signal: int | None = None
    killed: bool = False
    timed_out: bool = False
