"""Starts one program after another much faster than a fork of Python does.

A nursery is a process of ours that stands still before the first instruction of its program, with the filter, the
standard descriptors and the limits in place that its programs inherit. For each program we make it call clone with
CLONE_VM and CLONE_VFORK, which copies no memory, and make the new process call execve: ptrace(2) sets the registers for
that. Sources: ptrace(2), clone(2), vfork(2), sigaction(2) (SA_NOCLDWAIT).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from faultinject.blackbox import launch
from faultinject.blackbox.abi import native
from faultinject.blackbox.blocked import block_signals, restore_signals
from faultinject.blackbox.launch import Command, LaunchError, Setup
from faultinject.blackbox.process import bury, tracer_of
from faultinject.blackbox.ptrace import EVENT_EXEC, EVENT_VFORK, PTRACE_CONT, PTRACE_SYSCALL, WALL, Ptrace
from faultinject.blackbox.task import Memory, TracerError

_CLONE_VM = 0x100
_CLONE_VFORK = 0x4000
_MASK = (1 << 64) - 1
_SA_NOCLDWAIT = 2
# Room for what execve takes: the kernel takes 6 MiB at most (execve(2)), and as much again serves the pointers.
_ROOM_BYTES = 12 << 20
_PRIVATE_ANONYMOUS_NORESERVE = 0x2 | 0x20 | 0x4000
_READ_WRITE = 3
_IGNORE = struct.pack("=QQQQ", 1, 0, 0, 0)
"""struct sigaction with SIG_IGN; it lies in front of the room."""

_TRAPPED = signal.SIGTRAP << 8 | 0x7F


class NurseryGoneError(TracerError):
    """The nursery has been killed, by one of its programs (kill(2)) or by the system."""


class Nursery:
    """Gives birth to programs that all have the same setup; use it in a `with` statement, in the thread that traces.

    The parameters are those of Tracer. The umask, the limits but for those of a command, and the user are those of this
    process when the nursery was entered. A program's parent is the nursery,
    so that getppid(2) repeats.
    """

    __slots__ = ("_abi", "_base", "_cwd", "_memory", "_pid", "_prepared", "_ptrace", "_room", "_thread", "setup")

    def __init__(
        self,
        *,
        calls: Iterable[str] | None,
        ignore: Iterable[str] = (),
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self.setup = Setup(None if calls is None else frozenset(calls), frozenset(ignore), stdin, stdout, stderr)
        self._abi = native()
        self._ptrace = Ptrace(self._abi)
        self._base = bytes(8 * self._abi.register_count)
        self._pid = 0
        self._room = 0
        self._cwd = (0, 0)
        self._thread = 0
        self._memory: Memory | None = None
        self._prepared: _Prepared | None = None

    def __enter__(self) -> Self:
        if self._pid:
            raise TracerError("the nursery has been entered already")
        mask = block_signals()
        try:
            self._cwd = _here()
            self._thread = threading.get_native_id()
            # Any program would do: it never runs. This one is here.
            self._pid = launch.start(Command(("/proc/self/exe",)), self.setup, self._ptrace)
            self._memory = Memory(self._pid)
            self._furnish(self._memory)
            restore_signals(mask)
        except BaseException:
            self.close()
            restore_signals(mask)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the nursery; programs that it has started go on."""
        pid, self._pid = self._pid, 0
        if pid and tracer_of(pid) == self._thread:  # else it is dead, and the number may be somebody else's by now
            bury(pid)
        self._prepared = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def start(self, command: Command) -> int:
        """Starts a program; returns its process id once it stands at the end of its exec.

        Raises LaunchError, and NurseryGoneError where somebody has killed the nursery; leaves no process behind. The
        caller has signals blocked (pthread_sigmask).
        """
        if self._memory is None:
            raise TracerError("the nursery is closed: enter it (with) first")
        if threading.get_native_id() != self._thread:
            raise TracerError("the nursery belongs to the thread that entered it: make one for each thread")
        prepared = self._prepare(command, self._memory)
        try:
            child = self._clone()
        except (OSError, _GoneError):
            raise self._gone() from None
        try:
            os.waitpid(child, WALL)
            self._ptrace.set_signal_mask(child, 0)
            self._become(child, command, prepared)
            command.limit(child)
        except BaseException as error:
            bury(child)
            if isinstance(error, ProcessLookupError | _GoneError):
                raise LaunchError(f"{command.argv[0]}: was killed before it became the program") from error
            raise
        finally:
            # The vfork is over; the nursery comes to its trap. Where it has been killed, the next start will tell.
            with suppress(ProcessLookupError, ChildProcessError, _GoneError):
                self._ptrace.resume(PTRACE_CONT, self._pid)
                self._until_event(self._pid)
        return child

    def _prepare(self, command: Command, memory: Memory) -> _Prepared:
        """What execve takes lies in memory then; from the last program, where that was the same."""
        known = self._prepared
        cwd = command.cwd
        if cwd is None and _here() != self._cwd:
            cwd = os.getcwd()
        # A relative path, or PATH, can mean another file now.
        words = command.path(), command.argv, command.env, cwd
        if known is not None and known.words == words and command.env is not None and (cwd or "/").startswith("/"):
            return known
        self._prepared = None
        room = _Room(self._room + len(_IGNORE))
        prepared = _Prepared(
            words,
            room.string(os.fsencode(words[0])),
            room.strings([os.fsencode(word) for word in command.argv]),
            room.strings([name + b"=" + value for name, value in command.variables().items()]),
            0 if cwd is None else room.string(os.fsencode(os.path.abspath(cwd))),
        )
        if len(_IGNORE) + len(room.content) > _ROOM_BYTES:
            raise command.refused(errno.E2BIG)
        try:
            memory.write(room.address, bytes(room.content))
        except OSError:
            raise self._gone() from None
        self._prepared = prepared
        return prepared

    def _gone(self) -> NurseryGoneError:
        return NurseryGoneError(f"the nursery (process {self._pid}) has been killed: make another")

    def _furnish(self, memory: Memory) -> None:
        """Makes the nursery able to make calls for us."""
        pid, ptrace, abi = self._pid, self._ptrace, self._abi
        # The exec itself must return first: the kernel would overwrite the registers with its result.
        ptrace.resume(PTRACE_SYSCALL, pid)
        os.waitpid(pid, WALL)
        ptrace.load(pid)
        memory.write(ptrace.registers[abi.instruction_pointer], abi.enter + abi.trap)
        self._base = bytes(ptrace.registers)
        room = self._call(pid, "mmap", 0, _ROOM_BYTES, _READ_WRITE, _PRIVATE_ANONYMOUS_NORESERVE, _MASK, 0)
        if room < 0:
            raise LaunchError(f"the nursery finds no memory: {os.strerror(-room)}")
        self._room = room
        # No program stays behind as a zombie, and each begins with the default action all the same (execve(2)).
        memory.write(room, struct.pack("=QQQQ", 0, _SA_NOCLDWAIT, 0, 0))
        error = -self._call(pid, "rt_sigaction", signal.SIGCHLD, room, 0, 8)
        if error:
            raise LaunchError(f"the nursery cannot set its signals: {os.strerror(error)}")
        ptrace.set_signal_mask(pid, 1 << (signal.SIGCHLD - 1))
        memory.write(room, _IGNORE)

    def _clone(self) -> int:
        flags = _CLONE_VM | _CLONE_VFORK | signal.SIGCHLD
        self._enter(self._pid, "clone", flags, 0, 0, 0, 0)
        if self._until_event(self._pid) != EVENT_VFORK:
            self._ptrace.load(self._pid)
            error = (1 << 64) - self._ptrace.registers[self._abi.result]
            raise LaunchError(f"no new process: {os.strerror(error)}: look at the limits (ulimit -u)")
        return self._ptrace.event_message(self._pid)

    def _become(self, child: int, command: Command, prepared: _Prepared) -> None:
        self._call(child, "setsid")
        if prepared.directory:
            error = -self._call(child, "chdir", prepared.directory)
            if error:
                raise LaunchError(f"{command.cwd}: cannot be the working directory: {os.strerror(error)}")
        if command.limits.ignore_sigxfsz:
            error = -self._call(child, "rt_sigaction", signal.SIGXFSZ, self._room, 0, 8)
            if error:
                raise LaunchError(f"{command.argv[0]}: SIGXFSZ cannot be ignored: {os.strerror(error)}")
        self._enter(child, "execve", prepared.path, prepared.argv, prepared.env)
        if self._until_event(child) != EVENT_EXEC:
            self._ptrace.load(child)
            raise command.refused((1 << 64) - self._ptrace.registers[self._abi.result])

    def _call(self, tid: int, name: str, *arguments: int) -> int:
        """Has a process make a call, and returns its result, a negative errno where it failed."""
        self._enter(tid, name, *arguments)
        self._until_event(tid)
        self._ptrace.load(tid)
        result = self._ptrace.registers[self._abi.result]
        return result - (1 << 64) if result > _MASK - 4096 else result

    def _enter(self, tid: int, name: str, *arguments: int) -> None:
        abi, registers = self._abi, self._ptrace.registers
        ctypes.memmove(registers, self._base, len(self._base))
        registers[abi.call_register] = abi.numbers[name]
        for place, value in zip(abi.arguments, arguments, strict=False):
            registers[place] = value
        if abi.number_register is not None:
            registers[abi.number_register] = _MASK  # in no call now: there is none to restart
        self._ptrace.store(tid)
        self._ptrace.resume(PTRACE_CONT, tid)

    def _until_event(self, tid: int) -> int:
        """Waits for the trap behind a call (0), or the event that the call is: EVENT_VFORK, EVENT_EXEC."""
        while True:
            _, status = os.waitpid(tid, WALL)
            if status & 0xFF != 0x7F:
                raise _GoneError
            event = status >> 16
            if status == _TRAPPED or event in (EVENT_VFORK, EVENT_EXEC):
                return event
            # A trapped call, or a signal: none is meant for a process that only we know of.
            self._ptrace.resume(PTRACE_CONT, tid)


class _GoneError(Exception):
    """A process that we made a call for has ended."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A command whose words lie in memory: what they are, and where. directory: 0 where it is the nursery's own."""

    words: tuple[str, tuple[str, ...], Mapping[str, str] | None, str | None]
    path: int
    argv: int
    env: int
    directory: int


class _Room:
    """What execve takes, as it will lie in memory at `address`."""

    __slots__ = ("address", "content")

    def __init__(self, address: int) -> None:
        self.address = address
        self.content = bytearray()

    def string(self, text: bytes) -> int:
        """Adds a string; returns its address."""
        address = self.address + len(self.content)
        self.content += text + b"\0"
        return address

    def strings(self, texts: list[bytes]) -> int:
        """Adds strings and a vector of their addresses that NULL ends; returns its address."""
        addresses = [self.string(text) for text in texts]
        self.content += bytes(-len(self.content) % 8)
        vector = self.address + len(self.content)
        self.content += struct.pack(f"={len(addresses) + 1}Q", *addresses, 0)
        return vector


def _here() -> tuple[int, int]:
    here = os.stat(".")
    return here.st_dev, here.st_ino
